"""Word documents: python-docx opens the package, this module walks the body's XML.

python-docx gives paragraphs and tables only; text boxes, equations, footnotes, fields and
list labels (``1.``, ``b)``, ``2.1.``) are read from the XML. Source: ECMA-376, chapter 17.
"""

from __future__ import annotations

import io
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

import docx
from docx.opc.constants import RELATIONSHIP_TYPE
from docx.opc.exceptions import PackageNotFoundError
from lxml import etree

from kvasir.components.extractors.archive import damaged, open_archive, parse_xml
from kvasir.components.extractors.document_builder import DocumentBuilder
from kvasir.components.extractors.omml import latex
from kvasir.core.types import BlockKind, Document, Source

_W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_M = "{http://schemas.openxmlformats.org/officeDocument/2006/math}"
_FALLBACK = "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback"
_TEXT_BOX = f"{_W}txbxContent"
_CONTAINERS = frozenset(f"{_W}{name}" for name in ("sdt", "sdtContent", "customXml", "ins"))
_SKIPPED = frozenset(f"{_W}{name}" for name in ("del", "moveFrom", "instrText", "pPr"))
_SKIPPED |= {_FALLBACK, _TEXT_BOX}
_SIGNS = {"tab": "\t", "ptab": "\t", "br": "\n", "cr": "\n", "noBreakHyphen": "-"}
_CHARACTERS = {f"{_W}{name}": sign for name, sign in _SIGNS.items()}
_MATH = {f"{_M}oMathPara": "$$", f"{_M}oMath": "$"}
_HEADING = re.compile(r"heading (\d)", re.IGNORECASE)
_CODE_STYLES = frozenset({"html preformatted", "code", "source code", "plain text"})
_LEVEL = re.compile(r"%(\d)")
_ROMAN = ((10, "x"), (9, "ix"), (5, "v"), (4, "iv"), (1, "i"))


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
        for kind in (RELATIONSHIP_TYPE.FOOTNOTES, RELATIONSHIP_TYPE.ENDNOTES):
            for note in _related(word, kind):
                if note.get(f"{_W}type") in (None, "normal"):
                    texts = (_text(paragraph) for paragraph in note.iterfind(f"{_W}p"))
                    builder.add(BlockKind.PARAGRAPH, " ".join(texts))
        about = word.core_properties
        builder.title = about.title or reader.title or builder.title
        builder.set_metadata(author=about.author, subject=about.subject, keywords=about.keywords)
        return builder.build()


class _Reader:
    """Walks the body; consecutive list items, and code lines, become one block."""

    def __init__(self, word: Any, builder: DocumentBuilder) -> None:
        self._builder = builder
        self._numbering = _Numbering(_related(word, RELATIONSHIP_TYPE.NUMBERING))
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
            elif child.tag in _CONTAINERS:
                self.read(child)

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
        for box in paragraph.iter(_TEXT_BOX):
            if next(box.iterancestors(_FALLBACK), None) is None:
                self._builder.end_block()
                self.read(box)

    def _style_chain(self, paragraph: etree._Element) -> Iterator[etree._Element]:
        style_id = _value(paragraph, "pPr/pStyle")
        seen: set[str] = set()
        while style_id in self._styles and style_id not in seen:
            seen.add(style_id)
            yield self._styles[style_id]
            style_id = _value(self._styles[style_id], "basedOn")

    def _style(self, paragraph: etree._Element) -> tuple[str, int | None]:
        """Return the style's name in lower case and the heading's level, if it is one."""
        styles = list(self._style_chain(paragraph))
        names = [_value(style, "name").lower() for style in styles]
        name = next(filter(None, names), "")
        if name == "title":
            return name, 1
        headings = filter(None, map(_HEADING.fullmatch, names))
        level = next((int(match[1]) for match in headings), None)
        for element in (paragraph, *styles):
            outline = _value(element, "pPr/outlineLvl")
            if level is None and outline.isdigit() and int(outline) < 9:
                level = int(outline) + 1
        return name, level

    def _list_level(self, paragraph: etree._Element) -> tuple[str, int]:
        """Return the list's id, empty outside lists, and the depth of the item."""
        number_id = depth = ""
        for element in (paragraph, *self._style_chain(paragraph)):
            number_id = number_id or _value(element, "pPr/numPr/numId")
            depth = depth or _value(element, "pPr/numPr/ilvl")
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
        self._builder.add_table(rows)


class _Numbering:
    """Counts list items as Word does."""

    def __init__(self, definitions: Iterable[etree._Element]) -> None:
        """Args: the elements of ``numbering.xml``."""
        self._levels: dict[str, dict[int, tuple[str, str, int]]] = {}
        self._counts: dict[str, list[int | None]] = defaultdict(lambda: [None] * 9)
        self._abstract: dict[str, str] = {}
        for child in definitions:
            if child.tag == f"{_W}abstractNum":
                self._levels[str(child.get(f"{_W}abstractNumId"))] = {
                    int(level.get(f"{_W}ilvl") or 0): _level(level)
                    for level in child.iterfind(f"{_W}lvl")
                }
            elif child.tag == f"{_W}num":
                self._abstract[str(child.get(f"{_W}numId"))] = _value(child, "abstractNumId")

    def label(self, number_id: str, depth: int) -> str:
        """Count one item and return its label, ``-`` for bullets."""
        levels = self._levels.get(self._abstract.get(number_id, ""), {})
        counts = self._counts[number_id]
        depth = min(depth, 8)
        before = counts[depth]
        style, pattern, start = levels.get(depth, ("bullet", "", 1))
        counts[depth] = start if before is None else before + 1
        counts[depth + 1 :] = [None] * (8 - depth)
        if style in ("bullet", "none") or not pattern:
            return "-"

        def number(match: re.Match[str]) -> str:
            level = int(match[1]) - 1
            kind, _, first = levels.get(level, ("decimal", "", 1))
            if counts[level] is None:
                counts[level] = first
            return _shown_number(counts[level] or 0, kind)

        return _LEVEL.sub(number, pattern) or "-"


def _level(level: etree._Element) -> tuple[str, str, int]:
    """Return number format, text pattern and first number of a level."""
    style = _value(level, "numFmt") or "decimal"
    start = _value(level, "start")
    return style, _value(level, "lvlText"), int(start) if start.isdigit() else 1


def _shown_number(count: int, style: str) -> str:
    text = str(count)
    if style in ("lowerLetter", "upperLetter") and count > 0:
        text = chr(ord("a") + (count - 1) % 26) * ((count - 1) // 26 + 1)
    elif style in ("lowerRoman", "upperRoman") and 0 < count < 40:
        text = ""
        for value, sign in _ROMAN:
            text += sign * (count // value)
            count %= value
    return text.upper() if style.startswith("upper") else text


def _value(element: etree._Element, path: str) -> str:
    """Return the ``w:val`` at a path of names below an element, empty if there is none."""
    found = element.find("/".join(f"{_W}{name}" for name in path.split("/")))
    return str(found.get(f"{_W}val") or "") if found is not None else ""


def _related(word: Any, kind: str) -> Iterator[etree._Element]:
    """Yield the elements of the document's first part of a kind, such as its footnotes."""
    for relation in word.part.rels.values():
        if relation.reltype == kind and not relation.is_external:
            yield from parse_xml(relation.target_part.blob)
            return


def _text(element: etree._Element) -> str:
    return "".join(_pieces(element))


def _pieces(element: etree._Element) -> Iterator[str]:
    for child in element:
        tag = child.tag
        if tag == f"{_W}t":
            yield child.text or ""
        elif tag in _CHARACTERS:
            yield _CHARACTERS[tag]
        elif tag in _MATH:
            yield f"{_MATH[tag]}{latex(child).strip()}{_MATH[tag]}"
        elif tag not in _SKIPPED:
            yield from _pieces(child)


def _rows(table: etree._Element) -> list[list[str]]:
    """Return the cells; a merged cell is repeated in each cell that it covers."""
    rows: list[list[str]] = []
    for row in table.iter(f"{_W}tr"):
        if next(row.iterancestors(f"{_W}tbl")) is not table:
            continue
        cells = [""] * _number(row, "trPr/gridBefore", 0)
        for cell in row.iter(f"{_W}tc"):
            if next(cell.iterancestors(f"{_W}tr")) is not row:
                continue
            merge = cell.find(f"{_W}tcPr/{_W}vMerge")
            column = len(cells)
            if merge is not None and merge.get(f"{_W}val") != "restart" and rows:
                text = rows[-1][column] if column < len(rows[-1]) else ""
            else:
                text = " ".join(_text(paragraph) for paragraph in cell.iter(f"{_W}p"))
            cells += [text] * _number(cell, "tcPr/gridSpan", 1)
        rows.append(cells)
    return rows


def _number(element: etree._Element, path: str, default: int) -> int:
    text = _value(element, path)
    return min(int(text), 100) if text.isdigit() else default
