"""The layout of a PDF page: lines from PDFium's characters, their reading order, and tables.

PDFium gives characters in the order of the content stream and adds line ends. A line also ends
at a wide gap, as between columns and between the cells of a table.

A page has columns if a vertical strip without text has running text on both sides. Lines that
cross the strip (a title, a wide table) divide the page into bands; in each band the left column
comes first. A table is a run of rows of words with white strips through all rows between columns.
"""

from __future__ import annotations

import ctypes
import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import median

import pypdfium2.raw as pdfium
from pypdfium2 import PdfPage, PdfTextPage

_LINE_ENDS = frozenset("\r\n")
_HYPHENS = frozenset("\x02\xad￾")
_LAM = "\u0644"
_ALEFS = frozenset("\u0622\u0623\u0625\u0627")
_GAP = 1.7
"""Widest gap inside a line, in font sizes; a wider one separates columns or cells."""
_BOLD = 600
_FORCE_BOLD = 1 << 18
_FIXED_PITCH = 1
_PRESENTATION_FORMS = re.compile(r"[\ufb00-\ufdff\ufe70-\ufeff]")
_STEPS = 60
_FEWEST_LINES = 4
_RUNNING_TEXT = 0.45
"""A column's typical line fills at least this share of it; the cells of a table do not."""
_OUT_OF_ORDER = 0.25
_OVERLAP = 0.3
_FEWEST_ROWS = 3
_NARROW_STRIP = 0.25
_WIDE_STRIP = 0.9
_ROWS_FOR_NARROW = 5
_WORDS_IN_TWO_COLUMNS = 6.0
SOFT_HYPHEN = "\xad"
"""Ends a line whose last word continues in the next one."""

Word = tuple[float, float, str]
Table = list[list[str]]
"""A table's cells, row by row, all rows of one length."""


@dataclass(slots=True)
class Line:
    """A run of characters on one baseline.

    The box (left, lower, right, upper edge) is in points on the upright page, y upwards.
    ``size`` is the visible font size in points; ``bold`` and ``fixed`` (fixed pitch) are those of
    the first character; ``words`` are ``(left edge, right edge, text)``.
    """

    text: str
    x0: float
    y0: float
    x1: float
    y1: float
    size: float
    bold: bool = False
    fixed: bool = False
    words: list[Word] = field(default_factory=list)

    @property
    def is_vertical(self) -> bool:
        """True if it runs up or down the page, like the label of a preprint server."""
        return len(self.text) > 4 and (self.y1 - self.y0) > 2 * (self.x1 - self.x0)


def page_lines(page: PdfPage, text_page: PdfTextPage) -> list[Line]:
    """Return a page's lines in the order of the content stream."""
    reader = _LineReader(page, text_page)
    for index in range(text_page.count_chars()):
        reader.take(index)
    reader.end_line()
    return reader.lines


class _LineReader:
    """Collects characters into lines."""

    def __init__(self, page: PdfPage, text_page: PdfTextPage) -> None:
        self.lines: list[Line] = []
        self._text = text_page.raw
        self._rotation = page.get_rotation()
        width, height = page.get_size()
        # The size is that of the visible page; character boxes are on the unrotated page.
        is_turned = self._rotation in (90, 270)
        self._width, self._height = (height, width) if is_turned else (width, height)
        self._box = pdfium.FS_RECTF()
        self._characters: list[str] = []
        self._line: Line | None = None
        self._in_word = False
        self._last = (0.0, 0.0)

    def take(self, index: int) -> None:
        """Add one character to the line, or end the line."""
        code = pdfium.FPDFText_GetUnicode(self._text, index)
        if not 0 < code <= 0x10FFFF or 0xD800 <= code <= 0xDFFF:
            return
        character = chr(code)
        if character in _LINE_ENDS:
            self.end_line()
        elif character in _HYPHENS:
            self._characters.append(SOFT_HYPHEN)
            self.end_line()
        elif character.isspace():
            self._space()
        else:
            self._add(character, index)

    def _add(self, character: str, index: int) -> None:
        pdfium.FPDFText_GetLooseCharBox(self._text, index, self._box)
        x0, y0, x1, y1 = self._upright()
        if self._line is not None and _is_apart(self._line, x0, y0, x1, y1):
            self.end_line()
        if self._line is None:
            self._line = self._new_line(index, x0, y0, x1, y1)
        line = self._line
        line.x0, line.x1 = min(line.x0, x0), max(line.x1, x1)
        line.y0, line.y1 = min(line.y0, y0), max(line.y1, y1)
        before = self._characters[-1] if self._characters else ""
        if character == _LAM and before in _ALEFS and (self._last == (x0, x1) or x1 - x0 < 0.1):
            # PDFium reverses a lam-alef ligature together with its right-to-left line.
            self._characters.insert(-1, character)
        else:
            if _changes_to_rtl(before, character):
                self._space()
            self._characters.append(character)
        self._last = (x0, x1)
        words = line.words
        if words and self._in_word:
            words[-1] = (min(words[-1][0], x0), max(words[-1][1], x1), words[-1][2] + character)
        else:
            words.append((x0, x1, character))
        self._in_word = True

    def _space(self) -> None:
        self._in_word = False
        if self._line is not None:
            self._characters.append(" ")

    def end_line(self) -> None:
        """Keep the collected line if it has visible text."""
        text = "".join(self._characters).strip()
        if self._line is not None and text:
            # Presentation forms (Arabic shapes, ligatures) become plain letters.
            has_forms = _PRESENTATION_FORMS.search(text)
            self._line.text = unicodedata.normalize("NFKC", text) if has_forms else text
            self.lines.append(self._line)
        self._line, self._characters, self._in_word = None, [], False

    def _new_line(self, index: int, x0: float, y0: float, x1: float, y1: float) -> Line:
        size = pdfium.FPDFText_GetFontSize(self._text, index)
        # Some producers scale a font of size 1 by the text matrix; use the box then.
        if not 0.5 < size / max(y1 - y0, 0.1) < 2:
            size = (y1 - y0) * 0.85
        flags = ctypes.c_int(0)
        buffer = ctypes.create_string_buffer(128)
        pdfium.FPDFText_GetFontInfo(self._text, index, buffer, 128, flags)
        name = buffer.value.lower()
        weight = pdfium.FPDFText_GetFontWeight(self._text, index)
        bold = weight >= _BOLD or bool(flags.value & _FORCE_BOLD) or b"bold" in name
        fixed = bool(flags.value & _FIXED_PITCH) or b"mono" in name or b"courier" in name
        return Line("", x0, y0, x1, y1, size, bold, fixed)

    def _upright(self) -> tuple[float, float, float, float]:
        box, width, height = self._box, self._width, self._height
        if self._rotation == 90:
            return box.bottom, width - box.right, box.top, width - box.left
        if self._rotation == 180:
            return width - box.right, height - box.top, width - box.left, height - box.bottom
        if self._rotation == 270:
            return height - box.top, box.left, height - box.bottom, box.right
        return box.left, box.bottom, box.right, box.top


def _is_apart(line: Line, x0: float, y0: float, x1: float, y1: float) -> bool:
    gap = max(x0 - line.x1, line.x0 - x1)
    overlap = min(y1, line.y1) - max(y0, line.y0)
    height = min(y1 - y0, line.y1 - line.y0)
    return gap > _GAP * max(line.size, 4.0) or (height > 0 and overlap < -height)


def _changes_to_rtl(before: str, after: str) -> bool:
    """Return True if a Latin word ends where an Arabic or Hebrew one begins."""
    return before.isascii() and before.isalnum() and unicodedata.bidirectional(after) in ("R", "AL")


def reading_order(lines: Sequence[Line]) -> list[list[Line]]:
    """Return the lines as regions in reading order, each from its top."""
    upright = [line for line in lines if not line.is_vertical]
    vertical = [line for line in lines if line.is_vertical]
    return [region for region in (*_regions(upright), vertical) if region]


def _regions(lines: list[Line]) -> list[list[Line]]:
    gutter = _gutter(lines)
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
