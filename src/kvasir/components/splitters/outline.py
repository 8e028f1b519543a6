"""A document as a sequence of uncut units (sentences, rows, lines) with their headings."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum

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
_ENDS = ".!?。！？।؟…\"'”’»)"
_RULE = re.compile(r"[\s|:+\-=]*-[\s|:+\-=]*")


class Joint(IntEnum):
    """Boundary between a unit and the one before it: the higher, the better to cut."""

    NONE = 0
    """Inside a unit that was too long."""
    SENTENCE = 1
    ROW = 2
    """A line of a table, list or code."""
    LINE = 3
    INTRODUCTION = 4
    """A table, list or code after the paragraph that introduces it."""
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
    table_header: str | None = None
    """For a table row below the top rows, the header row."""
    glued: bool = False
    """True if it must stay with the unit before."""


def outline(document: Document, fits: Callable[[tuple[str, ...]], bool]) -> list[Unit]:
    """Return a document's units in order; together they hold all its text but headings.

    A heading is in the ``path`` of the units under it. A heading without text under it is a
    unit, and so are headings that do not fit before each chunk, by ``fits`` of their whole path.
    """
    language = document.metadata.get("language")
    reader = _Reader(document.text, str(language) if language else None, fits)
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
        self._introduced = False

    def read(self, block: Block) -> None:
        start, end = trim(self._text, block.start, block.end)
        if start == end:
            return
        lines = block.kind in _OF_LINES
        if block.kind is BlockKind.HEADING and end - start <= LONGEST_HEADING:
            text = " ".join(_MARK.sub("", self._text[start:end], count=1).split())
            level = min(block.level or 1, DEEPEST_LEVEL)
            self._heading(_Heading(level, text, start, end))
        elif block.kind is BlockKind.TABLE:
            self._table(start, end)
        elif block.kind is BlockKind.CODE:
            self._add(self._lines(start, end), lines=True)
        else:
            spans = sentence_spans(self._text[start:end], self._language)
            self._add([(start + first, start + last) for first, last in spans], lines=lines)
        self._introduced = not lines

    def _heading(self, heading: _Heading) -> None:
        self.release(heading.level)
        self._path = [above for above in self._path if above.level < heading.level]
        self._path.append(heading)
        self._waiting.append(heading)

    def release(self, level: int) -> None:
        """Make units of the waiting headings of a level or deeper: they have no text."""
        orphans = [heading for heading in self._waiting if heading.level >= level]
        if not orphans:
            return
        self._waiting = [heading for heading in self._waiting if heading.level < level]
        kept = self._path
        self._path = [heading for heading in kept if heading not in orphans]
        self._add([(heading.start, heading.end) for heading in orphans], lines=False)
        self._path = kept

    def _table(self, start: int, end: int) -> None:
        rows = self._lines(start, end)
        top = 2 if len(rows) > 1 and _RULE.fullmatch(self._text[slice(*rows[1])]) else 1
        header = self._text[slice(*rows[0])].strip("| ") if len(rows) > top else None
        self._add(rows, lines=True, header=header, top=top)

    def _add(
        self, spans: list[tuple[int, int]], lines: bool, header: str | None = None, top: int = 0
    ) -> None:
        path = tuple(heading.text for heading in self._path)
        if self._waiting and not self._fits(path):
            self.release(0)
        for index, (start, end) in enumerate(spans):
            leads: tuple[int, ...] = ()
            if index == 0:
                leads = tuple(heading.start for heading in self._waiting)
                self._waiting = []
                joint = Joint.INTRODUCTION if lines and self._introduced else Joint.BLOCK
                if leads or not self.units or self.units[-1].path != path:
                    joint = Joint.HEADING
            elif "\n" in self._text[spans[index - 1][1] : start]:
                joint = Joint.ROW if lines else self._line_joint(spans[index - 1][1])
            else:
                joint = Joint.SENTENCE
            repeated = header if index > top else None
            glued = 0 < index <= top and header is not None
            self.units.append(Unit(start, end, joint, path, leads, repeated, glued))

    def _line_joint(self, end: int) -> Joint:
        """Return the joint below a line: one without a period leads to the next, like a title."""
        return Joint.LINE if self._text[end - 1] in _ENDS else Joint.SENTENCE

    def _lines(self, start: int, end: int) -> list[tuple[int, int]]:
        lines = (match for match in _LINE.finditer(self._text, start, end) if match[0].strip())
        return [trim(self._text, *match.span()) for match in lines]
