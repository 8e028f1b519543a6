"""Markdown: the file's own text, with blocks from the line maps of markdown-it-py.

Only comments and pictures in base64 are taken out of the text. Front matter becomes title and
metadata, not a block.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.token import Token

from kvasir.components.extractors.document_builder import make_document
from kvasir.components.extractors.encodings import decode
from kvasir.components.extractors.front_matter import front_matter
from kvasir.components.extractors.text import without_data_uris
from kvasir.core.filters import items_of
from kvasir.core.text import clean_text
from kvasir.core.types import Block, BlockKind, Document, Source

_LINE = re.compile(r"\r\n|\n|\r")
_COMMENT_START = "<!--"
_SPACES = re.compile(r"[^\S\n]*")
Span = tuple[int, int]
Lines = tuple[int, ...]
"""First line, and the one after the last."""
_BREAKS = ("softbreak", "hardbreak")
_KINDS = {
    "heading_open": BlockKind.HEADING,
    "paragraph_open": BlockKind.PARAGRAPH,
    "bullet_list_open": BlockKind.LIST,
    "ordered_list_open": BlockKind.LIST,
    "table_open": BlockKind.TABLE,
    "fence": BlockKind.CODE,
    "code_block": BlockKind.CODE,
    "blockquote_open": BlockKind.PARAGRAPH,
    "html_block": BlockKind.PARAGRAPH,
}


class MarkdownExtractor:
    """Reads CommonMark with tables."""

    def __init__(self) -> None:
        self._parser = MarkdownIt("commonmark").enable("table")

    def extract(self, source: Source, data: bytes) -> Document:
        """Extract blocks with the offsets of the file's text; see ``Extractor``."""
        warnings: list[str] = []
        text = clean_text(decode(data, source.charset, warnings.append))
        text = without_data_uris(text)
        properties, body_start = front_matter(text, warnings.append)
        body = self._without_comments(text[body_start:])
        tokens, definitions = self._parse(body)
        blocks = _blocks(tokens, definitions, body, body_start)
        title = ", ".join(map(str, items_of(properties.pop("title", "")))) or _title(tokens)
        text = text[:body_start] + body
        return make_document(source, text, blocks, title, properties, warnings)

    def _parse(self, body: str) -> tuple[list[Token], list[Lines]]:
        """Return the tokens, and the lines of the definitions of link targets."""
        found: dict[str, Any] = {}
        tokens = self._parser.parse(_LINE.sub("\n", body), found)
        references = found.get("references", {}).values()
        return tokens, [tuple(one["map"]) for one in references if one.get("map")]

    def _without_comments(self, body: str) -> str:
        """Take out what is a comment to the parser, which is never in code."""
        if _COMMENT_START not in body:
            return body
        tokens, _ = self._parse(body)
        parts, end = [], 0
        for start, stop in sorted(_comments(tokens, body)):
            if start >= end:
                parts.append(body[end:start])
                end = stop
        return "".join([*parts, body[end:]])


def _comments(tokens: Sequence[Token], body: str) -> Iterator[Span]:
    """Yield where comments begin and end, with the spaces after them."""
    starts = _line_starts(body)
    lines: list[int] | None = None
    inline: dict[Span, list[Token]] = {}
    for token in tokens:
        # The cells of a table have no lines of their own, but those of their row.
        lines = token.map or lines
        if lines is None:
            continue
        span = starts[lines[0]], starts[min(lines[1], len(starts) - 1)]
        if token.type == "html_block":
            yield from _block_comments(body, *span)
        elif token.type == "inline":
            inline.setdefault(span, []).extend(token.children or ())
    for span, children in inline.items():
        yield from _inline_comments(children, body, span)


def _block_comments(body: str, at: int, end: int) -> Iterator[Span]:
    while (start := body.find(_COMMENT_START, at, end)) >= 0:
        stop = _comment_end(body, start, end)
        if stop is None:
            return
        yield start, stop
        at = stop


def _comment_end(body: str, start: int, end: int) -> int | None:
    """Return the end of a comment and of the spaces after it; None if it is not closed."""
    # "<!-->" is a comment, too.
    close = body.find("-->", start + 2, end)
    spaces = _SPACES.match(body, close + 3) if close >= 0 else None
    return spaces.end() if spaces else None


def _inline_comments(children: Sequence[Token], body: str, span: Span) -> Iterator[Span]:
    """Yield the comments of one paragraph; none if its tokens do not show which signs begin one."""
    are_comments: list[bool] = []
    for child in children:
        signs = child.content.count(_COMMENT_START)
        is_comment = child.type == "html_inline" and child.content.startswith(_COMMENT_START)
        are_comments += [is_comment and number == 0 for number in range(signs)]
    places = [found.start() for found in re.finditer(_COMMENT_START, body[slice(*span)])]
    if len(places) != len(are_comments):
        return
    for place, is_comment in zip(places, are_comments, strict=True):
        start = span[0] + place
        if is_comment and (stop := _comment_end(body, start, span[1])):
            yield start, stop


def _line_starts(body: str) -> list[int]:
    return [0, *(match.end() for match in _LINE.finditer(body)), len(body)]


def _blocks(
    tokens: Sequence[Token], definitions: Sequence[Lines], body: str, offset: int
) -> list[Block]:
    starts = _line_starts(body)

    def block(kind: BlockKind, lines: Sequence[int], level: int | None = None) -> Block | None:
        first, last = lines
        start, end = starts[first], starts[min(last, len(starts) - 1)]
        span = body[start:end]
        start += len(span) - len(span.lstrip()) if kind is not BlockKind.CODE else 0
        end = start + len(body[start:end].rstrip())
        return Block(kind, offset + start, offset + end, level=level) if end > start else None

    found = [block(BlockKind.PARAGRAPH, lines) for lines in definitions]
    for token in tokens:
        kind = _KINDS.get(token.type)
        if token.level == 0 and kind is not None and token.map is not None:
            level = int(token.tag[1:]) if kind is BlockKind.HEADING else None
            found.append(block(kind, token.map, level))
    return sorted(filter(None, found), key=lambda one: one.start)


def _title(tokens: Sequence[Token]) -> str:
    """Return the words of the first heading that has words, without markup."""
    for opening, inline in pairwise(tokens):
        if opening.type == "heading_open" and not opening.level:
            words = "".join(
                " " if token.type in _BREAKS else token.content
                for token in inline.children or ()
                if token.type != "html_inline"
            )
            if words.strip():
                return " ".join(words.split())
    return ""
