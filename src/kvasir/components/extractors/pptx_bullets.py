"""Which paragraphs of a slide are list items: its own marks, its placeholder's, its master's.

Source: ECMA-376 part 1, 21.1.2.4 and 19.3.1.51.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from lxml import etree

from kvasir.components.extractors.drawing_text import A

_P = "{http://schemas.openxmlformats.org/presentationml/2006/main}"
_MARKS = (f"{A}buNone", f"{A}buChar", f"{A}buAutoNum", f"{A}buBlip")
_BODY_TYPES = frozenset({"body", "obj", None})


class Bullets:
    """Gives the markers of the paragraphs of one shape; numbers count from 1."""

    def __init__(self, shape: Any, slide: Any) -> None:
        self._styles = list(_styles(shape, slide))
        self._counts: dict[int, int] = {}

    def marker(self, paragraph: etree._Element, level: int) -> str:
        """Return a list item's marker; empty for a paragraph that is none."""
        mark = self._mark(paragraph, level)
        if mark == f"{A}buAutoNum":
            self._counts = {one: count for one, count in self._counts.items() if one <= level}
            self._counts[level] = self._counts.get(level, 0) + 1
            return f"{self._counts[level]}."
        if mark == f"{A}buNone":
            return ""
        return "-" if mark or level > 0 else ""

    def _mark(self, paragraph: etree._Element, level: int) -> str:
        own = paragraph.find(f"{A}pPr")
        named = (style.find(f"{A}lvl{level + 1}pPr") for style in self._styles)
        for properties in (own, *named):
            if properties is not None:
                for child in properties:
                    if child.tag in _MARKS:
                        return str(child.tag)
        return ""


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
