"""PowerPoint by python-pptx: each slide is a page with its title, shapes and notes."""

from __future__ import annotations

import io
from typing import Any
from zipfile import BadZipFile

import pptx
from pptx.exc import PackageNotFoundError

from kvasir.components.extractors.archive import damaged, open_archive, parse_xml
from kvasir.components.extractors.document_builder import DocumentBuilder
from kvasir.components.extractors.drawing_chart import add_chart
from kvasir.components.extractors.markdown_table import markdown_table
from kvasir.core.types import BlockKind, Document, Source

_A = "{http://schemas.openxmlformats.org/drawingml/2006/main}"
_RELATIONSHIP = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}"
_DIAGRAM = "http://schemas.openxmlformats.org/drawingml/2006/diagram"


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
        properties = deck.core_properties
        title = properties.title or ""
        # "PowerPoint Presentation" is the program's default title.
        builder.title = builder.title if title.startswith("PowerPoint") else title or builder.title
        builder.set_metadata({"author": properties.author or ""})
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
        for shape in sorted(slide.shapes, key=_position):
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
            self._add(BlockKind.TABLE, markdown_table(_rows(shape.table)))
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
        for link in shape.element.iter(f"{{{_DIAGRAM}}}relIds"):
            key = link.get(f"{_RELATIONSHIP}dm")
            part = shape.part.rels[key].target_part if key in shape.part.rels else None
            if part is not None:
                for paragraph in parse_xml(part.blob).iter(f"{_A}p"):
                    text = "".join(run.text or "" for run in paragraph.iter(f"{_A}t"))
                    self._builder.add_item(text, page=self._page)
                self._builder.end_block()


def _position(shape: Any) -> tuple[int, int]:
    """Return top and left, in EMU: slides are read from the top, not in drawing order."""
    return shape.top or 0, shape.left or 0


def _line(text: str) -> str:
    return " ".join(text.split())


def _marker(paragraph: Any, counts: dict[int, int]) -> str:
    """Return the item's marker; empty for a paragraph that is no list item."""
    level = paragraph.level
    properties = paragraph._p.find(f"{_A}pPr")
    if properties is not None and properties.find(f"{_A}buAutoNum") is not None:
        counts[level] = counts.get(level, 0) + 1
        return f"{counts[level]}."
    if properties is not None and properties.find(f"{_A}buNone") is not None:
        return ""
    has_bullet = properties is not None and properties.find(f"{_A}buChar") is not None
    return "-" if has_bullet or level > 0 else ""


def _rows(table: Any) -> list[list[str]]:
    """Return the cells; a merged cell is repeated in each cell that it covers."""
    grid = [[_line(cell.text) for cell in row.cells] for row in table.rows]
    for y, row in enumerate(table.rows):
        for x, cell in enumerate(row.cells):
            if cell.is_merge_origin:
                for dy in range(cell.span_height):
                    for dx in range(cell.span_width):
                        if y + dy < len(grid) and x + dx < len(grid[y + dy]):
                            grid[y + dy][x + dx] = grid[y][x]
    return grid
