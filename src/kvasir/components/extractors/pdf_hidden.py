"""Text of a PDF page that nobody can see: invisible, white on white, or in a layer that is off.

Recognised scans keep their text: there it is invisible over the picture that shows the words.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pypdfium2 as pdfium
from pypdfium2 import raw

from kvasir.components.extractors.pdf_layers import texts_in_hidden_layers

_INVISIBLE = raw.FPDF_TEXTRENDERMODE_INVISIBLE
_DEEPEST = 5
_WHITE = 250
"""Lightest grey that can be told from white, 0 to 255."""
_MOST_COMPARISONS = 1_000_000
_GROUNDS = (raw.FPDF_PAGEOBJ_PATH, raw.FPDF_PAGEOBJ_SHADING)

Area = tuple[float, float, float, float]


@dataclass(slots=True)
class _Drawn:
    """The objects of a page or of a form on it, in the order in which they are drawn."""

    invisible: list[tuple[int, Area]] = field(default_factory=list)
    white: list[tuple[int, Area, int]] = field(default_factory=list)
    """Address, area, and the number of grounds drawn before."""
    pictures: list[Area] = field(default_factory=list)
    grounds: list[Area] = field(default_factory=list)


def hidden_objects(page: pdfium.PdfPage, *, has_layered_forms: bool = False) -> frozenset[int]:
    """Return the addresses of the text objects that cannot be seen.

    ``has_layered_forms`` is True if a form in the file is in a layer.
    """
    count = raw.FPDFPage_CountObjects(page.raw)
    objects = (raw.FPDFPage_GetObject(page.raw, index) for index in range(count))
    drawn = _Drawn()
    _collect(objects, drawn, 0)
    hidden = {
        address
        for address, area in drawn.invisible
        if not any(_covers(picture, area) for picture in drawn.pictures)
    }
    hidden |= {
        _address(text)
        for text in texts_in_hidden_layers(page, with_forms=has_layered_forms)
        if not any(_covers(picture, _area(text)) for picture in drawn.pictures)
    }
    if len(drawn.white) * len(drawn.grounds) > _MOST_COMPARISONS:
        # Such a page is a drawing rather than a text that hides something.
        return frozenset(hidden)
    hidden |= {
        address
        for address, area, before in drawn.white
        if not any(_covers(ground, area) for ground in drawn.grounds[:before])
    }
    return frozenset(hidden)


def _collect(objects: Iterator[Any], drawn: _Drawn, depth: int) -> None:
    for each in objects:
        kind = raw.FPDFPageObj_GetType(each)
        if kind == raw.FPDF_PAGEOBJ_TEXT:
            _collect_text(each, drawn)
        elif kind == raw.FPDF_PAGEOBJ_IMAGE:
            drawn.pictures.append(_area(each))
            drawn.grounds.append(_area(each))
        elif kind in _GROUNDS and _color(each) != "white":
            drawn.grounds.append(_area(each))
        elif kind == raw.FPDF_PAGEOBJ_FORM and depth < _DEEPEST:
            count = raw.FPDFFormObj_CountObjects(each)
            inner = (raw.FPDFFormObj_GetObject(each, index) for index in range(count))
            _collect(inner, drawn, depth + 1)


def _collect_text(text: Any, drawn: _Drawn) -> None:
    if raw.FPDFTextObj_GetTextRenderMode(text) == _INVISIBLE:
        drawn.invisible.append((_address(text), _area(text)))
        return
    color = _color(text)
    if color != "other":
        before = len(drawn.grounds) if color == "white" else 0
        drawn.white.append((_address(text), _area(text), before))


def _address(text: Any) -> int:
    return ctypes.cast(text, ctypes.c_void_p).value or 0


def _area(each: Any) -> Area:
    edges = [ctypes.c_float() for _ in range(4)]
    raw.FPDFPageObj_GetBounds(each, *edges)
    left, bottom, right, top = (edge.value for edge in edges)
    return left, bottom, right, top


_PARTS = [ctypes.c_uint() for _ in range(4)]


def _color(each: Any) -> str:
    """Return ``white``, ``none`` if transparent, else ``other``, for the fill color."""
    red, green, blue, alpha = _PARTS
    if not raw.FPDFPageObj_GetFillColor(each, red, green, blue, alpha):
        return "other"
    if alpha.value == 0:
        return "none"
    return "white" if min(red.value, green.value, blue.value) >= _WHITE else "other"


def _covers(ground: Area, area: Area) -> bool:
    """Return True if the middle of an area is on a ground."""
    x, y = (area[0] + area[2]) / 2, (area[1] + area[3]) / 2
    return ground[0] <= x <= ground[2] and ground[1] <= y <= ground[3]
