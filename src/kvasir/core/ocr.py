"""What extractors may do with pages that are pictures; set by the process that runs them.

An extractor calls ``allowed_ocr`` when it meets such a page, and ``begin_page`` before it
recognizes one, because each page has its own allowance of time and memory.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from importlib.util import find_spec

BeginPage = Callable[[int, int], None]
"""Called before a page is recognized, with its number from 1 and the number of pages."""


def _begin_nothing(page: int, pages: int) -> None:
    """Recognize without limits, outside of a child process."""


_BEGIN_PAGE: ContextVar[BeginPage | None] = ContextVar("kvasir_ocr", default=_begin_nothing)


def set_ocr(begin_page: BeginPage | None) -> None:
    """Set what is called before each page in this context; None turns OCR off."""
    _BEGIN_PAGE.set(begin_page)


def has_ocr() -> bool:
    """Return True if the library that recognizes text is installed."""
    return find_spec("rapidocr") is not None


def allowed_ocr() -> BeginPage | None:
    """Return what to call before each page, or None if OCR is off."""
    return _BEGIN_PAGE.get()
