"""Word documents: python-docx opens the package, this module walks the body's XML.

python-docx gives paragraphs and tables only; text boxes, equations, footnotes, fields and
list labels are read from the XML.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from typing import Any

import docx
from docx.opc.constants import RELATIONSHIP_TYPE
from docx.opc.exceptions import PackageNotFoundError
from lxml import etree

from kvasir.components.extractors.archive import damaged, open_archive, parse_xml
from kvasir.components.extractors.document_builder import DocumentBuilder
from kvasir.components.extractors.docx_numbering import Numbering, value
from kvasir.components.extractors.markdown_table import markdown_table
from kvasir.components.extractors.omml import latex
from kvasir.core.types import BlockKind, Document, Source

_W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_M = "{http://schemas.openxmlformats.org/officeDocument/2006/math}"
_FALLBACK = "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback"
_SKIPPED = frozenset({f"{_W}del", f"{_W}moveFrom", f"{_W}instrText", f"{_W}pPr", _FALLBACK})
_HEADING = re.compile(r"heading (\d)", re.IGNORECASE)
_CODE_STYLES = frozenset({"html preformatted", "code", "source code", "plain text"})


class DocxExtractor:
    """Reads DOCX and DOCM."""

    def extract(self, source: Source, data: bytes) -> Document:
        """Extract headings, paragraphs, lists, tables and equations; see ``Extractor``."""
        open_archive(data).close()
        try:
            word = docx.Document(io.BytesIO(data))
        except (PackageNotFoundError, KeyError, ValueError) as error:
            raise damaged(str(error)) from error
        builder = DocumentBuilder(source)
        reader = _Reader(word, builder)
        reader.read(word.element.body)
        builder.end_block()
        reader.read_notes()
        properties = word.core_properties
        builder.title = properties.title or reader.title or builder.title
        builder.set_metadata(
            {
                "author": properties.author or "",
                "subject": properties.subject or "",
                "keywords": properties.keywords or "",
            }
        )
        return builder.build()


class _Reader:
    """Walks the body; consecutive list items, and code lines, become one block."""

    def __init__(self, word: Any, builder: DocumentBuilder) -> None:
        self._word = word
        self._builder = builder
        self._numbering = Numbering(_related(word, RELATIONSHIP_TYPE.NUMBERING))
        self._styles = {
            str(style.get(f"{_W}styleId")): style
            for style in word.styles.element.iterfind(f"{_W}style")
        }
        self._list = ""
        self.title = ""

    def read(self, parent: etree._Element) -> None:
        """Append all blocks inside an element."""
        for child in parent:
            if child.tag == f"{_W}p":
                self._paragraph(child)
            elif child.tag == f"{_W}tbl":
                self._table(child)
            elif child.tag in (f"{_W}sdt", f"{_W}sdtContent", f"{_W}customXml", f"{_W}ins"):
                self.read(child)

    def read_notes(self) -> None:
        """Append footnotes and endnotes."""
        for kind in (RELATIONSHIP_TYPE.FOOTNOTES, RELATIONSHIP_TYPE.ENDNOTES):
            part = _related(self._word, kind)
            for note in part if part is not None else ():
                if note.get(f"{_W}type") in (None, "normal"):
                    texts = (_text(paragraph) for paragraph in note.iterfind(f"{_W}p"))
                    self._builder.add(BlockKind.PARAGRAPH, " ".join(texts))

    def _paragraph(self, paragraph: etree._Element) -> None:
        text = _text(paragraph).strip()
        name, level = self._style(paragraph)
        number_id, depth = self._list_level(paragraph)
        if text and name in _CODE_STYLES:
            self._builder.add_line(BlockKind.CODE, _text(paragraph).rstrip())
        elif text and level is not None:
            label = self._numbering.label(number_id, depth) if number_id else "-"
            heading = text if label == "-" else f"{label} {text}"
            self._builder.add(BlockKind.HEADING, heading, level=level)
        elif text and number_id:
            if self._list != number_id and depth == 0:
                self._builder.end_block()
            self._list = number_id
            self._builder.add_item(text, self._numbering.label(number_id, depth), depth=depth)
        elif text:
            kind = BlockKind.CAPTION if name == "caption" else BlockKind.PARAGRAPH
            self._builder.add(kind, text)
            if name == "title" and not self.title:
                self.title = text
        for box in paragraph.iter(f"{_W}txbxContent"):
            if not any(True for _ in box.iterancestors(_FALLBACK)):
                self._builder.end_block()
                self.read(box)

    def _style_chain(self, paragraph: etree._Element) -> Iterator[etree._Element]:
        style_id = value(paragraph, "pPr/pStyle")
        seen: set[str] = set()
        while style_id in self._styles and style_id not in seen:
            seen.add(style_id)
            yield self._styles[style_id]
            style_id = value(self._styles[style_id], "basedOn")

    def _style(self, paragraph: etree._Element) -> tuple[str, int | None]:
        """Return the style's name in lower case and the heading's level, if it is one."""
        first, level = "", None
        outlines = [value(paragraph, "pPr/outlineLvl")]
        for style in self._style_chain(paragraph):
            name = value(style, "name").lower()
            first = first or name
            match = _HEADING.fullmatch(name)
            if match and level is None:
                level = int(match[1])
            outlines.append(value(style, "pPr/outlineLvl"))
        if first == "title":
            return first, 1
        for outline in outlines:
            if level is None and outline.isdigit() and int(outline) < 9:
                level = int(outline) + 1
        return first, level

    def _list_level(self, paragraph: etree._Element) -> tuple[str, int]:
        """Return the list's id, empty outside lists, and the depth of the item."""
        number_id = depth = ""
        for element in (paragraph, *self._style_chain(paragraph)):
            number_id = number_id or value(element, "pPr/numPr/numId")
            depth = depth or value(element, "pPr/numPr/ilvl")
        return "" if number_id == "0" else number_id, int(depth) if depth.isdigit() else 0

    def _table(self, table: etree._Element) -> None:
        self._builder.end_block()
        rows = _rows(table)
        if len(rows) == 1 and len(rows[0]) == 1:
            # A single cell is a frame around text.
            for cell in table.iter(f"{_W}tc"):
                self.read(cell)
                self._builder.end_block()
            return
        self._builder.add(BlockKind.TABLE, markdown_table(rows))


def _related(word: Any, kind: str) -> etree._Element | None:
    for relation in word.part.rels.values():
        if relation.reltype == kind and not relation.is_external:
            return parse_xml(relation.target_part.blob)
    return None


def _text(element: etree._Element) -> str:
    return "".join(_pieces(element))


def _pieces(element: etree._Element) -> Iterator[str]:
    for child in element:
        tag = child.tag
        if tag in _SKIPPED or tag == f"{_W}txbxContent":
            continue
        if tag == f"{_W}t":
            yield child.text or ""
        elif tag in (f"{_W}tab", f"{_W}ptab"):
            yield "\t"
        elif tag in (f"{_W}br", f"{_W}cr"):
            yield "\n"
        elif tag == f"{_W}noBreakHyphen":
            yield "-"
        elif tag == f"{_M}oMathPara":
            yield f"$${latex(child).strip()}$$"
        elif tag == f"{_M}oMath":
            yield f"${latex(child).strip()}$"
        else:
            yield from _pieces(child)


def _rows(table: etree._Element) -> list[list[str]]:
    """Return the cells; a merged cell is repeated in each cell that it covers."""
    rows: list[list[str]] = []
    for row in table.iter(f"{_W}tr"):
        if next(row.iterancestors(f"{_W}tbl")) is not table:
            continue
        cells = [""] * _number(value(row, "trPr/gridBefore"), 0)
        for cell in row.iter(f"{_W}tc"):
            if next(cell.iterancestors(f"{_W}tr")) is not row:
                continue
            width = _number(value(cell, "tcPr/gridSpan"), 1)
            merge = cell.find(f"{_W}tcPr/{_W}vMerge")
            column = len(cells)
            if merge is not None and merge.get(f"{_W}val") != "restart" and rows:
                text = rows[-1][column] if column < len(rows[-1]) else ""
            else:
                text = " ".join(_text(paragraph) for paragraph in cell.iter(f"{_W}p"))
            cells += [text] * width
        rows.append(cells)
    return rows


def _number(text: str, default: int) -> int:
    return min(int(text), 100) if text.isdigit() else default
