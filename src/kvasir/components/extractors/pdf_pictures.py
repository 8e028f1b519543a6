"""Descriptions of pictures in a tagged PDF. Source: ISO 32000-1, 14.7 and 14.9.3."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from typing import Any

import pypdfium2 as pdfium
from pypdfium2 import raw

_FIGURES = ("Figure", "Formula")
_MAX_ELEMENTS = 20_000


def picture_descriptions(page: pdfium.PdfPage) -> list[str]:
    """Return the alternative texts of a page's pictures, in the order of the page's structure."""
    tree = raw.FPDF_StructTree_GetForPage(page.raw)
    if not tree:
        return []
    try:
        found = (_description(element) for element in _elements(tree))
        return list(dict.fromkeys(text for text in found if text))
    finally:
        raw.FPDF_StructTree_Close(tree)


def _elements(tree: Any) -> Iterator[Any]:
    count = raw.FPDF_StructTree_CountChildren(tree)
    waiting = [raw.FPDF_StructTree_GetChildAtIndex(tree, index) for index in reversed(range(count))]
    for _ in range(_MAX_ELEMENTS):
        if not waiting:
            return
        element = waiting.pop()
        if not element:
            continue
        yield element
        inner = range(max(0, raw.FPDF_StructElement_CountChildren(element)))
        waiting += [
            raw.FPDF_StructElement_GetChildAtIndex(element, index) for index in reversed(inner)
        ]


def _description(element: Any) -> str:
    if _string(raw.FPDF_StructElement_GetType, element) not in _FIGURES:
        return ""
    return _string(raw.FPDF_StructElement_GetAltText, element)


def _string(get: Callable[..., int], element: Any) -> str:
    length = get(element, None, 0)
    buffer = ctypes.create_string_buffer(length + 2)
    get(element, buffer, length)
    text = buffer.raw[:length].decode("utf-16-le", "replace")
    return " ".join(text.partition("\0")[0].split())
