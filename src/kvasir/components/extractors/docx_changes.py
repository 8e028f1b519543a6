"""Tracked changes of a Word file, accepted: the text is read as it will be.

Source: ECMA-376 part 1, 17.13.5.
"""

from __future__ import annotations

from lxml import etree

from kvasir.components.extractors.docx_xml import W, find

_M = "{http://schemas.openxmlformats.org/officeDocument/2006/math}"
_PROPERTIES = f"{W}pPr"
_MARKS = tuple(
    f"{W}{name}"
    for name in (
        *("bookmarkStart", "bookmarkEnd", "commentRangeStart", "commentRangeEnd", "proofErr"),
        *("permStart", "permEnd", "moveFromRangeStart", "moveFromRangeEnd"),
        *("moveToRangeStart", "moveToRangeEnd"),
    )
)
"""Elements without content that may stand between two paragraphs."""


def accept_changes(root: etree._Element) -> None:
    """Remove what is deleted or moved away, and join paragraphs whose break is deleted."""
    formulas = [
        sign.getparent().getparent()
        for sign in root.iter(f"{_M}ctrlPr")
        if sign.find(f"{W}del") is not None
    ]
    for deleted in list(root.iter(f"{W}del", f"{W}moveFrom")):
        # Without children it is a mark in the properties of a paragraph, row or sign.
        if len(deleted):
            _remove(deleted)
    for cell in list(root.iter(f"{W}tc")):
        if find(cell, "tcPr/cellDel") is not None:
            _remove(cell)
    for formula in formulas:
        # The signs of a fraction or root are deleted, and all that was in it.
        if not "".join(formula.itertext()).strip():
            _remove(formula)
    for paragraph in list(root.iter(f"{W}p")):
        if any(find(paragraph, f"pPr/rPr/{name}") is not None for name in ("del", "moveFrom")):
            _join_next(paragraph)


def _join_next(paragraph: etree._Element) -> None:
    """Put the content of a paragraph in front of that of the next one, whose form it takes."""
    following = paragraph.getnext()
    while following is not None and following.tag in _MARKS:
        following = following.getnext()
    if following is None or following.tag != f"{W}p":
        return
    content = [child for child in paragraph if child.tag != _PROPERTIES]
    start = int(following.find(_PROPERTIES) is not None)
    following[start:start] = content
    _remove(paragraph)


def _remove(element: etree._Element) -> None:
    parent = element.getparent()
    if parent is not None:
        parent.remove(element)
