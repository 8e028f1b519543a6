"""HTML and XHTML by lxml: headings, paragraphs, lists, definitions, tables, code and captions.

What a page does not show is left out. Navigation and other page furniture is kept as blocks of
their own, which no chunk holds.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from contextlib import suppress

from lxml import etree

from kvasir.components.extractors.document_builder import DocumentBuilder, empty_error
from kvasir.components.extractors.encodings import Warn, decode
from kvasir.components.extractors.file_properties import date_text, keyword_list
from kvasir.components.extractors.html_blocks import BlockWriter
from kvasir.components.extractors.html_furniture import Furniture, find_furniture
from kvasir.components.extractors.html_hidden import OPENED, remove_hidden
from kvasir.components.extractors.html_inline import InlineText
from kvasir.components.extractors.html_struck import mark_struck
from kvasir.components.extractors.html_tables import name_by_roles
from kvasir.components.extractors.text import is_blank
from kvasir.core.errors import ExtractionError
from kvasir.core.types import Document, MetadataValue, Source

_CHARSET = re.compile(rb"<meta[^>]+charset\s*=\s*[\"']?\s*([\w-]+)", re.IGNORECASE)
_XML_ENCODING = re.compile(rb"\A\s*<\?xml[^>]*encoding\s*=\s*[\"']([\w-]+)", re.IGNORECASE)
_XML_DECLARATION = re.compile(r"\A\s*<\?xml[^>]*\?>")
_DECLARED_ENTITIES = re.compile(r"\A(\s*<!DOCTYPE[^<>\[]*)\[[^\]]*\]", re.IGNORECASE)
"""HTML has none: the parser would take their end for text."""
_VOID = ("embed", "source", "track", "wbr", "bgsound", "keygen", "command")
"""Elements without content, and no words of their own, which libxml2 takes for open ones."""
_RENDERED = ("MathJax", "mjx", "MJX")
_META: Mapping[str, tuple[str, Callable[[str], MetadataValue]]] = {
    "author": ("author", str),
    "description": ("description", str),
    "keywords": ("keywords", keyword_list),
    "article:tag": ("keywords", keyword_list),
    "date": ("created", date_text),
    "dc.date": ("created", date_text),
    "dcterms.created": ("created", date_text),
    "article:published_time": ("created", date_text),
    "dcterms.modified": ("modified", date_text),
    "article:modified_time": ("modified", date_text),
}
"""Field and form of each property of a page's head that is kept, by its name."""


class HtmlExtractor:
    """Reads web pages."""

    def extract(self, source: Source, data: bytes) -> Document:
        """Extract the page's blocks; see ``Extractor``."""
        builder = DocumentBuilder(source)
        root = parse_html(data, source.charset, builder.warn)
        title = " ".join((root.findtext(".//head/title") or "").split())
        found = _properties(root)
        address, neighbours = _address(root, source.uri), _neighbours(root)
        body = _shown_body(root)
        _write(body, builder, InlineText(address), find_furniture(body, title, neighbours))
        builder.title = title or builder.title
        builder.set_metadata(**found, lang=root.get("lang"))
        return builder.build()


def _properties(root: etree._Element) -> dict[str, MetadataValue]:
    """Return the metadata in a page's head; several tags are one list."""
    found: dict[str, MetadataValue] = {}
    for meta in root.iterfind(".//head/meta"):
        name = str(meta.get("name") or meta.get("property") or "").lower()
        content = " ".join(str(meta.get("content") or "").split())
        if name not in _META or not content:
            continue
        field, form = _META[name]
        value = form(content)
        former = found.get(field)
        if isinstance(value, tuple) and isinstance(former, tuple):
            value = tuple(dict.fromkeys((*former, *value)))
        elif former is not None:
            continue
        found[field] = value
    return found


def parse_html(data: bytes, charset: str | None = None, warn: Warn | None = None) -> etree._Element:
    """Parse a page as browsers do, without external entities or network.

    ``charset`` is the label that a server or a mail declares; it counts before the page's own.
    """
    text = decode(data, charset or _own_charset(data[:4096]), warn)
    text = _XML_DECLARATION.sub("", text).replace("\x00", "")
    text = _DECLARED_ENTITIES.sub(r"\1", text)
    if not text.strip():
        raise empty_error()
    # Without huge_tree the parser stops at 256 levels, with it at 2,048, without an error.
    parser = etree.HTMLParser(
        no_network=True, huge_tree=True, remove_pis=True, remove_comments=True
    )
    try:
        root = etree.fromstring(text, parser)
    except etree.ParserError:
        root = None
    if any(entry.type_name == "ERR_RESOURCE_LIMIT" for entry in parser.error_log):
        raise _too_deep()
    if root is None:
        raise empty_error()
    for element in root.iter(etree.Element):
        if ":" in (tag := element.tag) and (name := tag.rpartition(":")[2]).isalnum():
            element.tag = name  # Without the prefix, as in "xhtml:p".
    etree.strip_tags(root, *_VOID)  # What libxml2 took for their content is content of the page.
    _write_out_formulas(root)
    return root


def _write_out_formulas(root: etree._Element) -> None:
    """Make a formula of each script with the LaTeX of one, instead of what MathJax 2 shows."""
    for script in list(root.iter("script")):
        if not (script.get("type") or "").lower().startswith("math/tex"):
            continue
        while (shown := script.getprevious()) is not None and not (shown.tail or "").strip():
            if not (shown.get("class") or "").startswith(_RENDERED):
                break
            shown.getparent().remove(shown)
        text = " ".join((script.text or "").split())
        tail = script.tail
        script.clear()
        script.tag, script.tail = "math", tail
        script.set("alttext", text)


def _own_charset(head: bytes) -> str | None:
    declared = _CHARSET.search(head) or _XML_ENCODING.search(head)
    return declared[1].decode("ascii") if declared else None


def _too_deep() -> ExtractionError:
    return ExtractionError(
        "malformed",
        "its elements are nested too deeply to be read; save the page as text and ingest that",
    )


def add_html(root: etree._Element, builder: DocumentBuilder) -> None:
    """Append the blocks of a page that is part of another document, such as a chapter.

    Raises:
        ExtractionError: Lists are nested too deeply.
    """
    body = _shown_body(root)
    _write(body, builder, InlineText(), Furniture(frozenset(body.iter("nav"))))


def add_page(data: bytes, builder: DocumentBuilder, charset: str | None = None) -> bool:
    """Append a page that is part of another document; False if there is no text in it."""
    try:
        root = parse_html(data, charset, builder.warn)
    except ExtractionError as error:
        if error.reason != "empty":
            raise
        return False
    add_html(root, builder)
    return not is_blank("".join(InlineText().texts(root)))


def _shown_body(root: etree._Element) -> etree._Element:
    """Remove what is not shown; return the body."""
    _open_frames(root)
    remove_hidden(root)
    for frame in list(root.iter("iframe")):
        frame.tag = "div"
    name_by_roles(root)
    mark_struck(root)
    body = root.find("body") if root.tag == "html" else root
    return body if body is not None else root


def _open_frames(root: etree._Element) -> None:
    """Write into frames the pages that they hold as a value, as far as these are shown.

    A frame keeps its attributes, by which the page may hide it.
    """
    for frame in list(root.iter("iframe")):
        written = (frame.attrib.pop("srcdoc", "")).encode("utf-8", "replace")
        with suppress(ExtractionError):
            inner = parse_html(written, "utf-8")
            remove_hidden(inner)
            body = inner.find("body")
            if body is not None:
                frame[:] = list(body)
                frame.text = body.text
                frame.set(OPENED, "")


def _write(
    body: etree._Element, builder: DocumentBuilder, inline: InlineText, furniture: Furniture
) -> None:
    try:
        BlockWriter(builder, inline, furniture).write(body)
    except RecursionError as error:
        raise _too_deep() from error


def _address(root: etree._Element, uri: str) -> str | None:
    """Return the address of a page: where it was fetched, or what it says of itself."""
    canonical = root.find(".//head/link[@rel='canonical']")
    base = root.find(".//head/base")
    named = (str(item.get("href") or "") for item in (base, canonical) if item is not None)
    addresses = (uri, *named)
    return next((item for item in addresses if item.startswith(("http://", "https://"))), None)


def _neighbours(root: etree._Element) -> set[str]:
    """Return the targets by which a page's head names the pages before and after it."""
    links = root.iterfind(".//head/link[@rel]")
    named = ((link.get("rel").lower(), link.get("href")) for link in links)
    return {target for rel, target in named if rel in ("prev", "next", "up") and target}
