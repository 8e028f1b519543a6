"""Numbers of list items as every format writes them: decimal, letters or Roman numerals."""

from __future__ import annotations

_LARGEST_ROMAN = 3999
_LARGEST_REPEATED = 780
"""The largest number that is written as one letter repeated: thirty times, as in Word."""
_MOST_DIGITS = 9
_ROMAN = (
    (1000, "m"), (900, "cm"), (500, "d"), (400, "cd"), (100, "c"), (90, "xc"), (50, "l"),
    (40, "xl"), (10, "x"), (9, "ix"), (5, "v"), (4, "iv"), (1, "i"),
)  # fmt: skip


def whole_number(text: str, default: int) -> int:
    """Return a number of up to nine digits; the default for another text."""
    is_number = text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS
    return int(text) if is_number else default


def number_text(count: int, style: str) -> str:
    """Return a count in a number format: decimal, letters or Roman numerals.

    After z, ``lowerLetter`` repeats letters (aa, bb) and ``lowerAlpha`` counts on (aa, ab).
    """
    text = str(count)
    if style in ("lowerLetter", "upperLetter") and 0 < count <= _LARGEST_REPEATED:
        text = chr(ord("a") + (count - 1) % 26) * ((count - 1) // 26 + 1)
    elif style in ("lowerAlpha", "upperAlpha") and count > 0:
        text = ""
        while count > 0:
            count, letter = divmod(count - 1, 26)
            text = chr(ord("a") + letter) + text
    elif style in ("lowerRoman", "upperRoman") and 0 < count <= _LARGEST_ROMAN:
        text = ""
        for value, sign in _ROMAN:
            text += sign * (count // value)
            count %= value
    return text.upper() if style.startswith("upper") else text
