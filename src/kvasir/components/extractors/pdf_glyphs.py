"""The characters of a PDF line, the line that is made of them, and the text that it gives."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from statistics import median, median_high
from typing import NamedTuple

from kvasir.components.extractors.inline_marks import Position, lowered, raised
from kvasir.components.extractors.pdf_marks import Link

SOFT_HYPHEN = "\xad"
"""Ends a line whose last word continues in the next one."""

_BULLETS = frozenset("•‣◦▪▫●○■□➢✓")
"""Signs before list items, which some programs draw small and higher or lower than the text."""
_GAPS = frozenset({" ", SOFT_HYPHEN})
_PRESENTATION_FORMS = re.compile(r"[\ufb00-\ufdff\ufe70-\ufefc]+")
_SMALL = 0.85
"""Raised and lowered characters are at most this share as high as those of the line."""
_RAISED = 0.15
_LOWERED = -0.06
"""Distance between the baselines, in heights of the line's characters."""
_NARROWEST_SPACE = 0.1
"""In heights of the line's characters."""
_DESCENT = 0.21
"""Share of a character's box that is usually below the baseline."""

Word = tuple[float, float, str]


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


class Glyph(NamedTuple):
    """A character on the upright page: left and right edge, lower edge and height."""

    character: str
    x0: float
    x1: float
    y0: float
    height: float
    link: Link | None


SPACE = Glyph(" ", 0.0, 0.0, 0.0, 0.0, None)


def plain_letters(texts: list[str]) -> list[str]:
    """Return Arabic shapes and ligatures as plain letters; other characters stay as they are."""
    if not _PRESENTATION_FORMS.search("".join(texts)):
        return texts
    return [_PRESENTATION_FORMS.sub(_normalized, text) for text in texts]


def _normalized(match: re.Match[str]) -> str:
    return unicodedata.normalize("NFKC", match[0])


def is_small(lowest: float, highest: float) -> bool:
    """Return True if the lowest of a line's characters is much lower than the highest."""
    return lowest < _SMALL * highest


def words(glyphs: Sequence[Glyph], texts: Sequence[str]) -> Iterator[Word]:
    """Yield the words with their edges."""
    start = 0
    count = len(glyphs)
    while start < count:
        end = start
        while end < count and glyphs[end].character not in _GAPS:
            end += 1
        if end > start:
            first, last = glyphs[start], glyphs[end - 1]
            x0, x1 = min(first.x0, last.x0), max(first.x1, last.x1)
            yield x0, x1, "".join(texts[start:end])
        start = end + 1


def write_positions(glyphs: Sequence[Glyph], texts: list[str]) -> None:
    """Write raised and lowered characters so that they cannot be taken for others."""
    inked = [glyph for glyph in glyphs if glyph.height]
    heights = [glyph.height for glyph in inked]
    rounded = Counter(round(height, 1) for height in heights).most_common(1)[0][0]
    usual = min(heights, key=lambda height: abs(height - rounded))
    if usual < _SMALL * max(heights):
        # Most of the line is small: a large first letter, or a footnote's text.
        usual = max(usual, median_high(heights))
    baseline = median(
        glyph.y0 + _DESCENT * glyph.height
        for glyph in inked
        if abs(glyph.height - usual) < 0.1 * usual
    )

    def position(glyph: Glyph) -> Position:
        if not glyph.height or glyph.height > _SMALL * usual or glyph.character in _BULLETS:
            return Position.BASELINE
        shift = (glyph.y0 + _DESCENT * glyph.height - baseline) / usual
        if shift > _RAISED:
            return Position.RAISED
        return Position.LOWERED if shift < _LOWERED else Position.BASELINE

    start = 0
    for place, group in groupby(glyphs, key=position):
        end = start + len(list(group))
        if place is not Position.BASELINE:
            piece = "".join(texts[start:end])
            before = "".join(texts[:start])
            written = raised(piece, before) if place is Position.RAISED else lowered(piece)
            texts[start:end] = [written, *[""] * (end - start - 1)]
            for space in (start - 1, end):
                if 0 < space < len(glyphs) - 1 and _is_made_up(glyphs, space, usual):
                    texts[space] = ""
        start = end


def _is_made_up(glyphs: Sequence[Glyph], index: int, usual: float) -> bool:
    """Return True for a space without a gap: PDFium adds spaces where the baseline changes."""
    before, after = glyphs[index - 1], glyphs[index + 1]
    return glyphs[index] is SPACE and after.x0 - before.x1 < _NARROWEST_SPACE * usual
