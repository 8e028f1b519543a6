"""OpenDocument text, presentations and spreadsheets. Source: OpenDocument 1.3, part 3."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

from lxml import etree

from kvasir.components.extractors.archive import encrypted, open_archive, parse_xml, read_member
from kvasir.components.extractors.document_builder import DocumentBuilder, Grid
from kvasir.core.types import BlockKind, Document, Source

_NS = "{urn:oasis:names:tc:opendocument:xmlns:"
_TEXT, _TABLE = f"{_NS}text:1.0}}", f"{_NS}table:1.0}}"
_DRAW, _OFFICE = f"{_NS}drawing:1.0}}", f"{_NS}office:1.0}}"
_STYLE = f"{_NS}style:1.0}}"
_PRESENTATION = f"{_NS}presentation:1.0}}"
_DC = ".//{http://purl.org/dc/elements/1.1/}"
_SKIPPED = {f"{_TEXT}{name}" for name in ("tracked-changes", "note-citation", "sequence-decls")}
_SKIPPED |= {f"{_OFFICE}annotation", f"{_OFFICE}forms"}
_MAX_REPEATED = 1000
_CELLS = frozenset({f"{_TABLE}table-cell", f"{_TABLE}covered-table-cell"})


class OdfExtractor:
    """Reads ODT, ODP and ODS."""

    def extract(self, source: Source, data: bytes) -> Document:
        """Extract headings, paragraphs, lists, tables and slides; see ``Extractor``."""
        archive = open_archive(data)
        names, manifest = archive.namelist(), "META-INF/manifest.xml"
        if manifest in names and b"encryption-data" in read_member(archive, manifest):
            raise encrypted()
        content = parse_xml(read_member(archive, "content.xml"))
        builder = DocumentBuilder(source)
        body = content.find(f"{_OFFICE}body")
        _Reader(builder, content).read(body if body is not None else content)
        if "meta.xml" in names:
            meta = parse_xml(read_member(archive, "meta.xml"))
            builder.title = meta.findtext(f"{_DC}title", "").strip() or builder.title
            author, language = meta.findtext(f"{_DC}creator"), meta.findtext(f"{_DC}language")
            builder.set_metadata(author=author, lang=language)
        return builder.build()


class _Reader:
    """Appends blocks; consecutive lists become one."""

    def __init__(self, builder: DocumentBuilder, content: etree._Element) -> None:
        self._builder = builder
        # Which levels of which list styles are numbered.
        self._numbered = {
            (str(style.get(f"{_STYLE}name")), int(level.get(f"{_TEXT}level") or 1))
            for style in content.iter(f"{_TEXT}list-style")
            for level in style.iterfind(f"{_TEXT}list-level-style-number")
        }
        self._page: int | None = None
        self._counts: dict[int, int] = {}

    def read(self, parent: etree._Element) -> None:
        """Append all blocks inside an element."""
        for child in parent:
            tag = child.tag
            if tag in _SKIPPED:
                continue
            if tag == f"{_TEXT}list":
                self._list(child, 0, str(child.get(f"{_TEXT}style-name") or ""))
                continue
            self._end_list()
            if tag == f"{_TEXT}h":
                level = str(child.get(f"{_TEXT}outline-level") or "1")
                self._add(BlockKind.HEADING, _text(child), int(level) if level.isdigit() else 1)
            elif tag == f"{_TEXT}p":
                self._paragraph(child)
            elif tag == f"{_TABLE}table":
                self._table(child)
            elif tag == f"{_DRAW}page":
                self._page = (self._page or 0) + 1
                self.read(child)
                self._end_list()
            else:
                self.read(child)

    def _end_list(self) -> None:
        """End a list; the next one counts from 1."""
        self._builder.end_block()
        self._counts = {}

    def _add(self, kind: BlockKind, text: str, level: int | None = None) -> None:
        self._builder.add(kind, text, page=self._page, level=level)

    def _paragraph(self, element: etree._Element) -> None:
        frame = next(element.iterancestors(f"{_DRAW}frame"), None)
        if frame is not None and frame.get(f"{_PRESENTATION}class") == "title":
            self._add(BlockKind.HEADING, _text(element), 1)
            return
        self._add(BlockKind.PARAGRAPH, _text(element))
        for frame in element.iter(f"{_DRAW}text-box"):
            self.read(frame)

    def _table(self, table: etree._Element) -> None:
        name, grid = table.get(f"{_TABLE}name"), _grid(table)
        if name and table.getparent().tag == f"{_OFFICE}spreadsheet":
            self._page = (self._page or 0) + 1
            if grid:
                self._add(BlockKind.HEADING, name, 2)
        self._builder.add_grid(grid, self._page)

    def _list(self, element: etree._Element, depth: int, style: str) -> None:
        style = str(element.get(f"{_TEXT}style-name") or style)
        for item in element:
            if item.tag not in (f"{_TEXT}list-item", f"{_TEXT}list-header"):
                continue
            for child in item:
                if child.tag == f"{_TEXT}list":
                    self._list(child, depth + 1, style)
                elif child.tag in (f"{_TEXT}p", f"{_TEXT}h") and (text := _text(child)):
                    marker = self._marker(depth, style)
                    self._builder.add_item(text, marker, depth=depth, page=self._page)

    def _marker(self, depth: int, style: str) -> str:
        self._counts = {level: n for level, n in self._counts.items() if level <= depth}
        self._counts[depth] = self._counts.get(depth, 0) + 1
        return f"{self._counts[depth]}." if (style, depth + 1) in self._numbered else "-"


def _text(element: etree._Element) -> str:
    return "".join(_pieces(element)).strip()


def _pieces(element: etree._Element) -> Iterator[str]:
    yield element.text or ""
    for child in element:
        tag = child.tag
        if tag == f"{_TEXT}s":
            yield " " * min(int(child.get(f"{_TEXT}c") or 1), 100)
        elif tag == f"{_TEXT}tab":
            yield "\t"
        elif tag == f"{_TEXT}line-break":
            yield "\n"
        elif tag == f"{_TEXT}note":
            yield f" ({' '.join(_text(child).split())})"
        elif isinstance(tag, str) and tag not in _SKIPPED and tag != f"{_DRAW}frame":
            yield from _pieces(child)
        yield child.tail or ""


def _grid(table: etree._Element) -> Grid:
    """Return the cells by row and column; a spanning cell is repeated in each that it covers."""
    grid: Grid = {}
    y = 0
    for row in table.iter(f"{_TABLE}table-row"):
        x, filled = 0, False
        for cell in row:
            if cell.tag not in _CELLS:
                continue
            text = " ".join(_text(part) for part in cell.iter(f"{_TEXT}p", f"{_TEXT}h"))
            filled = filled or bool(text)
            repeated = _count(cell, "number-columns-repeated")
            if text:
                height = _count(cell, "number-rows-spanned")
                width = _count(cell, "number-columns-spanned")
                for dy, extra, dx in product(range(height), range(repeated), range(width)):
                    grid.setdefault((y + dy, x + extra + dx), text)
            x += repeated
        repeats = _count(row, "number-rows-repeated") if filled else 1
        for extra, column in product(range(1, repeats), range(x)):
            if (y, column) in grid:
                grid[y + extra, column] = grid[y, column]
        y += repeats
    return grid


def _count(element: etree._Element, name: str) -> int:
    value = str(element.get(f"{_TABLE}{name}") or "1")
    return min(int(value), _MAX_REPEATED) if value.isdigit() else 1
