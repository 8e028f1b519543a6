"""Lines of a given width: words are never cut, wide characters and accents count as they are shown.

Widths are cells of the terminal, by rich's tables: a Chinese character takes two, an accent that
is a character of its own takes none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import zip_longest

from rich.cells import cell_len
from rich.text import Text

_WIDE = r"[\u3005-\u3007\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]"
"""Letters of scripts in which a line may end behind each; Korean has spaces between words."""
_NOT_FIRST = "、。，．！？：；）」』】〕〉》”’…ー々,.!?:;)]}％"
"""Characters that do not begin a line."""
_NOT_LAST = "（「『【〔〈《“‘([{"
"""Characters that do not end a line."""
_ADDRESS_PART = re.compile(r"[^/\\?&=#,;_.-]*(?:[/\\?&=#,;_.-]+|$)")
"""A part of a long address or path, with the separators behind it."""

_LEAST_CELLS = 10
"""Narrowest room for a text beside something else."""

Span = tuple[int, int]


def wrapped(text: Text, width: int | None, *, first: int | None = None) -> list[Text]:
    """Return a text of one line as lines that are at most so wide; without a width as it is.

    Lines break at spaces and between characters of scripts without spaces; a word that is wider
    than a line breaks behind separators such as ``/``, and is otherwise left whole.

    Args:
        text: The text; spaces at a break are left out.
        width: Cells of a line.
        first: Cells of the first line, if it is another.
    """
    plain = text.plain
    if width is None or (first is None and cell_len(plain) <= width):
        return [text]
    lines: list[Span] = []
    start = end = 0
    room = width if first is None else first
    for begin, stop in _pieces(plain, width):
        if end and cell_len(plain[start:stop]) > room:
            lines.append((start, end))
            start, room = begin, width
        elif not end and first is not None and cell_len(plain[start:stop]) > room:
            lines.append((0, 0))
            start, room = begin, width
        end = stop
    lines.append((start, max(start, end)))
    # Divided once: a slice copies what is around it.
    parts = text.divide([offset for line in lines for offset in line])
    return [parts[1 + 2 * number] for number in range(len(lines))]


@cache
def _piece() -> re.Pattern[str]:
    """Return what stays together: a word, or a character of a script without spaces, and marks.

    Compiled when it is first needed: a class of thousands of characters takes milliseconds.
    """
    return re.compile(
        rf"[{re.escape(_NOT_LAST)}]*{_WIDE}[{re.escape(_NOT_FIRST)}\u0300-\u036f]*"
        rf"|(?:(?!{_WIDE})\S)+[{re.escape(_NOT_FIRST)}]*"
    )


def _pieces(plain: str, width: int) -> Iterator[Span]:
    """Yield the spans that stay together."""
    for match in _piece().finditer(plain):
        if cell_len(match[0]) <= width:
            yield match.span()
            continue
        for part in _ADDRESS_PART.finditer(match[0]):
            if part[0]:
                yield match.start() + part.start(), match.start() + part.end()


def hanging(text: Text, width: int | None, indent: str = "", more: str | None = None) -> list[Text]:
    """Return a text as lines, the first behind ``indent``, further ones behind ``more``."""
    more = indent if more is None else more
    if width is None:
        return [Text(indent) + text]
    used = max(cell_len(indent), cell_len(more))
    lines = wrapped(text, max(_LEAST_CELLS, width - used))
    return [Text(more if number else indent) + line for number, line in enumerate(lines)]


def columns(
    rows: Sequence[Sequence[Text]], width: int | None, *, ruled: bool = False, rule: str = "─"
) -> list[Text]:
    """Return a table as lines, the first row as its head; cells are wrapped to fit the width.

    Where not even the longest words fit beside each other, each row becomes a list of its cells
    with the names of the head.

    Args:
        rows: Rows of the same length.
        width: Cells of a line; None never wraps.
        ruled: Lines stand between the columns and below the head, and between rows of several
            lines; otherwise two spaces are between the columns.
        rule: The character of horizontal lines; ``-`` makes all of them ASCII.
    """
    if not rows:
        return []
    upright, cross = ("|", "+") if rule == "-" else ("│", "┼")
    gap = f" {upright} " if ruled else "  "
    room = None if width is None else width - cell_len(gap) * (len(rows[0]) - 1)
    widths = _column_widths(rows, room)
    if widths is None:
        return _records(rows, width, in_one=not ruled)
    line = Text(f"{rule}{cross}{rule}".join(rule * each for each in widths), "dim")
    drawn = [_drawn_row(row, widths, gap, wrap=width is not None) for row in rows]
    has_tall = any(len(each) > 1 for each in drawn)
    if not any(cell.plain for cell in rows[0]):
        drawn[0] = []  # A table without a head.
    lines: list[Text] = []
    for number, each in enumerate(drawn):
        if ruled and lines and (number == 1 or has_tall):
            lines.append(line)
        lines += each
    return lines


def _drawn_row(row: Sequence[Text], widths: Sequence[int], gap: str, *, wrap: bool) -> list[Text]:
    cells = [
        wrapped(cell, width if wrap else None) for cell, width in zip(row, widths, strict=True)
    ]
    lines = []
    for parts in zip_longest(*cells, fillvalue=Text()):
        line = Text()
        for number, (part, width) in enumerate(zip(parts, widths, strict=True)):
            line.append(gap if number else "").append_text(part)
            line.append(" " * (width - part.cell_len))
        line.rstrip()
        lines.append(line)
    return lines


def _column_widths(rows: Sequence[Sequence[Text]], room: int | None) -> list[int] | None:
    """Return the cells of each column; None if the longest words do not fit."""
    by_column = list(zip(*rows, strict=True))
    natural = [max(cell.cell_len for cell in column) for column in by_column]
    if room is None or sum(natural) <= room:
        return natural
    least = [
        wide if wide <= _LEAST_CELLS else max(_longest_piece(cell, room) for cell in column)
        for wide, column in zip(natural, by_column, strict=True)
    ]
    spare = room - sum(least)
    if spare < 0:
        return None
    # The narrowest columns get what they want first.
    widths = list(least)
    by_want = sorted(range(len(natural)), key=lambda column: natural[column] - least[column])
    for left, column in zip(range(len(by_want), 0, -1), by_want, strict=True):
        given = min(natural[column] - least[column], spare // left)
        widths[column] += given
        spare -= given
    return widths


def _longest_piece(cell: Text, width: int) -> int:
    longest = max(_LEAST_CELLS, width // 3)
    plain = cell.plain
    return max((cell_len(plain[a:b]) for a, b in _pieces(plain, longest)), default=0)


def _records(rows: Sequence[Sequence[Text]], width: int | None, *, in_one: bool) -> list[Text]:
    """Return each row as its first cell and, below it, its other cells with their names.

    The other cells have a line each, or follow each other ``in_one``.
    """
    head, *body = rows
    lines: list[Text] = []
    for row in body:
        lines += hanging(row[0], width, more="    ")
        named = [
            Text().append(f"{name.plain}: " if name.plain else "", "dim").append_text(cell)
            for name, cell in zip(head[1:], row[1:], strict=True)
            if cell.plain
        ]
        for text in [Text(", ").join(named)] if in_one and named else named:
            lines += hanging(text, width, "  ", "    ")
    return lines or [Text(", ").join(head)]
