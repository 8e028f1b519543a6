"""Which paragraphs of a slide are list items: its own marks, its placeholder's, its master's.

Source: ECMA-376 part 1, 21.1.2.4 and 19.3.1.51.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from lxml import etree

from kvasir.components.extractors.drawing_text import A
from kvasir.components.extractors.list_numbers import number_text, whole_number

_P = "{http://schemas.openxmlformats.org/presentationml/2006/main}"
_MARKS = (f"{A}buNone", f"{A}buChar", f"{A}buAutoNum", f"{A}buBlip")
_FORMATS = {
    "alphaLc": "lowerLetter",
    "alphaUc": "upperLetter",
    "romanLc": "lowerRoman",
    "romanUc": "upperRoman",
}
"""Number formats by the beginning of their types."""
_BODY_TYPES = frozenset({"body", "obj", None})

Numbers = tuple[str, int]
"""Type and first number."""


class Bullets:
    """Gives the markers of the paragraphs of one shape.

    Numbers count on over deeper paragraphs, and begin again after others of their level.
    """

    def __init__(self, shape: Any, slide: Any) -> None:
        self._styles = list(_styles(shape, slide))
        self._counts: dict[int, tuple[Numbers, int]] = {}

    def marker(self, paragraph: etree._Element, level: int) -> str:
        """Return a list item's marker; empty for a paragraph that is none."""
        mark = self._mark(paragraph, level)
        kind = "" if mark is None else str(mark.tag)
        self._counts = {one: count for one, count in self._counts.items() if one <= level}
        if mark is not None and kind == f"{A}buAutoNum":
            return self._number(mark, level)
        self._counts.pop(level, None)
        if kind == f"{A}buNone":
            return ""
        return "-" if kind or level > 0 else ""

    def _number(self, mark: etree._Element, level: int) -> str:
        numbers = str(mark.get("type") or ""), whole_number(str(mark.get("startAt") or ""), 1)
        before, count = self._counts.get(level, (None, 0))
        count = count + 1 if before == numbers else numbers[1]
        self._counts[level] = numbers, count
        return _label(count, numbers[0])

    def _mark(self, paragraph: etree._Element, level: int) -> etree._Element | None:
        own = paragraph.find(f"{A}pPr")
        named = (style.find(f"{A}lvl{level + 1}pPr") for style in self._styles)
        for properties in (own, *named):
            if properties is not None:
                for child in properties:
                    if child.tag in _MARKS:
                        return child
        return None


def _label(count: int, kind: str) -> str:
    """Return a number as a type such as ``alphaLcParenR`` shows it."""
    style = next((style for name, style in _FORMATS.items() if kind.startswith(name)), "decimal")
    text = number_text(count, style)
    if kind.endswith("ParenBoth"):
        return f"({text})"
    return f"{text})" if kind.endswith("ParenR") else f"{text}."


def _styles(shape: Any, slide: Any) -> Iterator[etree._Element]:
    """Yield the list styles that act on a shape, the most special first."""
    yield from shape.element.iter(f"{A}lstStyle")
    place = shape.element.find(f"*/*/{_P}ph")
    if place is None:
        return
    key, kind = place.get("idx"), place.get("type")
    layout = slide.slide_layout
    for other in layout.element.iter(f"{_P}sp"):
        holder = other.find(f"*/*/{_P}ph")
        if holder is not None and holder.get("idx") == key and (key or holder.get("type") == kind):
            yield from other.iter(f"{A}lstStyle")
            kind = holder.get("type") or kind
    if kind in _BODY_TYPES:
        yield from layout.slide_master.element.iter(f"{_P}bodyStyle")
