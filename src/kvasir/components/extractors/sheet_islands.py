"""Finds the tables of a sheet: islands of cells that touch, joined over blank rows."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

from kvasir.components.extractors.document_builder import Grid

_MOST_BLANK_ROWS = 1
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
    found: list[Grid] = []
    for island in _touching(cells):
        above = next((one for one in reversed(found) if _is_below(one, island)), None)
        if above is None or not _continues(above, island, facts):
            found.append(island)
            continue
        top = _rows(above)[0]
        if _texts(above, top) == _texts(island, _rows(island)[0]):
            # The header is repeated.
            first = _rows(island)[0]
            island = {place: text for place, text in island.items() if place[0] != first}
        above.update(island)
    return found


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


def _rows(island: Grid) -> list[int]:
    return sorted({row for row, _ in island})


def _columns(island: Grid) -> tuple[int, int]:
    columns = [column for _, column in island]
    return min(columns), max(columns)


def _texts(island: Grid, row: int) -> dict[int, str]:
    return {column: text for (line, column), text in island.items() if line == row}


def _is_below(above: Grid, island: Grid) -> bool:
    """Return True if an island is right below another one and not wider."""
    first, last = _columns(above)
    start, end = _columns(island)
    gap = _rows(island)[0] - _rows(above)[-1] - 1
    return first <= start and end <= last and 0 < gap <= _MOST_BLANK_ROWS


def _continues(above: Grid, island: Grid, facts: SheetFacts) -> bool:
    """Return True if the rows of an island are further rows of the one above."""
    rows, more = _rows(above), _rows(island)
    if len(rows) < 2 or _columns(above)[0] == _columns(above)[1]:
        return False
    top, first = _texts(above, rows[0]), _texts(island, more[0])
    if top == first:
        return True
    if len(set(first.values())) == 1 and len(first) != len(top):
        # A lone text is a title or a note.
        return False

    def is_bold(row: int, columns: dict[int, str]) -> bool:
        return all((row, column) in facts.bold for column in columns)

    if is_bold(more[0], first):
        return False
    has_header = len(more) > 1 and _is_header(island, more, facts)
    return not has_header and _numbers_agree(above, rows[1:], more[0], first, facts)


def _is_header(island: Grid, rows: list[int], facts: SheetFacts) -> bool:
    """Return True if the first row holds texts only, and a column below it numbers only."""
    first = _texts(island, rows[0])
    if any((rows[0], column) in facts.numbers for column in first):
        return False
    below = {column: [row for row in rows[1:] if (row, column) in island] for column in first}
    return any(
        held and all((row, column) in facts.numbers for row in held)
        for column, held in below.items()
    )


def _numbers_agree(
    above: Grid, rows: list[int], row: int, cells: dict[int, str], facts: SheetFacts
) -> bool:
    """Return True if a row has numbers in the columns where the rows above have them."""
    for column in cells:
        held = [one for one in rows if (one, column) in above]
        numbers = sum((one, column) in facts.numbers for one in held)
        if held and numbers == len(held) and (row, column) not in facts.numbers:
            return False
    return True
