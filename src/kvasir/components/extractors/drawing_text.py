"""The text of DrawingML: paragraphs of slides with their links and raised digits.

Source: ECMA-376 part 1, 21.1.2.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lxml import etree

from kvasir.components.extractors.inline_marks import Position, Run, join_runs, link_suffix
from kvasir.components.extractors.omml import equations
from kvasir.components.extractors.ooxml import R, unescaped
from kvasir.components.extractors.symbol_fonts import as_unicode

A = "{http://schemas.openxmlformats.org/drawingml/2006/main}"
_DECORATIVE = "{http://schemas.microsoft.com/office/drawing/2017/decorative}decorative"
_PER_SLIDE = frozenset({"slidenum"})
_UNREADABLE = 100
"""Hundredths of a point; smaller text cannot be read."""


def paragraph_text(
    paragraph: etree._Element, relations: Mapping[str, Any], *, with_fields: bool = True
) -> str:
    """Return a paragraph on one line; ``with_fields`` is False to leave out numbers and dates."""
    runs: list[Run] = []
    for child in paragraph:
        if child.tag == f"{A}r" or (child.tag == f"{A}fld" and _is_kept(child, with_fields)):
            runs += _run(child, relations)
        elif child.tag == f"{A}br":
            runs.append((" ", Position.BASELINE))
        elif found := equations(child):
            runs.append((" ".join(f"${each}$" for each in found), Position.BASELINE))
    return " ".join(join_runs(runs).split())


def _is_kept(field: etree._Element, with_fields: bool) -> bool:
    return with_fields and field.get("type") not in _PER_SLIDE


def _run(run: etree._Element, relations: Mapping[str, Any]) -> list[Run]:
    text = unescaped(run.findtext(f"{A}t") or "")
    properties = run.find(f"{A}rPr")
    if properties is None:
        return [(text, Position.BASELINE)]
    size = str(properties.get("sz") or "")
    if size.isdigit() and int(size) <= _UNREADABLE:
        return []
    position = _position(properties)
    for name, only_private in (("sym", True), ("latin", False)):
        font = properties.find(f"{A}{name}")
        if font is not None:
            text = as_unicode(text, str(font.get("typeface")), only_private=only_private)
    suffix = link_suffix(text, link_target(properties, relations))
    if not suffix or not text.strip():
        return [(text, position)]
    words = text.rstrip()
    return [(words, position), (suffix + text[len(words) :], Position.BASELINE)]


def _position(properties: etree._Element) -> Position:
    raised = str(properties.get("baseline") or "0")
    position = Position.BASELINE
    if raised.strip("%-").strip("0"):
        position = Position.LOWERED if raised.startswith("-") else Position.RAISED
    return position.struck(properties.get("strike", "noStrike") != "noStrike")


def link_target(element: etree._Element, relations: Mapping[str, Any]) -> str:
    """Return the address that a click leads to, empty if it stays in the file."""
    click = element.find(f"{A}hlinkClick")
    relation = relations.get(str(click.get(f"{R}id"))) if click is not None else None
    if relation is None or not relation.is_external:
        return ""
    return str(relation.target_ref)


def description(about: etree._Element | None) -> str:
    """Return a picture's description from its ``cNvPr``, empty if it only decorates."""
    if about is None or any(each.get("val") in ("1", "true") for each in about.iter(_DECORATIVE)):
        return ""
    return str(about.get("descr") or "").strip()
