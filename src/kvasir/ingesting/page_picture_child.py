"""The process that draws a PDF page: ``python -m kvasir.ingesting.page_picture_child MEGABYTES``.

``page_picture`` starts it. Its input is a line of JSON and the file, its output the picture.
"""

from __future__ import annotations

import ctypes
import json
import struct
import sys
import unicodedata
import zlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pypdfium2 as pdfium
from pypdfium2 import raw

from kvasir.core.environment import arguments
from kvasir.core.operating_system import limit_address_space

_MARK = (255, 226, 92)
"""Red, green and blue of a marker pen: what is under it stays legible."""
_SHORTEST_PIECE = 8
"""Letters of a line that is looked for alone."""
_LONGEST_SIDE = 4000
_IGNORED = frozenset("-\u00ad\u2010\u2011\ufffe\u0002")
"""Hyphens at the ends of lines, which the extracted text has not."""

Rectangle = tuple[float, float, float, float]
"""Left, top, right and bottom, as shares of the page."""


def draw(head: dict[str, Any], data: bytes) -> bytes:
    """Return the picture of a page; ``head`` has the arguments of ``page_picture``.

    Raises:
        ValueError: The file has no such page.
        PdfiumError: The file cannot be read.
    """
    with pdfium.PdfDocument(data) as pdf:
        number = head["page"]
        if not 1 <= number <= len(pdf):
            raise ValueError(f"it has the pages 1 to {len(pdf)}")
        if pdf.get_formtype() != raw.FORMTYPE_NONE:
            pdf.init_forms()
        page = pdf[number - 1]
        width, height = page.get_size()
        scale = min(head["width"] / width, _LONGEST_SIDE / max(width, height))
        bitmap = page.render(scale=scale, rev_byteorder=True)
        plain = bitmap.to_numpy()[:, :, :3]
        pixels = plain.copy()
        if head["box"]:
            marked: Sequence[Rectangle] = [head["box"]]
        else:
            marked = list(_found(page, head["quote"], head["before"]))
        for rectangle in marked:
            _mark(pixels, plain, rectangle)
    return png(pixels)


def _found(page: pdfium.PdfPage, quote: str, before: str) -> Iterator[Rectangle]:
    """Yield the areas of the lines of a quote."""
    text_page = page.get_textpage()
    letters, places = _letters_of_page(text_page)
    for first, last in _spans(letters, quote, before):
        start, end = places[first], places[last - 1] + 1
        for number in range(text_page.count_rects(start, end - start)):
            yield _as_shares(page, *text_page.get_rect(number))


def _spans(letters: str, quote: str, before: str) -> Iterator[tuple[int, int]]:
    """Yield where a quote stands in the letters of a page: whole, its beginning, or by lines."""
    wanted, context = _letters(quote), _letters(before)
    if not wanted:
        return
    at = letters.find(context + wanted) if context else -1
    first = at + len(context) if at >= 0 else letters.find(wanted)
    if first >= 0:
        yield first, first + len(wanted)
        return
    begun = _longest_beginning(letters, wanted)
    lines = [_letters(line) for line in quote.splitlines()]
    pieces = [line for line in lines if len(line) >= _SHORTEST_PIECE and line in letters]
    if begun >= max(_SHORTEST_PIECE, sum(map(len, pieces))):
        first = letters.find(wanted[:begun])
        yield first, first + begun
        return
    for piece in pieces:
        first = letters.find(piece)
        yield first, first + len(piece)


def _longest_beginning(letters: str, wanted: str) -> int:
    low, high = 0, len(wanted)
    while low < high:
        middle = (low + high + 1) // 2
        if wanted[:middle] in letters:
            low = middle
        else:
            high = middle - 1
    return low


def _letters_of_page(text_page: pdfium.PdfTextPage) -> tuple[str, list[int]]:
    """Return the letters of a page, and the index of the character of each."""
    letters: list[str] = []
    places: list[int] = []
    for index in range(text_page.count_chars()):
        code = raw.FPDFText_GetUnicode(text_page.raw, index)
        if 0 < code <= 0x10FFFF and not 0xD800 <= code <= 0xDFFF:
            found = _letters(chr(code))
            letters.append(found)
            places += [index] * len(found)
    return "".join(letters), places


def _letters(text: str) -> str:
    """Return a text without spaces, hyphens, case and ligatures."""
    plain = unicodedata.normalize("NFKC", text).casefold()
    return "".join(each for each in plain if not each.isspace() and each not in _IGNORED)


def _as_shares(
    page: pdfium.PdfPage, left: float, bottom: float, right: float, top: float
) -> Rectangle:
    """Return an area of a page as it is displayed."""
    size = 10_000
    corners = []
    for x, y in ((left, top), (right, bottom)):
        shown_x, shown_y = ctypes.c_int(), ctypes.c_int()
        raw.FPDF_PageToDevice(page.raw, 0, 0, size, size, 0, x, y, shown_x, shown_y)
        corners.append((shown_x.value / size, shown_y.value / size))
    (x0, y0), (x1, y1) = corners
    return min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1)


def _mark(pixels: np.ndarray, plain: np.ndarray, rectangle: Rectangle) -> None:
    """Tint an area of a picture; where two overlap, the second one does not darken the first."""
    height, width = pixels.shape[:2]
    left, top, right, bottom = rectangle
    rows = slice(max(0, int(top * height) - 1), int(bottom * height) + 2)
    columns = slice(max(0, int(left * width) - 1), int(right * width) + 2)
    tinted = plain[rows, columns].astype(np.uint16) * np.array(_MARK, np.uint16) // 255
    pixels[rows, columns] = tinted.astype(np.uint8)


def png(pixels: np.ndarray) -> bytes:
    """Return a picture ``uint8 [height, width, 3]`` in PNG's format.

    Source: https://www.w3.org/TR/png-3/
    """
    height, width = pixels.shape[:2]
    lines = np.zeros((height, 1 + 3 * width), np.uint8)
    lines[:, 1:] = pixels.reshape(height, -1)
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(lines.tobytes(), 6)), (b"IEND", b""))
    body = b"".join(
        struct.pack(">I", len(content))
        + name
        + content
        + struct.pack(">I", zlib.crc32(name + content))
        for name, content in parts
    )
    return b"\x89PNG\r\n\x1a\n" + body


def main() -> None:
    """Draw the page of the standard input; end with status 1 and one line if that fails."""
    limit_address_space(int(arguments()[0]) << 20)
    head, _, data = sys.stdin.buffer.read().partition(b"\n")
    try:
        sys.stdout.buffer.write(draw(json.loads(head), data))
    except (ValueError, MemoryError, pdfium.PdfiumError) as error:
        sys.exit(f"its page cannot be drawn: {str(error) or 'there is too little memory'}")


if __name__ == "__main__":
    main()
