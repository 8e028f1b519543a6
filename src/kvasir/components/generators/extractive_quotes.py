"""Complete, order and render the passages that the extractive generator quotes.

A sentence that introduces a list is quoted with the list, a row that needs its table with the
table. Quotations are exact apart from line breaks inside a sentence; a table row is preceded by
its header.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import accumulate, chain, takewhile

from kvasir.components.generators.extractive_passages import Passage, without_bullet

_GAP = 8
"""Most characters (white space and a bullet) between neighbouring passages."""


def with_what_follows(found: Sequence[Passage], number: int, budget: int) -> Passage | None:
    """Return a sentence that ends in a colon with the list, table or sentence after it.

    None when nothing follows in its chunk, or more words than the budget allows.
    """
    last = lead = found[number]
    words = lead.words
    whole = True
    for following in found[number + 1 :]:
        if following.marker != lead.marker:
            break
        if last is lead:
            continues = following.quotable or following.is_table_header
        else:
            continues = _continues_list(last, following)
        if not continues:
            break
        if words + following.words > budget:
            whole = False
            break
        last = following
        words += following.words
    if (
        last is lead
        or last.is_table_header
        or last.introduces_next
        or (not whole and not _is_series(last))
    ):
        return None
    return _joined(lead, last, whole=whole)


def with_its_table(found: Sequence[Passage], number: int, budget: int) -> Passage:
    """Return a row with the rows of its table that fit, from the first one on."""
    row = found[number]

    def is_near(other: Passage) -> bool:
        return other.is_row and other.marker == row.marker

    first = number
    while first and is_near(found[first - 1]):
        first -= 1
    table = list(takewhile(is_near, found[first:]))
    sizes = accumulate(passage.words for passage in table)
    kept = table[: max(1, sum(size <= budget for size in sizes))]
    if first + len(kept) <= number:
        return row
    joined = _joined(table[0], kept[-1], whole=len(kept) == len(table))
    return joined if table[0].is_table_header else replace(joined, header=row.header)


def with_what_precedes(found: Sequence[Passage], number: int, budget: int) -> Passage:
    """Return a sentence that continues after an example or a line of code, with its beginning."""
    passage = found[number]
    before = found[number - 1] if number else passage
    is_before = before.marker == passage.marker and before.start < passage.start
    if not is_before or not before.quotable or before.words + passage.words > budget:
        return passage
    return _joined(before, passage, whole=True)


def _continues_list(last: Passage, following: Passage) -> bool:
    """Return True if a passage continues the list or table of the one before it."""
    if following.is_row or last.is_row:
        return following.is_row and last.is_row
    is_same_paragraph = following.start - last.end < 2
    if following.is_item:
        return last.is_item or is_same_paragraph
    return last.is_item and is_same_paragraph


def _is_series(passage: Passage) -> bool:
    return passage.is_row or passage.is_item


def _joined(first: Passage, last: Passage, *, whole: bool) -> Passage:
    chunk = first.chunk
    text = chunk.text[first.start - chunk.start : last.end - chunk.start]
    return replace(
        first,
        text=text if whole else f"{text}\n…",
        quotable=True,
        keep_line_breaks=_is_series(last) or last.is_code,
        header="",
    )


def in_reading_order(chosen: Sequence[Passage]) -> list[Passage]:
    """Order passages, given best first: by document, then best first, neighbours as they stand."""
    ordered: list[Passage] = []
    for document in dict.fromkeys(passage.document_id for passage in chosen):
        runs: list[list[Passage]] = []
        own = [passage for passage in chosen if passage.document_id == document]
        for passage in sorted(own, key=lambda passage: passage.start):
            if runs and passage.start - runs[-1][-1].end < _GAP:
                runs[-1].append(passage)
            else:
                runs.append([passage])
        runs.sort(key=lambda run: min(map(chosen.index, run)))
        ordered += chain.from_iterable(runs)
    return ordered


def render(chosen: Sequence[Passage]) -> Iterator[str]:
    """Yield the quotations, each with its markers; each document starts a paragraph."""
    for i, passage in enumerate(chosen):
        before = chosen[i - 1] if i else None
        following = chosen[i + 1] if i + 1 < len(chosen) else None
        same_table = _same_table(passage, before)
        if before is not None and not same_table:
            apart = passage.document_id != before.document_id or _is_block(before)
            yield "\n\n" if apart or _is_block(passage) else " "
        if passage.header and not same_table:
            yield passage.header + "\n"
        yield passage.text if _is_block(passage) else _in_one_line(passage.text)
        if _same_table(passage, following):
            yield "\n"
        else:
            yield "\n" if _is_block(passage) else " "
            yield "".join(
                f"[{marker}]" for marker in sorted((passage.marker, *passage.duplicate_markers))
            )


def _same_table(passage: Passage, other: Passage | None) -> bool:
    return (
        other is not None
        and passage.is_row
        and other.is_row
        and (passage.marker, passage.header) == (other.marker, other.header)
    )


def _is_block(passage: Passage) -> bool:
    """Return True if line breaks matter: tables, lists and code."""
    return passage.is_row or passage.is_code or ("\n" in passage.text and passage.keep_line_breaks)


def _in_one_line(text: str) -> str:
    return without_bullet(" ".join(text.split()))
