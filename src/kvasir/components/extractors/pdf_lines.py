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
from collections.abc import Collection, Sequence

import pypdfium2.raw as pdfium
from pypdfium2 import PdfPage, PdfTextPage

from kvasir.components.extractors.inline_marks import link_suffix
from kvasir.components.extractors.pdf_forms import insert_field
from kvasir.components.extractors.pdf_glyphs import (
    SOFT_HYPHEN,
    SPACE,
    Glyph,
    Line,
    is_small,
    plain_letters,
    words,
    write_positions,
)
from kvasir.components.extractors.pdf_marks import Area, Link, PageMarks

_LINE_ENDS = frozenset("\r\n")
_HYPHENS = frozenset("\x02\xad\ufffe")
_LAM = "\u0644"
_ALEFS = frozenset("\u0622\u0623\u0625\u0627")
_LAST_LATIN = "\u058f"
_RIGHT_TO_LEFT = re.compile(r"[\u0590-\u08ff]+")
"""Hebrew, Arabic and their like."""
_GAP = 1.7
"""Widest gap inside a line, in font sizes; a wider one separates columns or cells."""
_BOLD = 600
_FORCE_BOLD = 1 << 18
_FIXED_PITCH = 1
_SMALLEST = 1.0
"""Points; smaller characters cannot be read."""
_LEVEL = 0.05
"""Largest sine of the angle of a level line."""
_ANGLE_SAMPLE = 200
"""Number of characters whose direction is looked at."""


def page_lines(
    page: PdfPage,
    text_page: PdfTextPage,
    marks: PageMarks,
    hidden: Collection[int] = (),
) -> list[Line]:
    """Return a page's lines in the order of the content stream, turned upright.

    Links and form fields are written at their place. A page in Arabic or Hebrew is mirrored, so
    that its lines, columns and cells go from left to right as on other pages.

    Args:
        page: The page.
        text_page: Its text.
        marks: What lies over the text.
        hidden: The addresses of the text objects that cannot be seen.
    """
    reader = _LineReader(page, text_page, marks.links, hidden)
    for index in range(text_page.count_chars()):
        reader.take(index)
    reader.finish()
    for filled in marks.fields:
        reader.insert(filled.text, filled.area, is_box=filled.is_box)
    if _is_right_to_left(reader.lines):
        reader.mirror()
    return reader.lines


def page_height(page: PdfPage, text_page: PdfTextPage) -> float:
    """Return the height of a page turned upright, in points."""
    left, bottom, right, top = page.get_bbox()
    return float(right - left if quarter_turns(text_page) % 2 else top - bottom)


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
        self._near: list[Link] = []
        """Links at the height of the line."""
        self._hidden = hidden
        self._box = pdfium.FS_RECTF()
        self._glyphs: list[Glyph] = []
        self._line: Line | None = None
        self._lowest = self._highest = self._widest_gap = 0.0
        self._is_level = True
        """True if the line's letters stand upright, so that their boxes are as high as they are."""
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
            self._glyphs.append(SPACE._replace(character=SOFT_HYPHEN))
            self.end_line()
        elif character.isspace():
            self._space()
        else:
            self._add(character, index)

    def _add(self, character: str, index: int) -> None:
        pdfium.FPDFText_GetLooseCharBox(self._text, index, self._box)
        box = self._box
        x0, y0, x1, y1 = self._upright(box.left, box.bottom, box.right, box.top)
        height = y1 - y0
        # Comparisons instead of calls, because this runs for each character.
        width, top = self._size
        if x1 <= 0 or y1 <= 0 or x0 >= width or y0 >= top:
            return
        if (height < _SMALLEST or self._hidden) and self._cannot_be_seen(index, height):
            return
        line = self._line
        if (
            line is not None
            and (
                x0 - line.x1 > self._widest_gap
                or line.x0 - x1 > self._widest_gap
                or y0 > line.y1
                or y1 < line.y0
            )
            and self._is_apart(line, x0, y0, x1, y1)
        ):
            self.end_line()
            line = None
        if line is None:
            line = self._line = self._new_line(index, x0, y0, x1, y1)
            self._lowest = self._highest = height
            angle = pdfium.FPDFText_GetCharAngle(self._text, index) + self._turns * math.pi / 2
            self._is_level = abs(math.sin(angle)) < _LEVEL
            self._widest_gap = _GAP * max(line.size, 4.0)
            self._near = [link for link in self._links if self._is_near(link)]
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
        glyph = Glyph(character, x0, x1, y0, height, self._link() if self._near else None)
        before = self._glyphs[-1] if self._glyphs else SPACE
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

    def _cannot_be_seen(self, index: int, height: float) -> bool:
        if height < _SMALLEST and self._is_tiny(index):
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
        return next((link for link in self._near if link.holds(x, y)), None)

    def _is_near(self, link: Link) -> bool:
        """Return True if a link may be on the line that begins with the present character."""
        box = self._box
        if self._turns % 2:
            return any(x0 <= box.right and x1 >= box.left for x0, _, x1, _ in link.areas)
        return any(y0 <= box.top and y1 >= box.bottom for _, y0, _, y1 in link.areas)

    def _space(self) -> None:
        if self._line is not None and self._glyphs[-1:] != [SPACE]:
            self._glyphs.append(SPACE)

    def end_line(self) -> None:
        """Keep the collected line if it has visible text."""
        glyphs, self._glyphs = self._glyphs, []
        line, self._line = self._line, None
        while glyphs and glyphs[-1] is SPACE:
            glyphs.pop()
        if line is None or not glyphs:
            return
        texts = [glyph.character for glyph in glyphs]
        if self._is_level and is_small(self._lowest, self._highest):
            write_positions(glyphs, texts)
        if self._links:
            self._write_links(glyphs, texts)
        texts = plain_letters(texts)
        line.text = "".join(texts)
        line.words = list(words(glyphs, texts))
        self.lines.append(line)

    def finish(self) -> None:
        """End the last line and the last link."""
        self.end_line()
        self._end_link()

    def insert(self, text: str, area: Area, *, is_box: bool) -> None:
        """Insert a form field's value, whose area is that of the page before it is turned."""
        insert_field(self.lines, text, self._upright(*area), is_box=is_box)

    def mirror(self) -> None:
        """Exchange left and right."""
        width = self._size[0]
        for line in self.lines:
            line.x0, line.x1 = width - line.x1, width - line.x0
            line.words = [(width - x1, width - x0, text) for x0, x1, text in line.words]

    def _write_links(self, glyphs: Sequence[Glyph], texts: list[str]) -> None:
        for number, glyph in enumerate(glyphs):
            if glyph is SPACE:
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


def _is_right_to_left(lines: Sequence[Line]) -> bool:
    """Return True if most letters are Arabic or Hebrew."""
    texts = [line.text for line in lines if _RIGHT_TO_LEFT.search(line.text)]
    if not texts:
        return False
    right = sum(len(found) for text in texts for found in _RIGHT_TO_LEFT.findall(text))
    return right > sum(letter.isalpha() for line in lines for letter in line.text) / 2


def _changes_to_rtl(before: str, after: str) -> bool:
    """Return True if a Latin word ends where an Arabic or Hebrew one begins."""
    return before.isascii() and before.isalnum() and unicodedata.bidirectional(after) in ("R", "AL")
