"""The text inside an element of a page: one line, with what its markup says.

Raised and lowered text, targets of links, alternative texts, values of form fields, readings
(ruby) and formulas are written out. Without recursion, because pages nest thousands of elements.

Source: HTML Living Standard; MathML Core.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urljoin, urlsplit

from lxml import etree

from kvasir.components.extractors.inline_marks import (
    TICKED,
    UNTICKED,
    footnote_mark,
    link_suffix,
    lowered,
    raised,
    struck,
)
from kvasir.core.text import has_cjk

INLINE = frozenset({
    "a", "abbr", "acronym", "b", "bdi", "bdo", "big", "br", "cite", "code", "data", "del", "dfn",
    "em", "font", "i", "img", "input", "ins", "kbd", "label", "mark", "math", "meter", "nobr",
    "output", "picture", "progress", "q", "rp", "rt", "ruby", "s", "samp", "select", "small",
    "span", "strike", "strong", "sub", "sup", "svg", "textarea", "time", "tt", "u", "var", "wbr",
    "area", "button", "basefont", "blink", "x-wbr",
})  # fmt: skip
_LABELLED = frozenset({"h1", "h2", "h3", "h4", "h5", "h6", "summary", "dt", "th"})
"""Elements whose words are a label, also on a button."""
_READINGS = frozenset({"rt", "rp", "rtc"})
_WITHOUT_VALUE = frozenset({
    "hidden", "submit", "button", "reset", "image", "password", "file", "search", "color", "range",
})  # fmt: skip
_FILE_NAME = re.compile(r"[\w%.-]*\.(?:png|jpe?g|gif|svg|webp|bmp|ico|avif)", re.IGNORECASE)
_PERMALINK = re.compile(r"[\s¶§#🔗⚓↩\ufe0e\ufe0f]*")
_WITHOUT_WIDTH = dict.fromkeys(map(ord, "\u00ad\u200b\u2060\ufeff"))
_WHITE = re.compile(r"\s+")
_MARKED_DEPTH = 32
"""Marks inside marks to this depth are written; a page may nest thousands."""
_BEFORE = 12
_LONGEST_NOTE_MARK = 6
_NOTE_MARKS = frozenset({"doc-noteref", "noteref", "footnote-ref", "footnote-reference"})
"""Roles, EPUB types, and classes of pandoc and docutils."""
_SITE = re.compile(r"^www\.", re.IGNORECASE)


class Alternative(str):
    """The alternative text of a picture."""

    __slots__ = ()


@dataclass(slots=True)
class _Open:
    """An element whose text is being collected."""

    element: etree._Element
    children: Iterator[etree._Element]
    start: int
    """The number of pieces before its own."""


class InlineText:
    """Writes the text of elements of one page.

    ``address`` is the page's own ``http(s)`` address, if it is known.
    """

    def __init__(self, address: str | None = None) -> None:
        self._address = address
        self._site = _site(address)
        self._explained: set[tuple[str, str]] = set()
        self._marks: dict[str, Callable[[str, str, etree._Element], str]] = {
            "sup": _superscript,
            "sub": lambda inner, *_: lowered(inner),
            "q": lambda inner, *_: f"“{inner.strip()}”",
            "del": lambda inner, *_: struck(inner),
            "s": lambda inner, *_: struck(inner),
            "strike": lambda inner, *_: struck(inner),
            "abbr": self._explain,
            "acronym": self._explain,
            "dfn": self._explain,
        }

    def line(self, element: etree._Element, apart: Container[str] = ()) -> str:
        """Return the text inside an element, except in elements ``apart``, as one line."""
        return " ".join("".join(self.texts(element, apart)).split())

    def texts(self, element: etree._Element, apart: Container[str] = ()) -> list[str]:
        """Return the pieces of text inside an element; only ``br`` gives a line feed."""
        pieces: list[str] = []
        self._inside(element, pieces, apart)
        return pieces

    def append(self, element: etree._Element, pieces: list[str]) -> None:
        """Append an inline element with its marks to the pieces of text before it."""
        if is_whole(element) or is_permalink(element):
            pieces.append(self._read_whole(element))
            return
        start = len(pieces)
        pieces.append("\n" if element.tag == "br" else "")
        self._inside(element, pieces)
        self._close(_Open(element, iter(()), start), pieces, 1)

    def _inside(
        self, element: etree._Element, pieces: list[str], apart: Container[str] = ()
    ) -> None:
        pieces.append(flat(element.text))
        open_elements = [_Open(element, iter(element), 0)]
        while open_elements:
            child = next(open_elements[-1].children, None)
            if child is None:
                closed = open_elements.pop()
                if open_elements:
                    self._close(closed, pieces, len(open_elements))
                    pieces.append(_tail(closed.element))
            elif child.tag in apart:
                pieces.append(f" {flat(child.tail)}")
            elif is_whole(child) or is_permalink(child):
                pieces += [self._read_whole(child), flat(child.tail)]
            else:
                start = len(pieces)
                pieces += [_before(child), flat(child.text)]
                open_elements.append(_Open(child, iter(child), start))

    def _read_whole(self, element: etree._Element) -> str:
        reader = _WHOLE.get(element.tag)
        return reader(element) if reader else ""

    def _close(self, closed: _Open, pieces: list[str], depth: int) -> None:
        """Apply the mark of an element to the pieces inside it."""
        tag, start = closed.element.tag, closed.start
        if tag == "a" and (mark := _note_mark(closed.element)):
            pieces[start:] = [mark]
            return
        if tag == "a" and depth <= _MARKED_DEPTH:
            inside = pieces[start:]
            suffix = self.suffix(closed.element, inside)
            if not is_picture(inside):
                pieces.append(suffix)
            elif (closed.element.get("href") or "").startswith("#"):
                del pieces[start:]  # An arrow to the top of the page.
            else:
                pieces.append(Alternative(suffix))
        elif tag in self._marks and depth <= _MARKED_DEPTH:
            inner = "".join(pieces[start:])
            del pieces[start:]
            if inner.strip():
                before = "".join(pieces[-_BEFORE:])[-_BEFORE:]
                inner = self._marks[tag](inner, before, closed.element)
            pieces.append(inner)

    def suffix(self, link: etree._Element, inside: list[str]) -> str:
        """Return the address of a link to another site, in brackets, to follow its words."""
        target = link.get("href")
        if not target or target.startswith("#"):
            return ""
        try:
            address = urljoin(self._address, target) if self._address else target.strip()
            site = _site(address)
        except ValueError:
            return ""
        if site is not None and site == self._site:
            return ""
        return link_suffix("".join(inside), address)

    def _explain(self, inner: str, _: str, element: etree._Element) -> str:
        """Return a short form with its meaning, the first time on the page."""
        meaning = " ".join((element.get("title") or "").split())
        key = (inner.strip(), meaning)
        if not meaning or key in self._explained or meaning.casefold() == key[0].casefold():
            return inner
        self._explained.add(key)
        return f"{inner} ({meaning})"


def is_picture(pieces: Sequence[str]) -> bool:
    """Return True if pieces of text are alternative texts alone."""
    return all(isinstance(piece, Alternative) or not piece.strip() for piece in pieces)


def is_permalink(element: etree._Element) -> bool:
    """Return True for a sign such as ¶ that links to its own heading."""
    if element.tag != "a" or not (element.get("href") or "").startswith("#"):
        return False
    text = "".join(element.itertext())
    return bool(text.strip()) and _PERMALINK.fullmatch(text) is not None


def formula(element: etree._Element) -> str:
    """Return a MathML formula: its LaTeX if that is given, else its signs in one line."""
    for annotation in element.iter("annotation"):
        if "tex" in (annotation.get("encoding") or ""):
            return " ".join((annotation.text or "").split())
    if element.get("alttext"):
        return " ".join(element.get("alttext").split())
    return " ".join(_formula(element, 0).split())


def _formula(element: etree._Element, depth: int) -> str:
    if element.tag in ("annotation", "annotation-xml"):
        return ""
    if depth > _MARKED_DEPTH:
        return "".join(element.itertext())
    parts = [_formula(child, depth + 1) for child in element.iterchildren(etree.Element)]
    if element.tag in ("msup", "msub", "msubsup") and len(parts) > 1:
        base, *scripts = parts
        low = lowered(scripts[0]) if element.tag != "msup" else ""
        return base + low + (raised(scripts[-1], "") if element.tag != "msub" else "")
    if element.tag == "munderover" and len(parts) == 3:
        return parts[0] + lowered(parts[1].strip()) + raised(parts[2].strip(), "")
    if element.tag in ("munder", "mover") and len(parts) == 2:
        return parts[0] + _limit(parts[1].strip(), element.tag)
    if element.tag in ("mfrac", "mroot") and len(parts) == 2:
        return f"({parts[0]})/({parts[1]})" if element.tag == "mfrac" else _root(*parts)
    if element.tag in ("mtr", "mlabeledtr"):
        return " ".join(part.strip() for part in parts)
    if element.tag == "mtable":
        return f"[{'; '.join(parts)}]"
    if element.tag == "msqrt":
        return f"√({''.join(parts)})"
    text = flat(element.text).strip()
    return f" {text} " if element.tag == "mo" and text in "=<>≤≥≠≈→" else text + "".join(parts)


def _limit(text: str, tag: str) -> str:
    """Return what is under or over a sign; a bar or an arrow is no limit."""
    if not any(map(str.isalnum, text)):
        return text
    return lowered(text) if tag == "munder" else raised(text, "")


def _root(base: str, index: str) -> str:
    return f"root({index}, {base})"


def flat(text: str | None) -> str:
    """Return text with its white space collapsed and without invisible characters."""
    if not text:
        return ""
    return _WHITE.sub(" ", text if text.isascii() else text.translate(_WITHOUT_WIDTH))


def _before(element: etree._Element) -> str:
    if element.tag == "br":
        return "\n"
    if element.tag == "li" and element.getprevious() is not None:
        return "; "
    return "" if element.tag in INLINE else " "


def _tail(element: etree._Element) -> str:
    tail = flat(element.tail)
    if element.tag == "li":
        return tail.rstrip()  # The next item writes what is between them.
    return tail if element.tag in INLINE else f" {tail}"


def _superscript(inner: str, before: str, element: etree._Element) -> str:
    label = inner.strip()
    is_bracketed = label.startswith("[") and label.endswith("]")
    if is_bracketed and len(label) > _LONGEST_NOTE_MARK:
        return inner
    links = (*element.iter("a"), *element.iterancestors("a"))
    to_note = any((link.get("href") or "").startswith("#") for link in links)
    is_mark = is_bracketed or (to_note and len(label) <= _LONGEST_NOTE_MARK)
    return footnote_mark(label.strip("[]")) if is_mark else raised(inner, before)


def _note_mark(link: etree._Element) -> str:
    """Return the mark of a footnote, if a link says that it is one."""
    if next(link.iterancestors("sup"), None) is not None:
        return ""
    if not is_of_kind(link, _NOTE_MARKS, ("role", "epub:type", "class")):
        return ""
    label = "".join("".join(link.itertext()).split()).strip("[]()")
    return footnote_mark(label) if 0 < len(label) <= _LONGEST_NOTE_MARK else ""


def is_of_kind(
    element: etree._Element, kinds: frozenset[str], names: Sequence[str] = ("role", "epub:type")
) -> bool:
    """Return True if an attribute of an element names one of some kinds."""
    return any(not kinds.isdisjoint((element.get(name) or "").lower().split()) for name in names)


def _site(address: str | None) -> str | None:
    host = urlsplit(address).hostname if address else None
    return _SITE.sub("", host) if host else None


def _alternative(element: etree._Element) -> str:
    text = flat(element.get("alt") or element.get("title")).strip()
    return Alternative("" if _FILE_NAME.fullmatch(text) else text)


def _drawing(element: etree._Element) -> str:
    """Return the accessible name of a drawing."""
    named = (element.findtext(name) for name in ("{*}title", "{*}desc", "title", "desc"))
    text = element.get("aria-label") or next(filter(None, named), "")
    return Alternative(flat(text).strip())


def _ruby(element: etree._Element) -> str:
    """Return the base characters whole, then their reading in brackets."""
    base, reading = [element.text or ""], []
    for child in element.iterchildren(etree.Element):
        if child.tag in _READINGS:
            if child.tag != "rp":
                reading.append("".join(child.itertext()).strip())
        else:
            base.append("".join(child.itertext()))
        base.append(child.tail or "")
    written = "".join(base)
    text = ("" if has_cjk(written) else " ").join(written.split())
    joint = "" if has_cjk("".join(reading)) else " "
    return f"{text}({joint.join(filter(None, reading))})" if any(reading) else text


def _value(element: etree._Element) -> str:
    """Return what a form field holds; a box that is no field of a form says nothing."""
    kind = (element.get("type") or "text").lower()
    if kind in ("checkbox", "radio"):
        is_field = element.get("name") is not None or element.get("disabled") is not None
        mark = TICKED if element.get("checked") is not None else UNTICKED
        return f" {mark} " if is_field else ""
    return "" if kind in _WITHOUT_VALUE else f" {flat(element.get('value'))}"


def _chosen(element: etree._Element) -> str:
    options = [item for item in element.iter("option") if item.get("selected") is not None]
    if not options and element.get("multiple") is None and (element.get("size") or "1") == "1":
        options = [*element.iter("option")][:1]  # The one that is shown.
    return " " + ", ".join(flat("".join(option.itertext())).strip() for option in options)


def _typed(element: etree._Element) -> str:
    return f" {flat(''.join(element.itertext()))}"


def is_whole(element: etree._Element) -> bool:
    """Return True for an element whose text is not read piece by piece."""
    return element.tag in _WHOLE and not (element.tag == "button" and _is_label(element))


def _is_label(button: etree._Element) -> bool:
    """Return True for a button that names the content below it, such as a question's answer."""
    opens = any(button.get(name) is not None for name in ("aria-expanded", "aria-controls"))
    return opens or any(above.tag in _LABELLED for above in button.iterancestors())


_WHOLE: Mapping[str, Callable[[etree._Element], str]] = {
    "img": _alternative,
    "area": _alternative,
    "svg": _drawing,
    "math": formula,
    "ruby": _ruby,
    "input": _value,
    "select": _chosen,
    "textarea": _typed,
    "button": lambda _: "",
}
"""Readers of elements whose text is not read piece by piece; a button only does something."""
