"""Words in capitals that are names although they are spelled like function words: IT, WHO, US."""

from __future__ import annotations

import re
from collections.abc import Callable

_CAPITAL = "A-Z\u00c0-\u00d6\u00d8-\u00de\u0391-\u03a9\u0400-\u042f"
_SHORT = re.compile(rf"[{_CAPITAL}][{_CAPITAL}]{{1,4}}(?![\w&'’-]|\.\w)")
_INSIDE = re.compile(r"[\w&.'’-]")
"""What precedes a part of a word; looked for last, since capitals in a row are rare."""
_BEFORE = re.compile(rf"(?<![^\W_])[{_CAPITAL}]{{2,}} \Z")
_AFTER = re.compile(rf" [{_CAPITAL}]{{2,}}(?![^\W_])")
"""A word in capitals beside another is part of a phrase in capitals: ROLLBACK TO."""
_LONGEST_BEFORE = 40
_STRESSED = frozenset(
    word
    for words in (
        "not no nor and or but if all any only must both",
        "nicht kein keine und oder nur alle muss aber",
        "ne pas non et ou sans ni sin todo todos ed tutti solo não nem sem",
        "niet geen en of alleen inte och eller bara ikke og kun",
        "не нет и или все только",
    )
    for word in words.split()
)
"""Words that are written in capitals because they are stressed."""


def names_in_capitals(text: str, is_function_word: Callable[[str], bool]) -> list[str]:
    """Return the function words in capitals in lines that are not in capitals, in lower case.

    Words that are stressed so ("NOT", "nur") are left out.
    """
    found = []
    for match in _SHORT.finditer(text):
        if match.start() and _INSIDE.match(text, match.start() - 1):
            continue
        word = match[0].lower()
        is_name = word not in _STRESSED and is_function_word(word)
        if is_name and not _is_in_phrase(text, *match.span()):
            found.append(word)
    return found


def _is_in_phrase(text: str, start: int, end: int) -> bool:
    before = text[max(0, start - _LONGEST_BEFORE) : start]
    if _BEFORE.search(before) or _AFTER.match(text, end):
        return True
    return _line_at(text, start).isupper()


def _line_at(text: str, position: int) -> str:
    end = text.find("\n", position)
    return text[text.rfind("\n", 0, position) + 1 : end if end >= 0 else len(text)]
