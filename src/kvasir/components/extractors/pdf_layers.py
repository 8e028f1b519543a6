"""Text in layers of a PDF page that are switched off, found by drawing the page without it.

PDFium tells which layer an object is in, and leaves the layers that are off out of its pictures.
Source: ISO 32000-2, 8.11 (optional content).
"""

from __future__ import annotations

import ctypes
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pypdfium2 as pdfium
from pypdfium2 import raw

_LAYER = "OC"
_DEEPEST = 5
_LONGEST_SIDE = 800
"""Pixels of the pictures that are compared."""
_MOST_LAYERS = 30
"""Layers of a page that are looked at; drawings with more have no hidden prose."""
_LONGEST_NAME = 256


@dataclass(slots=True)
class _Layer:
    """The objects of a page that are in one layer."""

    objects: list[Any] = field(default_factory=list)
    texts: list[Any] = field(default_factory=list)
    """Text objects that are drawn if the layer is on."""


def texts_in_hidden_layers(page: pdfium.PdfPage, *, with_forms: bool) -> list[Any]:
    """Return the text objects whose layer is off; ``with_forms`` if forms may be layers."""
    layers: dict[str, _Layer] = defaultdict(_Layer)
    count = raw.FPDFPage_CountObjects(page.raw)
    objects = (raw.FPDFPage_GetObject(page.raw, index) for index in range(count))
    _collect(objects, layers, with_forms)
    candidates = [layer for layer in layers.values() if layer.texts]
    if not candidates or len(candidates) > _MOST_LAYERS:
        return []
    whole = _picture(page)
    return [
        text
        for layer in candidates
        if _picture_without(page, layer.objects) == whole
        for text in layer.texts
    ]


def _collect(objects: Iterable[Any], layers: dict[str, _Layer], with_forms: bool) -> None:
    for number, each in enumerate(objects):
        name = _layer_name(each)
        is_form = raw.FPDFPageObj_GetType(each) == raw.FPDF_PAGEOBJ_FORM
        if name is None and is_form and with_forms:
            name = f"form {number}"
        if name is not None:
            layers[name].objects.append(each)
            layers[name].texts += _visible_texts([each], 0)
        elif is_form:
            _collect(_inside(each), layers, False)


def _inside(form: Any) -> Iterator[Any]:
    count = raw.FPDFFormObj_CountObjects(form)
    return (raw.FPDFFormObj_GetObject(form, index) for index in range(count))


def _visible_texts(objects: Iterable[Any], depth: int) -> Iterator[Any]:
    """Yield text objects that are drawn, not those over a recognized picture."""
    for each in objects:
        kind = raw.FPDFPageObj_GetType(each)
        if kind == raw.FPDF_PAGEOBJ_TEXT:
            if raw.FPDFTextObj_GetTextRenderMode(each) != raw.FPDF_TEXTRENDERMODE_INVISIBLE:
                yield each
        elif kind == raw.FPDF_PAGEOBJ_FORM and depth < _DEEPEST:
            yield from _visible_texts(_inside(each), depth + 1)


def _layer_name(each: Any) -> str | None:
    """Return the name of the layer that an object is in; None if it is in none."""
    for index in range(raw.FPDFPageObj_CountMarks(each)):
        mark = raw.FPDFPageObj_GetMark(each, index)
        if _string(raw.FPDFPageObjMark_GetName, mark) == _LAYER:
            return _string(raw.FPDFPageObjMark_GetParamStringValue, mark, b"Name")
    return None


def _string(read: Any, *arguments: Any) -> str:
    buffer, length = (ctypes.c_ushort * _LONGEST_NAME)(), ctypes.c_ulong()
    if not read(*arguments, buffer, ctypes.sizeof(buffer), length):
        return ""
    written = min(length.value, ctypes.sizeof(buffer))
    return bytes(buffer)[:written].decode("utf-16-le", "replace").rstrip("\0")


def _picture_without(page: pdfium.PdfPage, objects: Sequence[Any]) -> bytes:
    active = [each for each in objects if raw.FPDFPageObj_SetIsActive(each, False)]
    try:
        return _picture(page)
    finally:
        for each in active:
            raw.FPDFPageObj_SetIsActive(each, True)


def _picture(page: pdfium.PdfPage) -> bytes:
    scale = _LONGEST_SIDE / max(*page.get_size(), 1.0)
    bitmap = page.render(scale=scale, draw_annots=False, may_draw_forms=False)
    try:
        return bytes(bitmap.buffer)
    finally:
        bitmap.close()
