"""Recognized pages as lines of a page, and the boxes of their text in the document.

The lines go through the same layout as those of a PDF: columns, tables, lists and paragraphs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from statistics import median

from kvasir.components.extractors.ocr import Pixels, ReadLine, ReadPage, recognize, straightened
from kvasir.components.extractors.pdf_glyphs import Line, Word
from kvasir.core.text import CJK
from kvasir.core.types import Document, PageBox, RecognizedSpan

_BODY = 0.25
"""Sizes that differ less than this from the page's median are one font size: the detector
measures ink, which depends on the letters."""
_TYPE = 0.8
"""Font size of Latin letters in heights of the detected boxes, which are larger."""
_CHINESE_TYPE = 1.0
_CHINESE = re.compile(f"[{CJK}]")
_STEP = 0.35
"""Lines whose centres differ less than this, in line heights, are one printed line."""


def read_page(pixels: Pixels, points_per_pixel: float) -> tuple[ReadPage, list[Line]]:
    """Recognize a page; return what was read, and as lines."""
    page = recognize(pixels)
    return page, page_lines(page, points_per_pixel)


def page_lines(page: ReadPage, points_per_pixel: float) -> list[Line]:
    """Return a page's lines, in points on the upright and straight page, y upwards."""
    placed = straightened(page)
    sizes = [(box[3] - box[1]) * _type(line.text) for line, box in placed]
    usual = median(sizes) if sizes else 0.0
    lines = []
    for (line, box), own in zip(placed, sizes, strict=True):
        is_body = abs(own - usual) <= _BODY * usual
        size = (usual if is_body else own) * points_per_pixel
        x0, y0, x1, y1 = (edge * points_per_pixel for edge in box)
        middle, half = (y0 + y1) / 2, size / 2
        words = list(_words(line.text, x0, x1))
        text = " ".join(line.text.split())
        lines.append(Line(text, x0, middle - half, x1, middle + half, size, words=words))
    return _levelled(lines)


def _type(text: str) -> float:
    is_chinese = len(_CHINESE.findall(text)) > len(text) / 2
    return _CHINESE_TYPE if is_chinese else _TYPE


def _levelled(lines: list[Line]) -> list[Line]:
    """Give lines beside each other, such as cells, the same lower and upper edge."""
    done: list[Line] = []
    for line in sorted(lines, key=lambda each: -(each.y0 + each.y1)):
        if done:
            last = done[-1]
            apart = abs((last.y0 + last.y1) - (line.y0 + line.y1)) / 2
            if apart < _STEP * min(last.size, line.size):
                line.y0, line.y1 = last.y0, last.y0 + line.size
        done.append(line)
    return done


def _words(text: str, x0: float, x1: float) -> Iterator[Word]:
    """Yield the words with estimated edges: the recognizer gives those of lines."""
    wide = (x1 - x0) / max(len(text), 1)
    start = 0
    for word in text.split():
        start = text.index(word, start)
        yield x0 + start * wide, x0 + (start + len(word)) * wide, word
        start += len(word)


def with_boxes(document: Document, pages: Mapping[int, ReadPage]) -> Document:
    """Return a document with the boxes of the recognized lines that its text holds."""
    spans: list[RecognizedSpan] = []
    for number, page in pages.items():
        blocks = [block for block in document.blocks if block.page == number]
        if blocks:
            spans += _spans(document.text, blocks[0].start, blocks[-1].end, number, page.lines)
    return replace(document, recognized=tuple(sorted(spans, key=lambda span: span.start)))


def _spans(
    text: str, start: int, end: int, page: int, lines: Sequence[ReadLine]
) -> Iterator[RecognizedSpan]:
    """Yield where the lines of a page stand in the document; equal ones in their order."""
    after: dict[str, int] = {}
    for line in lines:
        # A hyphen at the end of a line is not in the text; the bullet of a list item may differ.
        wanted = " ".join(line.text.split()).rstrip("-\xad").lstrip("•‣◦▪●○■□-*· ")
        at = text.find(wanted, after.get(wanted, start), end) if wanted else -1
        if at >= 0:
            after[wanted] = at + len(wanted)
            yield RecognizedSpan(at, at + len(wanted), _box(page, line))


def _box(page: int, line: ReadLine) -> PageBox:
    left, top, right, bottom = (round(edge, 4) for edge in line.edges)
    return PageBox(page, left, top, right, bottom, round(line.confidence, 3))
