"""reStructuredText, AsciiDoc, Org and LaTeX: the file's own text with its headings and code.

Only the outline is read, line by line, so that every word stays where it is, whatever extensions
a file uses. Comments and pictures in base64 are taken out of the text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from kvasir.components.extractors.document_builder import make_document
from kvasir.components.extractors.encodings import decode
from kvasir.components.extractors.text import without_data_uris
from kvasir.core.text import clean_text
from kvasir.core.types import Block, BlockKind, Document, Source

Lines = Sequence[str]
Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class _Heading:
    """A heading's words, as a span of the text, its level, and the lines that it takes."""

    words: Span
    level: int
    lines: int = 1
    rest: int | None = None
    """The offset of the text after it on its line, if there may be some."""


class _Markup(Protocol):
    """What the lines of one kind of markup mean; offsets are those of the text."""

    comment: re.Pattern[str]
    """Matches a comment, or a setting, with its line break; a group ``kept`` is neither."""

    def heading(self, lines: Lines, at: int, offset: int) -> _Heading | None:
        """Return the heading that begins at a line."""

    def code_end(self, lines: Lines, at: int) -> int:
        """Return the line after the code that begins at a line, or the line itself."""


class _MarkupExtractor:
    """Reads a kind of markup, which a subclass names."""

    markup: Callable[[], _Markup]

    def extract(self, source: Source, data: bytes) -> Document:
        """Extract headings, code and paragraphs; see ``Extractor``."""
        warnings: list[str] = []
        text = clean_text(decode(data, source.charset, warnings.append))
        text = without_data_uris(text.replace("\r\n", "\n").replace("\r", "\n"))
        text = _without_comments(text, self.markup())
        blocks = list(_blocks(text, self.markup()))
        heading = next((one for one in blocks if one.kind is BlockKind.HEADING), None)
        title = " ".join(text[heading.start : heading.end].split()) if heading else ""
        return make_document(source, text, blocks, title, warnings=warnings)


def _without_comments(text: str, markup: _Markup) -> str:
    """Take comments out, except in code."""
    lines = text.split("\n")
    parts: list[str] = []
    begun = at = 0
    while at < len(lines):
        end = markup.code_end(lines, at)
        if end > at:
            parts += [_uncommented(lines[begun:at], markup), _joined(lines[at:end])]
            begun = end
        at = max(end, at + 1)
    return "".join([*parts, _uncommented(lines[begun:], markup)])


def _joined(lines: Lines) -> str:
    return "".join(f"{line}\n" for line in lines)


def _uncommented(lines: Lines, markup: _Markup) -> str:
    return markup.comment.sub(lambda found: found.groupdict().get("kept") or "", _joined(lines))


def _blocks(text: str, markup: _Markup) -> Iterator[Block]:
    lines = text.split("\n")
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line) + 1)
    at = begun = 0

    def paragraph(end: int) -> Iterator[Block]:
        words = text[begun : max(begun, starts[end] - 1)]
        if words.strip():
            first = begun + len(words) - len(words.lstrip())
            kind = BlockKind.LIST if _ITEM.match(text, first) else BlockKind.PARAGRAPH
            yield Block(kind, first, begun + len(words.rstrip()))

    while at < len(lines):
        heading = markup.heading(lines, at, starts[at])
        end = at if heading else markup.code_end(lines, at)
        if heading or end > at or not lines[at].strip():
            yield from paragraph(at)
            if heading:
                yield Block(BlockKind.HEADING, *heading.words, level=heading.level)
                end = at + heading.lines
            elif end > at:
                code = text[starts[at] : starts[end] - 1].rstrip()
                yield Block(BlockKind.CODE, starts[at], starts[at] + len(code))
            at = max(end, at + 1)
            begun = starts[at]
            if heading and heading.rest is not None:
                begun = heading.rest
        else:
            at += 1
    yield from paragraph(len(lines))


_ITEM = re.compile(r"(?:[-*+•]|\d{1,3}[.)]|\(?[a-z]\)|#\.|\\item\b)\s")


def _words(found: re.Match[str], offset: int) -> Span:
    return offset + found.start(1), offset + found.end(1)


def _until(lines: Lines, at: int, end: re.Pattern[str]) -> int:
    """Return the line after the one that ends what begins at a line, or the last line."""
    return next((n + 1 for n in range(at + 1, len(lines)) if end.match(lines[n])), len(lines))


class _Rst:
    comment = re.compile(
        r"^\.\.(?:[ \t]+(?!\w+(?:[-+:.]\w+)*[ \t]?::|\[|_|\|)\S[^\n]*)?\n(?:[ \t]+\S[^\n]*\n)*",
        re.M,
    )
    _LINE = re.compile(r"([^\w\s])\1{2,}\s*")
    _WORDS = re.compile(r"\s*(\S(?:.*\S)?)")
    _CODE = re.compile(
        r"\s*\.\. (?:code|code-block|sourcecode|highlight|parsed-literal)::|(?!\s*\.\.\s).*::\s*\Z"
    )

    def __init__(self) -> None:
        self._styles: list[tuple[str, bool]] = []

    def heading(self, lines: Lines, at: int, offset: int) -> _Heading | None:
        has_line_above = self._is_line(lines, at) and self._is_line(lines, at + 2)
        if has_line_above and lines[at].strip() == lines[at + 2].strip():
            offset += len(lines[at]) + 1
            at += 1
        found = self._WORDS.match(lines[at])
        if not found or not self._is_line(lines, at + 1) or self._is_line(lines, at):
            return None
        line = lines[at + 1].rstrip()
        if len(line) < len(lines[at].rstrip()) or (not has_line_above and lines[at][:1].isspace()):
            return None
        style = (line[0], has_line_above)
        if style not in self._styles:
            self._styles.append(style)
        lines_taken = 3 if has_line_above else 2
        return _Heading(_words(found, offset), self._styles.index(style) + 1, lines_taken)

    def _is_line(self, lines: Lines, at: int) -> bool:
        return at < len(lines) and self._LINE.fullmatch(lines[at]) is not None

    def code_end(self, lines: Lines, at: int) -> int:
        # The paragraph that ends with "::" is text; the code below it is indented.
        if at == 0 or not lines[at].strip() or not lines[at][0].isspace():
            return at
        above = next((n for n in range(at - 1, -1, -1) if lines[n].strip()), None)
        if above is None or not self._CODE.match(lines[above]):
            return at
        indent = len(lines[at]) - len(lines[at].lstrip())
        end = at
        while end < len(lines) and (
            not lines[end].strip() or len(lines[end]) - len(lines[end].lstrip()) >= indent
        ):
            end += 1
        return end


class _Adoc:
    comment = re.compile(r"^////+\n.*?^////+\n|^//(?!/)[^\n]*\n", re.M | re.S)
    _HEADING = re.compile(r"(={1,6}|#{1,6}) (\S+?(?:\s+\S+?)*?)\s*(?:\1\s*)?\Z")
    _FENCE = re.compile(r"(-{4,}|\.{4,}|`{3,})")

    def heading(self, lines: Lines, at: int, offset: int) -> _Heading | None:
        found = self._HEADING.match(lines[at])
        if not found:
            return None
        return _Heading((offset + found.start(2), offset + found.end(2)), len(found[1]))

    def code_end(self, lines: Lines, at: int) -> int:
        found = self._FENCE.match(lines[at])
        return _until(lines, at, re.compile(re.escape(found[1]) + r"\s*\Z")) if found else at


class _Org:
    comment = re.compile(
        r"^[ \t]*#(?:[ \t][^\n]*)?\n|^#\+begin_comment.*?^#\+end_comment[^\n]*\n|"
        # Drawers, which no program shows.
        r"^[ \t]*:(?:properties|logbook):[ \t]*\n(?:[^\n]*\n){0,100}?[ \t]*:end:[ \t]*\n",
        re.M | re.S | re.I,
    )
    _HEADING = re.compile(
        r"(\*+) (?:(?:TODO|DONE|NEXT|WAIT)\s+)?(?:\[#.\]\s+)?"
        r"(\S+?(?:\s+\S+?)*?)\s*(?::[\w@:]+:\s*)?\Z"
    )
    _TITLE = re.compile(r"#\+title:\s*(\S.*?)\s*\Z", re.I)
    _CODE = re.compile(r"\s*#\+begin_(src|example|export)\b", re.I)
    _END = re.compile(r"\s*#\+end_(?:src|example|export)\b", re.I)

    def heading(self, lines: Lines, at: int, offset: int) -> _Heading | None:
        if title := self._TITLE.match(lines[at]):
            return _Heading(_words(title, offset), 1)
        found = self._HEADING.match(lines[at])
        if not found:
            return None
        return _Heading((offset + found.start(2), offset + found.end(2)), len(found[1]) + 1)

    def code_end(self, lines: Lines, at: int) -> int:
        return _until(lines, at, self._END) if self._CODE.match(lines[at]) else at


class _Tex:
    comment = re.compile(
        # The sign of a comment is none in code and addresses.
        r"(?P<kept>\\[\\%]|\\verb\*?(?P<sign>[^\w\s*])[^\n]*?(?P=sign)|"
        r"\\(?:url|href|nolinkurl|path)\{[^{}\n]*\})|"
        r"^[ \t]*%[^\n]*\n|%[^\n]*|^\\begin\{comment\}(?s:.*?)^\\end\{comment\}[^\n]*\n|"
        # Settings, without the text after them on their line.
        r"^(?:\\(?:(?:documentclass|usepackage)\b[ \t]*(?:\[[^\]]{0,1000}\]|\{[^{}]{0,1000}\})*"
        r"|(?:maketitle|tableofcontents)\b|(?:begin|end)\{document\})[ \t]*)+\n?",
        re.MULTILINE,
    )
    _HEADING = re.compile(
        r"\s*\\(title|part|chapter|section|subsection|subsubsection|paragraph|subparagraph)\*?"
        r"(?:\[[^\]]*\])?\{((?:[^{}]|\{[^{}]*\})*)\}(?:[ \t]*\\label\{[^{}]*\})*"
    )
    _LEVELS = ("title", "part", "chapter", "section", "subsection", "subsubsection", "paragraph",
               "subparagraph")  # fmt: skip
    _CODE = re.compile(r"\s*\\begin\{(verbatim\*?|lstlisting|minted|Verbatim|alltt)\}")

    def heading(self, lines: Lines, at: int, offset: int) -> _Heading | None:
        found = self._HEADING.match(lines[at])
        if not found:
            return None
        words = (offset + found.start(2), offset + found.end(2))
        return _Heading(words, self._LEVELS.index(found[1]) + 1, rest=offset + found.end())

    def code_end(self, lines: Lines, at: int) -> int:
        found = self._CODE.match(lines[at])
        return (
            _until(lines, at, re.compile(rf"\s*\\end\{{{re.escape(found[1])}\}}")) if found else at
        )


class RstExtractor(_MarkupExtractor):
    """Reads reStructuredText."""

    markup = _Rst


class AsciiDocExtractor(_MarkupExtractor):
    """Reads AsciiDoc."""

    markup = _Adoc


class OrgExtractor(_MarkupExtractor):
    """Reads Org files."""

    markup = _Org


class TexExtractor(_MarkupExtractor):
    """Reads LaTeX."""

    markup = _Tex
