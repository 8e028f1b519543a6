"""Labels of list items (``1.``, ``b)``, ``2.1.``), which Word does not store but counts.

Source: ECMA-376 part 1, 17.9.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from lxml import etree

from kvasir.components.extractors.docx_xml import W, is_on, value_at
from kvasir.components.extractors.list_numbers import number_text, whole_number

_LEVEL_NUMBER = re.compile(r"%(\d)")
_DEEPEST = 8


@dataclass(frozen=True, slots=True)
class _Level:
    """A level of a list.

    Attributes:
        style: The number format.
        pattern: The label, with ``%1`` for the number of the first level.
        start: The first number.
        restart: The number of levels whose items make this one begin again.
        is_legal: True if the label has decimal numbers only.
    """

    style: str = "decimal"
    pattern: str = ""
    start: int = 1
    restart: int = _DEEPEST
    is_legal: bool = False


_BULLET = _Level("bullet")
Levels = dict[int, _Level]


class Numbering:
    """Counts list items as Word does: lists of one definition count on, unless one restarts."""

    def __init__(self, definitions: Iterable[etree._Element]) -> None:
        """Args: the elements of ``numbering.xml``."""
        self._levels: dict[str, Levels] = {}
        self._own_levels: dict[str, Levels] = {}
        self._own_starts: dict[str, dict[int, int]] = {}
        self._counts: dict[str, list[int | None]] = defaultdict(lambda: [None] * (_DEEPEST + 1))
        self._abstract: dict[str, str] = {}
        self._begun: set[tuple[str, int]] = set()
        for child in definitions:
            if child.tag == f"{W}abstractNum":
                self._levels[str(child.get(f"{W}abstractNumId"))] = _levels(child)
            elif child.tag == f"{W}num":
                self._add_list(child)

    def _add_list(self, element: etree._Element) -> None:
        number_id = str(element.get(f"{W}numId"))
        self._abstract[number_id] = value_at(element, "abstractNumId")
        levels, starts = Levels(), dict[int, int]()
        for override in element.iterfind(f"{W}lvlOverride"):
            levels |= _levels(override)
            start = value_at(override, "startOverride")
            if start:
                starts[_depth(override)] = whole_number(start, 1)
        self._own_levels[number_id], self._own_starts[number_id] = levels, starts

    def label(self, number_id: str, depth: int) -> str:
        """Count one item and return its label, ``-`` for bullets."""
        abstract = self._abstract.get(number_id, "")
        levels = self._levels.get(abstract, {}) | self._own_levels.get(number_id, {})
        depth = min(depth, _DEEPEST)
        counts = self._count(number_id, abstract, levels, depth)
        level = levels.get(depth, _BULLET)
        if level.style in ("bullet", "none") or not level.pattern:
            return "-"

        def number(match: re.Match[str]) -> str:
            at = int(match[1]) - 1
            shown = levels.get(at, _Level())
            if counts[at] is None:
                counts[at] = self._start(number_id, at, shown)
            return number_text(counts[at] or 0, "decimal" if level.is_legal else shown.style)

        return _LEVEL_NUMBER.sub(number, level.pattern) or "-"

    def _count(self, number_id: str, abstract: str, levels: Levels, depth: int) -> list[int | None]:
        counts = self._counts[abstract]
        before = counts[depth]
        begins = depth in self._own_starts.get(number_id, {}) and (
            (number_id, depth) not in self._begun
        )
        self._begun.add((number_id, depth))
        if before is None or begins:
            counts[depth] = self._start(number_id, depth, levels.get(depth, _BULLET))
        else:
            counts[depth] = before + 1
        for deeper in range(depth + 1, _DEEPEST + 1):
            if depth < levels.get(deeper, _BULLET).restart:
                counts[deeper] = None
        return counts

    def _start(self, number_id: str, depth: int, level: _Level) -> int:
        return self._own_starts.get(number_id, {}).get(depth, level.start)


def _levels(element: etree._Element) -> Levels:
    return {_depth(level): _level(level) for level in element.iterfind(f"{W}lvl")}


def _depth(element: etree._Element) -> int:
    return whole_number(str(element.get(f"{W}ilvl") or ""), 0)


def _level(level: etree._Element) -> _Level:
    start, restart = value_at(level, "start"), value_at(level, "lvlRestart")
    return _Level(
        style=value_at(level, "numFmt") or "decimal",
        pattern=value_at(level, "lvlText"),
        start=whole_number(start, 1),
        restart=whole_number(restart, _DEEPEST),
        is_legal=is_on(level, "isLgl"),
    )
