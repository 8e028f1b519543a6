"""The pages of one file that are pictures: recognizes them if that is allowed and possible.

The modules that recognize are imported with the first such page, after its allowance of memory was
given, so that other files do without them.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pypdfium2 as pdfium

from kvasir.components.extractors.document_builder import DocumentBuilder
from kvasir.components.extractors.pdf_glyphs import Line
from kvasir.core.errors import ExtractionError
from kvasir.core.ocr import allowed_ocr, has_ocr
from kvasir.core.types import Document

if TYPE_CHECKING:
    from kvasir.components.extractors.ocr import Pixels, ReadPage

_POINTS = 72
_DPI = 200
_LONGEST_SIDE = 4000
"""Pixels; larger pages are drawn with fewer pixels for each inch."""
_NOT_INSTALLED = "the extra 'ocr', which recognizes text in pictures, is not installed"
_OFF = "rag.ingest.ocr is off"


class ScannedPages:
    """Recognizes pages of one file that has ``count`` pages, and keeps the boxes of their text."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._begin_page = allowed_ocr()
        self._read: dict[int, ReadPage] = {}
        self._unread: list[int] = []

    @property
    def can_recognize(self) -> bool:
        """True if OCR is on and installed."""
        return self._begin_page is not None and has_ocr()

    def pdf_lines(self, page: pdfium.PdfPage, number: int) -> tuple[list[Line], float]:
        """Return the lines in the picture of a page of a PDF, and the page's height, in points."""
        longest = max(page.get_width(), page.get_height(), 1.0)
        scale = min(_DPI / _POINTS, _LONGEST_SIDE / longest)

        def draw() -> Pixels:
            drawn = page.render(scale=scale, rev_byteorder=True, draw_annots=False)
            pixels: Pixels = drawn.to_numpy()
            return pixels

        lines, height = self.lines(draw, number, 1 / scale)
        return lines, height or page.get_height()

    def lines(
        self, draw: Callable[[], Pixels], number: int, points_per_pixel: float
    ) -> tuple[list[Line], float]:
        """Return the lines of a picture, and its height as they are read, in points.

        Without lines if it has no text; without height, too, if it was not read. ``draw`` is
        called when the page has its allowance of time and memory.
        """
        if not self.can_recognize or self._begin_page is None:
            self._unread.append(number)
            return [], 0.0
        self._begin_page(number, self._count)
        lines: list[Line]
        page, lines = _ocr_pages().read_page(draw(), points_per_pixel)
        self._read[number] = page
        return lines, page.height * points_per_pixel

    def textless_error(self, what: str) -> ExtractionError:
        """Return the error of a file on whose pages no text was found; ``what`` they are."""
        if not self._unread:
            return ExtractionError("empty", f"{what}, and no text was recognized there")
        return self.unread_error(what)

    @staticmethod
    def unread_error(what: str) -> ExtractionError:
        """Return why a file was not recognized: OCR is off or not installed."""
        if allowed_ocr() is None:
            return ExtractionError("ocr_off", f"{what}, and {_OFF}")
        return ExtractionError("image_only", f"{what}, and {_NOT_INSTALLED}")

    def finish(self, builder: DocumentBuilder) -> Document:
        """Return the document with the boxes; say which pages were not read."""
        if self._unread:
            why = _OFF if self._begin_page is None else _NOT_INSTALLED
            pages = ", ".join(map(str, self._unread))
            builder.warn(f"pages that are pictures were not read ({pages}): {why}")
        if self._read:
            builder.set_metadata(pages_recognized=tuple(self._read))
        document = builder.build()
        if not self._read:
            return document
        placed: Document = _ocr_pages().with_boxes(document, self._read)
        return placed


def _ocr_pages() -> Any:
    return importlib.import_module("kvasir.components.extractors.ocr_pages")
