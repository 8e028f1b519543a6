"""Pages of a PDF that are pictures: scans without a text layer, perhaps with a stamp over them."""

from __future__ import annotations

import ctypes
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import pypdfium2 as pdfium
from pypdfium2 import raw

from kvasir.components.extractors.pdf_glyphs import Line
from kvasir.components.extractors.pdf_margins import in_margin

_DRAWN = (raw.FPDF_PAGEOBJ_IMAGE, raw.FPDF_PAGEOBJ_PATH, raw.FPDF_PAGEOBJ_SHADING)
_DEEPEST = 3
_MOST_OF_PAGE = 0.75
"""Share of the page that a scan covers; stripes of one scan count together."""
_LONGEST_STAMP = 40
"""Characters outside the margins that may be a stamp over a scan."""

Area = tuple[float, float, float, float]


def is_picture(page: pdfium.PdfPage, lines: Sequence[Line], height: float) -> bool:
    """Return True if a page's text is in its picture.

    It has no text, or only a stamp over a picture of the page: a number, the head of a fax, a few
    words. Invisible text is what was recognized in the picture before.

    Args:
        page: The page.
        lines: The lines of its text.
        height: The height of the page as these lines are read.
    """
    if not lines:
        return any(True for _ in page.get_objects(filter=_DRAWN, max_depth=_DEEPEST))
    inside = sum(len(line.text) for line in lines if not in_margin([line], height))
    return inside <= _LONGEST_STAMP and _is_covered(page) and not _has_invisible_text(page)


def _is_covered(page: pdfium.PdfPage) -> bool:
    """Return True if pictures cover most of a page; layers of one scan count once."""
    left, bottom, right, top = page.get_bbox()
    count = raw.FPDFPage_CountObjects(page.raw)
    objects = (raw.FPDFPage_GetObject(page.raw, index) for index in range(count))
    areas: set[Area] = set()
    for x0, y0, x1, y1 in _pictures(objects, pdfium.PdfMatrix(), 1):
        area = max(x0, left), max(y0, bottom), min(x1, right), min(y1, top)
        if area[0] < area[2] and area[1] < area[3]:
            areas.add(tuple(map(round, area)))
    covered = sum((x1 - x0) * (y1 - y0) for x0, y0, x1, y1 in areas)
    return bool(covered >= _MOST_OF_PAGE * (right - left) * (top - bottom))


def _pictures(objects: Iterable[Any], place: pdfium.PdfMatrix, depth: int) -> Iterator[Area]:
    """Yield the areas of pictures; ``place`` is where the form is in which the objects are."""
    for each in objects:
        kind = raw.FPDFPageObj_GetType(each)
        if kind == raw.FPDF_PAGEOBJ_IMAGE:
            edges = [ctypes.c_float() for _ in range(4)]
            raw.FPDFPageObj_GetBounds(each, *edges)
            yield place.on_rect(*(edge.value for edge in edges))
        elif kind == raw.FPDF_PAGEOBJ_FORM and depth < _DEEPEST:
            own = raw.FS_MATRIX()
            raw.FPDFPageObj_GetMatrix(each, own)
            count = raw.FPDFFormObj_CountObjects(each)
            inner = (raw.FPDFFormObj_GetObject(each, index) for index in range(count))
            yield from _pictures(inner, pdfium.PdfMatrix.from_raw(own).multiply(place), depth + 1)


def _has_invisible_text(page: pdfium.PdfPage) -> bool:
    texts = page.get_objects(filter=(raw.FPDF_PAGEOBJ_TEXT,), max_depth=_DEEPEST)
    invisible = raw.FPDF_TEXTRENDERMODE_INVISIBLE
    return any(raw.FPDFTextObj_GetTextRenderMode(each.raw) == invisible for each in texts)


def hide_text(page: pdfium.PdfPage) -> None:
    """Draw no text of a page from now on; what was read of it is not recognized again."""
    for each in page.get_objects(filter=(raw.FPDF_PAGEOBJ_TEXT,), max_depth=_DEEPEST):
        raw.FPDFTextObj_SetTextRenderMode(each.raw, raw.FPDF_TEXTRENDERMODE_INVISIBLE)
