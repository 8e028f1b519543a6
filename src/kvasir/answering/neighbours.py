"""Read the text around a passage that was cut: a list, code, or what a colon announces.

Splitters cut long lists, and a heading may stand alone in a passage. The document's text has the
rest; a passage is extended by it, so that it stays one span of that text. Lists are extended to
both sides, and read after the text that they follow. Prose is not extended: its sentences can be
read alone. A table that is read to its end is followed by its line break, by which a generator
knows that it has all rows.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from itertools import takewhile

from kvasir.answering.citations import FindVersion
from kvasir.core.text import count_words
from kvasir.core.types import Chunk, Hit
from kvasir.language.lists import is_inside_list, is_line

READ_ON = 3
"""Hits that are extended, the best ones: each needs its document's text."""
READ_LISTS = 8
"""Hits that are extended if they hold a part of a list, or announce something."""
MOST_AFTER = 4_000
"""Most characters that are added after a passage."""
MOST_BEFORE = 2_000
"""Most characters that are added before a passage."""

LONGEST_SECTION = 160
"""Most words of a section that is read from its heading on."""

_CHARACTERS = 12
"""Most characters of a word, on average over a section."""
_LINES_BETWEEN = 2
"""Fewest line breaks between paragraphs."""
_ITEM = re.compile(r"[^\S\n]*(?:[-*+•]|\d{1,3}[.)])[^\S\n]+\S")
_ITEM_LINE = re.compile(f"^{_ITEM.pattern}", re.MULTILINE)
_INDENTED = re.compile(r"(?: {2,}|\t)\S")
_FENCE = re.compile(r"^ {0,3}(?:```|~~~)", re.MULTILINE)
_ANNOUNCES = re.compile(r"[:：][*_]*\s*\Z")
_FINISHED = re.compile(r"[.!?。！？…:：;；,，][\"'”’»*_`)\]]*\Z")
_HEADING = re.compile(r"#{1,6} |<!--")
_PARAGRAPH = re.compile(
    r"^ {0,3}(?P<fence>```|~~~)[^\n]*\n.*?^ {0,3}(?P=fence)[^\n]*$"
    r"|[^\S\n]*\S.*?(?=\n[^\S\n]*\n|\Z)",
    re.MULTILINE | re.DOTALL,
)
"""Fenced code, or the lines up to an empty one."""


def read_on(
    hits: Sequence[Hit], find_version: FindVersion, *, from_heading: bool = False
) -> list[Hit]:
    """Return the hits, the first of them extended where their passage was cut.

    Args:
        hits: Best first; the order stays.
        find_version: Finds documents' texts; a hit whose text is not stored stays as it is.
        from_heading: Extend the best hits to the beginning of a short section as well, as what
            to do begins there.
    """
    extended = list(hits)
    for number, hit in enumerate(hits[:READ_LISTS]):
        chunk = hit.chunk
        if number >= READ_ON and not (
            _ITEM_LINE.search(chunk.text) or _ANNOUNCES.search(chunk.text)
        ):
            continue
        version = find_version(chunk.document_id)
        if version is None or version.text[chunk.start : chunk.end] != chunk.text:
            continue
        start, end = _start(version.text, chunk), _end(version.text, chunk)
        if from_heading and number < READ_ON:
            start = min(start, _section_start(version.text, chunk, end))
        if (start, end) != (chunk.start, chunk.end):
            text = version.text[start:end]
            extended[number] = replace(hit, chunk=replace(chunk, text=text, start=start, end=end))
    return extended


def _is_in_code(text: str) -> bool:
    """Return True if a text ends in fenced code."""
    return len(_FENCE.findall(text)) % 2 == 1


def _ends_in_row(text: str) -> bool:
    return text.startswith("|", text.rfind("\n") + 1)


def _is_in_list(text: str) -> bool:
    """Return True if the last paragraph of a text has items or is indented."""
    last = [paragraph[0] for paragraph in _PARAGRAPH.finditer(text)][-1:]
    return any(_ITEM_LINE.search(each) or _INDENTED.match(each) for each in last)


def _ends_in_lines(text: str) -> bool:
    """Return True if a text ends in short lines that a colon announces."""
    paragraphs = [paragraph[0] for paragraph in _PARAGRAPH.finditer(text)]
    lines = list(takewhile(is_line, reversed(paragraphs)))
    before = paragraphs[: len(paragraphs) - len(lines)]
    return bool(lines and before and _ANNOUNCES.search(before[-1]))


def _is_heading(text: str, headings: Sequence[str]) -> bool:
    """Return True if a text is one line that looks like a heading."""
    line = text.strip()
    return "\n" not in line and (
        line in headings or bool(_HEADING.match(line)) or not _FINISHED.search(line)
    )


def _start(text: str, chunk: Chunk) -> int:
    """Return where the list in which a passage begins begins, with what introduces it."""
    start = chunk.start
    if not _ITEM.match(chunk.text):
        return start
    limit = max(0, start - MOST_BEFORE)
    for paragraph in reversed(list(_PARAGRAPH.finditer(text, limit, start))):
        if paragraph.start() == limit > 0:
            break  # Its beginning is not known.
        in_list = _ITEM.match(paragraph[0]) or _INDENTED.match(paragraph[0]) or paragraph["fence"]
        in_list = in_list or is_inside_list(text, paragraph.start(), chunk.end)
        introduces = _ANNOUNCES.search(paragraph[0]) or _ITEM_LINE.search(paragraph[0])
        if in_list or introduces:
            start = paragraph.start()
        if not in_list:
            break
    return start


def _section_start(text: str, chunk: Chunk, end: int) -> int:
    """Return where the text under a passage's heading begins, if it is short up to its end."""
    if not chunk.headings:
        return chunk.start
    heading = re.compile(
        rf"^(?:#{{1,6}} )?{re.escape(chunk.headings[-1])}[^\S\n]*\n\s*", re.MULTILINE
    )
    limit = max(0, end - LONGEST_SECTION * _CHARACTERS)
    found = list(heading.finditer(text, limit, chunk.start))
    start = found[-1].end() if found else chunk.start
    return start if count_words(text[start:end]) <= LONGEST_SECTION else chunk.start


def _end(text: str, chunk: Chunk) -> int:
    """Return where the list, code or announced text at the end of a passage ends."""
    end, limit = chunk.end, min(len(text), chunk.end + MOST_AFTER)
    if _is_in_code(chunk.text):
        closing = _FENCE.search(text, end, limit)
        if closing is None:
            return end
        end = max(text.find("\n", closing.end()), closing.end())
    if _ends_in_row(chunk.text):
        return _table_end(text, end, limit)
    following = _PARAGRAPH.search(text, end, limit)
    in_list = _is_in_list(chunk.text) or bool(following and _ITEM.match(following[0]))
    wanted = bool(_ANNOUNCES.search(chunk.text)) or _is_heading(chunk.text, chunk.headings)
    in_lines = _ends_in_lines(chunk.text)
    for paragraph in _PARAGRAPH.finditer(text, end, limit):
        goes_on = text.count("\n", end, paragraph.start()) < _LINES_BETWEEN or (
            _ITEM.match(paragraph[0])
            or _INDENTED.match(paragraph[0])
            or paragraph["fence"]
            or is_inside_list(text, paragraph.start(), limit)
        )
        if not (wanted or (in_list and goes_on) or (in_lines and is_line(paragraph[0]))):
            break
        if paragraph.end() == limit < len(text):
            # A longer list is quoted as far as it was read, at the end of a line.
            return max(end, text.rfind("\n", paragraph.start(), limit))
        end = paragraph.end()
        in_lines = is_line(paragraph[0]) and (wanted or in_lines)
        wanted = bool(_ANNOUNCES.search(paragraph[0]))
        in_list = in_list or bool(_ITEM_LINE.search(paragraph[0]))
    return end


def _table_end(text: str, end: int, limit: int) -> int:
    """Return where the rows that follow end, with the line break; at a row within the limit."""
    while text.startswith("\n|", end):
        line = text.find("\n", end + 1)
        stop = len(text) if line < 0 else line
        if stop > limit:
            return end
        end = stop
    return min(end + 1, len(text)) if text.startswith("\n", end) else end
