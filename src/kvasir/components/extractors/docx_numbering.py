"""Word's list labels: ``1.``, ``b)``, ``2.1.`` or a bullet. Source: ECMA-376, chapter 17.9."""

from __future__ import annotations

import re
from collections import defaultdict

from lxml import etree

_W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_LEVEL = re.compile(r"%(\d)")
_ROMAN = ((10, "x"), (9, "ix"), (5, "v"), (4, "iv"), (1, "i"))


def value(element: etree._Element, path: str) -> str:
    """Return the ``w:val`` at a path of names below an element, empty if there is none."""
    found = element.find("/".join(f"{_W}{name}" for name in path.split("/")))
    return str(found.get(f"{_W}val") or "") if found is not None else ""


class Numbering:
    """Counts list items as Word does."""

    def __init__(self, part: etree._Element | None) -> None:
        """Args: the root of ``numbering.xml``, or None if there is none."""
        self._levels: dict[str, dict[int, tuple[str, str, int]]] = {}
        self._counts: dict[str, list[int | None]] = defaultdict(lambda: [None] * 9)
        self._abstract: dict[str, str] = {}
        if part is None:
            return
        for abstract in part.iterfind(f"{_W}abstractNum"):
            self._levels[str(abstract.get(f"{_W}abstractNumId"))] = {
                int(level.get(f"{_W}ilvl") or 0): _level(level)
                for level in abstract.iterfind(f"{_W}lvl")
            }
        for number in part.iterfind(f"{_W}num"):
            self._abstract[str(number.get(f"{_W}numId"))] = value(number, "abstractNumId")

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
            return _number(counts[level] or 0, kind)

        return _LEVEL.sub(number, pattern) or "-"


def _level(level: etree._Element) -> tuple[str, str, int]:
    """Return number format, text pattern and first number of a level."""
    start = value(level, "start")
    style = value(level, "numFmt") or "decimal"
    return style, value(level, "lvlText"), int(start) if start.isdigit() else 1


def _number(count: int, style: str) -> str:
    if style in ("lowerLetter", "upperLetter") and count > 0:
        letter = chr(ord("a") + (count - 1) % 26) * ((count - 1) // 26 + 1)
        return letter.upper() if style == "upperLetter" else letter
    if style in ("lowerRoman", "upperRoman") and 0 < count < 40:
        roman = ""
        for value, sign in _ROMAN:
            roman += sign * (count // value)
            count %= value
        return roman.upper() if style == "upperRoman" else roman
    return str(count)
