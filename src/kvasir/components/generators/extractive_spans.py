"""Spans of several passages of one chunk, to the letter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from kvasir.components.generators.extractive_passages import Passage

_NEXT_PARAGRAPH = 2
"""Fewest line breaks between paragraphs."""


def is_near(before: Passage, passage: Passage) -> bool:
    """Return True if no empty line is between two passages; indented lines are of one item."""
    if before.marker != passage.marker or passage.start < before.end:
        return False
    start = before.chunk.start
    between = before.chunk.text[before.end - start : passage.start - start]
    return between.count("\n") < _NEXT_PARAGRAPH


def joined(first: Passage, last: Passage, *, whole: bool) -> Passage:
    """Return what stands from one passage to another; an ellipsis ends what is not whole."""
    chunk = first.chunk
    text = chunk.text[first.start - chunk.start : last.end - chunk.start]
    return replace(
        first,
        text=text if whole else f"{text}\n…",
        quotable=True,
        keep_line_breaks=last.is_row or last.is_item or last.is_code,
        header="",
    )


def with_count(joined: Passage, table: Sequence[Passage], kept: int) -> Passage:
    """Add how many rows of a cut table are quoted, if its passage has them all."""
    if kept == len(table) or not table[0].is_table_header or table[-1].end == table[-1].chunk.end:
        return joined
    shown, all_rows = (sum(row.quotable for row in each) for each in (table[:kept], table))
    return replace(joined, text=f"{joined.text} ({shown}/{all_rows})")
