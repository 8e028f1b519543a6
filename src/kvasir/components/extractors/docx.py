"""Word documents: python-docx opens the package, this module walks the body's XML.

python-docx gives paragraphs and tables only; text boxes, equations, notes, comments, fields and
list labels are read from the XML. Source: ECMA-376, chapter 17.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import docx
from docx.opc.constants import RELATIONSHIP_TYPE
from docx.opc.exceptions import PackageNotFoundError
from lxml import etree

from kvasir.components.extractors import ooxml
from kvasir.components.extractors.archive import damaged, parse_xml
from kvasir.components.extractors.document_builder import DocumentBuilder
from kvasir.components.extractors.docx_changes import accept_changes
from kvasir.components.extractors.docx_chunks import ALT_CHUNK, read_chunk
from kvasir.components.extractors.docx_inline import (
    PAGE_NUMBER,
    TEXT_BOX,
    Inline,
    InlineReader,
    NoteLabels,
    Styles,
    is_prompt,
)
from kvasir.components.extractors.docx_numbering import Numbering
from kvasir.components.extractors.docx_tables import (
    is_frame,
    own_cells,
    table_rows,
)
from kvasir.components.extractors.docx_xml import W, find, is_on, value_at
from kvasir.components.extractors.drawing_parts import add_drawing_parts
from kvasir.components.extractors.table_layout import nested_text
from kvasir.core.types import BlockKind, Document, Source

_CONTAINERS = frozenset(
    f"{W}{name}" for name in ("sdt", "sdtContent", "customXml", "ins", "moveTo")
)
_COMMENTS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships/comments"
_HEADING = re.compile(r"heading (\d)", re.IGNORECASE)
_CODE_STYLES = frozenset({"html preformatted", "code", "source code", "plain text"})


class DocxExtractor:
    """Reads DOCX and DOCM; ``depth`` is the number of Word files that import the file."""

    def __init__(self, depth: int = 0) -> None:
        self._depth = depth

    def extract(self, source: Source, data: bytes) -> Document:
        """Extract headings, paragraphs, lists, tables, notes and comments; see ``Extractor``."""
        archive = ooxml.open_package(data)
        try:
            word = docx.Document(io.BytesIO(ooxml.plain_package(data, archive)))
        except (PackageNotFoundError, KeyError, ValueError) as error:
            raise damaged(str(error)) from error
        builder = DocumentBuilder(source)
        reader = _Reader(word, builder, partial(self._read_chunk, word, builder, source))
        _prepare(word.element.body)
        reader.read(word.element.body)
        reader.end()
        title = ooxml.set_properties(builder, archive)
        builder.title = title or reader.title or builder.title
        return builder.build()

    def _read_chunk(
        self, word: Any, builder: DocumentBuilder, source: Source, chunk: etree._Element
    ) -> Document | None:
        read: list[Document | None] = []
        with builder.part("an imported part"):
            read.append(read_chunk(chunk, word.part.rels, source, self._depth))
        return read[0] if read else None


class _Reader:
    """Walks the body; consecutive list items, and code lines, become one block.

    Notes, comments and descriptions of pictures follow the paragraph, list or table that they
    belong to.
    """

    def __init__(
        self,
        word: Any,
        builder: DocumentBuilder,
        read_chunk: Callable[[etree._Element], Document | None],
    ) -> None:
        self._word = word
        self._read_chunk = read_chunk
        self._builder = builder
        self._numbering = Numbering(_related(word, RELATIONSHIP_TYPE.NUMBERING))
        self._styles = Styles(word.styles.element)
        self._labels = NoteLabels(
            _related(word, RELATIONSHIP_TYPE.FOOTNOTES), _related(word, RELATIONSHIP_TYPE.ENDNOTES)
        )
        self._inline = InlineReader(self._styles, word.part.rels, self._labels)
        self._comments = {str(each.get(f"{W}id")): each for each in _related(word, _COMMENTS)}
        self._list = ""
        self._pending: list[Inline] = []
        # White text can be read on a coloured page, and perhaps in boxes and tables.
        self._has_ground = word.element.find(f"{W}background") is not None
        self._depth = int(self._has_ground)
        self.title = ""

    def read(self, parent: etree._Element) -> None:
        """Append all blocks inside an element."""
        for child in parent:
            if child.tag == f"{W}p":
                self._paragraph(child)
            elif child.tag == f"{W}tbl":
                self._table(child)
            elif child.tag == ALT_CHUNK:
                self._flush()
                if (document := self._read_chunk(child)) is not None:
                    self._builder.absorb(document, document.source_uri.rpartition("#")[2])
            elif child.tag in _CONTAINERS and not is_prompt(child):
                self.read(child)

    def end(self) -> None:
        """Append what waits, then headers and footers, each text once."""
        self._flush()
        seen: set[str] = set()
        for kind in ("header", "footer"):
            for reference in self._word.element.body.iter(f"{W}{kind}Reference"):
                relation = self._word.part.rels.get(str(reference.get(f"{ooxml.R}id")))
                if relation is not None and not relation.is_external:
                    text = self._margin_text(relation.target_part)
                    if text and text not in seen:
                        seen.add(text)
                        self._builder.add(BlockKind.PARAGRAPH, f"{kind.capitalize()}: {text}")

    def _margin_text(self, part: Any) -> str:
        """Return the text of a header or footer, without page numbers."""
        root = parse_xml(part.blob)
        _prepare(root)
        inline = InlineReader(self._styles, part.rels, self._labels)
        lines: list[str] = []
        for paragraph in root.iter(f"{W}p"):
            read = inline.read(paragraph, on_page=self._is_on_page(paragraph))
            cells = (" ".join(cell.split()) for cell in read.text.split("\t"))
            lines += [cell for cell in cells if cell and PAGE_NUMBER not in cell]
            lines += filter(None, read.pictures)
        return " | ".join(dict.fromkeys(lines))

    def _paragraph(self, paragraph: etree._Element) -> None:
        inline = self._inline.read(paragraph, on_page=not self._depth)
        text = inline.text.replace(PAGE_NUMBER, "").strip()
        name, level = self._style(paragraph)
        number_id, depth = self._list_level(paragraph)
        is_item = bool(text and number_id and level is None and name not in _CODE_STYLES)
        if not is_item and text:
            self._flush()
        if text and name in _CODE_STYLES:
            self._builder.add_line(BlockKind.CODE, inline.text.rstrip())
        elif text and level is not None:
            label = self._numbering.label(number_id, depth) if number_id else "-"
            heading = text if label == "-" else f"{label} {text}"
            self._builder.add(BlockKind.HEADING, heading, level=level)
        elif is_item:
            if self._list != number_id and depth == 0:
                self._flush()
                self._builder.end_block()
            self._list = number_id
            self._builder.add_item(text, self._numbering.label(number_id, depth), depth=depth)
        elif text:
            kind = BlockKind.CAPTION if name == "caption" else BlockKind.PARAGRAPH
            self._builder.add(kind, text)
            if name == "title" and not self.title:
                self.title = text
        elif number_id and not self._is_gone(paragraph):
            # It shows a number, perhaps beside a picture.
            self._numbering.label(number_id, depth)
        self._pending.append(inline)
        if not is_item and not (text and name in _CODE_STYLES):
            self._flush()

    def _flush(self) -> None:
        """Append what belongs to the paragraphs before, but stands apart from their text."""
        pending, self._pending = self._pending, []
        for inline in pending:
            for box in inline.boxes:
                self._builder.end_block()
                self._depth += 1
                self.read(box)
                self._depth -= 1
            for drawing in inline.drawings:
                add_drawing_parts(drawing, self._word.part.rels, self._builder)
            for description in filter(None, map(str.strip, inline.pictures)):
                self._builder.add(BlockKind.PARAGRAPH, f"Picture: {description}")
            for label, note in inline.notes:
                self._builder.add(BlockKind.PARAGRAPH, f"Note {label}: {self._note_text(note)}")
            for key in inline.comments:
                self._comment(self._comments.get(key))

    def _note_text(self, note: etree._Element) -> str:
        is_endnote = note.tag == f"{W}endnote"
        kind = RELATIONSHIP_TYPE.ENDNOTES if is_endnote else RELATIONSHIP_TYPE.FOOTNOTES
        return self._text_in_part(note, kind)

    def _text_in_part(self, element: etree._Element, kind: str) -> str:
        """Return the text of an element of another part, whose links have their own targets."""
        part = _part(self._word, kind)
        inline = InlineReader(self._styles, part.rels if part is not None else {}, self._labels)
        texts = (
            inline.read(paragraph, on_page=self._is_on_page(paragraph)).text
            for paragraph in element.iter(f"{W}p")
        )
        return " ".join(" ".join(texts).split())

    def _is_on_page(self, paragraph: etree._Element) -> bool:
        """Return True if a paragraph of a margin or note stands on a page that is white."""
        outside = paragraph.iterancestors(f"{W}tc", TEXT_BOX)
        return not self._has_ground and next(outside, None) is None

    def _comment(self, comment: etree._Element | None) -> None:
        if comment is None:
            return
        author = comment.get(f"{W}author")
        label = f"Comment ({author})" if author else "Comment"
        if text := self._text_in_part(comment, _COMMENTS):
            self._builder.add(BlockKind.PARAGRAPH, f"{label}: {text}")

    def _style(self, paragraph: etree._Element) -> tuple[str, int | None]:
        """Return the style's name in lower case and the heading's level, if it is one."""
        styles = self._styles.chain(value_at(paragraph, "pPr/pStyle"))
        names = [value_at(style, "name").lower() for style in styles]
        name = next(filter(None, names), "")
        if name == "title":
            return name, 1
        headings = filter(None, map(_HEADING.fullmatch, names))
        level = next((int(match[1]) for match in headings), None)
        for element in (paragraph, *styles):
            outline = value_at(element, "pPr/outlineLvl")
            if level is None and outline.isdigit() and int(outline) < 9:
                level = int(outline) + 1
        return name, level

    @staticmethod
    def _is_gone(paragraph: etree._Element) -> bool:
        """Return True if the mark of a paragraph is hidden or deleted, and so its number."""
        mark = find(paragraph, "pPr/rPr")
        return mark is not None and (is_on(mark, "vanish") or find(mark, "del") is not None)

    def _list_level(self, paragraph: etree._Element) -> tuple[str, int]:
        """Return the list's id, empty outside lists, and the depth of the item."""
        number_id = depth = ""
        for element in (paragraph, *self._styles.chain(value_at(paragraph, "pPr/pStyle"))):
            number_id = number_id or value_at(element, "pPr/numPr/numId")
            depth = depth or value_at(element, "pPr/numPr/ilvl")
        return "" if number_id == "0" else number_id, int(depth) if depth.isdigit() else 0

    def _table(self, table: etree._Element) -> None:
        self._flush()
        self._builder.end_block()
        if is_frame(table):
            self._depth += 1
            for cell in own_cells(table):
                self.read(cell)
                self._flush()
                self._builder.end_block()
            self._depth -= 1
            return
        rows, header_rows = table_rows(table, self._cell_text)
        grid = {(y, x): cell for y, row in enumerate(rows) for x, cell in enumerate(row)}
        self._builder.add_grid(grid, header_rows=header_rows)
        self._flush()

    def _cell_text(self, cell: etree._Element) -> str:
        """Return a cell's text on one line; tables in it are written out row by row."""
        texts: list[str] = []
        for child in cell:
            if child.tag == f"{W}p":
                inline = self._inline.read(child, on_page=False)
                texts.append(inline.text)
                texts += [self._cell_text(box) for box in inline.boxes]
                inline.boxes = []
                self._pending.append(inline)
            elif child.tag == f"{W}tbl":
                texts.append(nested_text(table_rows(child, self._cell_text)[0]))
            elif child.tag == ALT_CHUNK:
                document = self._read_chunk(child)
                texts.append(document.text if document is not None else "")
            elif child.tag in _CONTAINERS and not is_prompt(child):
                texts.append(self._cell_text(child))
        return " ".join(" ".join(texts).split())


def _prepare(root: etree._Element) -> None:
    """Choose among alternatives and accept tracked changes."""
    ooxml.resolve_alternatives(root)
    accept_changes(root)


def _part(word: Any, kind: str) -> Any:
    """Return the document's first part of a kind, such as its footnotes; None if it has none."""
    for relation in word.part.rels.values():
        if relation.reltype == kind and not relation.is_external:
            return relation.target_part
    return None


def _related(word: Any, kind: str) -> Iterator[etree._Element]:
    """Yield the elements of the document's first part of a kind."""
    part = _part(word, kind)
    if part is not None:
        root = parse_xml(part.blob)
        _prepare(root)
        yield from root
