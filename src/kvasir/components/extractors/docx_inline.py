"""The text of a Word paragraph: runs, links, fields, form fields, notes and what is hidden.

Source: ECMA-376 part 1, 17.3 (runs), 17.16 (fields), 17.5.2 (content controls).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from lxml import etree

from kvasir.components.extractors.docx_xml import W14, W, find, is_on, value_at
from kvasir.components.extractors.inline_marks import (
    TICKED,
    UNTICKED,
    Position,
    Run,
    footnote_mark,
    join_runs,
    link_suffix,
)
from kvasir.components.extractors.list_numbers import number_text
from kvasir.components.extractors.omml import equations
from kvasir.components.extractors.ooxml import R
from kvasir.components.extractors.symbol_fonts import as_unicode, sign

_M = "{http://schemas.openxmlformats.org/officeDocument/2006/math}"
_WP = "{http://schemas.openxmlformats.org/drawingml/2006/wordprocessingDrawing}"
_V = "{urn:schemas-microsoft-com:vml}"
_DECORATIVE = "{http://schemas.microsoft.com/office/drawing/2017/decorative}decorative"
_TEXT = f"{W}t"
_PROPERTIES = f"{W}rPr"
TEXT_BOX = f"{W}txbxContent"

_TEXT_SIGNS = {"tab": "\t", "ptab": "\t", "br": "\n", "cr": "\n", "noBreakHyphen": "-"}
_CHARACTERS = {f"{W}{name}": sign for name, sign in _TEXT_SIGNS.items()}
_SKIPPED = frozenset(f"{W}{name}" for name in ("del", "moveFrom", "instrText", "pPr", "rPr", "rt"))
_MATH = {f"{_M}oMathPara": "$$", f"{_M}oMath": "$"}
_DRAWINGS = frozenset(f"{W}{name}" for name in ("drawing", "pict", "object"))
_POSITIONS = {"superscript": Position.RAISED, "subscript": Position.LOWERED}
_LINK_FIELD = re.compile(r'\s*HYPERLINK\s+(?!\\l)"?([^"\s]+)"?', re.IGNORECASE)
_PAGE_FIELD = re.compile(r"\s*(?:PAGE|NUMPAGES|SECTIONPAGES)\b", re.IGNORECASE)
_SYMBOL_FIELD = re.compile(r"\s*SYMBOL\s+(0x[0-9a-f]{1,4}|\d{1,5})(?!\w)", re.IGNORECASE)
_FONT_SWITCH = re.compile(r'\\f\s+(?:"([^"]+)"|(\S+))', re.IGNORECASE)
PAGE_NUMBER = "\ufdd0"
"""Stands for a page number, which differs from page to page."""
_WHITE = "FFFFFF"
_GROUND = "ground"
_UNREADABLE = ("0", "1", "2")
"""Sizes in half-points that nobody can read."""


Look = dict[str, str]
"""Values of the run properties that hide, raise, lower or strike text, and its font, by name."""
_LOOKS = frozenset(
    {"vanish", "vertAlign", "color", "sz", "shd", "highlight", "rStyle", "strike", "dstrike"}
)
_OFF = ("0", "false", "off")


@dataclass(slots=True)
class Inline:
    """A paragraph's text, and the parts that stand apart from its line."""

    text: str = ""
    boxes: list[etree._Element] = field(default_factory=list)
    drawings: list[etree._Element] = field(default_factory=list)
    pictures: list[str] = field(default_factory=list)
    """Descriptions."""
    notes: list[tuple[str, etree._Element]] = field(default_factory=list)
    """Label and element of each footnote and endnote."""
    comments: list[str] = field(default_factory=list)
    """Ids."""


class Styles:
    """Finds the run properties that a style gives, with those of the styles it is based on."""

    def __init__(self, root: etree._Element) -> None:
        self._styles = {
            str(style.get(f"{W}styleId")): style for style in root.iterfind(f"{W}style")
        }
        self._chains: dict[str, list[etree._Element]] = {}
        self._looks: dict[str, Look] = {}

    def chain(self, style_id: str) -> list[etree._Element]:
        """Return a style and those it is based on, the most special first."""
        if style_id not in self._chains:
            chain: list[etree._Element] = []
            name = style_id
            while name in self._styles and self._styles[name] not in chain:
                chain.append(self._styles[name])
                name = value_at(chain[-1], "basedOn")
            self._chains[style_id] = chain
        return self._chains[style_id]

    def look(self, style_id: str) -> Look:
        """Return how runs of a style look; what a special style says overrides its base."""
        if style_id not in self._looks:
            look: Look = {}
            for style in reversed(self.chain(style_id)):
                look |= _look(style.find(_PROPERTIES))
            self._looks[style_id] = look
        return self._looks[style_id]


def _look(properties: etree._Element | None) -> Look:
    if properties is None:
        return {}
    look = {
        name: str(each.get(f"{W}val", ""))
        for each in properties
        if (name := str(each.tag).removeprefix(W)) in _LOOKS
    }
    fonts = properties.find(f"{W}rFonts")
    if fonts is not None:
        look["font"] = str(fonts.get(f"{W}ascii") or fonts.get(f"{W}hAnsi") or "")
    shading = properties.find(f"{W}shd")
    if shading is not None:
        look["shd"] = _GROUND if _is_ground(shading) else ""
    if look.get("highlight") in ("none", "white"):
        look["highlight"] = ""
    return look


def _is_ground(shading: etree._Element) -> bool:
    """Return True if white letters can be read on a shading."""
    if shading.get(f"{W}val") not in (None, "clear", "nil", "solid"):
        return True  # A pattern of lines or dots.
    name = "color" if shading.get(f"{W}val") == "solid" else "fill"
    return str(shading.get(f"{W}{name}") or "auto").upper() not in ("AUTO", _WHITE)


class NoteLabels:
    """Numbers footnotes and endnotes in the order in which they are referred to."""

    def __init__(
        self, footnotes: Iterable[etree._Element], endnotes: Iterable[etree._Element]
    ) -> None:
        self._notes = {
            (kind, str(note.get(f"{W}id"))): note
            for kind, notes in (("footnoteReference", footnotes), ("endnoteReference", endnotes))
            for note in notes
            if note.get(f"{W}type") in (None, "normal")
        }
        self._counts = {"footnoteReference": 0, "endnoteReference": 0}

    def take(self, reference: etree._Element) -> tuple[str, etree._Element | None]:
        """Return the label and the note of a reference; each note is returned once."""
        kind = str(reference.tag).removeprefix(W)
        self._counts[kind] += 1
        count = self._counts[kind]
        label = str(count) if kind == "footnoteReference" else number_text(count, "lowerRoman")
        return label, self._notes.pop((kind, str(reference.get(f"{W}id"))), None)


class InlineReader:
    """Reads the paragraphs of one part, whose relationships give the link targets."""

    def __init__(self, styles: Styles, relations: Mapping[str, Any], labels: NoteLabels) -> None:
        self._styles = styles
        self._relations = relations
        self._labels = labels

    def read(self, paragraph: etree._Element, *, on_page: bool = True) -> Inline:
        """Return a paragraph's content; ``on_page`` is False in tables, whose cells have fills.

        White text is hidden on the page only: elsewhere it may stand on a dark ground.
        """
        walk = _Walk(self, paragraph, on_page)
        walk.read(paragraph)
        return walk.finish()

    def target(self, link: etree._Element) -> str:
        """Return the address of a hyperlink element, empty inside the document."""
        relation = self._relations.get(str(link.get(f"{R}id")))
        if relation is None or not relation.is_external:
            return ""
        anchor = link.get(f"{W}anchor")
        return f"{relation.target_ref}#{anchor}" if anchor else str(relation.target_ref)

    def look(self, run: etree._Element, paragraph_style: str) -> Look:
        """Return how a run looks: by its paragraph's style, its own style and its properties."""
        own = _look(run.find(_PROPERTIES))
        look = self._styles.look(paragraph_style)
        if not own:
            return look
        return look | self._styles.look(own.get("rStyle", "")) | own

    def is_shaded(self, paragraph: etree._Element, style: str) -> bool:
        """Return True if a paragraph has a ground that is not white, of its own or its style's."""
        for element in (paragraph, *self._styles.chain(style)):
            shading = find(element, "pPr/shd")
            if shading is not None:
                return _is_ground(shading)
        return False

    def note(self, reference: etree._Element) -> tuple[str, etree._Element | None]:
        """Return label and element of a note."""
        return self._labels.take(reference)


@dataclass(slots=True)
class _Field:
    """A complex field; ``start`` is the index of the first run of its result."""

    instruction: str = ""
    start: int | None = None


class _Walk:
    """Collects one paragraph."""

    def __init__(self, reader: InlineReader, paragraph: etree._Element, on_page: bool) -> None:
        self._reader = reader
        self._style = value_at(paragraph, "pPr/pStyle")
        self._white_is_hidden = on_page and not reader.is_shaded(paragraph, self._style)
        self._runs: list[Run] = []
        self._fields: list[_Field] = []
        self._inline = Inline()

    def finish(self) -> Inline:
        self._inline.text = join_runs(self._runs)
        return self._inline

    def read(self, element: etree._Element) -> None:
        for child in element:
            tag = child.tag
            if tag == f"{W}r":
                self._run(child)
            elif tag == f"{W}hyperlink":
                self._link(child, self._reader.target(child))
            elif tag == f"{W}fldSimple":
                self._simple_field(child)
            elif tag == f"{W}sdt":
                self._control(child)
            elif tag in _MATH:
                dollar = _MATH[tag]
                self._add("\n".join(f"{dollar}{each}{dollar}" for each in equations(child)))
            elif tag not in _SKIPPED:
                self.read(child)

    def _add(self, text: str, position: Position = Position.BASELINE) -> None:
        if not self._fields or all(each.start is not None for each in self._fields):
            self._runs.append((text, position))

    def _link(self, element: etree._Element, target: str) -> None:
        start = len(self._runs)
        self.read(element)
        self._end_link(start, target)

    def _end_link(self, start: int, target: str) -> None:
        words = join_runs(self._runs[start:])
        suffix = link_suffix(words, target)
        if suffix and words.strip():
            text, position = self._runs[-1]
            # The words' last space belongs behind the address.
            self._runs[-1] = (text.rstrip(), position)
            self._add(suffix + text[len(text.rstrip()) :])

    def _simple_field(self, element: etree._Element) -> None:
        instruction = str(element.get(f"{W}instr") or "")
        if _PAGE_FIELD.match(instruction):
            self._add(PAGE_NUMBER)
            return
        link = _LINK_FIELD.match(instruction)
        self._link(element, link[1] if link else "")

    def _control(self, control: etree._Element) -> None:
        """Read a content control; a prompt such as "Click here" is no content."""
        properties = control.find(f"{W}sdtPr")
        content = control.find(f"{W}sdtContent")
        box = properties.find(f"{W14}checkbox") if properties is not None else None
        if box is not None:
            checked = box.find(f"{W14}checked")
            is_ticked = checked is not None and checked.get(f"{W14}val") in ("1", "true")
            self._add(TICKED if is_ticked else UNTICKED)
        elif content is not None and not is_prompt(control):
            self.read(content)

    def _run(self, run: etree._Element) -> None:
        look = self._reader.look(run, self._style)
        is_hidden = bool(look) and self._is_hidden(look)
        position = _POSITIONS.get(look.get("vertAlign", ""), Position.BASELINE)
        is_struck = any(look.get(name, "off").lower() not in _OFF for name in ("strike", "dstrike"))
        position = position.struck(is_struck)
        for child in run:
            tag = child.tag
            if tag == _TEXT and not is_hidden:
                self._add(as_unicode(child.text or "", look.get("font", "")), position)
            elif tag == f"{W}fldChar":
                self._field(child)
            elif tag == f"{W}instrText":
                if self._fields:
                    self._fields[-1].instruction += child.text or ""
            elif is_hidden:
                continue
            elif tag in _CHARACTERS:
                self._add(_CHARACTERS[tag], position)
            else:
                self._special(child, position)

    def _special(self, child: etree._Element, position: Position) -> None:
        """Read what is no text: notes, comments, symbols, drawings, readings."""
        name = str(child.tag).removeprefix(W)
        if name in ("footnoteReference", "endnoteReference"):
            label, note = self._reader.note(child)
            self._add(footnote_mark(label))
            if note is not None:
                self._inline.notes.append((label, note))
        elif name == "commentReference":
            self._inline.comments.append(str(child.get(f"{W}id")))
        elif name == "sym":
            font = str(child.get(f"{W}font") or "")
            self._add(sign(str(child.get(f"{W}char") or ""), font), position)
        elif name == "ruby":
            self.read(child)
            reading = "".join(each.text or "" for each in child.iterfind(f"{W}rt//{W}t"))
            self._add(f"({reading})" if reading else "")
        elif child.tag in _DRAWINGS:
            self._drawing(child)
        elif child.tag not in _SKIPPED:
            self.read(child)

    def _field(self, mark: etree._Element) -> None:
        kind = mark.get(f"{W}fldCharType")
        if kind == "begin":
            self._form_field(mark)
            self._fields.append(_Field())
        elif kind == "separate" and self._fields:
            self._fields[-1].start = len(self._runs)
        elif kind == "end" and self._fields:
            ended = self._fields.pop()
            if ended.start is None or ended.start == len(self._runs):
                self._symbol_field(ended.instruction)
            if ended.start is None:
                return
            if _PAGE_FIELD.match(ended.instruction):
                self._runs[ended.start :] = [(PAGE_NUMBER, Position.BASELINE)]
            elif link := _LINK_FIELD.match(ended.instruction):
                self._end_link(ended.start, link[1])

    def _symbol_field(self, instruction: str) -> None:
        if found := _SYMBOL_FIELD.match(instruction):
            font = _FONT_SWITCH.search(instruction)
            code = found[1].lower()
            number = code if code.startswith("0x") else f"{int(code):x}"
            self._add(sign(number, (font[1] or font[2]) if font else "Symbol"))

    def _form_field(self, mark: etree._Element) -> None:
        """Add the state of an old form field that is a check box or a list."""
        if (box := find(mark, "ffData/checkBox")) is not None:
            state = "checked" if find(box, "checked") is not None else "default"
            self._add(TICKED if is_on(box, state) else UNTICKED)
        elif (choice := find(mark, "ffData/ddList")) is not None:
            entries = [str(entry.get(f"{W}val")) for entry in choice.iterfind(f"{W}listEntry")]
            chosen = value_at(choice, "result") or value_at(choice, "default") or "0"
            if chosen.isdigit() and int(chosen) < len(entries):
                self._add(entries[int(chosen)])

    def _drawing(self, drawing: etree._Element) -> None:
        inline = self._inline
        for box in drawing.iter(TEXT_BOX):
            # A box in a box is read with the outer one.
            if not any(outer in inline.boxes for outer in box.iterancestors(TEXT_BOX)):
                inline.boxes.append(box)
        inline.drawings.append(drawing)
        for about in drawing.iterfind(f"*/{_WP}docPr"):
            if not any(each.get("val") in ("1", "true") for each in about.iter(_DECORATIVE)):
                inline.pictures.append(str(about.get("descr") or ""))
        for shape in drawing.iter(f"{_V}shape"):
            inline.pictures.append(str(shape.get("alt") or ""))
            for watermark in shape.iterfind(f"{_V}textpath"):
                self._add(str(watermark.get("string") or ""))

    def _is_hidden(self, look: Look) -> bool:
        if look.get("vanish", "off").lower() not in _OFF:
            return True
        if look.get("sz", "") in _UNREADABLE:
            return True
        is_white = look.get("color", "").upper() == _WHITE
        has_ground = look.get("shd") or look.get("highlight")
        return is_white and self._white_is_hidden and not has_ground


def is_prompt(control: etree._Element) -> bool:
    """Return True if a content control shows its prompt instead of a value."""
    return is_on(control, "sdtPr/showingPlcHdr")
