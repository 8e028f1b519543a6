"""Rich Text Format, by striprtf: the words with their lines, tables, link targets and footnotes."""

from __future__ import annotations

import re

from striprtf.striprtf import rtf_to_text

from kvasir.components.extractors.document_builder import DocumentBuilder
from kvasir.components.extractors.rtf_source import (
    CELL_MARK,
    HEADING_MARK,
    LINE_MARK,
    ROW_MARK,
    ROW_START_MARK,
    rewritten,
)
from kvasir.components.extractors.rtf_struck import with_struck_marks, write_struck
from kvasir.core.errors import ExtractionError
from kvasir.core.types import BlockKind, Document, Source

_TITLE = re.compile(r"\{\\title ([^{}\\]+)\}")
_MARKED = re.compile(f"{HEADING_MARK}(\\d)")
_CODE_PAGE = re.compile(rb"\\ansicpg(\d+)")
_PAIR = re.compile("[\ud800-\udbff][\udc00-\udfff]")
"""The two halves of a character that RTF writes as two codes of UTF-16."""


class RtfExtractor:
    """Reads RTF files."""

    def extract(self, source: Source, data: bytes) -> Document:
        """Extract the paragraphs; see ``Extractor``."""
        builder = DocumentBuilder(source)
        written = with_struck_marks(rewritten(data.decode("latin-1")))
        page = _CODE_PAGE.search(data)
        encoding = f"cp{page[1].decode()}" if page else "cp1252"
        try:
            text = str(rtf_to_text(written, encoding, "replace"))  # type: ignore[no-untyped-call]
            text = write_struck(text)
        except (ValueError, LookupError, IndexError) as error:
            raise ExtractionError(
                "malformed", f"it is broken RTF ({error}); open it and save it again"
            ) from error
        _add_text(builder, _PAIR.sub(_joined_pair, text))
        title = _TITLE.search(written)
        builder.title = " ".join(title[1].split()) if title else ""
        return builder.build()


def _joined_pair(pair: re.Match[str]) -> str:
    return pair[0].encode("utf-16-le", "surrogatepass").decode("utf-16-le")


def _add_text(builder: DocumentBuilder, text: str) -> None:
    """Append the paragraphs and the tables of a text with marks."""
    table: list[list[str]] = []
    *segments, rest = text.split(ROW_MARK)
    if CELL_MARK in rest:  # The end of the last row is missing.
        end = rest.rfind(CELL_MARK) + 1
        segments, rest = [*segments, rest[:end]], rest[end:]
    for at, segment in enumerate(segments):
        start = _row_start(segment, is_after_row=at > 0)
        if segment[:start].strip():
            builder.add_table(table)
            table = []
            _add_paragraphs(builder, segment[:start])
        table.append(_cells(segment[start:]))
    builder.add_table(table)
    _add_paragraphs(builder, rest)


def _row_start(segment: str, *, is_after_row: bool) -> int:
    """Return where the row begins that a segment ends with."""
    first_cell = segment.find(CELL_MARK)
    marked = segment.find(ROW_START_MARK, 0, first_cell if first_cell >= 0 else len(segment))
    if marked >= 0:
        return marked
    return 0 if is_after_row else segment.rfind("\n", 0, max(first_cell, 0)) + 1


def _cells(row: str) -> list[str]:
    unmarked = _MARKED.sub("", row.replace(LINE_MARK, " ").replace(ROW_START_MARK, ""))
    *cells, last = unmarked.split(CELL_MARK)
    return [*cells, last] if last.strip() else cells


def _add_paragraphs(builder: DocumentBuilder, text: str) -> None:
    for line in text.replace(ROW_START_MARK, "").split("\n"):
        words = _MARKED.sub("", line).replace(LINE_MARK, "\n")
        if heading := _MARKED.search(line):
            builder.add(BlockKind.HEADING, words, level=int(heading[1]))
        else:
            builder.add(BlockKind.PARAGRAPH, words)
