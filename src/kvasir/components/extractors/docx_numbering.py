"""Labels of list items (``1.``, ``b)``, ``2.1.``), which Word does not store but counts.

Source: ECMA-376 part 1, 17.9.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable

from lxml import etree

from kvasir.components.extractors.docx_xml import W, value_at

_LEVEL = re.compile(r"%(\d)")
_ROMAN = ((10, "x"), (9, "ix"), (5, "v"), (4, "iv"), (1, "i"))


class Numbering:
    """Counts list items as Word does."""

    def __init__(self, definitions: Iterable[etree._Element]) -> None:
        """Args: the elements of ``numbering.xml``."""
        self._levels: dict[str, dict[int, tuple[str, str, int]]] = {}
        self._counts: dict[str, list[int | None]] = defaultdict(lambda: [None] * 9)
        self._abstract: dict[str, str] = {}
        for child in definitions:
            if child.tag == f"{W}abstractNum":
                self._levels[str(child.get(f"{W}abstractNumId"))] = {
                    int(level.get(f"{W}ilvl") or 0): _level(level)
                    for level in child.iterfind(f"{W}lvl")
                }
            elif child.tag == f"{W}num":
                self._abstract[str(child.get(f"{W}numId"))] = value_at(child, "abstractNumId")

    def label(self, number_id: str, depth: int) -> str:
        """Count one item and return its label, ``-`` for bullets."""
        levels = self._levels.get(self._abstract.get(number_id, ""), {})
        counts = self._counts[number_id]
        depth = min(depth, 8)
        before = counts[depth]
        style, pattern, start = levels.get(depth, ("bullet", "", 1))
        counts[depth] = start if before is None else before + 1
        counts[depth + 1 :] = [None] * (8 - depth)
        if style in ("bullet", "none") or not pattern:
            return "-"

        def number(match: re.Match[str]) -> str:
            level = int(match[1]) - 1
            kind, _, first = levels.get(level, ("decimal", "", 1))
            if counts[level] is None:
                counts[level] = first
            return number_text(counts[level] or 0, kind)

        return _LEVEL.sub(number, pattern) or "-"


def _level(level: etree._Element) -> tuple[str, str, int]:
    """Return number format, text pattern and first number of a level."""
    style = value_at(level, "numFmt") or "decimal"
    start = value_at(level, "start")
    return style, value_at(level, "lvlText"), int(start) if start.isdigit() else 1


def number_text(count: int, style: str) -> str:
    """Return a count in a number format: decimal, letters or Roman numerals up to 39."""
    text = str(count)
    if style in ("lowerLetter", "upperLetter") and count > 0:
        text = chr(ord("a") + (count - 1) % 26) * ((count - 1) // 26 + 1)
    elif style in ("lowerRoman", "upperRoman") and 0 < count < 40:
        text = ""
        for value, sign in _ROMAN:
            text += sign * (count // value)
            count %= value
    return text.upper() if style.startswith("upper") else text
