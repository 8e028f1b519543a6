"""Rewrites RTF so that striprtf, which does not know them, keeps or leaves out more of its parts.

Hidden and deleted text is left out. Headings, line breaks and cells get marks. Targets of links,
footnotes and the text of drawn boxes are written where they belong. Source: RTF 1.9.1.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from kvasir.components.extractors.inline_marks import footnote_mark

HEADING_MARK, LINE_MARK = "\ufdd0", "\ufdd1"
"""Noncharacters that stand before the level of a heading, and for a line break in a line."""
ROW_START_MARK, CELL_MARK, ROW_MARK = "\ufdd2", "\ufdd3", "\ufdd4"
"""Noncharacters that stand where a row begins, where a cell ends, and where a row ends."""

_LINK = re.compile(r'HYPERLINK\s+"([^"\\{}]{1,500})"([^{}]*\}*\s*\{\\fldrslt)')
_FOOTNOTE = re.compile(r"\{(?:\\\*)?\\footnote(?![a-z])(?:\\chftn|\\ftnalt)* ?")
_STYLE = re.compile(r"\{\\s(\d{1,4})\b[^{}]*? (?:[Hh]eading (\d)|([Tt]itle));\}")
_STYLE_USED = re.compile(r"\\s(\d{1,4})(?!\d)")
_NUMBER = re.compile(r"\{\\pntext(?![a-z])")
_BRACE = re.compile(r"(?<!\\)[{}]")
_HIDES = re.compile(r"\\(?:v|deleted)(?![a-z0-9])")
_TOKEN = re.compile(r"\\([A-Za-z]+)(-?\d+)? ?|\\'[0-9A-Fa-f]{2}|\\[^A-Za-z]|[{}]|[^\\{}]+")
_SIGNS = frozenset({
    "u", "tab", "line", "emdash", "endash", "emspace", "enspace", "qmspace", "bullet", "lquote",
    "rquote", "ldblquote", "rdblquote",
})  # fmt: skip
"""Control words that are characters."""
_NO_TEXT = ("\\*", "\\\n", "\\\r")
_MARKS = {"line": LINE_MARK, "trowd": ROW_START_MARK, "cell": CELL_MARK, "row": ROW_MARK}
_MARKED_WORD = re.compile(r"(?<!\\)\\(line|trowd|cell|row|nestcell)(?![a-z]) ?")
_BOX = re.compile(r"\{(?:\\\*)?\\(?:shp|shpgrp|do)(?![a-z])")
_BOX_TEXTS = (re.compile(r"\{\\shptxt(?![a-z]) ?"), re.compile(r"\{\\dptxbxtext(?![a-z]) ?"))
"""The text of a shape, and of a drawing object, which may repeat it for older programs."""
_PARAGRAPH_END = re.compile(r"(?<!\\)\\(par|cell|row|sect)(?![a-z]) ?")


class _Group(NamedTuple):
    """Offsets of a group: its brace, its content after the words that name it, its end."""

    opened: int
    start: int
    end: int


def rewritten(source: str) -> str:
    """Return RTF with marks, and without what is not shown."""
    written = _NUMBER.sub(r"{\\listtext", _without_hidden(source))
    return _with_marks(_with_footnotes(_with_targets(_with_boxes(written))))


def _without_hidden(written: str) -> str:
    """Take out hidden text and text that is marked as deleted."""
    if not _HIDES.search(written):
        return written
    parts: list[str] = []
    hiding: frozenset[str] = frozenset()
    outside: list[frozenset[str]] = []
    for token in _TOKEN.finditer(written):
        text, word = token[0], token[1]
        if text == "{":
            outside.append(hiding)
        elif text == "}":
            hiding = outside.pop() if outside else frozenset()
        elif word in ("v", "deleted"):
            hiding = hiding - {word} if token[2] == "0" else hiding | {word}
            continue
        elif word == "plain":
            hiding = frozenset()
        elif hiding and (word in _SIGNS if word else text not in _NO_TEXT):
            continue
        parts.append(text)
    return "".join(parts)


def _with_boxes(written: str) -> str:
    """Write the text of each drawn box after the paragraph that it is anchored in."""
    parts: list[str] = []
    boxes: list[str] = []
    start = 0
    for box in _groups(_BOX, written):
        inside = written[box.start : box.end]
        found = (list(_groups(form, inside)) for form in _BOX_TEXTS)
        if texts := next(filter(None, found), []):
            boxes.append(
                "".join(f"{{\\par {inside[text.start : text.end]}\\par}}" for text in texts)
            )
            parts.append(written[start : box.opened])
            start = box.end + 1
    segments = [*parts, written[start:]]
    waiting = ""
    for at, segment in enumerate(segments):
        stop = _PARAGRAPH_END.search(segment) if waiting else None
        if stop:
            place = stop.end() if stop[1] == "par" else stop.start()
            segments[at] = f"{segment[:place]}{waiting}{segment[place:]}"
            waiting = ""
        elif waiting and at == len(boxes):
            segments[at] = f"{waiting}{segment}"
        waiting += boxes[at] if at < len(boxes) else ""
    return "".join(segments)


def _with_marks(written: str) -> str:
    """Mark paragraphs with the style of a heading, line breaks inside others, and cells."""
    levels = {style: level or "1" for style, level, _ in _STYLE.findall(written)}

    def marked(used: re.Match[str]) -> str:
        level = levels.get(used[1])
        return f"{used[0]}{escaped(HEADING_MARK)}{level}" if level else used[0]

    def mark(word: re.Match[str]) -> str:
        # A table in a cell is text of the cell.
        return escaped(_MARKS[word[1]]) if word[1] in _MARKS else "; "

    return _MARKED_WORD.sub(mark, _STYLE_USED.sub(marked, written))


def escaped(character: str) -> str:
    """Return a character as RTF of any place in a text."""
    # The number of characters to skip after a code may be another one in the text around it.
    return f"{{\\uc1\\u{ord(character)}?}}"


def _with_targets(written: str) -> str:
    """Write the target of each link behind its words, within their group."""
    parts: list[str] = []
    start = 0
    for link in _LINK.finditer(written):
        end = _group_end(written, link.end())
        if link.start() >= start and "://" in link[1]:
            parts += [written[start : link.start()], link[2], written[link.end() : end]]
            parts.append(f" ({link[1]})")
            start = end
    return "".join([*parts, written[start:]])


def _with_footnotes(written: str) -> str:
    """Write the mark of each footnote at its place, and the notes at the end."""
    parts: list[str] = []
    notes: list[str] = []
    start = 0
    for note in _groups(_FOOTNOTE, written):
        notes.append(
            f"\\par\\par{{\\plain Note {len(notes) + 1}: {written[note.start : note.end]}}}"
        )
        parts += [written[start : note.opened], f"{{{footnote_mark(str(len(notes)))}}}"]
        start = note.end + 1
    if not notes:
        return written
    rest = written[start:].rstrip("\x00 \t\r\n").removesuffix("}")
    return "".join([*parts, rest, *notes, "}"])


def _groups(form: re.Pattern[str], written: str) -> Iterator[_Group]:
    """Yield the groups that begin with a form, none inside another of them."""
    end = 0
    for opened in form.finditer(written):
        if opened.start() >= end:
            end = _group_end(written, opened.end())
            yield _Group(opened.start(), opened.end(), end)


def _group_end(written: str, start: int) -> int:
    """Return the offset of the brace that closes the group that ``start`` is in."""
    depth = 1
    for brace in _BRACE.finditer(written, start):
        depth += 1 if brace[0] == "{" else -1
        if depth == 0:
            return brace.start()
    return len(written)
