"""Markdown: the unchanged text, with blocks from the line maps of markdown-it-py.

Offsets are those of the file, so that a citation can be found in it. Front matter (YAML between
``---`` lines) becomes title and metadata, not a block.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import yaml
from markdown_it import MarkdownIt
from markdown_it.token import Token

from kvasir.components.extractors.document_builder import make_document
from kvasir.components.extractors.encodings import decode
from kvasir.core.text import replace_control_characters
from kvasir.core.types import Block, BlockKind, Document, MetadataValue, Source

_LINE = re.compile(r"\r\n|\n|\r")
_FRONT_MATTER = re.compile(r"\A---[ \t]*(?:\r\n|\n|\r)(.*?)^---[ \t]*$", re.DOTALL | re.MULTILINE)
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
        text = replace_control_characters(decode(data, source.charset, warnings.append))
        properties, body_start = _front_matter(text)
        body = text[body_start:]
        tokens = self._parser.parse(_LINE.sub("\n", body))
        blocks = _blocks(tokens, body, body_start)
        title = str(properties.pop("title", "")) or _title(tokens)
        return make_document(source, text, blocks, title, properties, warnings)


def _blocks(tokens: Sequence[Token], body: str, offset: int) -> list[Block]:
    starts = [0, *(match.end() for match in _LINE.finditer(body)), len(body)]
    blocks = []
    for token in tokens:
        kind = _KINDS.get(token.type)
        if token.level or kind is None or token.map is None:
            continue
        first, last = token.map
        start, end = starts[first], starts[min(last, len(starts) - 1)]
        span = body[start:end]
        start += len(span) - len(span.lstrip()) if kind is not BlockKind.CODE else 0
        end = start + len(body[start:end].rstrip())
        if end > start:
            level = int(token.tag[1:]) if kind is BlockKind.HEADING else None
            blocks.append(Block(kind, offset + start, offset + end, level=level))
    return blocks


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


def _front_matter(text: str) -> tuple[dict[str, MetadataValue], int]:
    """Return the properties at the head of a file and the offset of its body."""
    match = _FRONT_MATTER.match(text)
    if not match:
        return {}, 0
    try:
        loaded = _loaded(match[1])
    except (yaml.YAMLError, RecursionError):
        # Text between two thematic breaks, not front matter.
        return {}, 0
    if not isinstance(loaded, dict):
        return {}, 0
    properties: dict[str, MetadataValue] = {}
    for key, value in loaded.items():
        if isinstance(value, list):
            properties[str(key)] = ", ".join(str(item) for item in value)
        elif value is not None and not isinstance(value, dict):
            is_plain = isinstance(value, (str, int, float, bool))
            properties[str(key)] = value if is_plain else str(value)
    return properties, match.end()


def _loaded(text: str) -> Any:
    try:
        return yaml.safe_load(text)
    except ValueError:
        # An impossible date or number, such as 2024-02-30: all values stay text.
        return yaml.load(text, Loader=yaml.BaseLoader)
