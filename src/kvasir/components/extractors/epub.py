"""EPUB 2 and 3: the pages of the spine in reading order. Source: EPUB 3.3, OCF and package."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from urllib.parse import unquote

from lxml import etree

from kvasir.components.extractors.archive import damaged, open_archive, parse_xml, read_member
from kvasir.components.extractors.document_builder import DocumentBuilder
from kvasir.components.extractors.file_properties import date_text
from kvasir.components.extractors.html import add_html, parse_html
from kvasir.core.errors import ExtractionError
from kvasir.core.types import BlockKind, Document, Source

_DC = "{http://purl.org/dc/elements/1.1/}"
_PROTECTION = {"META-INF/encryption.xml", "META-INF/rights.xml"}


class EpubExtractor:
    """Reads e-books."""

    def extract(self, source: Source, data: bytes) -> Document:
        """Extract the chapters in the order of the spine; see ``Extractor``."""
        archive = open_archive(data, entities=True)
        if set(archive.namelist()) >= _PROTECTION:
            raise ExtractionError(
                "encrypted", "it is protected by DRM; ask its seller for a copy without"
            )
        container = parse_xml(read_member(archive, "META-INF/container.xml"))
        root_file = container.find(".//{*}rootfile")
        if root_file is None or not root_file.get("full-path"):
            raise damaged("no package file is named")
        package_path = str(root_file.get("full-path"))
        package = parse_xml(read_member(archive, package_path))
        builder = DocumentBuilder(source)
        names = archive.namelist()
        # Some programs do not tell upper case from lower case.
        paths = {name.lower(): name for name in names} | {name: name for name in names}
        for path, media_type in _chapters(package, posixpath.dirname(package_path)):
            with builder.part(f"chapter {path}"):
                name = paths.get(path) or paths.get(path.lower(), path)
                data = read_member(archive, name)
                _add_chapter(builder, data, media_type)
        builder.title = _text(package, "title") or builder.title
        builder.set_metadata(
            author=", ".join(_texts(package, "creator")),
            lang=_text(package, "language"),
            created=date_text(_text(package, "date")),
        )
        return builder.build()


def _chapters(package: etree._Element, folder: str) -> Iterator[tuple[str, str]]:
    """Yield the path and the media type of each chapter in the order of the spine."""
    items = {item.get("id"): item for item in package.iterfind(".//{*}manifest/{*}item")}
    for reference in package.iterfind(".//{*}spine/{*}itemref"):
        item = items.get(reference.get("idref"))
        seen: set[str] = set()
        while item is not None and not _is_page(item) and item.get("fallback") not in seen:
            seen.add(item.get("fallback"))
            item = items.get(item.get("fallback"), item)
        if item is not None:
            href = unquote((item.get("href") or "").partition("#")[0])
            path = posixpath.normpath(posixpath.join(folder, href))
            yield path, item.get("media-type") or ""


def _is_page(item: etree._Element) -> bool:
    media_type = item.get("media-type") or ""
    return "html" in media_type or "xml" in media_type or not media_type


def _add_chapter(builder: DocumentBuilder, data: bytes, media_type: str) -> None:
    if media_type == "image/svg+xml":
        for text in parse_xml(data).iter("{*}title", "{*}desc", "{*}text"):
            builder.add(BlockKind.PARAGRAPH, " ".join("".join(text.itertext()).split()))
    elif "/" in media_type and "html" not in media_type and "xml" not in media_type:
        raise ExtractionError("unsupported", f"it is {media_type}, which is not read in a book")
    else:
        add_html(parse_html(data), builder)


def _text(package: etree._Element, name: str) -> str:
    return next(iter(_texts(package, name)), "")


def _texts(package: etree._Element, name: str) -> list[str]:
    found = package.iterfind(f".//{_DC}{name}")
    return [text for each in found if (text := " ".join("".join(each.itertext()).split()))]
