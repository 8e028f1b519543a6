"""Blocks of a PDF page, from its lines: paragraphs, headings, lists, tables, code and captions.

A PDF has no blocks, so the font, the distances between lines and the first characters decide.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import median

from kvasir.components.extractors.pdf_lines import SOFT_HYPHEN, Line
from kvasir.core.types import BlockKind

_BULLET = re.compile(r"[•‣◦▪▫●○■□➢✓–*·-]\s+(?=\S)")
_NUMBERED = re.compile(r"(?:\(?\d{1,2}[.)]|\(?[a-z][.)])\s+(?=\S)")
_CAPTION = re.compile(r"(?:Table|Figure|Fig\.|Listing|Tabelle|Abbildung|Tabla|Figura)\s*\d+\s*[.:]")
_SENTENCE_END = tuple(".!?:;。！？")
_LARGER = 1.12
"""Smallest font size of a heading, relative to the body's."""
_LONGEST_HEADING = 200
"""Maximum number of characters of a heading."""
_WIDEST_STEP = 1.9
"""Widest step from line to line inside a paragraph, in font sizes."""
_LOOSE = 1.25
"""A step this many times as wide as usual begins a new paragraph."""
_OVERLAP = 0.3
_FEWEST_ROWS = 3
_NARROW_STRIP = 0.25
_WIDE_STRIP = 0.9
_ROWS_FOR_NARROW = 5
_WORDS_IN_TWO_COLUMNS = 6.0
_SECTION = re.compile(r"(?:\d{1,2}(?:\.\d{1,2})+\.?|\d{1,2})\s+[^\W\d_]")

Table = list[list[str]]
"""A table's cells, row by row, all rows of one length."""


@dataclass(slots=True)
class Piece:
    """A block before it is added to the document: a table has rows, other kinds have a text."""

    kind: BlockKind
    text: str = ""
    size: float = 0.0
    level: int | None = None
    rows: Table = field(default_factory=list)


def body_size(pages: Sequence[Sequence[Line]]) -> float:
    """Return the font size of most characters, rounded to half a point."""
    counts: Counter[float] = Counter()
    for lines in pages:
        for line in lines:
            counts[round(line.size * 2) / 2] += len(line.text)
    return counts.most_common(1)[0][0] if counts else 10.0


def region_pieces(lines: Sequence[Line], body: float) -> list[Piece]:
    """Return the pieces of one region in order; headings have no level yet."""
    pieces: list[Piece] = []
    group: list[Line] = []
    right = max((line.x1 for line in lines), default=0.0)
    usual_step = _usual_step(lines)

    def end_group() -> None:
        if group:
            piece = _piece(group, body)
            if pieces and piece.kind is pieces[-1].kind is BlockKind.LIST:
                pieces[-1].text += f"\n{piece.text}"
            else:
                pieces.append(piece)
            group.clear()

    for part in _split_tables(lines):
        if isinstance(part, list):
            end_group()
            pieces.append(Piece(BlockKind.TABLE, rows=part))
            continue
        if group and _begins_paragraph(group, part, right, usual_step):
            end_group()
        group.append(part)
    end_group()
    return pieces


def set_levels(pages: Sequence[Sequence[Piece]]) -> None:
    """Set the level of each heading: 1 for the largest font size, at most 6."""
    headings = [piece for pieces in pages for piece in pieces if piece.kind is BlockKind.HEADING]
    sizes = sorted({round(piece.size) for piece in headings}, reverse=True)
    for piece in headings:
        piece.level = min(sizes.index(round(piece.size)) + 1, 6)


def _begins_paragraph(group: Sequence[Line], line: Line, right: float, usual_step: float) -> bool:
    """Return True if a line does not belong to the group of lines above it.

    ``right`` is the right edge of the region, in points; ``usual_step`` is in font sizes.
    """
    last = group[-1]
    if last.text.endswith(SOFT_HYPHEN):
        return False
    step = last.y0 - line.y0
    if abs(step) < 0.5 * last.size:
        # Parts of one printed line: a number and its heading, or text in another direction.
        return False
    if step < 0 or step > _WIDEST_STEP * max(last.size, line.size):
        return True
    if abs(line.size - last.size) > 0.12 * max(line.size, last.size):
        return True
    if line.fixed != last.fixed or (line.bold != last.bold and not _goes_on(last, line)):
        return True
    if _is_item(line):
        return True
    if line.fixed:
        return False
    if step > _LOOSE * usual_step * line.size:
        return True
    indented = line.x0 > last.x0 + 0.8 * line.size
    if indented and last.text.endswith(_SENTENCE_END) and not _is_item(group[0]):
        return True
    short = last.x1 < right - 6 * last.size
    return short and last.text.endswith(_SENTENCE_END) and not line.text[:1].islower()


def _usual_step(lines: Sequence[Line]) -> float:
    """Return the median step from line to line inside paragraphs, in font sizes."""
    steps = [
        (before.y0 - after.y0) / after.size
        for before, after in pairwise(lines)
        if 0.8 < (before.y0 - after.y0) / max(after.size, 0.1) < _WIDEST_STEP
    ]
    return median(steps) if steps else _WIDEST_STEP


def _goes_on(last: Line, line: Line) -> bool:
    """Return True if a line continues the sentence of the last one."""
    return not last.text.endswith(_SENTENCE_END) and line.text[:1].islower()


def _is_item(line: Line) -> bool:
    """Return True if a line begins a list item."""
    return bool(_BULLET.match(line.text) or _NUMBERED.match(line.text))


def _piece(lines: Sequence[Line], body: float) -> Piece:
    """Return the piece of a group of lines; ``body`` is the body's font size."""
    first = lines[0]
    size = max(line.size for line in lines)
    if all(line.fixed for line in lines) and (len(lines) > 1 or len(first.text) > 40):
        return Piece(BlockKind.CODE, _code(lines), size)
    text = _join(lines)
    bold = all(line.bold for line in lines)
    if _CAPTION.match(text):
        return Piece(BlockKind.CAPTION, text, size)
    short = len(text) <= _LONGEST_HEADING and len(lines) <= 3 and any(c.isalpha() for c in text)
    one_line = short and len(lines) == 1 and size >= body * 0.95
    # Larger than the body; or one bold line; or one line with a section number.
    if (
        (short and size >= body * _LARGER and not text.endswith((".", ",")))
        or (one_line and bold and len(text) < 100 and not text.endswith((".", ",", ":", ";")))
        or (one_line and len(text) < 80 and _SECTION.match(text) and text[-1].isalnum())
    ):
        return Piece(BlockKind.HEADING, text, size)
    if _BULLET.match(text):
        return Piece(BlockKind.LIST, f"- {_BULLET.sub('', text, count=1)}", size)
    if _NUMBERED.match(text):
        return Piece(BlockKind.LIST, text, size)
    return Piece(BlockKind.PARAGRAPH, text, size)


def _join(lines: Sequence[Line]) -> str:
    """Join hard-wrapped lines and words that were hyphenated at a line's end."""
    text = lines[0].text
    for line in lines[1:]:
        after = line.text
        hyphenated = text.endswith("-") and text[-2:-1].islower() and after[:1].islower()
        if hyphenated or text.endswith(SOFT_HYPHEN):
            text = text[:-1] + after
        elif _is_han_or_kana(text[-1:]) and _is_han_or_kana(after[:1]):
            text += after
        else:
            text = f"{text} {after}"
    return " ".join(text.removesuffix(SOFT_HYPHEN).split())


def _is_han_or_kana(character: str) -> bool:
    """Return True if a character is Han or Kana, which have no spaces between words."""
    return "぀" <= character <= "ヿ" or "一" <= character <= "鿿" or "㐀" <= character <= "䶿"


def _code(lines: Sequence[Line]) -> str:
    """Return lines of code, indented by their left edges.

    A hyphen at the end of a line is part of the code, so it stays.
    """
    left = min(line.x0 for line in lines)
    rows = []
    for line in lines:
        width = max((line.x1 - line.x0) / max(len(line.text), 1), 1.0)
        rows.append(" " * round((line.x0 - left) / width) + line.text.replace(SOFT_HYPHEN, "-"))
    return "\n".join(rows)


def _split_tables(lines: Sequence[Line]) -> list[Line | Table]:
    """Return the lines of a region with each run of tabular rows made into a table.

    The columns of a table have white strips through all its rows between them.
    """
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
