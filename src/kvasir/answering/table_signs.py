"""Find a table's value in a question with the signs that belong to it.

Values are compared by their words, so that "St. Mary" is found as "St Mary". A sign beside a word
makes it another value: "O+" is not "O-", "C" not "C#", and "18" not "<18".
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise

from kvasir.answering.table_rows import WORD

_AHEAD = r"[-−+<>≤≥~]+"
_BEHIND = r"[-−+#]+"
_BEGINS = re.compile(rf"{_AHEAD}$")
_ENDS = re.compile(rf"{_BEHIND}(?!\w)")
_HYPHEN = re.compile(r"[-−]+")
_BETWEEN_NUMBERS = "[-–−/]"
"""Signs of which each may stand for another between two numbers, as in "2023/24"."""
_SIGN_BEFORE = re.compile(rf"(?<!\w){_AHEAD}$")
_SIGN_AFTER = re.compile(rf"(?:{_BEHIND}|\*+)(?!\w)")
_WITHIN = re.compile(r"(?<=[^\W_\u3400-\u9fff])(?=[^\W_\u3400-\u9fff])")
"""A place between two letters or digits of a script with spaces."""
_ANY_GAP = r"(?![-−]+\s)(?:[^\w+#<>≤≥~]|_)*(?<!\s[-−])"
"""Punctuation and spaces, without a sign of one of the words beside it."""
_LONGEST_SIGN = 4


def written_value(question: str, values: Sequence[str]) -> str:
    """Return which of some folded values with the same words a folded question has.

    One value alone is found with other punctuation; of several the longest that stands there to
    the letter is meant. Empty if none is found.
    """
    if len(values) == 1:
        (value,) = values
        return value if _stands(question, _pattern(value)) else ""
    found = (value for value in values if _stands(question, re.escape(value)))
    return max(found, key=len, default="")


def has_sign(value: str) -> bool:
    """Return True if a sign belongs to the first or the last word of a value."""
    words = [*WORD.finditer(value)]
    return bool(
        words and (_BEGINS.search(value[: words[0].start()]) or _ENDS.match(value, words[-1].end()))
    )


def _stands(question: str, pattern: str) -> bool:
    """Return True if a pattern is found with no letter and no further sign beside it."""
    for found in re.finditer(pattern, question):
        start, end = found.span()
        before = question[max(0, start - _LONGEST_SIGN) : start]
        has_sign = _SIGN_BEFORE.search(before) or _SIGN_AFTER.match(question, end)
        if not (has_sign or _WITHIN.match(question, start) or _WITHIN.match(question, end)):
            return True
    return False


def _pattern(value: str) -> str:
    """Return a pattern of a value's words, with the signs that belong to them."""
    words = [*WORD.finditer(value)]
    begins = _BEGINS.search(value[: words[0].start()])
    ends = _ENDS.match(value, words[-1].end())
    parts = "".join(_parts(value, words))
    return f"{re.escape(begins[0]) if begins else ''}{parts}{re.escape(ends[0]) if ends else ''}"


def _parts(value: str, words: Sequence[re.Match[str]]) -> Iterator[str]:
    yield re.escape(words[0][0])
    for one, other in pairwise(words):
        yield _gap(value[one.end() : other.start()], is_number=(one[0] + other[0]).isdigit())
        yield re.escape(other[0])


def _gap(gap: str, *, is_number: bool) -> str:
    """Return a pattern of what may stand between two words; between numbers, its like."""
    kept = gap.strip()
    if is_number and re.fullmatch(_BETWEEN_NUMBERS, kept):
        return rf"\s*{_BETWEEN_NUMBERS}\s*"
    if is_number and kept:
        return r"[.:]" if gap in (".", ":") else rf"\s*{re.escape(kept)}\s*"
    if _HYPHEN.fullmatch(gap):
        return _ANY_GAP
    ends = found[0] if (found := _ENDS.match(gap)) else ""
    begins = found[0] if (found := _BEGINS.search(gap, len(ends))) else ""
    return f"{re.escape(ends)}{_ANY_GAP}{re.escape(begins)}"
