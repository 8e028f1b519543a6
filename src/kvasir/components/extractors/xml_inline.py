"""The words inside an XML element: raised digits, line breaks, and what is apart from its line."""

from __future__ import annotations

import re
from collections.abc import Callable

from lxml import etree

from kvasir.components.extractors.inline_marks import footnote_mark, lowered, raised

_RAISED = frozenset({"sup", "superscript"})
_LOWERED = frozenset({"sub", "subscript", "inf"})
_BREAKS = frozenset({"br", "lb", "break", "linebreak", "newline", "tab", "pb", "cb"})
_REFERENCES = frozenset({"xref", "ref", "noteref", "footnoteref", "fnref"})
_FORMATS = _RAISED | _LOWERED | frozenset({
    "b", "i", "u", "s", "em", "strong", "bold", "italic", "emphasis", "emph", "hi", "sc", "span",
    "font", "tt", "monospace", "underline", "strike", "small", "big", "g", "run", "r", "t",
})  # fmt: skip
"""Elements that may be a part of a word."""
_NOTE_NUMBER = re.compile(r"\[?(\d{1,3}(?:\s*[,\u2013-]\s*\d{1,3})*)\]?")
_APART = "\ufdd0"
"""Noncharacter that stands for white space that the file does not have."""
_SPACE = re.compile(rf"[\s{_APART}]+")
_ENDS = tuple(".,;:!?)]%")
_BEFORE = 12
_DEEPEST = 300


def element_text(element: etree._Element, given: Callable[[etree._Element], str]) -> str:
    """Return the text inside an element; ``given`` returns what the attributes of one say."""
    text = "".join(_pieces(element, given, 0))
    return _SPACE.sub(_written_space, text).replace(_APART, " ")


def _written_space(space: re.Match[str]) -> str:
    """Return white space, without it where a sign follows that the file may have close by."""
    is_close = _APART in space[0] and space.string.startswith(_ENDS, space.end())
    return "" if is_close else space[0]


def has_words(text: str | None) -> bool:
    """Return True if a text is not only white space."""
    return bool(text and text.strip())


def _pieces(
    element: etree._Element, given: Callable[[etree._Element], str], depth: int
) -> list[str]:
    if depth > _DEEPEST:
        return ["".join(element.itertext())]
    pieces = [element.text or ""]
    has_own = has_words(element.text) or any(has_words(child.tail) for child in element)
    for child in element:
        if isinstance(child.tag, str):
            name = child.tag.rpartition("}")[2].lower()
            inner = "".join(_pieces(child, given, depth + 1))
            inner = _marked(name, inner, "".join(pieces[-_BEFORE:])[-_BEFORE:])
            said = given(child)
            inner += f" ({said})" if said else ""
            is_apart = name in _BREAKS or _is_apart(child, name, has_own)
            pieces.append(f"{_APART}{inner}{_APART}" if is_apart else inner)
        pieces.append(child.tail or "")
    return pieces


def _marked(name: str, inner: str, before: str) -> str:
    """Return the text of an element as the mark of a note, raised or lowered, if it is one."""
    number = _NOTE_NUMBER.fullmatch(inner.strip())
    if name in _REFERENCES and number and before[-1:].isalnum():
        return footnote_mark(number[1])
    if name in _RAISED:
        return raised(inner, before)
    return lowered(inner) if name in _LOWERED else inner


def _is_apart(child: etree._Element, name: str, has_own: bool) -> bool:
    """Return True for a part of its own: a list, one of several items, a field of a record."""
    if name in _FORMATS:
        return False
    if not has_own:
        return True
    if len(child) and not has_words(child.text) and not any(has_words(e.tail) for e in child):
        return len(child) > 1
    before, after = child.getprevious(), child.getnext()
    return (before is not None and before.tag == child.tag and not before.tail) or (
        after is not None and after.tag == child.tag and not child.tail
    )
