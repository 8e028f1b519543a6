"""The text of an OpenDocument paragraph, and what stands apart from its line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from lxml import etree

from kvasir.components.extractors.inline_marks import (
    TICKED,
    UNTICKED,
    Position,
    Run,
    footnote_mark,
    join_runs,
    link_suffix,
)
from kvasir.components.extractors.odf_xml import DC, DRAW, FORM, HREF, OFFICE, TEXT, Styles
from kvasir.components.extractors.symbol_fonts import as_unicode

_SKIPPED = frozenset(
    {f"{TEXT}{name}" for name in ("note-citation", "tracked-changes", "placeholder", "ruby-text")}
)
PAGE_NUMBER = "\ufdd0"
"""Stands for what differs from page to page or is written elsewhere."""
_PER_PAGE = frozenset(
    f"{TEXT}{name}"
    for name in ("page-number", "page-count", "sheet-name", "file-name", "date", "time", "title")
)
_LONGEST_SPACE = 100


@dataclass(slots=True)
class Inline:
    """A paragraph's text and the parts that follow it."""

    text: str = ""
    shapes: list[etree._Element] = field(default_factory=list)
    """Frames, text boxes and drawings."""
    notes: list[str] = field(default_factory=list)
    """Notes and comments with their labels."""


class InlineReader:
    """Reads paragraphs; ``fields`` are the form's controls by id."""

    def __init__(self, styles: Styles, fields: Mapping[str, etree._Element]) -> None:
        self._styles = styles
        self._fields = fields

    def read(self, paragraph: etree._Element, *, on_page: bool = True) -> Inline:
        """Return a paragraph's content; white text is hidden only if it is ``on_page``."""
        walk = _Walk(self._styles, self._fields, on_page)
        name = paragraph.get(f"{TEXT}style-name")
        position = self._styles.position("paragraph", name) or Position.BASELINE
        walk.read_styled(paragraph, "paragraph", name, position)
        if walk.is_hidden:
            return Inline()
        walk.inline.text = join_runs(walk.runs)
        return walk.inline

    def text(self, parent: etree._Element) -> str:
        """Return all paragraphs inside an element as one line."""
        texts = (self.read(each, on_page=False).text for each in parent.iter(f"{TEXT}p"))
        return " ".join(" ".join(texts).split())


class _Walk:
    """Collects one paragraph."""

    def __init__(self, styles: Styles, fields: Mapping[str, etree._Element], on_page: bool) -> None:
        self._styles = styles
        self._fields = fields
        # Off the page, in cells and boxes, white letters may have a dark ground.
        self._has_ground = not on_page
        self._is_white = self._is_struck = False
        self._font = ""
        self.runs: list[Run] = []
        self.inline = Inline()
        self.is_hidden = False

    def read_styled(
        self, element: etree._Element, family: str, name: object, position: Position
    ) -> None:
        """Read an element that has a style, unless its text is hidden."""
        if self._styles.is_hidden(family, name):
            return
        outside = self._is_white, self._has_ground, self._is_struck, self._font
        if color := self._styles.color(family, name):
            self._is_white = color == "#ffffff"
        self._has_ground = self._has_ground or self._styles.has_ground(family, name)
        is_struck = self._styles.is_struck(family, name)
        self._is_struck = self._is_struck if is_struck is None else is_struck
        self._font = self._styles.font(family, name) or self._font
        self.read(element, position)
        self._is_white, self._has_ground, self._is_struck, self._font = outside

    def read(self, element: etree._Element, position: Position) -> None:
        self._text(element.text, position)
        for child in element:
            if isinstance(child.tag, str):
                self._child(child, position)
            self._text(child.tail, position)

    def _text(self, text: str | None, position: Position = Position.BASELINE) -> None:
        """Add a text that can be seen."""
        if self._has_ground or not self._is_white:
            shown = as_unicode(text or "", self._font)
            self.runs.append((shown, position.struck(self._is_struck)))

    def _child(self, child: etree._Element, position: Position) -> None:
        tag = child.tag
        name = tag.removeprefix(TEXT)
        if tag == f"{TEXT}span":
            style = child.get(f"{TEXT}style-name")
            own = self._styles.position("text", style) or position
            self.read_styled(child, "text", style, own)
        elif name in ("s", "tab", "line-break"):
            spaces = str(child.get(f"{TEXT}c") or "1")
            amount = min(int(spaces), _LONGEST_SPACE) if spaces.isdigit() else 1
            sign = {"s": " " * amount, "tab": "\t"}.get(name, "\n")
            self._text(sign)
        elif tag == f"{TEXT}a":
            start = len(self.runs)
            self.read(child, position)
            words = join_runs(self.runs[start:])
            is_hidden = not words.strip() and "".join(child.itertext()).strip()
            if not is_hidden:
                self._text(link_suffix(words, str(child.get(HREF) or "")))
        elif tag == f"{TEXT}note":
            self._note(child)
        elif tag == f"{OFFICE}annotation":
            self.inline.notes.append(comment(child, self._texts(child)))
        elif name in ("hidden-text", "hidden-paragraph"):
            self.is_hidden = self.is_hidden or (
                name == "hidden-paragraph" and child.get(f"{TEXT}is-hidden") == "true"
            )
            if child.get(f"{TEXT}is-hidden") == "false":
                self.read(child, position)
        elif tag in _PER_PAGE:
            self._text(child.text, position)
            if name in ("page-number", "page-count", "sheet-name"):
                self._text(PAGE_NUMBER)
        elif name == "ruby":
            self.read(child, position)
            reading = "".join(child.itertext(f"{TEXT}ruby-text"))
            self._text(f"({reading})" if reading else "")
        elif tag == f"{DRAW}control":
            self._text(self._control(child))
        elif tag.startswith(DRAW):
            self.inline.shapes.append(child)
        elif tag not in _SKIPPED:
            self.read(child, position)

    def _texts(self, parent: etree._Element) -> str:
        reader = InlineReader(self._styles, self._fields)
        return reader.text(parent)

    def _note(self, note: etree._Element) -> None:
        label = (note.findtext(f"{TEXT}note-citation") or "").strip() or "*"
        self._text(footnote_mark(label))
        body = note.find(f"{TEXT}note-body")
        if body is not None and (text := self._texts(body)):
            self.inline.notes.append(f"Note {label}: {text}")

    def _control(self, control: etree._Element) -> str:
        """Return the value that a form's control shows."""
        form = self._fields.get(str(control.get(f"{DRAW}control")))
        if form is None:
            return ""
        kind = str(form.tag).removeprefix(FORM)
        label = str(form.get(f"{FORM}label") or "")
        if kind in ("checkbox", "radio"):
            state = form.get(f"{FORM}current-state") or form.get(f"{FORM}state")
            chosen = form.get(f"{FORM}current-selected") or form.get(f"{FORM}selected")
            is_on = state == "checked" or chosen == "true"
            return f"{TICKED if is_on else UNTICKED} {label}".strip()
        if kind == "listbox":
            options = form.iterfind(f"{FORM}option[@{FORM}current-selected='true']")
            return ", ".join(str(option.get(f"{FORM}label") or "") for option in options)
        if kind in ("button", "image", "hidden", "password"):
            return ""
        return str(form.get(f"{FORM}current-value") or form.get(f"{FORM}value") or "")


def comment(annotation: etree._Element, text: str, place: str = "") -> str:
    """Return a comment with its label, empty if it has no text."""
    author = (annotation.findtext(f"{DC}creator") or "").strip()
    label = f"Comment ({author})" if author else "Comment"
    return f"{label}{place}: {text}" if text else ""
