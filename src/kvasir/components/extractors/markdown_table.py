"""Tables as Markdown rows, which people, models and splitters can read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def markdown_table(rows: Sequence[Sequence[str]]) -> str:
    """Return rows as a Markdown table whose first row is the header.

    Empty rows, and columns that are empty throughout, are left out. A cell's line breaks
    become spaces and its ``|`` is escaped, so that one line is one row.
    """
    cells = [[" ".join(cell.split()).replace("|", "\\|") for cell in row] for row in rows]
    cells = [row for row in cells if any(row)]
    width = max((len(row) for row in cells), default=0)
    used = [i for i in range(width) if any(len(row) > i and row[i] for row in cells)]
    if not used:
        return ""
    lines = [_line([row[i] if i < len(row) else "" for i in used]) for row in cells]
    return "\n".join((lines[0], _line(["-"] * len(used)), *lines[1:]))


def grid_rows(grid: Mapping[tuple[int, int], str]) -> list[list[str]]:
    """Return the rows of cells by (row, column), with empty cells in the gaps."""
    if not grid:
        return []
    ys, xs = zip(*grid, strict=True)
    columns = range(min(xs), max(xs) + 1)
    return [[grid.get((y, x), "") for x in columns] for y in range(min(ys), max(ys) + 1)]


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
