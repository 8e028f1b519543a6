"""HTML and XHTML by lxml: headings, paragraphs, lists, tables, code and captions.

Scripts, styles, hidden elements and form controls are left out. Navigation is kept: on many
pages (documentation, wikis) it has words that people search for.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import product

import lxml.html
from lxml import etree

from kvasir.components.extractors.document_builder import DocumentBuilder, Grid, empty_error
from kvasir.components.extractors.encodings import Warn, decode
from kvasir.components.extractors.text import is_blank
from kvasir.core.errors import ExtractionError
from kvasir.core.types import BlockKind, Document, Source

_DROPPED = frozenset({
    "script", "style", "noscript", "template", "iframe", "object", "embed", "svg", "canvas",
    "audio", "video", "select", "option", "button", "input", "textarea", "head", "link", "meta",
})  # fmt: skip
_INLINE = frozenset({
    "a", "abbr", "acronym", "b", "bdi", "bdo", "big", "br", "cite", "code", "data", "del", "dfn",
    "em", "font", "i", "img", "ins", "kbd", "label", "mark", "math", "mi", "mn", "mo", "mrow",
    "msub", "msup", "mtext", "annotation", "semantics", "q", "rp", "rt", "ruby", "s", "samp",
    "small", "span", "strike", "strong", "sub", "sup", "time", "tt", "u", "var", "wbr",
})  # fmt: skip
_HEADINGS = {f"h{level}": level for level in range(1, 7)}
_LISTS = frozenset({"ul", "ol", "dl", "menu"})
_DEFINITIONS = frozenset({"dt", "dd"})
_ENDS = (":", "?", "!", "：", "？", "！")
"""Ends of a term that needs no colon before its description."""
_TABLE = frozenset({"table"})
_CHARSET = re.compile(rb"<meta[^>]+charset\s*=\s*[\"']?\s*([\w-]+)", re.IGNORECASE)
_XML_ENCODING = re.compile(rb"\A\s*<\?xml[^>]*encoding\s*=\s*[\"']([\w-]+)", re.IGNORECASE)
_XML_DECLARATION = re.compile(r"\A\s*<\?xml[^>]*\?>")
_META = frozenset({"author", "description", "keywords"})
_MAX_SPAN = 100
_MAX_DEPTH = 250


class HtmlExtractor:
    """Reads web pages."""

    def extract(self, source: Source, data: bytes) -> Document:
        """Extract the page's blocks; see ``Extractor``."""
        builder = DocumentBuilder(source)
        root = parse_html(data, source.charset, builder.warn)
        add_html(root, builder)
        title = " ".join((root.findtext(".//head/title") or "").split())
        builder.title = title or builder.title
        found = {
            name: meta.get("content")
            for meta in root.iterfind(".//head/meta")
            if (name := (meta.get("name") or "").lower()) in _META
        }
        builder.set_metadata(**found, lang=root.get("lang"))
        return builder.build()


def parse_html(data: bytes, charset: str | None = None, warn: Warn | None = None) -> etree._Element:
    """Parse a page as browsers do, without external entities or network.

    ``charset`` is the label that a server or a mail declares; it counts before the page's own.
    """
    text = decode(data, charset or _own_charset(data[:4096]), warn)
    text = _XML_DECLARATION.sub("", text).replace("\x00", "")
    if not text.strip():
        raise empty_error()
    # Without huge_tree the parser stops at 256 levels, with it at 2,048, without an error.
    parser = lxml.html.HTMLParser(no_network=True, huge_tree=True, remove_pis=True)
    try:
        root = lxml.html.document_fromstring(text, parser=parser)
    except etree.ParserError:
        root = None
    if any(entry.type_name == "ERR_RESOURCE_LIMIT" for entry in parser.error_log):
        raise _too_deep()
    if root is None:
        raise empty_error()
    return root


def _own_charset(head: bytes) -> str | None:
    declared = _CHARSET.search(head) or _XML_ENCODING.search(head)
    return declared[1].decode("ascii") if declared else None


def _too_deep() -> ExtractionError:
    return ExtractionError(
        "malformed",
        "its elements are nested too deeply to be read; save the page as text and ingest that",
    )


def add_html(root: etree._Element, builder: DocumentBuilder) -> None:
    """Append the blocks of an element and its descendants.

    Raises:
        ExtractionError: Lists are nested too deeply.
    """
    body = root.find("body") if root.tag == "html" else root
    try:
        _Walker(builder).walk(body if body is not None else root)
    except RecursionError as error:
        raise _too_deep() from error


def add_page(data: bytes, builder: DocumentBuilder, charset: str | None = None) -> bool:
    """Append a page that is part of another document; False if there is no text in it."""
    try:
        root = parse_html(data, charset, builder.warn)
    except ExtractionError as error:
        if error.reason != "empty":
            raise
        return False
    add_html(root, builder)
    return not is_blank("".join(_texts(root)))


def _is_dropped(element: etree._Element) -> bool:
    if not isinstance(element.tag, str) or element.tag in _DROPPED:
        return True
    style = (element.get("style") or "").replace(" ", "").lower()
    return "display:none" in style or element.get("hidden") is not None


def _tag(element: etree._Element) -> str:
    """Return the name in lower case, without XML prefix."""
    return str(element.tag).rpartition("}")[2].rpartition(":")[2].lower()


class _Walker:
    """Walks the tree in document order and makes paragraphs of runs of inline content."""

    def __init__(self, builder: DocumentBuilder) -> None:
        self._builder = builder
        self._run: list[str] = []

    def walk(self, element: etree._Element, depth: int = 0) -> None:
        """Append everything inside an element."""
        self._run.append(element.text or "")
        for child in element:
            if not _is_dropped(child):
                self._child(child, depth)
            self._run.append(child.tail or "")
        if _tag(element) not in _INLINE:
            self._flush()

    def _child(self, child: etree._Element, depth: int) -> None:
        tag = _tag(child)
        if depth > _MAX_DEPTH:
            self._run.extend(_texts(child))
        elif tag == "br":
            self._run.append("\n")
        elif tag in _INLINE:
            inside = child.iterdescendants(etree.Element)
            if any(_tag(item) not in _INLINE | _DROPPED for item in inside):
                self.walk(child, depth + 1)
            else:
                self._run.extend(_texts(child))
        else:
            self._flush()
            self._block(child, tag, depth)

    def _block(self, child: etree._Element, tag: str, depth: int) -> None:
        builder = self._builder
        if tag in _HEADINGS:
            builder.add(BlockKind.HEADING, _line(child), level=_HEADINGS[tag])
        elif tag == "pre":
            builder.add(BlockKind.CODE, "".join(_texts(child)))
        elif tag in _LISTS:
            _add_list(builder, child, 0)
            builder.end_block()
        elif tag == "table" and _is_data_table(child):
            for caption in child.iterfind("caption"):
                builder.add(BlockKind.CAPTION, _line(caption))
            builder.add_grid(_grid(child))
        elif tag in ("figcaption", "caption"):
            builder.add(BlockKind.CAPTION, _line(child))
        else:
            self.walk(child, depth + 1)

    def _flush(self) -> None:
        self._builder.add(BlockKind.PARAGRAPH, " ".join("".join(self._run).split()))
        self._run = []


def _texts(element: etree._Element, apart: frozenset[str] = frozenset()) -> Iterator[str]:
    """Yield the text inside an element except in elements ``apart``, with a space around blocks.

    Without recursion: pages nest thousands of elements.
    """
    yield element.text or ""
    open_elements = [(element, iter(element))]
    while open_elements:
        parent, children = open_elements[-1]
        child = next(children, None)
        if child is None:
            open_elements.pop()
            if open_elements:
                yield f" {parent.tail or ''}" if _tag(parent) not in _INLINE else parent.tail or ""
        elif _is_dropped(child):
            yield child.tail or ""
        elif _tag(child) in apart:
            yield f" {child.tail or ''}"
        else:
            if _tag(child) == "br":
                yield "\n"
            if _tag(child) not in _INLINE:
                yield " "
            yield child.text or ""
            open_elements.append((child, iter(child)))


def _line(element: etree._Element, apart: frozenset[str] = frozenset()) -> str:
    """Return the text inside an element, except in elements ``apart``, as one line."""
    return " ".join("".join(_texts(element, apart)).split())


def _outermost(element: etree._Element, tags: frozenset[str]) -> Iterator[etree._Element]:
    """Yield the elements of the given names inside an element, none inside another of them."""
    pending = list(reversed(element))
    while pending:
        child = pending.pop()
        if _is_dropped(child):
            continue
        if _tag(child) in tags:
            yield child
        else:
            pending.extend(reversed(child))


def _add_list(builder: DocumentBuilder, element: etree._Element, depth: int) -> None:
    if _tag(element) == "dl":
        _add_definitions(builder, element, depth)
        return
    number = 0
    for item in element:
        if _is_dropped(item):
            continue
        if _tag(item) in _LISTS:
            _add_list(builder, item, depth + 1)
        else:
            number += 1
            _add_item(builder, item, depth, f"{number}." if _tag(element) == "ol" else "-")


def _add_item(
    builder: DocumentBuilder, item: etree._Element, depth: int, marker: str, terms: str = ""
) -> None:
    """Add an item's own text, after the terms it describes, and the lists inside it."""
    apart = _LISTS | _DEFINITIONS if _tag(item) in _DEFINITIONS else _LISTS
    builder.add_item(f"{terms} {_line(item, apart)}", marker, depth=depth)
    for child in _outermost(item, apart):
        if _tag(child) in _LISTS:
            _add_list(builder, child, depth + 1)


def _add_definitions(builder: DocumentBuilder, element: etree._Element, depth: int) -> None:
    """Add a line for each description, with its terms: "- Fender, Bumper: A cushion ..."."""
    terms: list[str] = []
    described = True
    for item in _definition_items(element):
        tag = _tag(item)
        if tag in _LISTS:
            _add_list(builder, item, depth + 1)
        elif tag == "dt":
            terms = [] if described else terms
            described = False
            terms.append(_line(item, _LISTS | _DEFINITIONS))
        else:
            _add_item(builder, item, depth, "-", _introduction(terms))
            described = True
    if not described:
        builder.add_item(", ".join(filter(None, terms)), depth=depth)


def _definition_items(element: etree._Element) -> Iterator[etree._Element]:
    """Yield terms and descriptions in order, also those in groups or in unclosed elements."""
    for item in element:
        if _is_dropped(item):
            continue
        tag = _tag(item)
        inside = _outermost(item, _LISTS | _DEFINITIONS)
        holds_more = tag not in _LISTS and any(_tag(child) in _DEFINITIONS for child in inside)
        if tag in _DEFINITIONS or not (holds_more or _tag(element) in _DEFINITIONS):
            yield item
        if holds_more:
            yield from _definition_items(item)


def _introduction(terms: Sequence[str]) -> str:
    text = ", ".join(filter(None, terms))
    return text if not text or text.endswith(_ENDS) else f"{text}:"


def _is_data_table(table: etree._Element) -> bool:
    """Return False for a layout table: one with headings, code or tables inside.

    A table that has header cells itself is data, even if a cell holds a small table.
    """
    inside = {_tag(item) for item in table.iterdescendants(etree.Element)}
    if inside & {*_HEADINGS, "pre"}:
        return False
    if "table" not in inside:
        return True
    is_headed = any(_tag(cell) == "th" for row in _own_rows(table) for cell in _cells(row))
    holds_layout = any(
        True for inner in _outermost(table, _TABLE) for _ in _outermost(inner, _TABLE)
    )
    return is_headed and not holds_layout


def _own_rows(table: etree._Element) -> list[etree._Element]:
    """Return the rows of a table, without those of tables inside it."""
    return [row for row in _outermost(table, _TABLE | {"tr"}) if _tag(row) == "tr"]


def _cells(row: etree._Element) -> list[etree._Element]:
    return [cell for cell in row.iterchildren(etree.Element) if _tag(cell) in {"td", "th"}]


def _cell_text(cell: etree._Element) -> str:
    """Return a cell's text; a table in it becomes "Water: 3 euros; Power: 7 euros"."""
    inner = [item for item in cell.iterdescendants("table") if not _is_dropped(item)]
    parts = [_line(cell, _TABLE)]
    for table in inner:
        rows = ([_line(own) for own in _cells(row)] for row in _own_rows(table))
        parts.append("; ".join(": ".join(filter(None, row)) for row in rows if any(row)))
    return " ".join(filter(None, parts))


def _grid(table: etree._Element) -> Grid:
    """Return the cells by row and column; a spanning cell is repeated in each that it covers."""
    grid: Grid = {}
    rows = _own_rows(table)
    for y, row in enumerate(rows):
        x = 0
        for cell in _cells(row):
            while (y, x) in grid:
                x += 1
            bottom, right = y + _span(cell, "rowspan"), x + _span(cell, "colspan")
            area = product(range(y, min(bottom, len(rows))), range(x, right))
            grid.update(dict.fromkeys(area, _cell_text(cell)))
            x = right
    return grid


def _span(cell: etree._Element, name: str) -> int:
    value = (cell.get(name) or "1").strip()
    return min(max(int(value), 1), _MAX_SPAN) if value.isdecimal() else 1
