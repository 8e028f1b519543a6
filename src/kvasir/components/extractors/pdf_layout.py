"""The layout of a PDF page: the reading order of its lines, and its tables.

A page has columns if a vertical strip without text has running text on both sides. Lines that
cross the strip (a title, a wide table) divide the page into bands; in each band the left column
comes first. A table is a run of rows of words with white strips through all rows between columns.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from statistics import median

from kvasir.components.extractors.pdf_glyphs import Line

_STEPS = 60
_FEWEST_LINES = 4
_RUNNING_TEXT = 0.45
"""A column's typical line fills at least this share of it; the cells of a table do not."""
_FEWEST_BESIDE = 6
"""Lines of running text beside which there may be notes or a table."""
_MAIN_TEXT = 0.6
_MOST_CROSSING = 0.1
_MOST_ON_LINE = 0.6
_MOST_NOTES = 2
"""A note of more lines has its own distance between them."""
_SAME_LINE = 0.15
"""Distance of the lower edges of one printed line, in font sizes."""
_OUT_OF_ORDER = 0.25
_OVERLAP = 0.3
_FEWEST_ROWS = 3
_NARROW_STRIP = 0.25
_WIDE_STRIP = 0.9
_ROWS_FOR_NARROW = 5
_WORDS_IN_TWO_COLUMNS = 6.0
Table = list[list[str]]
"""A table's cells, row by row, all rows of one length."""


def reading_order(lines: Sequence[Line]) -> list[list[Line]]:
    """Return the lines as regions in reading order, each from its top."""
    upright = [line for line in lines if not line.is_vertical]
    vertical = [line for line in lines if line.is_vertical]
    return [region for region in (*_regions(upright), vertical) if region]


def _regions(lines: list[Line]) -> list[list[Line]]:
    gutter = _gutter(lines) or _margin(lines)
    if gutter is None:
        return [_downwards(lines)]
    regions: list[list[Line]] = []
    left: list[Line] = []
    right: list[Line] = []
    wide: list[Line] = []

    def end_band() -> None:
        for column in (left, right):
            regions.extend(_regions(list(column)))
            column.clear()

    for line in sorted(lines, key=lambda item: -item.y1):
        if line.x0 < gutter < line.x1:
            end_band()
            wide.append(line)
            continue
        if wide:
            regions.append(_downwards(wide))
            wide = []
        (left if line.x1 <= gutter else right).append(line)
    end_band()
    return [*regions, wide]


def _gutter(lines: Sequence[Line]) -> float | None:
    """Return the x of the strip between two columns, or None."""
    if len(lines) < 2 * _FEWEST_LINES:
        return None
    start, end = min(line.x0 for line in lines), max(line.x1 for line in lines)
    width = end - start
    steps = range(_STEPS // 4, _STEPS * 3 // 4 + 1)
    candidates = ((start + width * step / _STEPS, abs(step - _STEPS / 2)) for step in steps)
    crossing, _, gutter = min(
        (sum(line.x0 < x < line.x1 for line in lines), distance, x) for x, distance in candidates
    )
    if crossing > len(lines) * 0.25:
        return None
    left = [line for line in lines if line.x1 <= gutter]
    right = [line for line in lines if line.x0 >= gutter]
    if min(len(left), len(right)) < _FEWEST_LINES:
        return None
    for side in (left, right):
        column = max(line.x1 for line in side) - min(line.x0 for line in side)
        if column < width * 0.2 or median(x.x1 - x.x0 for x in side) < column * _RUNNING_TEXT:
            return None
    top = min(max(line.y1 for line in side) for side in (left, right))
    bottom = max(min(line.y0 for line in side) for side in (left, right))
    return gutter if top > bottom else None


def _margin(lines: Sequence[Line]) -> float | None:
    """Return the x of a strip between running text and what stands beside it, or None.

    That is a note in the margin or a table of its own, if its lines are not those of the text.
    """
    if len(lines) <= _FEWEST_BESIDE:
        return None
    start, end = min(line.x0 for line in lines), max(line.x1 for line in lines)
    strips = (start + (end - start) * step / _STEPS for step in range(_STEPS // 10, _STEPS))
    crossed = sorted((sum(line.x0 < x < line.x1 for line in lines), x) for x in strips)
    for crossing, x in crossed:
        if crossing > len(lines) * _MOST_CROSSING:
            break
        left = [line for line in lines if line.x1 <= x]
        right = [line for line in lines if line.x0 >= x]
        main, beside = (left, right) if len(left) >= len(right) else (right, left)
        is_right = beside is right
        if beside and _is_running(main) and _stands_apart(beside, main, is_right=is_right):
            return x
    return None


def _is_running(lines: Sequence[Line]) -> bool:
    width = max(line.x1 for line in lines) - min(line.x0 for line in lines)
    usual = median(line.x1 - line.x0 for line in lines)
    return len(lines) >= _FEWEST_BESIDE and usual > width * _MAIN_TEXT


def _stands_apart(beside: Sequence[Line], main: Sequence[Line], *, is_right: bool) -> bool:
    """Return True if lines beside a text are no part of it, as numbers of a table would be."""
    on_line = sum(
        any(abs(line.y0 - other.y0) < _SAME_LINE * line.size for other in main) for line in beside
    )
    if on_line < len(beside) * _MOST_ON_LINE:
        return len(beside) > 1 or is_right
    is_note = all(len(line.words) > 1 for line in beside)
    return is_right and is_note and len(beside) <= _MOST_NOTES


def _downwards(lines: Sequence[Line]) -> list[Line]:
    """Return lines from the top, in the producer's order if that is nearly the same."""
    jumps = sum(after.y0 > before.y1 for before, after in pairwise(lines))
    if jumps <= len(lines) * _OUT_OF_ORDER:
        return list(lines)
    return sorted(lines, key=lambda line: (-round(line.y0 / max(line.size, 1)), line.x0))


def split_tables(lines: Sequence[Line]) -> list[Line | Table]:
    """Return the lines of a region with each run of tabular rows made into a table."""
    parts: list[Line | Table] = []
    run: list[list[Line]] = []

    def end_run() -> None:
        end = len(run)
        while end and len(run[end - 1]) < 2:
            end -= 1
        if table := _table(run[:end]):
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
    rows = _merged([[line] for line in lines], _is_beside)
    return _merged(rows, lambda a, b: _is_beside(a, b) and (a.x1 <= b.x0 or b.x1 <= a.x0))


def _merged(rows: list[list[Line]], belongs: Callable[[Line, Line], bool]) -> list[list[Line]]:
    """Join each row to the one before it if any two lines of them belong together."""
    merged: list[list[Line]] = []
    for row in rows:
        if merged and any(belongs(a, b) for a in row for b in merged[-1]):
            merged[-1].extend(row)
        else:
            merged.append(row)
    return merged


def _is_beside(line: Line, other: Line) -> bool:
    overlap = min(line.y1, other.y1) - max(line.y0, other.y0)
    return overlap > _OVERLAP * min(line.y1 - line.y0, other.y1 - other.y0)


def _continues(run: Sequence[Sequence[Line]], line: Line) -> bool:
    """Return True if a lone line is part of a cell: narrow, and close under the row above."""
    start = min(item.x0 for row in run for item in row)
    end = max(item.x1 for row in run for item in row)
    is_near = min(item.y0 for item in run[-1]) - line.y1 < line.size
    return is_near and line.x0 >= start - 1 and line.x1 - line.x0 < 0.5 * (end - start)


def _table(run: Sequence[Sequence[Line]]) -> Table | None:
    lines = [line for row in run for line in row]
    words = [word for line in lines for word in line.words]
    if len(run) < _FEWEST_ROWS or not words:
        return None
    size = sum(line.size for line in lines) / len(lines)
    share = _NARROW_STRIP if len(run) >= _ROWS_FOR_NARROW else _WIDE_STRIP
    columns = _columns([(x0, x1) for x0, x1, _ in words], share * size)
    is_text = len(columns) == 2 and len(words) / (2 * len(run)) > _WORDS_IN_TWO_COLUMNS
    if len(columns) < 2 or is_text:
        return None
    return [_cells(row, columns) for row in run]


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
