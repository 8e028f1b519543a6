"""Places where a text can be cut without taking apart what readers see as one character.

Source: Unicode Standard Annex #29, grapheme clusters, with syllables of Thai and Lao.
"""

from __future__ import annotations

import unicodedata

_MARKS = frozenset({"Mn", "Mc", "Me"})
_VIRAMA = 9
"""Combining class of the signs that join two consonants of Indic scripts."""
_ZERO_WIDTH_JOINER = "\u200d"
_JOINED_BEFORE = frozenset(
    # Joiners, the skin colors of emoji, and the letters of flags of regions.
    [_ZERO_WIDTH_JOINER, "\u200c", *map(chr, range(0x1F3FB, 0x1F400))]
    + [chr(code) for code in range(0xE0020, 0xE0080)]
    # Vowels and vowel lengths of Thai and Lao behind their consonant, and the sign of repetition.
    + list("\u0e30\u0e32\u0e33\u0e45\u0e46\u0eb0\u0eb2\u0eb3\u0ec6")
    # Vowels and final consonants of Korean syllables in parts.
    + [chr(code) for code in (*range(0x1160, 0x1200), *range(0xD7B0, 0xD800))]
)
_JOINED_AFTER = frozenset(
    [
        _ZERO_WIDTH_JOINER,
        # Vowels of Thai and Lao that stand in front of their consonant.
        *map(chr, (*range(0x0E40, 0x0E45), *range(0x0EC0, 0x0EC5))),
    ]
)
_FLAG_LETTERS = "".join(map(chr, range(0x1F1E6, 0x1F200)))
_LONGEST_ROW = 100_000
"""Letters of flags that are counted."""


def is_between_characters(text: str, position: int) -> bool:
    """Return True if a cut in front of a position leaves characters and syllables whole."""
    before, after = text[position - 1], text[position]
    if before.isascii() and after.isascii():
        return (before, after) != ("\r", "\n")
    if after in _JOINED_BEFORE or before in _JOINED_AFTER:
        return False
    if unicodedata.category(after) in _MARKS:
        return False
    if unicodedata.combining(before) == _VIRAMA and after.isalpha():
        return False
    return after not in _FLAG_LETTERS or _flag_letters_before(text, position) % 2 == 0


def _flag_letters_before(text: str, position: int) -> int:
    """Return the number of letters of flags right in front of a position; two are one flag."""
    row = text[max(position - _LONGEST_ROW, 0) : position]
    return len(row) - len(row.rstrip(_FLAG_LETTERS))
