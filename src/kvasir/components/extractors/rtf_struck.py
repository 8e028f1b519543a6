"""Struck text in RTF: control words set and unset it, and a group ends what it set."""

from __future__ import annotations

import re

from kvasir.components.extractors.inline_marks import struck
from kvasir.components.extractors.rtf_source import HEADING_MARK, escaped

_BEGIN, _END = "\ufdd5", "\ufdd6"
"""Noncharacters that stand around struck text."""
_TOKEN = re.compile(r"\\[{}\\]|\\(striked?|plain)(-?\d+)?(?![a-zA-Z0-9-]) ?|[{}]")
_STRUCK = re.compile(f"{_BEGIN}([^{_END}]*){_END}")
_WORDS = re.compile(rf"({HEADING_MARK}\d)|[^\n|\ufdd0-\ufdef]+")
"""The mark of a heading, or text between line ends, the ends of cells, and other marks."""


def with_struck_marks(written: str) -> str:
    """Mark where struck text begins and ends."""
    if "\\strike" not in written:
        return written
    parts: list[str] = []
    outer: list[bool] = []
    is_struck, start = False, 0
    for token in _TOKEN.finditer(written):
        parts.append(written[start : token.start()])
        start = token.end()
        was_struck = is_struck
        if token[0] == "{":
            outer.append(is_struck)
        elif token[0] == "}":
            is_struck = outer.pop() if outer else False
        elif token[1]:
            is_struck = token[1] != "plain" and token[2] != "0"
        mark = "" if is_struck == was_struck else escaped(_BEGIN if is_struck else _END)
        parts.append(mark + token[0] if token[0] == "}" else token[0] + mark)
    return "".join([*parts, written[start:]])


def write_struck(text: str) -> str:
    """Write the text between marks as ``~~20~~``."""
    text = _STRUCK.sub(
        lambda found: _WORDS.sub(lambda words: words[1] or struck(words[0]), found[1]), text
    )
    return text.replace(_BEGIN, "").replace(_END, "")
