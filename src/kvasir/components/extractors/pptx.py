"""PowerPoint by python-pptx: each slide is a page with its title, shapes and notes."""

from __future__ import annotations

import io
from itertools import product
from typing import Any
from zipfile import BadZipFile

import pptx
from pptx.exc import PackageNotFoundError

from kvasir.components.extractors.archive import damaged, open_archive, parse_xml
from kvasir.components.extractors.document_builder import DocumentBuilder, Grid
from kvasir.components.extractors.drawing_chart import add_chart
from kvasir.core.types import BlockKind, Document, Source

_A = "{http://schemas.openxmlformats.org/drawingml/2006/main}"
_DIAGRAM_PARTS = "{http://schemas.openxmlformats.org/drawingml/2006/diagram}relIds"
_DIAGRAM_DATA = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}dm"


class PptxExtractor:
    """Reads PPTX and PPTM."""

    def extract(self, source: Source, data: bytes) -> Document:
        """Extract slides with tables, charts and notes; see ``Extractor``."""
        open_archive(data).close()
        try:
            deck = pptx.Presentation(io.BytesIO(data))
        except (PackageNotFoundError, BadZipFile, KeyError, ValueError) as error:
            raise damaged(str(error)) from error
        builder = DocumentBuilder(source)
        for number, slide in enumerate(deck.slides, 1):
            _SlideReader(builder, number).read(slide)
        title = deck.core_properties.title or ""
        # "PowerPoint Presentation" is the program's default title.
        builder.title = builder.title if title.startswith("PowerPoint") else title or builder.title
        builder.set_metadata(author=deck.core_properties.author)
        return builder.build()


class _SlideReader:
    """Appends one slide's blocks."""

    def __init__(self, builder: DocumentBuilder, number: int) -> None:
        self._builder = builder
        self._page = number

    def read(self, slide: Any) -> None:
        """Append title, shapes in their order, and notes."""
        title = slide.shapes.title
        if title is not None and title.has_text_frame:
            self._add(BlockKind.HEADING, _line(title.text_frame.text), level=1)
        # From the top, in EMU, not in drawing order.
        for shape in sorted(slide.shapes, key=lambda each: (each.top or 0, each.left or 0)):
            if title is None or shape.shape_id != title.shape_id:
                self._shape(shape)
        if slide.has_notes_slide and slide.notes_slide.notes_text_frame is not None:
            self._add(BlockKind.PARAGRAPH, slide.notes_slide.notes_text_frame.text)

    def _add(self, kind: BlockKind, text: str, level: int | None = None) -> None:
        self._builder.add(kind, text.replace("\x0b", "\n"), page=self._page, level=level)

    def _shape(self, shape: Any) -> None:
        if hasattr(shape, "shapes"):
            for inner in shape.shapes:
                self._shape(inner)
        elif getattr(shape, "has_table", False):
            self._builder.add_grid(_grid(shape.table), self._page)
        elif getattr(shape, "has_chart", False):
            add_chart(parse_xml(shape.chart_part.blob), self._builder, self._page)
        elif getattr(shape, "has_text_frame", False):
            self._text(shape.text_frame)
        else:
            self._diagram(shape)

    def _text(self, frame: Any) -> None:
        counts: dict[int, int] = {}
        for paragraph in frame.paragraphs:
            text, marker = _line(paragraph.text), _marker(paragraph, counts)
            if marker:
                self._builder.add_item(text, marker, depth=paragraph.level, page=self._page)
            elif text:
                self._add(BlockKind.PARAGRAPH, text)
        self._builder.end_block()

    def _diagram(self, shape: Any) -> None:
        """Append the texts of a SmartArt diagram, which are in a separate part."""
        for link in shape.element.iter(_DIAGRAM_PARTS):
            key = link.get(_DIAGRAM_DATA)
            if key in shape.part.rels:
                for paragraph in parse_xml(shape.part.rels[key].target_part.blob).iter(f"{_A}p"):
                    text = "".join(run.text or "" for run in paragraph.iter(f"{_A}t"))
                    self._builder.add_item(text, page=self._page)
                self._builder.end_block()


def _line(text: str) -> str:
    return " ".join(text.split())


def _marker(paragraph: Any, counts: dict[int, int]) -> str:
    """Return the item's marker; empty for a paragraph that is no list item."""
    level = paragraph.level
    properties = paragraph._p.find(f"{_A}pPr")
    bullets = {child.tag for child in properties} if properties is not None else set()
    if f"{_A}buAutoNum" in bullets:
        counts[level] = counts.get(level, 0) + 1
        return f"{counts[level]}."
    is_item = f"{_A}buChar" in bullets or level > 0
    return "-" if is_item and f"{_A}buNone" not in bullets else ""


def _grid(table: Any) -> Grid:
    """Return the cells by row and column; a merged cell is repeated in each that it covers."""
    cells = {(y, x): cell for y, row in enumerate(table.rows) for x, cell in enumerate(row.cells)}
    grid = {place: _line(cell.text) for place, cell in cells.items()}
    for (y, x), cell in cells.items():
        if cell.is_merge_origin:
            area = product(range(y, y + cell.span_height), range(x, x + cell.span_width))
            grid.update((place, grid[y, x]) for place in area if place in cells)
    return grid
