"""Names and styles of OpenDocument. Source: OpenDocument 1.3, part 3, chapters 16 and 20."""

from __future__ import annotations

from collections.abc import Iterator

from lxml import etree

from kvasir.components.extractors.inline_marks import Position

_NS = "{urn:oasis:names:tc:opendocument:xmlns:"
TEXT, TABLE = f"{_NS}text:1.0}}", f"{_NS}table:1.0}}"
DRAW, OFFICE = f"{_NS}drawing:1.0}}", f"{_NS}office:1.0}}"
STYLE, FORM = f"{_NS}style:1.0}}", f"{_NS}form:1.0}}"
PRESENTATION, META = f"{_NS}presentation:1.0}}", f"{_NS}meta:1.0}}"
SVG, CHART = f"{_NS}svg-compatible:1.0}}", f"{_NS}chart:1.0}}"
FO = f"{_NS}xsl-fo-compatible:1.0}}"
DC = "{http://purl.org/dc/elements/1.1/}"
HREF = "{http://www.w3.org/1999/xlink}href"

_SMALLEST = 1.0
"""Points; smaller text cannot be read."""
_DEEPEST = 50
_WHITE = "#ffffff"


class Styles:
    """Looks up what a style says, or else one of those that it is based on."""

    def __init__(self, *roots: etree._Element) -> None:
        self._styles: dict[tuple[str, str], etree._Element] = {}
        for root in roots:
            for style in root.iter(f"{STYLE}style"):
                key = str(style.get(f"{STYLE}family")), str(style.get(f"{STYLE}name"))
                self._styles.setdefault(key, style)
        self._positions: dict[tuple[str, str], Position | None] = {}
        self._hidden: dict[tuple[str, str], bool] = {}
        self._fonts = {
            str(face.get(f"{STYLE}name")): str(face.get(f"{SVG}font-family") or "").strip("'")
            for root in roots
            for face in root.iter(f"{STYLE}font-face")
        }

    def value(self, family: str, name: object, attribute: str) -> str:
        """Return an attribute of a style's properties, empty if no style of the chain has it."""
        for style in self._chain(family, name):
            for properties in style:
                if (value := properties.get(attribute)) is not None:
                    return str(value)
        return ""

    def _chain(self, family: str, name: object) -> Iterator[etree._Element]:
        """Yield a style and those that it is based on, the most special first."""
        for _ in range(_DEEPEST):
            style = self._styles.get((family, str(name)))
            if style is None:
                return
            yield style
            name = style.get(f"{STYLE}parent-style-name")

    def position(self, family: str, name: object) -> Position | None:
        """Return whether a style raises or lowers text, None if it says nothing."""
        key = family, str(name)
        if key not in self._positions:
            self._positions[key] = _position(self.value(*key, f"{STYLE}text-position"))
        return self._positions[key]

    def is_hidden(self, family: str, name: object) -> bool:
        """Return True if text of a style cannot be seen."""
        key = family, str(name)
        if key not in self._hidden:
            size = self.value(*key, f"{FO}font-size")
            is_tiny = size.endswith("pt") and _number(size.removesuffix("pt")) <= _SMALLEST
            self._hidden[key] = is_tiny or self.value(*key, f"{TEXT}display") == "none"
        return self._hidden[key]

    def is_struck(self, family: str, name: object) -> bool | None:
        """Return whether a style strikes text through, None if it says nothing."""
        style = self.value(family, name, f"{STYLE}text-line-through-style")
        style = style or self.value(family, name, f"{STYLE}text-line-through-type")
        return style != "none" if style else None

    def font(self, family: str, name: object) -> str:
        """Return the font's family that a style gives, empty if it says nothing."""
        face = self.value(family, name, f"{STYLE}font-name")
        family_ = self.value(family, name, f"{FO}font-family").strip("'")
        return self._fonts.get(face) or face or family_

    def is_white(self, family: str, name: object) -> bool:
        """Return True for white letters without a ground of their own."""
        return self.color(family, name) == _WHITE and not self.has_ground(family, name)

    def color(self, family: str, name: object) -> str:
        """Return the color of a style's letters in lower case, empty if it says nothing."""
        return self.value(family, name, f"{FO}color").lower()

    def has_ground(self, family: str, name: object) -> bool:
        """Return True if a style has a ground that is not white, for its letters or around them."""
        found: dict[str, str] = {}
        for style in self._chain(family, name):
            for properties in style:
                if (value := properties.get(f"{FO}background-color")) is not None:
                    found.setdefault(str(properties.tag), str(value).lower())
        return any(value not in ("", "transparent", _WHITE) for value in found.values())


def _position(text: str) -> Position | None:
    first = text.partition(" ")[0]
    if not first:
        return None
    if first == "sub" or first.startswith("-"):
        return Position.LOWERED
    return Position.BASELINE if first in ("0%", "0") else Position.RAISED


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("inf")


_UNITS = {"cm": 1.0, "mm": 0.1, "in": 2.54, "pt": 2.54 / 72, "pc": 2.54 / 6, "px": 2.54 / 96}


def length(element: etree._Element, attribute: str) -> float:
    """Return a length in centimetres, 0 if it is not given."""
    text = str(element.get(attribute) or "")
    number = _number(text[:-2])
    return number * _UNITS.get(text[-2:], 0.0) if number != float("inf") else 0.0


def count(element: etree._Element, name: str, most: int) -> int:
    """Return how often a cell or row is repeated or how far it spans, within reason."""
    value = str(element.get(f"{TABLE}{name}") or "1")
    return min(int(value), most) if value.isdigit() else 1
