"""PowerPoint by python-pptx: each slide is a page with its title, shapes, comments and notes.

Hidden slides and shapes, and shapes outside the slide, are left out.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from itertools import product
from typing import Any
from zipfile import BadZipFile

import pptx
from lxml import etree
from pptx.enum.shapes import PP_PLACEHOLDER
from pptx.exc import PackageNotFoundError

from kvasir.components.extractors import ooxml
from kvasir.components.extractors.archive import damaged, parse_xml
from kvasir.components.extractors.box_order import Box, reading_order
from kvasir.components.extractors.document_builder import DocumentBuilder, Grid
from kvasir.components.extractors.drawing_parts import add_drawing_parts
from kvasir.components.extractors.drawing_text import (
    A,
    description,
    link_target,
    paragraph_text,
)
from kvasir.components.extractors.inline_marks import link_suffix
from kvasir.components.extractors.pptx_bullets import Bullets
from kvasir.core.types import BlockKind, Document, Source

_ABOUT = "{*}cNvPr"
_ON_EVERY_SLIDE = (
    PP_PLACEHOLDER.FOOTER,
    PP_PLACEHOLDER.HEADER,
    PP_PLACEHOLDER.DATE,
    PP_PLACEHOLDER.SLIDE_NUMBER,
)


class PptxExtractor:
    """Reads PPTX and PPTM."""

    def extract(self, source: Source, data: bytes) -> Document:
        """Extract slides with tables, charts, comments and notes; see ``Extractor``."""
        archive = ooxml.open_package(data)
        try:
            deck = pptx.Presentation(io.BytesIO(ooxml.plain_package(data, archive)))
        except (PackageNotFoundError, BadZipFile, KeyError, ValueError) as error:
            raise damaged(str(error)) from error
        builder = DocumentBuilder(source)
        authors = _authors(deck.part)
        size = deck.slide_width or 0, deck.slide_height or 0
        repeated: list[str] = []
        for number in range(1, len(deck.slides) + 1):
            with builder.part(f"slide {number}"):
                slide = deck.slides[number - 1]
                if slide.element.get("show") in ("0", "false"):
                    continue
                reader = _SlideReader(builder, number, slide, size)
                reader.read()
                repeated += reader.repeated
                reader.add_comments(authors)
                reader.add_notes()
        for text in dict.fromkeys(repeated):
            builder.add(BlockKind.PARAGRAPH, f"Footer: {text}")
        title = ooxml.set_properties(builder, archive)
        # "PowerPoint Presentation" is the program's default title.
        builder.title = builder.title if title.startswith("PowerPoint") else title or builder.title
        return builder.build()


class _SlideReader:
    """Appends one slide's blocks."""

    def __init__(
        self, builder: DocumentBuilder, number: int, slide: Any, size: tuple[int, int]
    ) -> None:
        self._builder = builder
        self._page = number
        self._slide = slide
        self._size = size
        self._relations = slide.part.rels
        self.repeated: list[str] = []
        """Footers, and the texts of the layout, which other slides repeat."""

    def read(self) -> None:
        """Append title and shapes in their reading order."""
        ooxml.resolve_alternatives(self._slide.element)
        title = self._slide.shapes.title
        if title is not None and title.has_text_frame and not _is_hidden(title):
            texts = (self._text_of(each) for each in title.element.iter(f"{A}p"))
            self._add(BlockKind.HEADING, " ".join(filter(None, texts)), level=1)
        shapes = [
            shape
            for shape in self._slide.shapes
            if title is None or shape.element is not title.element
        ]
        for shape in self._ordered(shapes):
            self._shape(shape)
        for sheet in (self._slide.slide_layout, self._slide.slide_layout.slide_master):
            for shape in sheet.shapes:
                if not shape.is_placeholder and getattr(shape, "has_text_frame", False):
                    self._repeat(shape)

    def add_comments(self, authors: dict[str, str]) -> None:
        """Append the slide's comments, of old and new kind, each with its author."""
        for relation in self._relations.values():
            if relation.is_external or not relation.reltype.endswith("/comments"):
                continue
            for comment in parse_xml(relation.target_part.blob).iter("{*}cm", "{*}reply"):
                own = comment.find("{*}txBody")
                paragraphs = own.iter(f"{A}p") if own is not None else comment.iterfind("{*}text")
                text = " ".join("".join(paragraph.itertext()) for paragraph in paragraphs)
                author = authors.get(str(comment.get("authorId")))
                label = f"Comment ({author})" if author else "Comment"
                if text.strip():
                    self._add(BlockKind.PARAGRAPH, f"{label}: {' '.join(text.split())}")

    def add_notes(self) -> None:
        """Append the speaker's notes."""
        if not self._slide.has_notes_slide:
            return
        frame = self._slide.notes_slide.notes_text_frame
        if frame is None:
            return
        relations = self._slide.notes_slide.part.rels
        lines = (paragraph_text(each._p, relations) for each in frame.paragraphs)
        if text := "\n".join(filter(None, lines)):
            self._add(BlockKind.PARAGRAPH, f"Note: {text}")

    def _ordered(self, shapes: list[Any]) -> list[Any]:
        boxes = [
            Box(shape.left or 0, shape.top or 0, shape.width or 0, shape.height or 0, shape)
            for shape in shapes
            if not _is_hidden(shape)
        ]
        aligned = [each.get("rtl") for each in self._slide.element.iter(f"{A}pPr")]
        from_right = aligned.count("1") > len(aligned) / 2
        return reading_order(boxes, from_right=from_right, higher_first=True)

    def _is_outside(self, shape: Any) -> bool:
        width, height = self._size
        left, top = shape.left or 0, shape.top or 0
        right, bottom = left + (shape.width or 0), top + (shape.height or 0)
        return bool(left >= width or top >= height or right < 0 or bottom < 0)

    def _add(self, kind: BlockKind, text: str, level: int | None = None) -> None:
        self._builder.add(kind, text, page=self._page, level=level)

    def _text_of(self, paragraph: etree._Element) -> str:
        return paragraph_text(paragraph, self._relations)

    def _shape(self, shape: Any, *, in_group: bool = False) -> None:
        if shape.is_placeholder and shape.placeholder_format.type in _ON_EVERY_SLIDE:
            self._repeat(shape)
            return
        if not in_group and self._is_outside(shape):
            return
        about = shape.element.find(f"*/{_ABOUT}")
        described = description(about)
        target = link_target(about, self._relations) if about is not None else ""
        if hasattr(shape, "shapes"):
            for inner in self._ordered(list(shape.shapes)):
                self._shape(inner, in_group=True)
        elif getattr(shape, "has_table", False):
            self._builder.add_grid(self._grid(shape.table), self._page)
        elif getattr(shape, "has_text_frame", False):
            self._text(shape, target)
        add_drawing_parts(_own_frame(shape.element), self._relations, self._builder, self._page)
        if described:
            text = f"Picture: {described}{link_suffix(described, target)}"
            self._add(BlockKind.PARAGRAPH, text)

    def _repeat(self, shape: Any) -> None:
        """Keep a text that other slides show, too, without numbers and dates."""
        for paragraph in shape.element.iter(f"{A}p"):
            text = paragraph_text(paragraph, self._relations, with_fields=False)
            if any(letter.isalpha() for letter in text):
                self.repeated.append(text)

    def _text(self, shape: Any, target: str) -> None:
        bullets = Bullets(shape, self._slide)
        paragraphs = [(each, self._text_of(each._p)) for each in shape.text_frame.paragraphs]
        paragraphs = [(paragraph, text) for paragraph, text in paragraphs if text]
        for number, (paragraph, text) in enumerate(paragraphs, 1):
            marker = bullets.marker(paragraph._p, paragraph.level)
            if number == len(paragraphs):
                text += link_suffix(text, target)
            if marker and (len(paragraphs) > 1 or paragraph.level or marker != "-"):
                self._builder.add_item(text, marker, depth=paragraph.level, page=self._page)
            else:
                self._add(BlockKind.PARAGRAPH, text)
        self._builder.end_block()

    def _grid(self, table: Any) -> Grid:
        """Return the cells by row and column; a merged cell is repeated in each that it covers."""
        cells = {
            (y, x): cell for y, row in enumerate(table.rows) for x, cell in enumerate(row.cells)
        }
        grid = {place: self._cell_text(cell) for place, cell in cells.items()}
        for (y, x), cell in cells.items():
            if cell.is_merge_origin:
                area = product(range(y, y + cell.span_height), range(x, x + cell.span_width))
                grid.update((place, grid[y, x]) for place in area if place in cells)
        return grid

    def _cell_text(self, cell: Any) -> str:
        return " ".join(filter(None, map(self._text_of, cell._tc.iter(f"{A}p"))))


def _own_frame(element: etree._Element) -> etree._Element:
    """Return a shape's element if it is a frame for a chart or a diagram, else an empty one."""
    is_frame = str(element.tag).endswith("}graphicFrame")
    return element if is_frame else etree.Element("none")


def _is_hidden(shape: Any) -> bool:
    about = shape.element.find(f"*/{_ABOUT}")
    return about is not None and about.get("hidden") in ("1", "true")


def _authors(part: Any) -> dict[str, str]:
    """Return the names of those who commented, by id."""
    return {
        str(author.get("id")): str(author.get("name") or "")
        for relation in _author_lists(part)
        for author in parse_xml(relation.target_part.blob)
    }


def _author_lists(part: Any) -> Iterator[Any]:
    for relation in part.rels.values():
        name = relation.reltype.rpartition("/")[2].lower()
        if not relation.is_external and name in ("commentauthors", "authors"):
            yield relation
