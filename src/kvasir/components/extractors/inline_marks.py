"""Writes the marks inside a line in one way for all formats.

Raised and lowered text, footnote marks, link targets and ticked boxes have no place in plain text,
and losing them changes what a text says: ten to the sixth would become 106.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import Enum
from itertools import groupby

from kvasir.core.text import CJK

TICKED, UNTICKED = "[x]", "[ ]"
LONGEST_ADDRESS = 200
"""Characters; longer addresses are session data rather than something that people read."""

_RAISED = str.maketrans("0123456789+-\u2212=()ni", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁻⁼⁽⁾ⁿⁱ")
_LOWERED = str.maketrans("0123456789+-\u2212=()", "₀₁₂₃₄₅₆₇₈₉₊₋₋₌₍₎")
_ORDINALS = {"o": "º", "a": "ª"}
_LETTER_ORDINAL = re.compile(r"st|nd|rd|th|er|re|ère|e|ème|º|ª|os|as", re.IGNORECASE)
_FOOTNOTE = re.compile(r"\(?(\d{1,3}(?:\s*[,;\u2013-]\s*\d{1,3})*)\)?")
_FOOTNOTE_PLACE = re.compile(
    # After a year, a word that is too long for a unit, punctuation or an unspaced script.
    rf"(?:(?<!\d)(?<!\d[.,])(?:1\d{{3}}|20\d{{2}})|[^\W\d_]{{4,}}|[.,;:!?\"'”’»)\]。，；！？）」]|[{CJK}])$"
)
_MARK = re.compile(r"[*†‡§¶#]+|[™®©℠]")
_MOST_WORDS = 3
"""A longer raised text is a whole phrase and is written plainly."""
_ADDRESS = re.compile(r"(?:https?|ftps?|sftp|mailto|tel|file):(?=\S)", re.IGNORECASE)
_CONTROL = re.compile(r"[<>\x00-\x1f\x7f]")


class Position(Enum):
    """The vertical position of a run of text, and whether it is struck through."""

    BASELINE = "baseline"
    RAISED = "raised"
    LOWERED = "lowered"
    STRUCK = "struck"
    STRUCK_RAISED = "struck and raised"
    STRUCK_LOWERED = "struck and lowered"

    @property
    def is_struck(self) -> bool:
        """True for text that is struck through."""
        return self in _UNSTRUCK

    def struck(self, is_struck: bool = True) -> Position:
        """Return the same position, struck through if ``is_struck``."""
        return _STRUCK.get(self, self) if is_struck else self


_STRUCK = {
    Position.BASELINE: Position.STRUCK,
    Position.RAISED: Position.STRUCK_RAISED,
    Position.LOWERED: Position.STRUCK_LOWERED,
}
_UNSTRUCK = {struck: position for position, struck in _STRUCK.items()}

Run = tuple[str, Position]
"""A piece of text and its position."""


def join_runs(runs: Iterable[Run]) -> str:
    """Return runs as one text; neighbouring runs of one position are one number or word."""
    runs = list(runs)
    if all(position is Position.BASELINE for _, position in runs):
        return "".join(part for part, _ in runs)
    text = ""
    for is_struck, group in groupby(runs, key=lambda run: run[1].is_struck):
        if is_struck:
            plain = [(part, _UNSTRUCK[position]) for part, position in group]
            text += struck(_positioned(plain, text))
        else:
            text += _positioned(group, text)
    return text


def _positioned(runs: Iterable[Run], before: str) -> str:
    """Return runs that are not struck as one text; ``before`` is the text in front of them."""
    text = ""
    for position, group in groupby(runs, key=lambda run: run[1]):
        piece = "".join(part for part, _ in group)
        if position is Position.RAISED:
            piece = raised(piece, before + text)
        elif position is Position.LOWERED:
            piece = lowered(piece)
        text += piece
    return text


def struck(text: str) -> str:
    """Return text that is struck through: ``~~20~~``."""
    inner = text.strip()
    return text.replace(inner, f"~~{inner}~~") if inner else text


def raised(text: str, before: str) -> str:
    """Return a superscript: ``10⁶``, ``x^(ab)``, or a footnote mark such as ``1987[^3]``.

    ``before`` is the text in front of it. Ordinals (``5th``) and signs (``*``, ``™``) stay plain.
    """
    inner = text.strip()
    if not inner or _MARK.fullmatch(inner) or len(inner.split()) > _MOST_WORDS:
        return text
    ends_in_digit = before[-1:].isdigit()
    if ends_in_digit and inner in _ORDINALS:
        return text.replace(inner, _ORDINALS[inner])
    if _LETTER_ORDINAL.fullmatch(inner) and (ends_in_digit or before.endswith("n")):
        return text
    footnote = _FOOTNOTE.fullmatch(inner)
    if footnote and _FOOTNOTE_PLACE.search(before[-12:]):
        return text.replace(inner, footnote_mark(footnote[1]))
    return text.replace(inner, _in_form(inner, _RAISED, "^"))


def lowered(text: str) -> str:
    """Return a subscript: ``CO₂`` or ``x_(max)``."""
    inner = text.strip()
    if not inner or len(inner.split()) > _MOST_WORDS:
        return text
    return text.replace(inner, _in_form(inner, _LOWERED, "_"))


def _in_form(text: str, forms: dict[int, int], sign: str) -> str:
    """Return the characters' own forms if all have one, else the text in brackets."""
    if all(ord(character) in forms for character in text):
        return text.translate(forms)
    return f"{sign}({text})"


def footnote_mark(label: str) -> str:
    """Return the mark of a footnote; it cannot be taken for a citation or a part of a number."""
    return f"[^{label}]"


def link_suffix(words: str, address: str) -> str:
    """Return `` (address)`` to write behind the words of a link.

    It is empty if the words are the address, and for addresses that nobody can read or open:
    targets inside the document, scripts, data and very long ones.
    """
    address = _CONTROL.sub("", "%20".join(address.split()))
    if not _ADDRESS.match(address) or len(address) > LONGEST_ADDRESS:
        return ""
    return "" if _plain(words) == _plain(address) else f" ({address})"


def _plain(address: str) -> str:
    address = "".join(address.split()).casefold()
    address = re.sub(r"^(?:https?|ftp|mailto|tel|file):/*", "", address)
    return address.removeprefix("www.").rstrip("/.,;")
