"""A document as a sequence of uncut units (sentences, rows, lines) with their headings."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from itertools import pairwise

from kvasir.core.deadline import check
from kvasir.core.types import Block, BlockKind, Document
from kvasir.language.sentences import paragraph_spans, sentence_spans, trim

DEEPEST_LEVEL = 10
"""Deeper headings count as headings of this level, so that no path is longer."""

LONGEST_HEADING = 200
"""Characters; a longer heading counts as a paragraph."""

_OF_LINES = (BlockKind.TABLE, BlockKind.LIST, BlockKind.CODE)
_LINE = re.compile(r"[^\n]+")
_MARK = re.compile(r"\A#{1,6}\s+")
_TERM_MARK = re.compile(r"\A[-*+]\s+|[:：]\Z")
_ENDS = ".!?。！？।؟…\"'”’»)"
_RULE = re.compile(r"[\s|:+\-=]*-[\s|:+\-=]*")
_LONGEST_ADDRESS = 500
_ADDRESS = re.compile(r"\w://\S*\Z")
_COLONS = (":", "：")
_SUFFIX = re.compile(r"\.\w{1,5}\Z")
Span = tuple[int, int]


class Joint(IntEnum):
    """Boundary between a unit and the one before it: the higher, the better to cut."""

    NONE = 0
    """Inside a unit that was too long."""
    SENTENCE = 1
    ROW = 2
    """A line of a table, list or code."""
    LINE = 3
    INTRODUCTION = 4
    """A table, list or code after a paragraph, which may introduce it."""
    BLOCK = 5
    HEADING = 6


@dataclass(frozen=True, slots=True)
class Unit:
    """A sentence, table row, list item or line of code, from one offset to another."""

    start: int
    end: int
    joint: Joint
    """The boundary to the unit before."""
    path: tuple[str, ...] = ()
    """The headings above it, outermost first."""
    leads: tuple[int, ...] = ()
    """Offsets of the headings directly before it; they are the innermost of ``path``."""
    shown: int = 0
    """The number of innermost ``leads`` that stay in the text: from the outermost term on."""
    header: str | None = None
    """The header of the table, or the introduction of the list, of which it is a later part."""
    glued: bool = False
    """True if it must stay with the unit before."""
    described: bool = False
    """True if it goes on with a term's description."""
    barrier: bool = False
    """True if furniture stands between it and the unit before."""


def outline(document: Document, fits: Callable[[tuple[str, ...]], bool]) -> list[Unit]:
    """Return a document's units in order; together they hold its text but headings and furniture.

    A heading is in the ``path`` of the units under it. A heading without text under it is a
    unit, and so are headings that do not fit before each chunk, by ``fits`` of their whole path.
    A document of tables alone has its title as a heading: rows do not say what they are about.
    """
    language = document.metadata.get("language")
    reader = _Reader(document.text, str(language) if language else None, fits)
    if document.blocks and all(block.kind is BlockKind.TABLE for block in document.blocks):
        reader.title(_SUFFIX.sub("", document.title).strip())
    paragraphs = (Block(BlockKind.PARAGRAPH, *span) for span in paragraph_spans(document.text))
    for block in document.blocks or paragraphs:
        check("splitting")
        reader.read(block)
    reader.release(0)
    return reader.units


@dataclass(frozen=True, slots=True)
class _Heading:
    level: int
    text: str
    start: int
    end: int
    is_term: bool = False


class _Reader:
    def __init__(
        self, text: str, language: str | None, fits: Callable[[tuple[str, ...]], bool]
    ) -> None:
        self._text = text
        self._language = language
        self._fits = fits
        self.units: list[Unit] = []
        self._path: list[_Heading] = []
        self._waiting: list[_Heading] = []
        self._section: tuple[str, ...] = ()
        """The headings above the last unit, without terms."""
        self._introduction: Span | None = None
        """The last sentence of the paragraph directly before."""
        self._furniture_end = 0
        self._glues = False
        """True after a term that became a unit; its description must stay with it."""

    def title(self, text: str) -> None:
        """Put a heading above everything that is not in the text."""
        if text and self._fits((text,)):
            self._path = [_Heading(0, text, 0, 0)]

    def read(self, block: Block) -> None:
        start, end = trim(self._text, block.start, block.end)
        if start == end:
            return
        if block.kind is BlockKind.FURNITURE:
            self._furniture_end = end
            return
        is_heading = block.kind is BlockKind.HEADING and end - start <= LONGEST_HEADING
        if is_heading or block.kind is BlockKind.TERM:
            mark = _MARK if is_heading else _TERM_MARK
            text = " ".join(mark.sub("", self._text[start:end]).split())
            level = min(block.level or 1, DEEPEST_LEVEL)
            self._heading(_Heading(level, text, start, end, not is_heading))
            if is_heading or len(self._waiting) > 1:
                self._introduction = None
            return
        if block.level is not None and block.kind is not BlockKind.HEADING:
            self._leave(block.level)
        if block.kind is BlockKind.TABLE:
            self._table(start, end)
        elif block.kind is BlockKind.LIST:
            self._add(self._sentences(start, end), block.kind, self._list_header())
        elif block.kind is BlockKind.CODE:
            self._add(self._lines(start, end), block.kind)
        else:
            self._add(self._sentences(start, end))
        is_prose = block.kind not in _OF_LINES
        self._introduction = (self.units[-1].start, self.units[-1].end) if is_prose else None

    def _heading(self, heading: _Heading) -> None:
        self.release(heading.level)
        self._path = [above for above in self._path if above.level < heading.level]
        self._path.append(heading)
        self._waiting.append(heading)

    def _leave(self, level: int) -> None:
        """End the headings that are deeper than a level."""
        self.release(level + 1)
        self._path = [heading for heading in self._path if heading.level <= level]

    def release(self, level: int) -> None:
        """Make units of the waiting headings of a level or deeper: they have no text."""
        orphans = [heading for heading in self._waiting if heading.level >= level]
        if not orphans:
            return
        self._waiting = [heading for heading in self._waiting if heading.level < level]
        kept = self._path
        self._path = [heading for heading in kept if heading not in orphans]
        self._add([(heading.start, heading.end) for heading in orphans])
        self._path = kept

    def _table(self, start: int, end: int) -> None:
        """Add the rows; the one above the rule is the header."""
        rows = self._lines(start, end)
        if len(rows) > 2 and _RULE.fullmatch(self._text[slice(*rows[1])]):
            self._add(rows, BlockKind.TABLE, self._text[slice(*rows[0])].strip("| "), top=3)
        else:
            self._add(rows, BlockKind.TABLE)

    def _list_header(self) -> str | None:
        """Return the introduction that later parts of a list repeat."""
        if self._introduction is None or not self._is_introduced:
            return None
        text = " ".join(self._text[slice(*self._introduction)].split())
        return text if len(text) <= LONGEST_HEADING else None

    @property
    def _is_introduced(self) -> bool:
        """True if the sentence before announces what follows."""
        span = self._introduction
        return span is not None and self._text[span[1] - 1] in _COLONS

    def _add(
        self,
        spans: list[Span],
        kind: BlockKind = BlockKind.PARAGRAPH,
        header: str | None = None,
        top: int = 1,
    ) -> None:
        """Add a block's units; the first ``top`` stay together, later ones repeat ``header``."""
        if self._waiting and not self._fits(tuple(heading.text for heading in self._path)):
            is_term = self._waiting[-1].is_term
            self.release(0)
            self._glues = is_term
        if not spans:
            return
        first = self._first(spans[0], kind)
        self.units.append(first)
        indent = 0
        for index, ((_, before), (start, end)) in enumerate(pairwise(spans), 1):
            is_line = "\n" in self._text[before:start]
            deeper = indent
            if is_line:
                deeper, indent = indent, start - self._text.rindex("\n", before, start) - 1
            unit = Unit(
                start,
                end,
                self._line_joint(before, kind) if is_line else Joint.SENTENCE,
                first.path,
                header=header if index >= top else None,
                glued=index < top or (kind is BlockKind.LIST and indent > deeper),
                described=first.described or first.shown > 0,
            )
            self.units.append(unit)

    def _line_joint(self, end: int, kind: BlockKind) -> Joint:
        """Return the joint below a line: one without a period leads to the next, like a title."""
        if kind in _OF_LINES:
            return Joint.ROW
        return Joint.LINE if self._text[end - 1] in _ENDS else Joint.SENTENCE

    def _first(self, span: Span, kind: BlockKind) -> Unit:
        """Return the first unit of a block, with the headings directly before it."""
        start, end = span
        path = tuple(heading.text for heading in self._path)
        section = tuple(heading.text for heading in self._path if not heading.is_term)
        before = self.units[-1] if self.units else None
        # Furniture between a heading and the text under it cannot be in a chunk of both.
        leads = [heading for heading in self._waiting if heading.start >= self._furniture_end]
        terms = [index for index, heading in enumerate(leads) if heading.is_term]
        shown = len(leads) - terms[0] if terms else 0
        is_under_heading = len(leads) > shown or before is None or section != self._section
        is_direct = before is not None and before.path == path and not leads
        is_first_term = bool(leads) and before is not None and before.path == section
        if is_under_heading:
            joint = Joint.HEADING
        elif (is_direct and kind in _OF_LINES and self._introduction is not None) or (
            is_first_term and self._is_introduced
        ):
            joint = Joint.INTRODUCTION
        else:
            joint = Joint.BLOCK
        self._waiting, self._section = [], section
        glues, self._glues = self._glues, False
        return Unit(
            start,
            end,
            joint,
            path,
            tuple(heading.start for heading in leads),
            shown,
            glued=glues or (joint is Joint.INTRODUCTION and self._is_introduced),
            described=is_direct and bool(self._path) and self._path[-1].is_term,
            barrier=before is not None and before.end < self._furniture_end <= start,
        )

    def _sentences(self, start: int, end: int) -> list[Span]:
        """Return the sentences of a block; an address is not cut, whatever signs are in it."""
        spans: list[Span] = []
        for first, last in sentence_spans(self._text[start:end], self._language):
            searched = max(spans[-1][0], start + first - _LONGEST_ADDRESS) if spans else 0
            if spans and _ADDRESS.search(self._text, searched, start + first):
                spans[-1] = (spans[-1][0], start + last)
            else:
                spans.append((start + first, start + last))
        return spans

    def _lines(self, start: int, end: int) -> list[Span]:
        lines = (match for match in _LINE.finditer(self._text, start, end) if match[0].strip())
        return [trim(self._text, *match.span()) for match in lines]
