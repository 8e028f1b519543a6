"""Text of a page that an element's own style strikes through, as mail and word processors write."""

from __future__ import annotations

import re

from lxml import etree

from kvasir.components.extractors.html_inline import INLINE

_STRUCK = re.compile(r"text-decoration(?:-line)?\s*:[^;]*\bline-through", re.IGNORECASE)


def mark_struck(root: etree._Element) -> None:
    """Put the content of elements that are struck through by their style into ``s`` elements."""
    marked: set[etree._Element] = set()
    for element in list(root.iter(etree.Element)):
        if element not in marked and _STRUCK.search(element.get("style") or ""):
            holders = _text_holders(element)
            marked.update(element.iter(etree.Element))
            for holder in holders:
                _wrap(holder)


def _text_holders(element: etree._Element) -> list[etree._Element]:
    """Return the innermost blocks of an element, or itself if it has none."""
    blocks = [each for each in element.iter(etree.Element) if each.tag not in INLINE]
    outer: set[etree._Element] = set()
    for block in blocks:
        above = block.getparent() if block is not element else None
        while above is not None and above not in outer:
            outer.add(above)
            above = above.getparent() if above is not element else None
    return [block for block in blocks if block not in outer] or [element]


def _wrap(element: etree._Element) -> None:
    inside = etree.Element("s")
    inside.text, element.text = element.text, None
    inside.extend(list(element))
    element.append(inside)
