"""The lines of a PDF page, made from PDFium's characters.

PDFium gives characters in the order of the content stream and adds line ends. A line also ends
at a wide gap, as between columns and between the cells of a table. What nobody can see on the page
is left out; raised and lowered digits and the targets of links are written out.
"""

from __future__ import annotations

import ctypes
import math
import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from statistics import median
from typing import NamedTuple

import pypdfium2.raw as pdfium
from pypdfium2 import PdfPage, PdfTextPage

from kvasir.components.extractors.inline_marks import Position, link_suffix, lowered, raised
from kvasir.components.extractors.pdf_marks import Area, Field, Link, PageMarks

_LINE_ENDS = frozenset("\r\n")
_HYPHENS = frozenset("\x02\xad\ufffe")
_LAM = "\u0644"
_ALEFS = frozenset("\u0622\u0623\u0625\u0627")
_LAST_LATIN = "\u058f"
"""Hebrew and Arabic come after it."""
_GAP = 1.7
"""Widest gap inside a line, in font sizes; a wider one separates columns or cells."""
_BOLD = 600
_FORCE_BOLD = 1 << 18
_FIXED_PITCH = 1
_PRESENTATION_FORMS = re.compile(r"[\ufb00-\ufdff\ufe70-\ufefc]+")
_SMALL = 0.85
"""Raised and lowered characters are at most this share as high as those of the line."""
_RAISED = 0.15
_LOWERED = -0.06
"""Distance between the baselines, in heights of the line's characters."""
_DESCENT = 0.21
"""Share of a character's box that is usually below the baseline."""
_SMALLEST = 1.0
"""Points; smaller characters cannot be read."""
_BESIDE = 0.3
"""Share of its height by which a field overlaps its label."""
_ANGLE_SAMPLE = 200
"""Number of characters whose direction is looked at."""
SOFT_HYPHEN = "\xad"
"""Ends a line whose last word continues in the next one."""
_GAPS = frozenset({" ", SOFT_HYPHEN})

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


class _Glyph(NamedTuple):
    """A character on the upright page: left and right edge, lower edge and height."""

    character: str
    x0: float
    x1: float
    y0: float
    height: float
    link: Link | None


_SPACE = _Glyph(" ", 0.0, 0.0, 0.0, 0.0, None)


def page_lines(
    page: PdfPage,
    text_page: PdfTextPage,
    marks: PageMarks,
    hidden: Collection[int] = (),
) -> list[Line]:
    """Return a page's lines in the order of the content stream, turned upright.

    Links and form fields are written at their place. ``hidden`` are the addresses of the text
    objects that cannot be seen.
    """
    reader = _LineReader(page, text_page, marks.links, hidden)
    for index in range(text_page.count_chars()):
        reader.take(index)
    reader.finish()
    for field_ in marks.fields:
        reader.insert(field_)
    return reader.lines


def quarter_turns(text_page: PdfTextPage) -> int:
    """Return how often most of the text is turned left by 90 degrees, 0 to 3."""
    count = text_page.count_chars()
    step = max(1, count // _ANGLE_SAMPLE)
    turns = Counter(
        -round(pdfium.FPDFText_GetCharAngle(text_page.raw, index) / (math.pi / 2)) % 4
        for index in range(0, count, step)
        if pdfium.FPDFText_GetUnicode(text_page.raw, index) > 0x20
    )
    return turns.most_common(1)[0][0] if turns else 0


class _LineReader:
    """Collects characters into lines."""

    def __init__(
        self,
        page: PdfPage,
        text_page: PdfTextPage,
        links: Sequence[Link],
        hidden: Collection[int],
    ) -> None:
        self.lines: list[Line] = []
        self._text = text_page.raw
        self._turns = quarter_turns(text_page)
        # Boxes of characters are those of the page before it is turned for display.
        self._left, self._bottom, right, top = page.get_bbox()
        self._width, self._height = right - self._left, top - self._bottom
        if self._turns % 2:
            self._size = self._height, self._width
        else:
            self._size = self._width, self._height
        self._links = links
        self._hidden = hidden
        self._box = pdfium.FS_RECTF()
        self._glyphs: list[_Glyph] = []
        self._line: Line | None = None
        self._lowest = self._highest = self._widest_gap = 0.0
        self._open_link: Link | None = None
        self._link_words = ""

    def take(self, index: int) -> None:
        """Add one character to the line, or end the line."""
        code = pdfium.FPDFText_GetUnicode(self._text, index)
        if not 0 < code <= 0x10FFFF or 0xD800 <= code <= 0xDFFF:
            return
        character = chr(code)
        if character in _LINE_ENDS:
            self.end_line()
        elif character in _HYPHENS:
            self._glyphs.append(_SPACE._replace(character=SOFT_HYPHEN))
            self.end_line()
        elif character.isspace():
            self._space()
        else:
            self._add(character, index)

    def _add(self, character: str, index: int) -> None:
        pdfium.FPDFText_GetLooseCharBox(self._text, index, self._box)
        box = self._box
        x0, y0, x1, y1 = self._upright(box.left, box.bottom, box.right, box.top)
        if self._cannot_be_seen(index, x0, y0, x1, y1):
            return
        line = self._line
        if line is not None and self._is_apart(line, x0, y0, x1, y1):
            self.end_line()
            line = None
        height = y1 - y0
        if line is None:
            line = self._line = self._new_line(index, x0, y0, x1, y1)
            self._lowest = self._highest = height
            self._widest_gap = _GAP * max(line.size, 4.0)
        # Comparisons, because this runs for each character.
        if x0 < line.x0:
            line.x0 = x0
        if x1 > line.x1:
            line.x1 = x1
        if y0 < line.y0:
            line.y0 = y0
        if y1 > line.y1:
            line.y1 = y1
        if height < self._lowest:
            self._lowest = height
        elif height > self._highest:
            self._highest = height
        glyph = _Glyph(character, x0, x1, y0, height, self._link() if self._links else None)
        before = self._glyphs[-1] if self._glyphs else _SPACE
        is_ligature = character == _LAM and before.character in _ALEFS
        if is_ligature and ((before.x0, before.x1) == (x0, x1) or x1 - x0 < 0.1):
            # PDFium reverses a lam-alef ligature together with its right-to-left line.
            self._glyphs.insert(-1, glyph)
        else:
            if character > _LAST_LATIN and _changes_to_rtl(before.character, character):
                self._space()
            self._glyphs.append(glyph)

    def _is_apart(self, line: Line, x0: float, y0: float, x1: float, y1: float) -> bool:
        if x0 - line.x1 > self._widest_gap or line.x0 - x1 > self._widest_gap:
            return True
        distance = max(y0 - line.y1, line.y0 - y1)
        return 0 < distance > min(y1 - y0, line.y1 - line.y0) > 0

    def _cannot_be_seen(self, index: int, x0: float, y0: float, x1: float, y1: float) -> bool:
        width, height = self._size
        if x1 <= 0 or y1 <= 0 or x0 >= width or y0 >= height:
            return True
        if y1 - y0 < _SMALLEST and self._is_tiny(index):
            return True
        if not self._hidden:
            return False
        found = pdfium.FPDFText_GetTextObject(self._text, index)
        return ctypes.cast(found, ctypes.c_void_p).value in self._hidden

    def _is_tiny(self, index: int) -> bool:
        """Return True if the character itself is tiny, not only the box that its font gives."""
        edges = [ctypes.c_double() for _ in range(4)]
        left, right, bottom, top = edges
        pdfium.FPDFText_GetCharBox(self._text, index, left, right, bottom, top)
        return max(top.value - bottom.value, right.value - left.value) < _SMALLEST

    def _link(self) -> Link | None:
        box = self._box
        x, y = (box.left + box.right) / 2, (box.bottom + box.top) / 2
        return next((link for link in self._links if link.holds(x, y)), None)

    def _space(self) -> None:
        if self._line is not None and self._glyphs[-1:] != [_SPACE]:
            self._glyphs.append(_SPACE)

    def end_line(self) -> None:
        """Keep the collected line if it has visible text."""
        glyphs, self._glyphs = self._glyphs, []
        line, self._line = self._line, None
        while glyphs and glyphs[-1] is _SPACE:
            glyphs.pop()
        if line is None or not glyphs:
            return
        texts = [glyph.character for glyph in glyphs]
        if self._lowest < _SMALL * self._highest:
            _write_positions(glyphs, texts)
        if self._links:
            self._write_links(glyphs, texts)
        line.text = "".join(texts)
        if _PRESENTATION_FORMS.search(line.text):
            # Arabic shapes and ligatures become plain letters.
            texts = [_PRESENTATION_FORMS.sub(_plain_letters, text) for text in texts]
            line.text = "".join(texts)
        line.words = list(_words(glyphs, texts))
        self.lines.append(line)

    def finish(self) -> None:
        """End the last line and the last link."""
        self.end_line()
        self._end_link()

    def insert(self, filled: Field) -> None:
        """Insert a form field as a line: beside its label, else below what is above it."""
        x0, y0, x1, y1 = self._upright(*filled.area)
        row = [line for line in self.lines if _overlap(line.y0, line.y1, y0, y1) > _BESIDE]
        left = max((line for line in row if line.x1 <= x0 + 2), key=_right_edge, default=None)
        right = min((line for line in row if line.x0 >= x1 - 2), key=_left_edge, default=None)
        label = left or right
        if filled.is_box and left and right and right.x0 - x1 <= x0 - left.x1:
            label = right
        if label is None:
            above = [line for line in self.lines if line.y0 >= (y0 + y1) / 2]
            near = (line for line in above if _overlap(line.x0, line.x1, x0, x1) > 0)
            label = min(near, key=_lower_edge, default=above[-1] if above else None)
        place = self.lines.index(label) + (label is not right) if label else 0
        size = label.size if label else y1 - y0
        if label:
            # On the label's line, because a field's frame is higher than its text.
            y0, y1 = (label.y0, label.y1) if label in row else (y0, y1)
        words = [(x0, x1, filled.text)]
        self.lines.insert(place, Line(filled.text, x0, y0, x1, y1, size, words=words))

    def _write_links(self, glyphs: Sequence[_Glyph], texts: list[str]) -> None:
        for number, glyph in enumerate(glyphs):
            if glyph is _SPACE:
                continue
            if self._open_link is not None and glyph.link != self._open_link:
                self._end_link(texts, number)
            self._open_link = glyph.link
            if glyph.link is not None:
                self._link_words += glyph.character

    def _end_link(self, texts: list[str] | None = None, number: int = 0) -> None:
        """Write the target behind the link's words, which end in this line or in the last one."""
        if self._open_link is None:
            return
        suffix = link_suffix(self._link_words, self._open_link.address)
        self._open_link, self._link_words = None, ""
        while texts is not None and number and texts[number - 1] == " ":
            number -= 1
        if texts is not None and number:
            texts[number - 1] += suffix
        elif self.lines and suffix:
            last = self.lines[-1]
            last.text += suffix
            x0, x1, text = last.words[-1]
            last.words[-1] = x0, x1, text + suffix

    def _new_line(self, index: int, x0: float, y0: float, x1: float, y1: float) -> Line:
        size = pdfium.FPDFText_GetFontSize(self._text, index)
        # Some producers scale a font of size 1 by the text matrix; use the box then.
        if not 0.5 < size / max(y1 - y0, 0.1) < 2:
            size = (y1 - y0) * 0.85
        flags = ctypes.c_int(0)
        buffer = ctypes.create_string_buffer(128)
        pdfium.FPDFText_GetFontInfo(self._text, index, buffer, 128, flags)
        name = buffer.value.lower()
        weight = pdfium.FPDFText_GetFontWeight(self._text, index)
        bold = weight >= _BOLD or bool(flags.value & _FORCE_BOLD) or b"bold" in name
        fixed = bool(flags.value & _FIXED_PITCH) or b"mono" in name or b"courier" in name
        return Line("", x0, y0, x1, y1, size, bold, fixed)

    def _upright(self, left: float, bottom: float, right: float, top: float) -> Area:
        """Return a box on the page as it is read."""
        left, bottom = left - self._left, bottom - self._bottom
        right, top = right - self._left, top - self._bottom
        if self._turns == 1:
            return bottom, self._width - right, top, self._width - left
        if self._turns == 2:
            return (
                self._width - right,
                self._height - top,
                self._width - left,
                self._height - bottom,
            )
        if self._turns == 3:
            return self._height - top, left, self._height - bottom, right
        return left, bottom, right, top


def _plain_letters(match: re.Match[str]) -> str:
    return unicodedata.normalize("NFKC", match[0])


def _words(glyphs: Sequence[_Glyph], texts: Sequence[str]) -> Iterator[Word]:
    """Yield the words with their edges."""
    start = 0
    count = len(glyphs)
    while start < count:
        end = start
        while end < count and glyphs[end].character not in _GAPS:
            end += 1
        if end > start:
            word = glyphs[start:end]
            x0, x1 = min(each.x0 for each in word), max(each.x1 for each in word)
            yield x0, x1, "".join(texts[start:end])
        start = end + 1


def _write_positions(glyphs: Sequence[_Glyph], texts: list[str]) -> None:
    """Write raised and lowered characters so that they cannot be taken for others."""
    inked = [glyph for glyph in glyphs if glyph.height]
    usual = Counter(round(glyph.height, 1) for glyph in inked).most_common(1)[0][0]
    if usual < _SMALL * max(glyph.height for glyph in inked):
        # Most of the line is small: a large first letter, or a footnote's text.
        usual = max(usual, median(glyph.height for glyph in inked))
    baseline = median(
        glyph.y0 + _DESCENT * glyph.height
        for glyph in inked
        if abs(glyph.height - usual) < 0.1 * usual
    )

    def position(glyph: _Glyph) -> Position:
        if not glyph.height or glyph.height > _SMALL * usual:
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
        start = end


def _overlap(start: float, end: float, other_start: float, other_end: float) -> float:
    """Return by which share of the shorter span two spans overlap."""
    shorter = min(end - start, other_end - other_start)
    return (min(end, other_end) - max(start, other_start)) / max(shorter, 0.1)


def _left_edge(line: Line) -> float:
    return line.x0


def _right_edge(line: Line) -> float:
    return line.x1


def _lower_edge(line: Line) -> float:
    return line.y0


def _changes_to_rtl(before: str, after: str) -> bool:
    """Return True if a Latin word ends where an Arabic or Hebrew one begins."""
    return before.isascii() and before.isalnum() and unicodedata.bidirectional(after) in ("R", "AL")
