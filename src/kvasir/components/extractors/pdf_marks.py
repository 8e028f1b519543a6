"""What lies over the text of a PDF page: links, form fields with their values, and comments.

Source: ISO 32000-1, 12.5 (annotations) and 12.7 (forms).
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from dataclasses import dataclass, field

import pypdfium2 as pdfium
from pypdfium2 import raw

from kvasir.components.extractors.inline_marks import TICKED, UNTICKED

_HIDDEN = raw.FPDF_ANNOT_FLAG_HIDDEN | raw.FPDF_ANNOT_FLAG_NOVIEW
_SILENT = (raw.FPDF_ANNOT_LINK, raw.FPDF_ANNOT_WIDGET, raw.FPDF_ANNOT_POPUP)
_BOXES = (raw.FPDF_FORMFIELD_CHECKBOX, raw.FPDF_FORMFIELD_RADIOBUTTON)
_CHOICES = (raw.FPDF_FORMFIELD_COMBOBOX, raw.FPDF_FORMFIELD_LISTBOX)
_PASSWORD = 1 << 13
_MAX_ANNOTATIONS = 10_000

Area = tuple[float, float, float, float]
"""Left, lower, right and upper edge in points, before the page is turned."""


@dataclass(frozen=True, slots=True)
class Link:
    """The areas of a page that lead to an address."""

    address: str
    areas: tuple[Area, ...]

    def holds(self, x: float, y: float) -> bool:
        """Return True if a point lies on the link."""
        return any(x0 <= x <= x1 and y0 <= y <= y1 for x0, y0, x1, y1 in self.areas)


@dataclass(frozen=True, slots=True)
class Field:
    """A filled form field; ``is_box`` if it is a check box or a radio button."""

    area: Area
    text: str
    is_box: bool


@dataclass(slots=True)
class PageMarks:
    """The links, fields and comments of a page."""

    links: list[Link] = field(default_factory=list)
    fields: list[Field] = field(default_factory=list)
    comments: list[str] = field(default_factory=list)
    """Texts with their labels, from the top."""


def page_marks(page: pdfium.PdfPage) -> PageMarks:
    """Return what lies over the page's text; fields need ``PdfDocument.init_forms``."""
    marks = PageMarks()
    comments: list[tuple[float, str]] = []
    for annotation in _annotations(page):
        if raw.FPDFAnnot_GetFlags(annotation) & _HIDDEN:
            continue
        kind = raw.FPDFAnnot_GetSubtype(annotation)
        if kind == raw.FPDF_ANNOT_LINK:
            if address := _address(page, annotation):
                marks.links.append(Link(address, tuple(_areas(annotation))))
        elif kind == raw.FPDF_ANNOT_WIDGET and page.formenv is not None:
            marks.fields += _field(page.formenv.raw, annotation)
        elif kind not in _SILENT and (text := _string(annotation, b"Contents")):
            author = _string(annotation, b"T")
            label = f"Comment ({author})" if author else "Comment"
            label = "Note" if kind == raw.FPDF_ANNOT_FREETEXT else label
            comments.append((-_area(annotation)[3], f"{label}: {text}"))
    marks.comments = [text for _, text in sorted(comments)]
    return marks


def _annotations(page: pdfium.PdfPage) -> Iterator[object]:
    for index in range(min(raw.FPDFPage_GetAnnotCount(page.raw), _MAX_ANNOTATIONS)):
        annotation = raw.FPDFPage_GetAnnot(page.raw, index)
        if annotation:
            try:
                yield annotation
            finally:
                raw.FPDFPage_CloseAnnot(annotation)


def _area(annotation: object) -> Area:
    box = raw.FS_RECTF()
    raw.FPDFAnnot_GetRect(annotation, box)
    return box.left, min(box.bottom, box.top), box.right, max(box.bottom, box.top)


def _areas(annotation: object) -> Iterator[Area]:
    """Yield the areas of a link: one for each printed line, if the file tells them apart."""
    count = raw.FPDFAnnot_CountAttachmentPoints(annotation)
    if not count:
        yield _area(annotation)
    for index in range(count):
        points = raw.FS_QUADPOINTSF()
        raw.FPDFAnnot_GetAttachmentPoints(annotation, index, points)
        xs = points.x1, points.x2, points.x3, points.x4
        ys = points.y1, points.y2, points.y3, points.y4
        yield min(xs), min(ys), max(xs), max(ys)


def _address(page: pdfium.PdfPage, annotation: object) -> str:
    """Return the address that a link opens, empty if it leads to another place in the file."""
    link = raw.FPDFAnnot_GetLink(annotation)
    action = raw.FPDFLink_GetAction(link) if link else None
    if not action or raw.FPDFAction_GetType(action) != raw.PDFACTION_URI:
        return ""
    length = raw.FPDFAction_GetURIPath(page.pdf.raw, action, None, 0)
    buffer = ctypes.create_string_buffer(length)
    raw.FPDFAction_GetURIPath(page.pdf.raw, action, buffer, length)
    return buffer.value.decode("utf-8", "replace")


def _string(annotation: object, key: bytes) -> str:
    length = raw.FPDFAnnot_GetStringValue(annotation, key, None, 0)
    buffer = (ctypes.c_ushort * (length // 2 + 1))()
    raw.FPDFAnnot_GetStringValue(annotation, key, buffer, length)
    return _text(buffer)


def _text(buffer: ctypes.Array[ctypes.c_ushort]) -> str:
    """Return the words of a UTF-16 text that ends with zero."""
    text = bytes(buffer).decode("utf-16-le", "replace")
    return " ".join(text.partition("\0")[0].split())


def _field(form: object, annotation: object) -> Iterator[Field]:
    kind = raw.FPDFAnnot_GetFormFieldType(form, annotation)
    if kind in _BOXES:
        is_ticked = raw.FPDFAnnot_IsChecked(form, annotation)
        yield Field(_area(annotation), TICKED if is_ticked else UNTICKED, True)
    elif kind in _CHOICES:
        if chosen := ", ".join(_chosen(form, annotation)) or _value(form, annotation):
            yield Field(_area(annotation), chosen, False)
    elif kind == raw.FPDF_FORMFIELD_TEXTFIELD:
        is_secret = raw.FPDFAnnot_GetFormFieldFlags(form, annotation) & _PASSWORD
        if not is_secret and (value := _value(form, annotation)):
            yield Field(_area(annotation), value, False)


def _value(form: object, annotation: object) -> str:
    length = raw.FPDFAnnot_GetFormFieldValue(form, annotation, None, 0)
    buffer = (ctypes.c_ushort * (length // 2 + 1))()
    raw.FPDFAnnot_GetFormFieldValue(form, annotation, buffer, length)
    return _text(buffer)


def _chosen(form: object, annotation: object) -> Iterator[str]:
    """Yield the labels of the chosen options."""
    for index in range(max(0, raw.FPDFAnnot_GetOptionCount(form, annotation))):
        if raw.FPDFAnnot_IsOptionSelected(form, annotation, index):
            length = raw.FPDFAnnot_GetOptionLabel(form, annotation, index, None, 0)
            buffer = (ctypes.c_ushort * (length // 2 + 1))()
            raw.FPDFAnnot_GetOptionLabel(form, annotation, index, buffer, length)
            yield _text(buffer)
