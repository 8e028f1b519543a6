"""The pages of one file that are pictures: recognizes them if that is allowed and possible."""

from __future__ import annotations

import pypdfium2 as pdfium

from kvasir.components.extractors.document_builder import DocumentBuilder
from kvasir.components.extractors.ocr import Pixels, ReadPage, is_installed, recognize
from kvasir.components.extractors.ocr_pages import page_lines, with_boxes
from kvasir.components.extractors.pdf_glyphs import Line
from kvasir.core.errors import ExtractionError
from kvasir.core.ocr import allowed_ocr
from kvasir.core.types import Document

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
        self._is_installed = self._begin_page is not None and is_installed()
        self._read: dict[int, ReadPage] = {}
        self._unread: list[int] = []

    @property
    def can_recognize(self) -> bool:
        """True if OCR is on and installed."""
        return self._is_installed

    def pdf_lines(self, page: pdfium.PdfPage, number: int) -> list[Line]:
        """Return the lines of a page of a PDF that is a picture, in points."""
        if not self._is_installed:
            self._unread.append(number)
            return []
        longest = max(page.get_width(), page.get_height(), 1.0)
        scale = min(_DPI / _POINTS, _LONGEST_SIDE / longest)
        pixels = page.render(scale=scale, rev_byteorder=True, draw_annots=False).to_numpy()
        return self.lines(pixels, number, 1 / scale)

    def lines(self, pixels: Pixels, number: int, points_per_pixel: float) -> list[Line]:
        """Return the lines of a picture; empty if it has no text, or OCR is off."""
        if not self._is_installed or self._begin_page is None:
            self._unread.append(number)
            return []
        self._begin_page(number, self._count)
        self._read[number] = recognize(pixels)
        return page_lines(self._read[number], points_per_pixel)

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
            builder.set_metadata(pages_recognized=", ".join(map(str, self._read)))
        return with_boxes(builder.build(), self._read)
