"""Complete a row with its table, or a sentence with the table that it leads to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate, takewhile

from kvasir.components.generators.extractive_passages import LONGEST_HEADING, Passage
from kvasir.components.generators.extractive_spans import joined, with_count

MOST_BETWEEN = 2
"""Most passages, such as a caption, between a table and the sentence that leads to it."""


def with_its_table(found: Sequence[Passage], number: int, budget: int) -> Passage:
    """Return a row with the rows of its table that fit, from the first one on.

    A table that is cut says how many of its rows are there, if the passage has it to its end.
    """
    row, rows = found[number], rows_of(found, number)
    first, table = rows.start, found[rows.start : rows.stop]
    sizes = accumulate(passage.words for passage in table)
    kept = table[: max(1, sum(size <= budget for size in sizes))]
    if first + len(kept) <= number:
        return row
    text = with_count(joined(table[0], kept[-1], whole=len(kept) == len(table)), table, len(kept))
    return text if table[0].is_table_header else replace(text, header=row.header)


def table_after(found: Sequence[Passage], number: int) -> int | None:
    """Return the number of the header of the table that a sentence or heading leads to, or None.

    Captions and other short lines may stand between.
    """
    lead = found[number]
    if lead.is_row or lead.is_item or lead.start < lead.chunk.start:
        return None
    for i in range(number + 1, min(number + 2 + MOST_BETWEEN, len(found))):
        passage = found[i]
        if passage.marker != lead.marker or passage.start <= lead.start:
            return None
        if passage.is_row:
            return i if passage.is_table_header else None
        if passage.is_item or passage.words > LONGEST_HEADING:
            return None
    return None


def with_next_table(found: Sequence[Passage], number: int, budget: int) -> Passage | None:
    """Return a sentence with the rows that fit of the table that it leads to; None without one."""
    header = table_after(found, number)
    if header is None:
        return None
    rows = rows_of(found, header)
    table = found[rows.start : rows.stop]
    before = sum(passage.words for passage in found[number:header])
    sizes = accumulate((passage.words for passage in table), initial=before)
    kept = table[: max(0, sum(size <= budget for size in sizes) - 1)]
    if not any(row.quotable for row in kept):
        return None
    text = joined(found[number], kept[-1], whole=len(kept) == len(table))
    return with_count(text, table, len(kept))


def rows_of(found: Sequence[Passage], number: int) -> range:
    """Return the numbers of the rows of the table in which a row stands, its header's included."""

    def is_its(other: Passage) -> bool:
        return other.is_row and other.marker == found[number].marker

    first = number
    while first and is_its(found[first - 1]):
        first -= 1
    return range(first, first + sum(1 for _ in takewhile(is_its, found[first:])))
