"""Passages of documents as lines of a terminal: prose wrapped, tables drawn, code as it is.

A chunk has the text of its document, in which tables are Markdown rows.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from rich.text import Text

from kvasir.core.text import printable
from kvasir.frontends.cli.wrapping import Span, columns, hanging, wrapped

MATCH_STYLE = "bold yellow"
"""Of words that match the question; without colour they are bold."""
FindMatches = Callable[[str], list[Span]]
"""Returns the spans of words that match the question."""

_ROW = re.compile(r"\s*(\|.*\|)\s*((?:\[\d+\])*)\s*")
"""A row of a Markdown table, and the markers behind it in an answer."""
_RULE_CELL = re.compile(r"\s*:?-+:?\s*")
_CELL_END = re.compile(r"(?<!\\)\|")
_FENCE = re.compile(r"\s*(```|~~~)")
_ITEM = re.compile(r"\s*(?:[-*+•‣◦]|\d+[.)]|>|#{1,6})\s+")
_INDENTED = re.compile(r"(?: {4}|\t)\s*\S")
_CODE = re.compile(
    r"[;{}]\s*$|^\s*(?:\$|>>>|#!|//|@)\s*\S|^\s*(?:def|class|import|from|return|func|fn|let|const)\s"
    r"|^\s*[\w.\[\]]+\s*(?:=|:=|\+=)\s*\S|^\s*[\w.]+\([^)]*\)\s*$"
)
_PROSE_LINE = 60
"""Fewest characters of a line that goes on in the next one."""
_BEGINNING = re.compile(r"(?<=[.!?])\s+|(?<=[。！？])|\n+")
"""Where a sentence or a line begins."""
_LOOK_BACK = 120


@dataclass(frozen=True)
class _Part:
    """Lines of one kind: ``prose``, ``table``, ``code`` or ``blank``."""

    kind: str
    lines: tuple[str, ...]


def passage_lines(
    text: str,
    width: int | None,
    *,
    indent: str = "",
    find: FindMatches | None = None,
    is_code: bool = False,
    rule: str = "─",
) -> list[Text]:
    """Return a passage as lines.

    Args:
        text: The passage; control characters are removed.
        width: Cells of a line; None never wraps.
        indent: What stands before each line.
        find: Finds the words to highlight.
        is_code: The whole passage is code.
        rule: As of ``wrapping.columns``.
    """
    lines: list[Text] = []
    for part in _parts(printable(text), is_code=is_code):
        if part.kind == "blank":
            lines += [Text()] if lines and lines[-1].plain else []
        elif part.kind == "code":
            lines += [Text(indent) + highlighted(line, find) for line in part.lines]
        elif part.kind == "table":
            room = None if width is None else width - len(indent)
            rows = table_rows(part.lines)
            drawn = columns(
                [[highlighted(cell, find) for cell in row] for row in rows],
                room,
                ruled=True,
                rule=rule,
            )
            lines += [Text(indent) + line for line in drawn]
        else:
            for line in part.lines:
                item = _ITEM.match(line)
                more = indent + " " * (len(item[0]) if item else 0)
                lines += hanging(highlighted(line, find), width, indent, more)
    while lines and not lines[-1].plain:
        lines.pop()
    return lines


def highlighted(text: str, find: FindMatches | None, style: str = "") -> Text:
    """Return a text with its matching words in another style."""
    shown = Text(text, style)
    for start, end in find(text) if find else ():
        shown.stylize(MATCH_STYLE, start, end)
    return shown


def is_special(line: str) -> bool:
    """Return True if a line that begins so may be of a table or of code."""
    return bool(_FENCE.match(line) or _INDENTED.match(line)) or line.lstrip().startswith(("|", "`"))


def table_rows(lines: Sequence[str]) -> list[list[str]]:
    """Return the cells of a Markdown table's rows; without a header the first one is empty."""
    rows: list[list[str]] = []
    has_head = False
    for line in lines:
        match = _ROW.fullmatch(line)
        if match is None:
            continue
        cells = [cell.strip().replace("\\|", "|") for cell in _CELL_END.split(match[1])[1:-1]]
        if all(map(_RULE_CELL.fullmatch, cells)):
            has_head = has_head or len(rows) == 1
            continue
        if match[2]:
            cells[-1] = f"{cells[-1]} {match[2]}".strip()
        rows.append(cells)
    count = max(map(len, rows), default=0)
    filled = [row + [""] * (count - len(row)) for row in rows]
    return filled if has_head or not filled else [[""] * count, *filled]


def excerpt(text: str, spans: Sequence[Span], most: int) -> str:
    """Return the part of a passage with the most matching words, from the beginning of a sentence.

    It ends behind a word or a row of a table, whose header is kept; ``…`` stands for what is
    left out.

    Args:
        text: The passage.
        spans: Where words match.
        most: Characters from which on a passage is shortened.
    """
    if len(text) <= most:
        return text
    starts = [0, *(match.end() for match in _BEGINNING.finditer(text) if match.end() < len(text))]
    begins = [begin for begin, _ in spans]

    def count(start: int) -> int:
        """Return the number of different words that match in the window from here."""
        window = spans[bisect_left(begins, start) : bisect_left(begins, start + most)]
        return len({text[a:b].casefold() for a, b in window if b <= start + most})

    best = max(starts, key=lambda start: (count(start), not start, start))
    end = _end_of_word(text, min(len(text), best + most))
    shown = text[best:end].strip("\n")
    first = shown.partition("\n")[0]
    above = "" if best == 0 else "…\n" if _ROW.fullmatch(first) else "… "
    if best and _ROW.fullmatch(first):
        above = _header_above(text, best) + above
    return f"{above}{shown}{'' if end >= len(text.rstrip()) else ' …'}"


def _end_of_word(text: str, end: int) -> int:
    if end >= len(text):
        return len(text)
    line = text.rfind("\n", 0, end)
    if text[line + 1 :].lstrip().startswith("|"):
        # A row is shown whole or not at all; a first row that is longer is shown whole.
        row_end = text.find("\n", end)
        return line if line > 0 else row_end if row_end > 0 else len(text)
    space = max(text.rfind(" ", end - _LOOK_BACK, end), text.rfind("\n", end - _LOOK_BACK, end))
    return space if space > 0 else end


def _header_above(text: str, start: int) -> str:
    """Return the header of the table in which an excerpt begins, if that is above it."""
    above: list[str] = []
    for line in reversed(text[:start].splitlines()):
        if not _ROW.fullmatch(line):
            break
        above.insert(0, line)
    rows = table_rows(above)
    if not rows or not any(rows[0]) or len(above) < 2:
        return ""
    return "\n".join(above[:2]) + "\n"


def _parts(text: str, *, is_code: bool) -> Iterator[_Part]:
    lines = text.strip("\n").split("\n")
    if is_code:
        yield _Part("code", tuple(lines))
        return
    kinds = _kinds(lines)
    for kind, group in groupby(zip(kinds, lines, strict=True), key=lambda each: each[0]):
        found = tuple(line for _, line in group)
        yield _Part(kind, _joined(found) if kind == "prose" else found)


def _kinds(lines: Sequence[str]) -> list[str]:
    """Return the kind of each line."""
    kinds: list[str] = []
    is_fenced = False
    for line in lines:
        if _FENCE.match(line):
            is_fenced = not is_fenced
            kinds.append("code")
        elif is_fenced:
            kinds.append("code")
        elif not line.strip():
            kinds.append("blank")
        elif _ROW.fullmatch(line):
            kinds.append("table")
        elif _INDENTED.match(line) and not _ITEM.match(line):
            kinds.append("code")
        else:
            kinds.append("prose")
    return _with_bare_code(kinds, lines)


def _with_bare_code(kinds: list[str], lines: Sequence[str]) -> list[str]:
    """Mark paragraphs as code of which most lines look so: formats differ in what marks code."""
    start = 0
    for kind, group in groupby(list(kinds)):
        end = start + len(list(group))
        part = lines[start:end]
        if kind == "prose" and 2 * sum(bool(_CODE.search(line)) for line in part) > len(part):
            kinds[start:end] = ["code"] * len(part)
        start = end
    return kinds


def _joined(lines: Sequence[str]) -> tuple[str, ...]:
    """Join lines that are one paragraph with line ends inside."""
    joined: list[str] = []
    for number, line in enumerate(lines):
        before = lines[number - 1] if number else ""
        goes_on = len(before) >= _PROSE_LINE and not _ITEM.match(line)
        if goes_on and joined:
            joined[-1] = f"{joined[-1].rstrip()} {line.strip()}"
        else:
            joined.append(line.rstrip())
    return tuple(joined)


class StreamedLines:
    """Wraps a text that comes in pieces: words as they are complete, tables when they end."""

    def __init__(
        self,
        width: int,
        write: Callable[[Text], None],
        *,
        find: FindMatches | None = None,
        rule: str = "─",
    ) -> None:
        """Write nothing yet; ``write`` gets parts of lines, with line ends."""
        self._width = width
        self._write = write
        self._find = find
        self._rule = rule
        self._rest = ""  # What is not shown yet of the last line.
        self._held: list[str] = []  # Whole lines of a table or of code that may go on.
        self._column = 0  # Cells that are used in the line on the terminal.
        self._is_fenced = False

    def feed(self, piece: str) -> None:
        """Add a piece of the text."""
        self._rest += printable(piece)
        *lines, self._rest = self._rest.split("\n")
        for line in lines:
            self._end_line(line)
        is_open = self._rest.strip() and not self._is_fenced and not is_special(self._rest)
        if self._column or is_open:
            self._flush()
            self._show_words()

    def finish(self) -> None:
        """Write what is left."""
        if self._rest or self._column:
            self._end_line(self._rest)
        self._rest = ""
        self._flush()

    def _end_line(self, line: str) -> None:
        if self._column:
            self._show(line)
            self._write(Text("\n"))
            self._column = 0
        elif self._is_fenced or is_special(line):
            if _FENCE.match(line):
                self._is_fenced = not self._is_fenced
            self._held.append(line)
        else:
            self._flush()
            self._show(line)
            self._write(Text("\n"))
            self._column = 0

    def _flush(self) -> None:
        held, self._held = self._held, []
        if held:
            for line in passage_lines(
                "\n".join(held), self._width, find=self._find, rule=self._rule
            ):
                self._write(line + Text("\n"))

    def _show_words(self) -> None:
        """Show what no later piece can change: all but the last word."""
        whole = max(self._rest.rfind(each) for each in (" ", "。", "，", "、", "；", "！", "？"))
        if whole > 0 and not self._rest[:whole].isspace():
            # A space at the end may be left out at the end of the line.
            end = whole if self._rest[whole] == " " else whole + 1
            words, self._rest = self._rest[:end], self._rest[end:]
            self._show(words)

    def _show(self, words: str) -> None:
        shown = highlighted(words.rstrip(" "), self._find)
        for number, line in enumerate(
            wrapped(shown, self._width, first=self._width - self._column)
        ):
            if number:
                self._write(Text("\n"))
                self._column = 0
            self._write(line)
            self._column += line.cell_len
