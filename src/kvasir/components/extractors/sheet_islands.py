"""Finds the tables of a sheet: islands of cells that touch, joined over blank rows."""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from kvasir.components.extractors.document_builder import Grid

_BLANK_ROWS = 1
Place = tuple[int, int]
"""Row and column."""


@dataclass(frozen=True, slots=True)
class SheetFacts:
    """What tells a header from data: which cells hold numbers, and which are set in bold."""

    numbers: frozenset[Place] = frozenset()
    bold: frozenset[Place] = frozenset()


def islands(cells: Grid, facts: SheetFacts) -> list[Grid]:
    """Return the groups of cells that belong together, from the top left.

    An island goes on below a blank row if the rows there have no header of their own.
    """
    found: list[_Island] = []
    ending: dict[int, list[_Island]] = defaultdict(list)
    for cells_ in _touching(cells):
        island = _Island(cells_, facts)
        candidates = ending[island.top - 1 - _BLANK_ROWS]
        above = next((one for one in candidates if one.goes_on_with(island)), None)
        if above is None:
            found.append(island)
        else:
            candidates.remove(above)
            above.add(island)
        ending[island.bottom].append(above or island)
    return [island.cells for island in found]


def _touching(cells: Grid) -> Iterator[Grid]:
    rest = dict(cells)
    for start in sorted(cells):
        if start not in rest:
            continue
        island, queue = {start: rest.pop(start)}, [start]
        while queue:
            row, column = queue.pop()
            for near in itertools.product(range(row - 1, row + 2), range(column - 1, column + 2)):
                if near in rest:
                    island[near] = rest.pop(near)
                    queue.append(near)
        yield island


class _Island:
    """Cells that touch each other, and what is known of their columns."""

    def __init__(self, cells: Grid, facts: SheetFacts) -> None:
        self.cells = cells
        self._facts = facts
        self.top = min(row for row, _ in cells)
        self.bottom = max(row for row, _ in cells)
        self.left = min(column for _, column in cells)
        self.right = max(column for _, column in cells)
        self.first = {column: text for (row, column), text in cells.items() if row == self.top}
        self._held: Counter[int] = Counter()
        self._numbers: Counter[int] = Counter()
        self._count(cells, self.top)

    def _count(self, cells: Grid, header: int) -> None:
        """Count the filled cells and the numbers of each column below the header."""
        for row, column in cells:
            if row != header:
                self._held[column] += 1
                self._numbers[column] += (row, column) in self._facts.numbers

    def goes_on_with(self, below: _Island) -> bool:
        """Return True if the rows of the island below are further rows of this one."""
        if below.left < self.left or below.right > self.right:
            return False
        if self.top == self.bottom or self.left == self.right:
            return False
        if self.first == below.first:
            return True
        if len(set(below.first.values())) == 1 and len(below.first) != len(self.first):
            # A lone text is a title or a note.
            return False
        is_bold = all((below.top, column) in self._facts.bold for column in below.first)
        return not is_bold and not below._has_header() and self._agrees_with(below)

    def _has_header(self) -> bool:
        """Return True if the first row holds texts only, and a column below it numbers only."""
        if any((self.top, column) in self._facts.numbers for column in self.first):
            return False
        return any(0 < self._held[column] == self._numbers[column] for column in self.first)

    def _agrees_with(self, below: _Island) -> bool:
        """Return True if the row below has numbers in the columns where this island has them."""
        return all(
            (below.top, column) in self._facts.numbers
            for column in below.first
            if 0 < self._held[column] == self._numbers[column]
        )

    def add(self, below: _Island) -> None:
        """Add the rows of another island; a header that is repeated there is left out."""
        cells = below.cells
        if self.first == below.first:
            cells = {place: text for place, text in cells.items() if place[0] != below.top}
        self._count(cells, self.top)
        self.cells.update(cells)
        self.bottom = below.bottom


def missing_values(count: int) -> str:
    """Return the sentence for the report about formulas that are shown instead of their values."""
    return (
        f"the values of {count} of its formulas are not stored, so the formulas are shown; open it "
        "in a spreadsheet program, save it and ingest it again"
    )
