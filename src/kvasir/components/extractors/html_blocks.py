"""Writes the elements of a page as blocks, in document order."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

from lxml import etree

from kvasir.components.extractors.document_builder import DocumentBuilder
from kvasir.components.extractors.html_furniture import Furniture
from kvasir.components.extractors.html_inline import (
    INLINE,
    InlineText,
    flat,
    is_picture,
    is_whole,
)
from kvasir.components.extractors.html_tables import (
    add_table,
    framed,
    is_data_table,
    outermost,
)
from kvasir.components.extractors.list_numbers import number_text
from kvasir.core.types import BlockKind

_HEADINGS = {f"h{level}": level for level in range(1, 7)}
_LISTS = frozenset({"ul", "ol", "menu", "dir"})
_DEFINITIONS = frozenset({"dt", "dd"})
_GROUPED = _LISTS | _DEFINITIONS | {"dl"}
_CAPTIONS = frozenset({"figcaption", "caption", "legend"})
_CODE = frozenset({"pre", "listing", "xmp"})
_ENDS = (":", "?", "!", "：", "？", "！")
"""Ends of a term that needs no colon before its description."""
_MAX_DEPTH = 250
_MAX_DIGITS = 9
_STYLES = {"a": "lowerAlpha", "A": "upperAlpha", "i": "lowerRoman", "I": "upperRoman"}
_EMPTY_LINE = re.compile(r"\n\s*\n")
_LINE_NUMBERS = re.compile(r"(?:\s*\d+\s*\n)+\s*\d+\s*")


@dataclass(slots=True)
class _Item:
    """A list item that is being written."""

    depth: int
    """The number of lists around its list."""
    marker: str
    """The sign or number before its first line; "" after that."""


class BlockWriter:
    """Walks a tree in document order and makes paragraphs of runs of inline content."""

    def __init__(self, builder: DocumentBuilder, inline: InlineText, furniture: Furniture) -> None:
        self._builder = builder
        self._inline = inline
        self._furniture = furniture
        self._run: list[str] = []
        self._lists = 0
        """The number of lists, of definitions too, around the current element."""
        self._item: _Item | None = None
        self._in_description = False
        """True inside a description, but not inside the lists in it."""

    def write(self, element: etree._Element, depth: int = 0) -> None:
        """Append everything inside an element."""
        self._run.append(flat(element.text))
        for child in element.iterchildren(etree.Element):
            if child in self._furniture.titles:
                self._title(child)
            elif child in self._furniture.elements:
                self._flush()
                with self._builder.furniture():
                    self._child(child, depth)
                    self._flush()
            else:
                self._child(child, depth)
            self._run.append(flat(child.tail))
        if element.tag not in INLINE:
            self._flush()

    def _title(self, element: etree._Element) -> None:
        self._flush()
        with self._builder.furniture(False):
            level = _HEADINGS.get(element.tag, 1)
            self._builder.add(BlockKind.HEADING, self._inline.line(element), level=level)

    def _child(self, child: etree._Element, depth: int) -> None:
        tag = child.tag
        if depth > _MAX_DEPTH:
            self._run += self._inline.texts(child)
        elif tag not in INLINE:
            self._flush()
            self._block(child, tag, depth)
        elif is_whole(child) or all(item.tag in INLINE for item in child.iterdescendants("*")):
            self._inline.append(child, self._run)
        else:
            self.write(child, depth + 1)
            if tag == "a":
                self._run.append(self._inline.suffix(child, []))

    def _block(self, child: etree._Element, tag: str, depth: int) -> None:
        builder = self._builder
        if tag in _HEADINGS:
            builder.add(BlockKind.HEADING, self._inline.line(child), level=_HEADINGS[tag])
        elif tag in _CODE:
            self._code(child)
        elif tag in _LISTS:
            self._list(child, depth)
        elif tag == "dl":
            self._definitions(child, depth)
        elif tag in _DEFINITIONS and self._in_description:
            return  # Unclosed elements are in each other; each is written on its own.
        elif tag == "table" and (cells := framed(child)):
            for cell in cells:
                self.write(cell, depth + 1)
        elif tag == "table" and is_data_table(child):
            add_table(builder, child, self._inline)
        elif tag in _CAPTIONS:
            builder.add(BlockKind.CAPTION, self._inline.line(child))
        else:
            self.write(child, depth + 1)

    def _code(self, element: etree._Element) -> None:
        for line_break in element.iter("br"):
            line_break.tail = f"\n{line_break.tail or ''}"
        text = "".join(element.itertext())
        in_cell = any(above.tag == "td" for above in element.iterancestors())
        is_numbers = in_cell and _LINE_NUMBERS.fullmatch(text) is not None
        with self._builder.furniture() if is_numbers else nullcontext():
            self._builder.add(BlockKind.CODE, text)

    def _flush(self) -> None:
        run, self._run = self._run, []
        text = "".join(run)
        if not text.strip():
            return
        is_alone = is_picture(run)
        if is_alone:
            text = f"Picture: {' '.join(run)}"
        if self._item:
            self._item_line(self._item, text)
            return
        for paragraph in _EMPTY_LINE.split(text):
            lines = (" ".join(line.split()) for line in paragraph.split("\n"))
            joined = "\n".join(filter(None, lines))
            if self._in_description:
                self._builder.add_description(joined)
            else:
                kind = BlockKind.CAPTION if is_alone else BlockKind.PARAGRAPH
                self._builder.add(kind, joined)

    def _item_line(self, item: _Item, text: str) -> None:
        """Append a line of a list item; a later paragraph of it is indented."""
        if item.marker:
            self._builder.add_item(text, item.marker, depth=item.depth)
            item.marker = ""
        else:
            self._builder.add_item_line(text, depth=item.depth)

    @contextmanager
    def _inside_list(self, item: _Item | None, in_description: bool = False) -> Iterator[None]:
        outside = self._item, self._in_description
        self._item, self._in_description = item, in_description
        self._lists += 1
        try:
            yield
        finally:
            self._flush()
            self._lists -= 1
            self._item, self._in_description = outside

    def _list(self, element: etree._Element, depth: int) -> None:
        number, step = _numbering(element)
        style = _STYLES.get((element.get("type") or "").strip(), "decimal")
        self._run.append(flat(element.text))
        self._flush()
        for child in element.iterchildren(etree.Element):
            if child.tag == "li":
                number = _whole_number(child.get("value"), number)
            marker = f"{number_text(number, style)}." if element.tag == "ol" else "-"
            is_furniture = child in self._furniture.elements
            with (
                self._builder.furniture() if is_furniture else nullcontext(),
                self._inside_list(_Item(self._lists, marker)),
            ):
                if child.tag in _GROUPED:
                    self._block(child, child.tag, depth + 2)
                else:
                    self.write(child, depth + 2)
                    number += step
            if (text := flat(child.tail)).strip():
                with self._inside_list(_Item(self._lists, "")):
                    self._run.append(text)
        if not self._lists:
            self._builder.end_block()

    def _definitions(self, element: etree._Element, depth: int) -> None:
        """Append the terms, each with its descriptions: "- Fender, Bumper: A cushion ..."."""
        terms: list[str] = []
        described, is_first = True, True
        for item in _definition_items(element):
            if item.tag == "dt":
                terms = [] if described else terms
                described = False
                terms.append(self._inline.line(item, _GROUPED))
                continue
            if item.tag == "dd" and any(terms):
                self._builder.add_term(_introduction(terms), self._lists, is_first=is_first)
                described = True
                with self._builder.description(), self._inside_list(None, in_description=True):
                    self.write(item, depth + 2)
            else:
                with self._inside_list(_Item(self._lists, "-")):
                    self._block(item, item.tag, depth + 2)
            is_first = False
        if not described and any(terms):
            text = ", ".join(filter(None, terms))
            self._builder.add_term(f"- {text}", self._lists, is_first=is_first)


def _numbering(element: etree._Element) -> tuple[int, int]:
    """Return the number of the first item of a list, and the step to the next."""
    is_reversed = element.get("reversed") is not None
    first = sum(1 for _ in element.iterchildren("li")) if is_reversed else 1
    return _whole_number(element.get("start"), first), -1 if is_reversed else 1


def _whole_number(text: str | None, default: int) -> int:
    """Return the number of an attribute; the default if it holds none."""
    text = (text or "").strip()
    is_number = text.removeprefix("-").isdecimal() and len(text) < _MAX_DIGITS
    return int(text) if is_number else default


def _definition_items(element: etree._Element) -> Iterator[etree._Element]:
    """Yield terms and descriptions in order, also those in groups or in unclosed elements.

    Text outside of them describes the term before it.
    """
    is_list_itself = element.tag not in _DEFINITIONS
    if is_list_itself:
        yield from _bare_description(element.text)
    for item in element.iterchildren(etree.Element):
        inside = outermost(item, _GROUPED)
        is_list = item.tag in _LISTS or item.tag == "dl"
        holds_more = not is_list and any(child.tag in _DEFINITIONS for child in inside)
        if item.tag in _DEFINITIONS or not (holds_more or element.tag in _DEFINITIONS):
            yield item
        if holds_more:
            yield from _definition_items(item)
        if is_list_itself:
            yield from _bare_description(item.tail)


def _bare_description(text: str | None) -> Iterator[etree._Element]:
    if any(map(str.isalnum, text or "")):
        description = etree.Element("dd")
        description.text = text
        yield description


def _introduction(terms: Sequence[str]) -> str:
    text = ", ".join(filter(None, terms))
    return f"- {text}" if text.endswith(_ENDS) else f"- {text}:"
