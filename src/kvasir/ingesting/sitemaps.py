"""Reads lists of pages: sitemaps in XML or text, packed or not, and indexes of sitemaps.

A text with an address on each line is a sitemap, too, so a list of addresses in a file is read.

Source: https://www.sitemaps.org/protocol.html
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from lxml import etree

from kvasir.core.errors import FetchError, RequestError
from kvasir.core.reports import Failed
from kvasir.ingesting.sources import is_address

_MOST_BYTES = 50 << 20
"""Of one sitemap after unpacking, as the protocol says."""
_GZIP = b"\x1f\x8b"
_GZIP_WINDOW = 31

Read = Callable[[str], bytes]
"""Returns the bytes of an address; raises FetchError."""


@dataclass(slots=True)
class PageList:
    """The pages of a sitemap.

    Attributes:
        urls: Their addresses without fragments, each once, in order.
        failed: Sitemaps of an index that could not be read; then pages may be missing.
    """

    urls: list[str] = field(default_factory=list)
    failed: list[Failed] = field(default_factory=list)


def read_page_list(place: str, read: Read) -> PageList:
    """Return the pages of a sitemap, or of all sitemaps of an index.

    Args:
        place: An address, or the path of a file.
        read: Fetches an address.

    Raises:
        RequestError: It cannot be read, is no sitemap, or has no page.
    """
    found = PageList()
    try:
        pages, sitemaps = _parsed(_bytes_of(place, read))
    except FetchError as error:
        raise RequestError(f"the sitemap {place} cannot be read: {error}") from error
    for each in dict.fromkeys(sitemaps):
        try:
            more, inner = _parsed(read(each))
            if inner:
                raise FetchError("an index of sitemaps names another index")
            pages += more
        except FetchError as error:
            found.failed.append(Failed(each, "fetch", str(error)))
    found.urls = list(dict.fromkeys(url.partition("#")[0] for url in pages))
    if not found.urls and not found.failed:
        raise RequestError(f"the sitemap {place} has no page: nothing is changed")
    return found


def _bytes_of(place: str, read: Read) -> bytes:
    if is_address(place):
        return read(place)
    try:
        with Path(place).open("rb") as file:
            return file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise FetchError(error.strerror or str(error)) from error


def _parsed(data: bytes) -> tuple[list[str], list[str]]:
    """Return the pages and the sitemaps that a sitemap names.

    Raises:
        FetchError: It is no sitemap, or too large.
    """
    data = _unpacked(data)
    if data.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
        return _parsed_xml(data)
    try:
        lines = data.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise FetchError("it is neither XML nor text in UTF-8") from None
    pages = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    if wrong := next((each for each in pages if not is_address(each)), None):
        raise FetchError(f"a line of it is no address: '{wrong[:100]}'")
    return pages, []


def _parsed_xml(data: bytes) -> tuple[list[str], list[str]]:
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, remove_comments=True,
        remove_pis=True,
    )  # fmt: skip
    try:
        root = etree.fromstring(data, parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise FetchError(f"it is malformed XML ({error})") from None
    kind = str(root.tag).rpartition("}")[2]
    if kind not in ("urlset", "sitemapindex"):
        raise FetchError(f"it is no sitemap: its XML is <{kind}>")
    # Only the entries' own addresses, not those of pictures and films in them.
    found = [(each.text or "").strip() for each in root.findall("{*}*/{*}loc")]
    found = [each for each in found if is_address(each)]
    return ([], found) if kind == "sitemapindex" else (found, [])


def _unpacked(data: bytes) -> bytes:
    if data.startswith(_GZIP):
        try:
            data = zlib.decompressobj(_GZIP_WINDOW).decompress(data, _MOST_BYTES + 1)
        except zlib.error as error:
            raise FetchError(f"it cannot be unpacked ({error})") from None
    if len(data) > _MOST_BYTES:
        raise FetchError(f"it is larger than {_MOST_BYTES >> 20} MB, the most that sitemaps have")
    return data
