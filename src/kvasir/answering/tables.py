"""Read the tables of a document's text, whole, and the numbers in their columns.

A table is a run of lines that begin with ``|``, with a rule under its header, as extractors write
it. A column is read as numbers only if every value in it can be read in one way: with one unit, and
with one meaning of point and comma. Everything else is an ``UnreadableError`` with its reason.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache

MOST_CHARACTERS = 4_000_000
"""Longest table that is read."""
MOST_DIGITS = 15
"""Most digits of a number; longer ones are identifiers."""

REMEMBERED, _LONGEST_REMEMBERED = 4, 1_000_000
"""Tables that are remembered, and the most characters of one: reading one takes up to 0.1 s."""
_OTHER_LINE = re.compile(r"\n(?!\|)")
_RULE = re.compile(r"\|(?:\s*:?-+:?\s*\|)+\s*")
_RULE_BEGINS = ("| -", "|-", "| :", "|:")
_CELL_END = re.compile(r"(?<!\\)\|")
_GAP = re.compile(r"(?:[-–—.…]+|n\.?\s?/?a\.?|nan|null|none|k\.\s?a\.|s\.\s?d\.|无|暂无)?", re.I)
_NUMBER = re.compile(
    r"(?P<sign>[-−+])?\s?(?P<before>[€$£¥₫]|[A-Z]{3}(?=\s))?\s?(?P<inner>[-−])?"
    r"(?P<digits>\d+(?:[.,'’ \u00a0\u202f]\d+)*)"
    r"[\s\u00a0\u202f]?(?P<after>[€$£¥₫%‰]|°?[A-Za-zµΩ]{1,8}(?:/[A-Za-z]{1,4})?[²³]?|°|"
    r"[\u4e00-\u9fff]{1,3})?"
)
_GROUPED_BY_SPACE = re.compile(r"\d{1,3}(?:[ '’\u00a0\u202f]\d{3})+(?:[.,]\d+)?")
_POINT = re.compile(r"(?:[1-9]\d{0,2}(?:,\d{3})+|\d+)(?:\.\d+)?")
"""A number whose point stands before its decimals."""
_COMMA = re.compile(r"(?:[1-9]\d{0,2}(?:\.\d{3})+|\d+)(?:,\d+)?")
_THREE = re.compile(r"[1-9]\d{0,2}(?:[.,]\d{3})")
"""A number with one point or comma that may stand before decimals or between thousands."""
_THOUSANDS = {
    "en": ",",
    "zh": ",",
    "ja": ",",
    "ko": ",",
    "de": ".",
    "fr": ".",
    "it": ".",
    "nl": ".",
}
"""The usual separator of thousands, where a language has only one."""
_DECIMAL_COMMA = frozenset(["de", "es", "fr", "it", "nl", "pl", "pt", "ru", "sv", "vi"])
"""Languages that write a comma before decimals."""


class UnreadableError(ValueError):
    """A column cannot be read as numbers; the message says why."""


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """One row: its offsets in the document's text, and its cells; equal to itself alone."""

    start: int
    end: int
    cells: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """A whole table; equal to itself alone, so that what is read of it can be remembered.

    Attributes:
        start, end: Offsets in the document's text.
        header_end: Offset after the rule under the header.
        header: One text a column; several header rows are joined by spaces.
        rows: The rows below the header, all as wide as it is.
    """

    start: int
    end: int
    header_end: int
    header: tuple[str, ...]
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class Numbers:
    """The values of a column, None in gaps, and how to write a number as it does."""

    values: tuple[Decimal | None, ...]
    thousands: str
    decimal: str
    places: int
    before: str
    after: str

    def written(self, value: Decimal, places: int | None = None) -> str:
        """Return a number in the column's form, with its unit; ``places`` are decimals."""
        text = f"{abs(value):,.{self.places if places is None else places}f}"
        whole, _, rest = text.partition(".")
        whole = whole.replace(",", self.thousands)
        number = f"{whole}{self.decimal}{rest}" if rest else whole
        sign = "-" if value < 0 else ""
        return f"{sign}{self.before}{number}{self.after}"


def tables_at(text: str, start: int, end: int) -> Iterator[Table]:
    """Yield the whole tables of which lines stand in a span of a document's text."""
    position = start
    while position < end:
        line_end = _line_end(text, position)
        if not text.startswith("|", position):
            position = line_end + 1
            continue
        first, last = _lines_around(text, position)
        position = last + 1
        size = last - first
        read = _remembered_table if size <= _LONGEST_REMEMBERED else _table
        # The lines alone, so that no whole document stays in memory.
        if size < MOST_CHARACTERS and (table := read(text[first:last], first)):
            yield table


def _lines_around(text: str, position: int) -> tuple[int, int]:
    """Return the span of the lines beginning with ``|`` of which one begins at a position."""
    other = _OTHER_LINE.search(text, position)
    last = other.start() if other else len(text)
    # No line of a table is empty: only the lines since the last empty one are searched.
    empty = text.rfind("\n\n", 0, position)
    first = 0 if empty < 0 else empty + 2
    if not text.startswith("|", first):
        first = _line_end(text, first) + 1
    for line in _OTHER_LINE.finditer(text, first, position - 1):
        first = _line_end(text, line.end()) + 1
    return first, last


def _line_end(text: str, start: int) -> int:
    found = text.find("\n", start)
    return len(text) if found < 0 else found


def _table(text: str, offset: int) -> Table | None:
    """Read a table, the text's lines, ``offset`` characters into the document.

    None without exactly one rule, or with rows of another width.
    """
    lines: list[Row] = []
    rules: list[int] = []
    position = 0
    while position < len(text):
        stop = _line_end(text, position)
        line = text[position:stop]
        if line.startswith(_RULE_BEGINS) and _RULE.fullmatch(line):
            rules.append(len(lines))
        if "\\" in line:
            cells = tuple(c.strip().replace("\\|", "|") for c in _CELL_END.split(line)[1:-1])
        else:
            cells = tuple(map(str.strip, line.split("|")[1:-1]))
        start = offset + position
        lines.append(Row(start, start + len(line.rstrip()), cells))
        position = stop + 1
    if len(rules) != 1 or not rules[0]:
        return None
    heads, rows = lines[: rules[0]], lines[rules[0] + 1 :]
    width = len(heads[-1].cells)
    if any(len(row.cells) != width for row in (*heads, *rows)):
        return None
    header = tuple(
        " ".join(dict.fromkeys(head.cells[column] for head in heads if head.cells[column]))
        for column in range(width)
    )
    kept = tuple(row for row in rows if row.cells != heads[-1].cells)
    return Table(offset, offset + len(text), lines[rules[0]].end, header, kept)


_remembered_table = lru_cache(REMEMBERED)(_table)


def is_gap(cell: str) -> bool:
    """Return True if a cell has no value."""
    return _GAP.fullmatch(cell.strip()) is not None


def is_number(cell: str) -> bool:
    """Return True if a cell holds a number, maybe with a unit, and nothing else."""
    return _NUMBER.fullmatch(cell) is not None


@lru_cache(REMEMBERED)
def read_numbers(table: Table, rows: tuple[Row, ...], column: int, language: str) -> Numbers:
    """Read a column of some of a table's rows as numbers.

    Whether a point separates thousands or decimals is seen in the column, else in the table's
    other columns, else in the usual form of ``language``, an ISO 639-1 code.

    Raises:
        UnreadableError: A value is no number, has another unit, or can be read in two ways.
    """
    found: list[re.Match[str] | None] = []
    for row in rows:
        cell = row.cells[column]
        match = None if is_gap(cell) else _NUMBER.fullmatch(cell)
        if match is None and not is_gap(cell):
            raise UnreadableError(f"'{cell}' is not a number")
        found.append(match)
    numbers = [match for match in found if match]
    if not numbers:
        raise UnreadableError("it has no numbers")
    units = {(match["before"] or "", match["after"] or "") for match in numbers}
    if len(units) > 1:
        named = sorted(" ".join(filter(None, unit)) or "none" for unit in units)
        raise UnreadableError(f"its values have different units: {', '.join(named)}")
    digits = [match["digits"] for match in numbers]
    decimal = _decimal_sign(table, digits, column, language)
    values = iter([_value(match, decimal) for match in numbers])
    before, after = units.pop()
    first = next(match[0] for match in numbers)
    return Numbers(
        values=tuple(next(values) if match else None for match in found),
        thousands=_thousands_sign(digits, decimal),
        decimal=decimal,
        places=max(len(text.partition(decimal)[2]) for text in digits),
        before=_with_space(first, before, after=False),
        after=_with_space(first, after, after=True),
    )


def _with_space(cell: str, unit: str, *, after: bool) -> str:
    """Return a unit with the space that a cell has between it and the number."""
    if not unit:
        return ""
    place = cell.rfind(unit) if after else cell.find(unit) + len(unit)
    has_space = cell[place - 1].isspace() if after else cell[place : place + 1].isspace()
    return f"{' ' * (after and has_space)}{unit}{' ' * (has_space and not after)}"


def _value(match: re.Match[str], decimal: str) -> Decimal:
    whole, _, rest = match["digits"].partition(decimal)
    figures = re.sub(r"\D", "", whole)
    if len(figures + rest) > MOST_DIGITS or (len(figures) > 1 and figures[0] == "0"):
        raise UnreadableError(f"'{match[0]}' looks like an identifier")
    value = Decimal(f"{figures}.{rest or 0}")
    return (
        -value
        if "-" in (sign := (match["sign"] or "") + (match["inner"] or "")) or ("−" in sign)
        else value
    )


def _decimal_sign(table: Table, digits: Sequence[str], column: int, language: str) -> str:
    """Return the sign before the decimals of a column."""
    possible = _possible_signs(digits)
    if not possible:
        raise UnreadableError("its numbers are written in different ways")
    if len(possible) == 1:
        return next(iter(possible))
    if not any(_THREE.fullmatch(text) for text in digits):
        return "," if language in _DECIMAL_COMMA else "."
    others = {"."} | {","}
    for other in range(len(table.header)):
        if other != column:
            matches = (_NUMBER.fullmatch(row.cells[other]) for row in table.rows)
            others &= _possible_signs([match["digits"] for match in matches if match])
    if len(others) == 1:
        return others.pop()
    usual = _THOUSANDS.get(language)
    if usual is None or not any(usual in text for text in digits):
        raise UnreadableError("its points or commas can be read in two ways")
    return "." if usual == "," else ","


def _possible_signs(digits: Sequence[str]) -> set[str]:
    """Return the signs that may stand before decimals, ``.`` or ``,``, in all these numbers."""
    signs = set()
    for sign, form in ((".", _POINT), (",", _COMMA)):
        if all(
            form.fullmatch(text)
            or (_GROUPED_BY_SPACE.fullmatch(text) and ("," if sign == "." else ".") not in text)
            for text in digits
        ):
            signs.add(sign)
    return signs


def _thousands_sign(digits: Sequence[str], decimal: str) -> str:
    for text in digits:
        if other := re.search(r"\D", text.partition(decimal)[0]):
            return other[0]
    return ""
