"""Word documents: python-docx opens the package, the body's XML is walked here.

python-docx shows paragraphs and tables only; text boxes, equations, footnotes, fields and
list labels are in the XML beside them.
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
from kvasir.components.extractors.docx_numbering import Numbering
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
        reader.flush()
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
    """Walks the body; consecutive list items become one block."""

    def __init__(self, word: Any, builder: DocumentBuilder) -> None:
        self._word = word
        self._builder = builder
        self._numbering = Numbering(_related(word, RELATIONSHIP_TYPE.NUMBERING))
        self._styles = {
            str(style.get(f"{_W}styleId")): style
            for style in word.styles.element.iterfind(f"{_W}style")
        }
        self._items: list[str] = []
        self._list: str | None = None
        self._code: list[str] = []
        self.title = ""

    def read(self, parent: etree._Element) -> None:
        """Append all blocks inside an element."""
        for child in parent:
            if child.tag == f"{_W}p":
                self._paragraph(child)
            elif child.tag == f"{_W}tbl":
                self.flush()
                self._table(child)
            elif child.tag in (f"{_W}sdt", f"{_W}sdtContent", f"{_W}customXml", f"{_W}ins"):
                self.read(child)

    def flush(self) -> None:
        """End a run of list items or of code lines."""
        self._builder.add(BlockKind.LIST, "\n".join(self._items))
        self._builder.add(BlockKind.CODE, "\n".join(self._code))
        self._items, self._code, self._list = [], [], None

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
        number_id, depth = self._list_place(paragraph)
        if text and name in _CODE_STYLES:
            self._code.append(_text(paragraph).rstrip())
        elif text and level is not None:
            self.flush()
            label = self._numbering.label(number_id, depth) if number_id else "-"
            heading = text if label == "-" else f"{label} {text}"
            self._builder.add(BlockKind.HEADING, heading, level=level)
        elif text and number_id:
            if self._list not in (None, number_id) and depth == 0:
                self.flush()
            self._list = number_id
            label = self._numbering.label(number_id, depth)
            self._items.append(f"{'    ' * depth}{label} {' '.join(text.split())}")
        elif text:
            self.flush()
            kind = BlockKind.CAPTION if name == "caption" else BlockKind.PARAGRAPH
            self._builder.add(kind, text)
            if name == "title" and not self.title:
                self.title = text
        for box in paragraph.iter(f"{_W}txbxContent"):
            if not any(True for _ in box.iterancestors(_FALLBACK)):
                self.flush()
                self.read(box)

    def _style_chain(self, paragraph: etree._Element) -> Iterator[etree._Element]:
        reference = paragraph.find(f"{_W}pPr/{_W}pStyle")
        seen: set[str] = set()
        while reference is not None:
            style_id = str(reference.get(f"{_W}val"))
            style = self._styles.get(style_id)
            if style is None or style_id in seen:
                return
            seen.add(style_id)
            yield style
            reference = style.find(f"{_W}basedOn")

    def _style(self, paragraph: etree._Element) -> tuple[str, int | None]:
        """Return the style's name in lower case and the heading's level, if it is one."""
        first, level = "", None
        outlines = [paragraph.find(f"{_W}pPr/{_W}outlineLvl")]
        for style in self._style_chain(paragraph):
            named = style.find(f"{_W}name")
            name = str(named.get(f"{_W}val") or "").lower() if named is not None else ""
            first = first or name
            match = _HEADING.fullmatch(name)
            if match and level is None:
                level = int(match[1])
            outlines.append(style.find(f"{_W}pPr/{_W}outlineLvl"))
        if first == "title":
            return first, 1
        for outline in outlines:
            value = str(outline.get(f"{_W}val")) if outline is not None else ""
            if level is None and value.isdigit() and int(value) < 9:
                level = int(value) + 1
        return first, level

    def _list_place(self, paragraph: etree._Element) -> tuple[str, int]:
        """Return the list's id, or nothing, and the depth of the item."""
        number_id, depth = "", ""
        places = [paragraph.find(f"{_W}pPr/{_W}numPr")]
        places += [style.find(f"{_W}pPr/{_W}numPr") for style in self._style_chain(paragraph)]
        for place in places:
            if place is None:
                continue
            found, level = place.find(f"{_W}numId"), place.find(f"{_W}ilvl")
            number_id = number_id or (str(found.get(f"{_W}val")) if found is not None else "")
            depth = depth or (str(level.get(f"{_W}val")) if level is not None else "")
        return "" if number_id == "0" else number_id, int(depth) if depth.isdigit() else 0

    def _table(self, table: etree._Element) -> None:
        rows = _rows(table)
        if len(rows) == 1 and len(rows[0]) == 1:
            # A single cell is a frame around text.
            for cell in table.iter(f"{_W}tc"):
                self.read(cell)
                self.flush()
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
    """Return the cells; a merged cell stands in each place that it covers."""
    rows: list[list[str]] = []
    for row in table.iter(f"{_W}tr"):
        if next(row.iterancestors(f"{_W}tbl")) is not table:
            continue
        cells = [""] * _number(row.find(f"{_W}trPr/{_W}gridBefore"), 0)
        for cell in row.iter(f"{_W}tc"):
            if next(cell.iterancestors(f"{_W}tr")) is not row:
                continue
            width = _number(cell.find(f"{_W}tcPr/{_W}gridSpan"), 1)
            merge = cell.find(f"{_W}tcPr/{_W}vMerge")
            place = len(cells)
            if merge is not None and merge.get(f"{_W}val") != "restart" and rows:
                text = rows[-1][place] if place < len(rows[-1]) else ""
            else:
                text = " ".join(_text(paragraph) for paragraph in cell.iter(f"{_W}p"))
            cells += [text] * width
        rows.append(cells)
    return rows


def _number(element: etree._Element | None, default: int) -> int:
    value = str(element.get(f"{_W}val")) if element is not None else ""
    return min(int(value), 100) if value.isdigit() else default
