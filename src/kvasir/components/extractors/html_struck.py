"""Text of a page that its elements or their own styles strike through, as word processors write."""

from __future__ import annotations

import re

from lxml import etree

from kvasir.components.extractors.html_inline import INLINE, is_whole

_STRUCK = re.compile(r"text-decoration(?:-line)?\s*:[^;]*\bline-through", re.IGNORECASE)
_NAMES = frozenset({"s", "del", "strike"})
_WITHOUT_TEXT = frozenset({
    "table", "thead", "tbody", "tfoot", "tr", "ul", "ol", "dl", "menu", "dir", "select",
})  # fmt: skip
"""Elements that have only certain other ones inside."""


def mark_struck(root: etree._Element) -> None:
    """Put each stretch of text that is struck through into one ``s`` element inside its block."""
    marked: set[etree._Element] = set()
    for element in list(root.iter(etree.Element)):
        if element not in marked and _is_struck(element):
            marked.update(element.iter(etree.Element))
            _mark(element)


def _is_struck(element: etree._Element) -> bool:
    return element.tag in _NAMES or _STRUCK.search(element.get("style") or "") is not None


def _mark(element: etree._Element) -> None:
    for inner in list(element.iter(*_NAMES)):
        inner.tag = "span"
    holders = _with_blocks(element)
    pending = [element]
    while pending:
        holder = pending.pop()
        if is_whole(holder):
            continue
        pending += [child for child in holder if child in holders]
        if holder.tag not in _WITHOUT_TEXT:
            _wrap_stretches(holder, holders)


def _with_blocks(element: etree._Element) -> set[etree._Element]:
    """Return the blocks in an element, and the elements around them."""
    found: set[etree._Element] = set()
    for block in element.iter(etree.Element):
        above = block if block.tag not in INLINE else None
        while above is not None and above not in found:
            found.add(above)
            above = above.getparent() if above is not element else None
    return found


def _wrap_stretches(holder: etree._Element, holders: set[etree._Element]) -> None:
    """Wrap the text and the inline elements before, between and after the blocks of a holder."""
    stretches = [_stretch(holder.text)]
    blocks: list[etree._Element] = []
    for child in list(holder):
        if child in holders:
            blocks.append(child)
            stretches.append(_stretch(child.tail))
            child.tail = None
        else:
            stretches[-1].append(child)
    holder.text = None
    first, *rest = stretches
    _put(holder, first, None)
    for block, stretch in zip(blocks, rest, strict=True):
        holder.append(block)
        _put(holder, stretch, block)


def _stretch(text: str | None) -> etree._Element:
    stretch = etree.Element("s")
    stretch.text = text
    return stretch


def _put(holder: etree._Element, stretch: etree._Element, block: etree._Element | None) -> None:
    """Append a stretch after a block; without its element if there is no text in it."""
    if "".join(stretch.itertext()).strip():
        holder.append(stretch)
        return
    if block is None:
        holder.text = stretch.text
    else:
        block.tail = stretch.text
    holder.extend(list(stretch))
