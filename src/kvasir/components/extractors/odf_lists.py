"""Numbers of list items in OpenDocument. Source: OpenDocument 1.3, part 3, 5.3 and 16.30."""

from __future__ import annotations

from dataclasses import dataclass

from lxml import etree

from kvasir.components.extractors.list_numbers import number_text, whole_number
from kvasir.components.extractors.odf_xml import STYLE, TEXT

_FORMATS = {"a": "lowerAlpha", "A": "upperAlpha", "i": "lowerRoman", "I": "upperRoman"}
_REPEATED = {"lowerAlpha": "lowerLetter", "upperAlpha": "upperLetter"}
_XML_ID = "{http://www.w3.org/XML/1998/namespace}id"

Counts = dict[int, int]
"""The number of the last item of each level, from 0."""


@dataclass(frozen=True, slots=True)
class _Level:
    """The numbers of a level: their format, what is around them, the first, and levels shown."""

    style: str
    prefix: str
    suffix: str
    start: int
    shown: int


class Lists:
    """Counts the items of all lists of a file."""

    def __init__(self, *roots: etree._Element) -> None:
        self._levels: dict[tuple[str, int], _Level] = {}
        for root in roots:
            for style in root.iter(f"{TEXT}list-style"):
                name = str(style.get(f"{STYLE}name"))
                for level in style.iterfind(f"{TEXT}list-level-style-number"):
                    if level.get(f"{STYLE}num-format") != "":
                        self._levels[name, _number(level, "level", 1) - 1] = _level(level)
        self._by_id: dict[str, Counts] = {}
        self._last: dict[str, Counts] = {}

    def begin(self, element: etree._Element, style: str, *, goes_on: bool) -> Counts:
        """Return the counts of a list that is in no other one.

        Args:
            element: The list.
            style: The name of its style.
            goes_on: True to count on after the last list of the style.
        """
        goes_on = goes_on or element.get(f"{TEXT}continue-numbering") == "true"
        continued = self._by_id.get(str(element.get(f"{TEXT}continue-list") or ""))
        last = self._last.get(style) if goes_on else None
        counts: Counts = next((each for each in (continued, last) if each is not None), {})
        self._last[style] = counts
        if key := element.get(_XML_ID):
            self._by_id[str(key)] = counts
        return counts

    def marker(self, item: etree._Element, counts: Counts, depth: int, style: str) -> str:
        """Count an item and return its number, ``-`` for bullets."""
        level = self._levels.get((style, depth))
        first = level.start if level else 1
        counts[depth] = _number(item, "start-value", counts.get(depth, first - 1) + 1)
        end_inner(counts, depth)
        if level is None:
            return "-"
        levels = range(max(0, depth - level.shown + 1), depth + 1)
        numbers = [self._text(style, each, counts) for each in levels]
        return level.prefix + ".".join(filter(None, numbers)) + level.suffix

    def _text(self, style: str, depth: int, counts: Counts) -> str:
        level = self._levels.get((style, depth))
        return number_text(counts.get(depth, level.start), level.style) if level else ""


def end_inner(counts: Counts, depth: int) -> None:
    """Forget the numbers of the levels below one."""
    for deeper in [each for each in counts if each > depth]:
        del counts[deeper]


def _level(element: etree._Element) -> _Level:
    prefix = str(element.get(f"{STYLE}num-prefix") or "").strip()
    suffix = str(element.get(f"{STYLE}num-suffix") or "").strip()
    form = _FORMATS.get(str(element.get(f"{STYLE}num-format") or "1"), "decimal")
    repeats = element.get(f"{STYLE}num-letter-sync") == "true"
    return _Level(
        style=_REPEATED.get(form, form) if repeats else form,
        prefix=prefix,
        suffix=suffix or ("" if prefix else "."),
        start=_number(element, "start-value", 1),
        shown=_number(element, "display-levels", 1),
    )


def _number(element: etree._Element, name: str, default: int) -> int:
    return whole_number(str(element.get(f"{TEXT}{name}") or ""), default)
