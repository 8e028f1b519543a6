"""Lists in a document's text: items that are followed by paragraphs of their own.

Extractors write a paragraph of an item without its indentation, and the next item in the line
after it. So an item that follows a paragraph without an empty line between them continues the list
in which the paragraph stands; a list that begins there follows a colon or an empty line.
"""

from __future__ import annotations

import re

from kvasir.core.text import count_words

LONGEST_LINE = 8
"""Most words of a line of a list without signs."""
MOST_PARAGRAPHS = 3
"""Most paragraphs of one item that are looked through."""

_ITEM_LINE = re.compile(r"^[^\S\n]*(?:[-*+•]|\d{1,3}[.)])[^\S\n]+\S", re.MULTILINE)
_PARAGRAPH = re.compile(r"\S.*?(?=\n[^\S\n]*\n|\Z)", re.DOTALL)
_FINISHED = re.compile(r"[.!?。！？…:：;；,，][\"'”’»*_`)\]]*\Z")
_INTRODUCES = re.compile(r"[:：][*_]*\s*\Z")


def is_line(text: str) -> bool:
    """Return True if a paragraph is a short line without an end, as of a list without signs."""
    line = text.strip()
    is_other = not line or "\n" in line or line.startswith(("|", "#")) or _ITEM_LINE.match(line)
    return not is_other and count_words(line) <= LONGEST_LINE and not _FINISHED.search(line)


def is_inside_list(text: str, start: int, end: int | None = None) -> bool:
    """Return True if the paragraph at an offset, of which a list comes before, is followed by more.

    Args:
        text: The text of a document or passage.
        start: Where the paragraph, or the rest of it, begins.
        end: Where the text ends that is looked at.
    """
    paragraphs = _PARAGRAPH.finditer(text, start, len(text) if end is None else end)
    for _, paragraph in zip(range(MOST_PARAGRAPHS), paragraphs, strict=False):
        item = _ITEM_LINE.search(paragraph[0])
        if item is None:
            continue
        before = paragraph[0][: item.start()]
        return bool(before.strip()) and not _INTRODUCES.search(before)
    return False
