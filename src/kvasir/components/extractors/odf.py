"""OpenDocument text, presentations and spreadsheets. Source: OpenDocument 1.3, part 3."""

from __future__ import annotations

import posixpath
import re
import zipfile
from collections.abc import Iterator

from lxml import etree

from kvasir.components.extractors.archive import encrypted, open_archive, parse_xml, read_member
from kvasir.components.extractors.box_order import Box, reading_order
from kvasir.components.extractors.document_builder import DocumentBuilder
from kvasir.components.extractors.file_properties import date_text
from kvasir.components.extractors.inline_marks import link_suffix
from kvasir.components.extractors.odf_inline import PAGE_NUMBER, Inline, InlineReader
from kvasir.components.extractors.odf_lists import Counts, Lists, end_inner
from kvasir.components.extractors.odf_tables import read_table, rows
from kvasir.components.extractors.odf_xml import (
    CHART,
    DC,
    DRAW,
    FO,
    FORM,
    HREF,
    META,
    OFFICE,
    PRESENTATION,
    STYLE,
    SVG,
    TABLE,
    TEXT,
    Styles,
    length,
)
from kvasir.components.extractors.sheet_islands import islands, missing_values
from kvasir.components.extractors.table_layout import LARGEST_NESTED, nested_text
from kvasir.core.types import BlockKind, Document, MetadataValue, Source

_SKIPPED = frozenset(
    {
        f"{TEXT}tracked-changes",
        f"{TEXT}sequence-decls",
        f"{OFFICE}forms",
        f"{OFFICE}annotation",
        f"{PRESENTATION}footer-decl",
        f"{PRESENTATION}header-decl",
        f"{PRESENTATION}date-time-decl",
    }
)
_PER_SLIDE = frozenset({"page-number", "date-time", "header", "footer"})
_MANIFEST = "META-INF/manifest.xml"


class OdfExtractor:
    """Reads ODT, ODP and ODS."""

    def extract(self, source: Source, data: bytes) -> Document:
        """Extract headings, paragraphs, lists, tables and slides; see ``Extractor``."""
        archive = open_archive(data)
        names = archive.namelist()
        if _MANIFEST in names and b"encryption-data" in read_member(archive, _MANIFEST):
            raise encrypted()
        content = parse_xml(read_member(archive, "content.xml"))
        roots = [content]
        if "styles.xml" in names:
            roots.append(parse_xml(read_member(archive, "styles.xml")))
        builder = DocumentBuilder(source)
        body = content.find(f"{OFFICE}body")
        reader = _Reader(builder, archive, roots)
        reader.read(body if body is not None else content)
        reader.end(roots[1:])
        if "meta.xml" in names:
            _set_properties(builder, parse_xml(read_member(archive, "meta.xml")))
        return builder.build()


class _Reader:
    """Appends blocks; consecutive lists become one.

    Notes, comments and descriptions of pictures follow the paragraph, list or table that they
    belong to.
    """

    def __init__(
        self, builder: DocumentBuilder, archive: zipfile.ZipFile, roots: list[etree._Element]
    ) -> None:
        self._builder = builder
        self._archive = archive
        self._styles = Styles(*roots)
        fields = {
            str(control.get(name)): control
            for form in roots[0].iter(f"{FORM}form")
            for control in form
            for name in (f"{FORM}id", "{http://www.w3.org/XML/1998/namespace}id")
        }
        self._inline = InlineReader(self._styles, fields)
        self._page: int | None = None
        self._lists = Lists(*roots)
        self._last_list = ""
        """The style of the list that was just read; empty after other content."""
        self._pending: list[Inline] = []
        # White text can be read on a coloured page, and perhaps in boxes and tables.
        self._depth = int(any(_has_ground(root, "page-layout") for root in roots))
        self._margins_have_ground = bool(self._depth) or any(
            _has_ground(root, "header-footer") for root in roots
        )
        self._footers: list[str] = []
        self._unknown = 0

    def read(self, parent: etree._Element) -> None:
        """Append all blocks inside an element."""
        for child in parent:
            tag = child.tag
            if tag in _SKIPPED or not isinstance(tag, str):
                continue
            if tag == f"{TEXT}list":
                self._top_list(child)
                continue
            self._end_list()
            if tag == f"{TEXT}h":
                level = str(child.get(f"{TEXT}outline-level") or "1")
                self._add(
                    BlockKind.HEADING, self._read(child), int(level) if level.isdigit() else 1
                )
            elif tag == f"{TEXT}p":
                self._paragraph(child)
            elif tag == f"{TABLE}table":
                self._table(child)
            elif tag == f"{DRAW}page":
                self._slide(child)
            elif tag == f"{TEXT}section" and child.get(f"{TEXT}display") == "none":
                continue
            elif tag in (f"{DRAW}frame", f"{DRAW}g", f"{DRAW}a"):
                self._shape(child)
            else:
                self.read(child)
            self._flush()

    def end(self, styles: list[etree._Element]) -> None:
        """Append the headers and footers of all kinds of pages, each text once."""
        self._page = None
        if self._unknown:
            self._builder.warn(missing_values(self._unknown))
        seen: set[str] = set()
        pages = [page for root in styles for page in root.iter(f"{STYLE}master-page")]
        for kind in ("header", "footer"):
            for page in pages:
                for margin in page.iter(
                    *(f"{STYLE}{kind}{side}" for side in ("", "-left", "-first"))
                ):
                    text = self._margin_text(margin)
                    if text and text not in seen and margin.get(f"{STYLE}display") != "false":
                        seen.add(text)
                        self._add(BlockKind.PARAGRAPH, f"{kind.capitalize()}: {text}")
        for footer in dict.fromkeys(self._footers):
            self._add(BlockKind.PARAGRAPH, f"Footer: {footer}")

    def _margin_text(self, margin: etree._Element) -> str:
        parts: list[str] = []
        for paragraph in margin.iter(f"{TEXT}p"):
            outside = paragraph.iterancestors(f"{TABLE}table-cell", f"{DRAW}frame")
            on_page = not self._margins_have_ground and next(outside, None) is None
            cells = self._inline.read(paragraph, on_page=on_page).text.split("\t")
            parts += [" ".join(cell.split()) for cell in cells if PAGE_NUMBER not in cell]
        return " | ".join(dict.fromkeys(filter(None, parts)))

    def _read(self, paragraph: etree._Element) -> str:
        """Return a paragraph's text; what stands apart from it waits for ``_flush``."""
        inline = self._inline.read(paragraph, on_page=not self._depth and self._page is None)
        self._pending.append(inline)
        return inline.text.replace(PAGE_NUMBER, "").strip()

    def _flush(self) -> None:
        pending, self._pending = self._pending, []
        for inline in pending:
            for shape in inline.shapes:
                self._builder.end_block()
                self._shape(shape)
            for note in filter(None, inline.notes):
                self._add(BlockKind.PARAGRAPH, note)

    def _end_list(self) -> None:
        self._builder.end_block()
        self._last_list = ""
        self._flush()

    def _add(self, kind: BlockKind, text: str, level: int | None = None) -> None:
        self._builder.add(kind, text, page=self._page, level=level)

    def _paragraph(self, element: etree._Element) -> None:
        frame = next(element.iterancestors(f"{DRAW}frame"), None)
        if frame is not None and frame.get(f"{PRESENTATION}class") == "title":
            self._add(BlockKind.HEADING, self._read(element), 1)
            return
        self._add(BlockKind.PARAGRAPH, self._read(element))

    def _shape(self, shape: etree._Element, address: str = "") -> None:
        """Append a drawing's text, table, chart and description."""
        if shape.tag == f"{DRAW}a":
            for inner in shape:
                self._shape(inner, str(shape.get(HREF) or ""))
            return
        if shape.tag == f"{DRAW}g":
            for inner in _ordered(list(shape)):
                self._shape(inner, address)
            return
        self._depth += 1
        for embedded in shape.iterfind(f"{DRAW}object"):
            self._object(str(embedded.get(HREF) or ""))
        self.read(shape)
        self._end_list()
        self._depth -= 1
        described = (shape.findtext(f"{SVG}desc") or shape.findtext(f"{SVG}title") or "").strip()
        if described:
            suffix = link_suffix(described, address)
            self._add(BlockKind.PARAGRAPH, f"Picture: {described}{suffix}")

    def _object(self, address: str) -> None:
        """Append a chart's title and values, or a formula as its program writes it."""
        name = posixpath.normpath(posixpath.join(address, "content.xml"))
        if name not in self._archive.namelist():
            return
        root = parse_xml(read_member(self._archive, name))
        chart = next(root.iter(f"{CHART}chart"), None)
        if chart is not None:
            self._add(BlockKind.CAPTION, "\n".join(filter(None, self._chart_titles(chart))))
            for table in chart.iter(f"{TABLE}table"):
                self._table(table)
        for formula in root.iter("{*}annotation"):
            self._add(BlockKind.PARAGRAPH, formula.text or "")

    def _chart_titles(self, chart: etree._Element) -> Iterator[str]:
        """Yield the title of a chart and those of its axes."""
        for title in chart.iterfind(f"{CHART}title"):
            yield self._inline.text(title)
        for axis in chart.iterfind(f"{CHART}plot-area/{CHART}axis"):
            is_value = axis.get(f"{CHART}dimension") == "y"
            for title in axis.iterfind(f"{CHART}title"):
                text = self._inline.text(title)
                yield f"{'Values' if is_value else 'Labels'}: {text}" if text else ""

    def _slide(self, page: etree._Element) -> None:
        self._page = (self._page or 0) + 1
        style = page.get(f"{DRAW}style-name")
        if self._styles.value("drawing-page", style, f"{PRESENTATION}visibility") == "hidden":
            return
        shapes = [child for child in page if child.get(f"{PRESENTATION}class") not in _PER_SLIDE]
        notes = [child for child in shapes if child.tag == f"{PRESENTATION}notes"]
        titles = [child for child in shapes if child.get(f"{PRESENTATION}class") == "title"]
        rest = [child for child in shapes if child not in notes and child not in titles]
        for shape in (*titles, *_ordered(rest)):
            if shape.tag in _SKIPPED:
                continue
            self._shape(shape)
            self._end_list()
        for annotation in page.iterfind(f"{OFFICE}annotation"):
            self._pending.append(self._inline.read(_wrapped(annotation)))
            self._flush()
        for note in notes:
            if text := self._inline.text(note):
                self._add(BlockKind.PARAGRAPH, f"Note: {text}")
        used = page.get(f"{PRESENTATION}use-footer-name")
        for footer in page.getparent().iterfind(f"{PRESENTATION}footer-decl"):
            if used and footer.get(f"{PRESENTATION}name") == used and (footer.text or "").strip():
                self._footers.append((footer.text or "").strip())

    def _table(self, table: etree._Element) -> None:
        parent = table.getparent()
        if parent is not None and parent.tag == f"{OFFICE}spreadsheet":
            self._sheet(table)
            return
        nested = (inner for inner in table.iter(f"{TABLE}table") if inner is not table)
        if any(len(list(rows(inner))) > LARGEST_NESTED for inner in nested):
            # The table only places what is in its cells.
            for row, _ in rows(table):
                for cell in row:
                    self.read(cell)
                    self._end_list()
            return
        found = read_table(table, self._styles, self._inline, self._cell_text)
        self._builder.add_grid(found.grid, self._page, found.header_rows)

    def _sheet(self, table: etree._Element) -> None:
        self._page = (self._page or 0) + 1
        style = table.get(f"{TABLE}style-name")
        if self._styles.value("table", style, f"{TABLE}display") == "false":
            return
        found = read_table(table, self._styles, self._inline, self._cell_text)
        self._unknown += found.unknown
        shapes = table.find(f"{TABLE}shapes")
        if found.grid or found.comments or shapes is not None or self._pending:
            self._add(BlockKind.HEADING, str(table.get(f"{TABLE}name") or ""), 2)
        for island in islands(found.grid, found.facts):
            self._builder.add_grid(island, self._page)
            for place in sorted(found.comments.keys() & island.keys()):
                self._add(BlockKind.PARAGRAPH, found.comments.pop(place))
        for place in sorted(found.comments):
            self._add(BlockKind.PARAGRAPH, found.comments[place])
        for shape in shapes if shapes is not None else ():
            self._shape(shape)

    def _cell_text(self, cell: etree._Element) -> str:
        """Return a cell's text on one line; tables in it are written out row by row."""
        texts: list[str] = []
        for child in cell:
            if child.tag in (f"{TEXT}p", f"{TEXT}h"):
                inline = self._inline.read(child, on_page=False)
                texts.append(inline.text)
                self._pending.append(inline)
            elif child.tag == f"{TABLE}table":
                inner = read_table(child, self._styles, self._inline, self._cell_text).grid
                texts.append(nested_text(_lines(inner)))
            elif str(child.tag).startswith(DRAW):
                self._pending.append(Inline(shapes=[child]))
            elif child.tag not in _SKIPPED:
                texts.append(self._cell_text(child))
        return " ".join(" ".join(texts).split())

    def _top_list(self, element: etree._Element) -> None:
        style = str(element.get(f"{TEXT}style-name") or "")
        # Programs for slides may write each item as a list, and number adjacent ones.
        is_on_slide = next(element.iterancestors(f"{DRAW}page"), None) is not None
        goes_on = is_on_slide and bool(style) and self._last_list == style
        self._list(element, 0, style, self._lists.begin(element, style, goes_on=goes_on))
        self._last_list = style

    def _list(self, element: etree._Element, depth: int, style: str, counts: Counts) -> None:
        style = str(element.get(f"{TEXT}style-name") or style)
        for item in element:
            if item.tag not in (f"{TEXT}list-item", f"{TEXT}list-header"):
                continue
            marker: str | None = None
            has_text = False
            for child in item:
                if child.tag == f"{TEXT}list":
                    if child.get(f"{TEXT}continue-numbering") != "true":
                        end_inner(counts, depth)
                    self._list(child, depth + 1, style, counts)
                elif child.tag in (f"{TEXT}p", f"{TEXT}h"):
                    text = self._read(child)
                    if item.tag == f"{TEXT}list-header":
                        self._builder.add_item(text, "", page=self._page)
                    elif not has_text:
                        if marker is None:
                            marker = self._lists.marker(item, counts, depth, style)
                        has_text = bool(text.strip())
                        self._builder.add_item(text, marker, depth=depth, page=self._page)
                    else:
                        self._builder.add_item_line(text, depth=depth, page=self._page)


def _has_ground(root: etree._Element, part: str) -> bool:
    """Return True if pages, or their headers and footers, have a colour."""
    layouts = root.iter(f"{STYLE}{part}-properties")
    grounds = (str(layout.get(f"{FO}background-color") or "") for layout in layouts)
    return any(ground.lower() not in ("", "transparent", "#ffffff") for ground in grounds)


def _lines(grid: dict[tuple[int, int], str]) -> list[list[str]]:
    width = max((x for _, x in grid), default=-1) + 1
    return [
        [grid.get((y, x), "") for x in range(width)]
        for y in range(max((y for y, _ in grid), default=-1) + 1)
    ]


def _ordered(shapes: list[etree._Element]) -> list[etree._Element]:
    """Return shapes in their reading order."""
    return reading_order([Box(*_bounds(shape), shape) for shape in shapes])


def _bounds(shape: etree._Element) -> tuple[float, float, float, float]:
    """Return left, top, width and height in centimetres; a group has those of its parts."""
    if shape.tag == f"{DRAW}g" and len(shape):
        parts = [_bounds(inner) for inner in shape]
        left, top = min(part[0] for part in parts), min(part[1] for part in parts)
        right = max(part[0] + part[2] for part in parts)
        bottom = max(part[1] + part[3] for part in parts)
        return left, top, right - left, bottom - top
    x, y, width, height = (length(shape, f"{SVG}{name}") for name in ("x", "y", "width", "height"))
    return x, y, width, height


def _wrapped(annotation: etree._Element) -> etree._Element:
    """Return a paragraph that holds an annotation, which slides keep outside of paragraphs."""
    paragraph = etree.Element(f"{TEXT}p")
    paragraph.append(annotation)
    return paragraph


def _set_properties(builder: DocumentBuilder, root: etree._Element) -> None:
    def text(name: str) -> str:
        return (root.findtext(f".//{name}") or "").strip()

    words = (each.text or "" for each in root.iter(f"{META}keyword"))
    builder.title = text(f"{DC}title") or builder.title
    builder.set_metadata(
        author=text(f"{DC}creator") or text(f"{META}initial-creator"),
        lang=text(f"{DC}language"),
        subject=text(f"{DC}subject"),
        keywords=tuple(" ".join(word.split()) for word in words),
        description=text(f"{DC}description"),
        created=date_text(text(f"{META}creation-date")),
        modified=date_text(text(f"{DC}date")),
    )
    for own in root.iter(f"{META}user-defined"):
        key = re.sub(r"\W+", "_", str(own.get(f"{META}name") or "")).strip("_").lower()
        if key and own.text:
            builder.set_metadata(**{key: _typed(own, own.text.strip())})


def _typed(own: etree._Element, text: str) -> MetadataValue:
    kind = own.get(f"{META}value-type")
    if kind == "boolean":
        return text == "true"
    if kind == "float" and re.fullmatch(r"[+-]?\d+(?:\.\d+)?", text):
        return float(text)
    return date_text(text) if kind == "date" else text
