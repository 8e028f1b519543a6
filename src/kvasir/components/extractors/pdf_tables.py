"""Tables of a PDF page: rows of words, with white strips through all rows between columns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from kvasir.components.extractors.pdf_lines import Line

_OVERLAP = 0.3
_FEWEST_ROWS = 3
_NARROW_STRIP = 0.25
_WIDE_STRIP = 0.9
_ROWS_FOR_NARROW = 5
_WORDS_IN_TWO_COLUMNS = 6.0


@dataclass(slots=True)
class Table:
    """A table's cells, row by row."""

    rows: list[list[str]]
    columns: int


def split_tables(lines: Sequence[Line]) -> list[Line | Table]:
    """Return the lines of a region with each run of tabular rows made into a table."""
    parts: list[Line | Table] = []
    run: list[list[Line]] = []

    def end_run() -> None:
        end = len(run)
        while end and len(run[end - 1]) < 2:
            end -= 1
        table = _table(run[:end])
        if table:
            parts.append(table)
        parts.extend(line for row in (run[end:] if table else run) for line in row)
        run.clear()

    for row in _rows(lines):
        if len(row) >= 2 or (run and _continues(run, row[0])):
            run.append(row)
        else:
            end_run()
            parts.extend(row)
    end_run()
    return parts


def _rows(lines: Sequence[Line]) -> list[list[Line]]:
    """Group lines that are beside each other; a cell of two lines joins its row."""
    rows = _merged([[line] for line in lines], _beside)
    return _merged(rows, lambda a, b: _beside(a, b) and _apart(a, b))


def _merged(rows: list[list[Line]], belongs: Callable[[Line, Line], bool]) -> list[list[Line]]:
    """Join each row to the one before it if any two lines of them belong together."""
    merged: list[list[Line]] = []
    for row in rows:
        if merged and any(belongs(a, b) for a in row for b in merged[-1]):
            merged[-1].extend(row)
        else:
            merged.append(row)
    return merged


def _beside(line: Line, other: Line) -> bool:
    overlap = min(line.y1, other.y1) - max(line.y0, other.y0)
    return overlap > _OVERLAP * min(line.y1 - line.y0, other.y1 - other.y0)


def _apart(line: Line, other: Line) -> bool:
    return line.x1 <= other.x0 or other.x1 <= line.x0


def _continues(run: Sequence[Sequence[Line]], line: Line) -> bool:
    """Return True if a lone line is part of a cell: narrow, and close under the row above."""
    start = min(item.x0 for row in run for item in row)
    end = max(item.x1 for row in run for item in row)
    lowest = min(item.y0 for item in run[-1])
    near = lowest - line.y1 < line.size
    return near and line.x0 >= start - 1 and line.x1 - line.x0 < 0.5 * (end - start)


def _table(run: Sequence[Sequence[Line]]) -> Table | None:
    lines = [line for row in run for line in row]
    words = [word for line in lines for word in line.words]
    if len(run) < _FEWEST_ROWS or not words:
        return None
    size = sum(line.size for line in lines) / len(lines)
    share = _NARROW_STRIP if len(run) >= _ROWS_FOR_NARROW else _WIDE_STRIP
    columns = _columns([(x0, x1) for x0, x1, _ in words], share * size)
    if len(columns) < 2:
        return None
    if len(columns) == 2 and len(words) / (2 * len(run)) > _WORDS_IN_TWO_COLUMNS:
        # Two columns of running text, not of cells.
        return None
    return Table([_cells(row, columns) for row in run], len(columns))


def _columns(spans: list[tuple[float, float]], strip: float) -> list[float]:
    """Return the left edges of the columns: spans that overlap or nearly touch are one column."""
    starts: list[float] = []
    reach = float("-inf")
    for start, end in sorted(spans):
        if start - reach >= strip:
            starts.append(start)
        reach = max(reach, end)
    return starts


def _cells(row: Sequence[Line], columns: Sequence[float]) -> list[str]:
    cells: list[list[str]] = [[] for _ in columns]
    for line in sorted(row, key=lambda item: (-item.y0, item.x0)):
        for x0, _, text in line.words:
            column = sum(start <= x0 + 0.01 for start in columns) - 1
            cells[max(column, 0)].append(text)
    return [" ".join(cell) for cell in cells]
