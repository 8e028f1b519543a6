"""Lines of a PDF page with their boxes, from PDFium's characters.

PDFium gives characters in the order of the content stream and adds line ends. A line also ends
at a wide gap, as between columns and between the cells of a table.
"""

from __future__ import annotations

import ctypes
import unicodedata
from dataclasses import dataclass, field

import pypdfium2.raw as pdfium
from pypdfium2 import PdfPage, PdfTextPage

_LINE_ENDS = frozenset("\r\n")
_HYPHENS = frozenset("\x02\xad￾")
_LAM = "\u0644"
_ALEFS = frozenset("\u0622\u0623\u0625\u0627")
_GAP = 1.7
"""Widest gap inside a line, in font sizes; a wider one separates columns or cells."""
_BOLD = 600
_FORCE_BOLD = 1 << 18
_FIXED_PITCH = 1
SOFT_HYPHEN = "\xad"
"""Ends a line whose last word continues in the next one."""

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


def page_lines(page: PdfPage, text_page: PdfTextPage) -> list[Line]:
    """Return a page's lines in the order of the content stream."""
    reader = _LineReader(page, text_page)
    for index in range(text_page.count_chars()):
        reader.take(index)
    reader.end_line()
    return reader.lines


class _LineReader:
    """Collects characters into lines."""

    def __init__(self, page: PdfPage, text_page: PdfTextPage) -> None:
        self.lines: list[Line] = []
        self._text = text_page.raw
        self._rotation = page.get_rotation()
        width, height = page.get_size()
        # The size is that of the visible page; character boxes are on the unrotated page.
        is_turned = self._rotation in (90, 270)
        self._width, self._height = (height, width) if is_turned else (width, height)
        self._box = pdfium.FS_RECTF()
        self._characters: list[str] = []
        self._line: Line | None = None
        self._in_word = False
        self._last = (0.0, 0.0)

    def take(self, index: int) -> None:
        """Add one character to the line, or end the line."""
        code = pdfium.FPDFText_GetUnicode(self._text, index)
        character = chr(code) if 0 < code <= 0x10FFFF and not 0xD800 <= code <= 0xDFFF else ""
        if character in _LINE_ENDS or not character:
            if character:
                self.end_line()
            return
        if character in _HYPHENS:
            self._characters.append(SOFT_HYPHEN)
            self.end_line()
            return
        if character.isspace():
            self._space()
            return
        pdfium.FPDFText_GetLooseCharBox(self._text, index, self._box)
        x0, y0, x1, y1 = self._upright()
        line = self._line
        if line is not None and self._is_apart(line, x0, y0, x1, y1):
            self.end_line()
            line = None
        if line is None:
            line = self._line = self._new_line(index, x0, y0, x1, y1)
        else:
            line.x0, line.x1 = min(line.x0, x0), max(line.x1, x1)
            line.y0, line.y1 = min(line.y0, y0), max(line.y1, y1)
        if self._is_mirrored(character, (x0, x1)):
            # PDFium reverses a lam-alef ligature together with its right-to-left line.
            self._characters.insert(-1, character)
        else:
            if self._characters and _changes_to_rtl(self._characters[-1], character):
                self._space()
            self._characters.append(character)
        self._last = (x0, x1)
        words = line.words
        if words and self._in_word:
            words[-1] = (min(words[-1][0], x0), max(words[-1][1], x1), words[-1][2] + character)
        else:
            words.append((x0, x1, character))
        self._in_word = True

    def _space(self) -> None:
        self._in_word = False
        if self._line is not None:
            self._characters.append(" ")

    def _is_mirrored(self, character: str, edges: tuple[float, float]) -> bool:
        return (
            character == _LAM
            and bool(self._characters)
            and self._characters[-1] in _ALEFS
            and (edges == self._last or edges[1] - edges[0] < 0.1)
        )

    def end_line(self) -> None:
        """Keep the collected line if it has visible text."""
        text = "".join(self._characters).strip()
        if self._line is not None and text:
            # Presentation forms (Arabic shapes, ligatures) become plain letters.
            self._line.text = unicodedata.normalize("NFKC", text) if _has_forms(text) else text
            self.lines.append(self._line)
        self._line, self._characters, self._in_word = None, [], False

    def _is_apart(self, line: Line, x0: float, y0: float, x1: float, y1: float) -> bool:
        gap = max(x0 - line.x1, line.x0 - x1)
        overlap = min(y1, line.y1) - max(y0, line.y0)
        height = min(y1 - y0, line.y1 - line.y0)
        return gap > _GAP * max(line.size, 4.0) or (height > 0 and overlap < -height)

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

    def _upright(self) -> tuple[float, float, float, float]:
        box, width, height = self._box, self._width, self._height
        if self._rotation == 90:
            return box.bottom, width - box.right, box.top, width - box.left
        if self._rotation == 180:
            return width - box.right, height - box.top, width - box.left, height - box.bottom
        if self._rotation == 270:
            return height - box.top, box.left, height - box.bottom, box.right
        return box.left, box.bottom, box.right, box.top


def _has_forms(text: str) -> bool:
    return any("ﬀ" <= letter <= "﷿" or "ﹰ" <= letter <= "﻿" for letter in text)


def _changes_to_rtl(before: str, after: str) -> bool:
    """Return True if a Latin word ends where an Arabic or Hebrew one begins."""
    return before.isascii() and before.isalnum() and unicodedata.bidirectional(after) in ("R", "AL")
