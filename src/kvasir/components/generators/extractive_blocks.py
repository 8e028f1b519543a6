"""Complete a passage that cannot be read alone: with its list, table, code or beginning.

What is joined is one span of its chunk, to the letter; a cut list or table ends in an ellipsis.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate, takewhile

from kvasir.components.generators.extractive_passages import Passage
from kvasir.language.lists import is_inside_list

LONGEST_COMMAND = 120
"""Most words of code that is quoted with its sentence."""
_FEWEST_ITEMS = 2
"""Items of what is quoted as a list."""
_NEXT_PARAGRAPH = 2
"""Fewest characters between paragraphs."""


def with_what_follows(found: Sequence[Passage], number: int, budget: int) -> Passage | None:
    """Return a sentence that ends in a colon with the list, table or sentence after it.

    None when nothing follows in its chunk, or more words than the budget allows.
    """
    last = lead = found[number]
    words = lead.words
    whole = True
    for following in found[number + 1 :]:
        if last is lead:
            continues = following.quotable or following.is_table_header
        else:
            continues = _continues_list(last, following)
        if following.marker != lead.marker or not continues:
            break
        if words + following.words > budget:
            whole = False
            break
        last = following
        words += following.words
    is_readable = last is not lead and not last.is_table_header and not last.introduces_next
    if not is_readable or not (whole or _is_series(last)):
        return None
    joined = _joined(lead, last, whole=whole)
    if not last.is_row:
        return joined
    table = list(takewhile(lambda p: p.is_row and p.marker == lead.marker, found[number + 1 :]))
    return _with_count(joined, table, table.index(last) + 1)


def with_its_table(found: Sequence[Passage], number: int, budget: int) -> Passage:
    """Return a row with the rows of its table that fit, from the first one on.

    A table that is cut says how many of its rows are there, if the passage has it to its end.
    """
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
    joined = _with_count(joined, table, len(kept))
    return joined if table[0].is_table_header else replace(joined, header=row.header)


def _with_count(joined: Passage, table: Sequence[Passage], kept: int) -> Passage:
    """Add how many rows of a cut table are quoted, if its passage has them all."""
    if kept == len(table) or not table[0].is_table_header or table[-1].end == table[-1].chunk.end:
        return joined
    shown, all_rows = (sum(row.quotable for row in each) for each in (table[:kept], table))
    return replace(joined, text=f"{joined.text} ({shown}/{all_rows})")


def with_its_paragraph(found: Sequence[Passage], number: int, budget: int) -> Passage | None:
    """Return a sentence with those that follow it in its paragraph or item; None if none does."""
    last = first = found[number]
    words = first.words
    for following in found[number + 1 :]:
        is_near = (
            following.marker == last.marker and 0 <= following.start - last.end < _NEXT_PARAGRAPH
        )
        words += following.words
        if not is_near or not following.quotable or words > budget:
            break
        if following.is_row or following.is_item or following.introduces_next:
            break
        last = following
    if last is first:
        return None
    return replace(_joined(first, last, whole=True), keep_line_breaks=False)


def with_its_chunk(found: Sequence[Passage], number: int, budget: int) -> Passage | None:
    """Return a passage with all others of its hit; None if that has tables or too many words."""
    passage = found[number]
    near = [other for other in found if other.marker == passage.marker and other.start >= 0]
    near = [other for other in near if other.start >= other.chunk.start]
    if len(near) < 2 or any(other.is_row for other in near):
        return None
    first = next((other for other in near if other.quotable), passage)
    last = next((other for other in reversed(near) if other.quotable), passage)
    if sum(other.words for other in near if first.start <= other.start <= last.start) > budget:
        return None
    joined = _joined(first, last, whole=True)
    return replace(joined, keep_line_breaks="\n" in joined.text)


def leads_to_list(found: Sequence[Passage], number: int) -> bool:
    """Return True if a list follows a sentence, with or without a colon."""
    lead, following = found[number], found[number + 1 : number + 2]
    return (
        lead.quotable
        and not (lead.is_item or lead.is_row)
        and any(
            each.marker == lead.marker and each.is_item and each.start > lead.start
            for each in following
        )
    )


def begins_list(found: Sequence[Passage], number: int) -> bool:
    """Return True if a list follows a sentence or heading, or begins here without either."""
    passage, following = found[number], found[number + 1 : number + 2]
    if passage.is_item:
        before = found[number - 1] if number else passage
        return before.marker != passage.marker or number == 0 or before.start > passage.start
    if leads_to_list(found, number):
        return True
    return not (passage.quotable or passage.is_row) and any(
        each.marker == passage.marker and each.is_item and each.start > passage.start
        for each in following
    )


def items_after(found: Sequence[Passage], number: int) -> range:
    """Return the numbers of the passages of the list that a sentence or heading leads to."""
    last = number
    while last + 1 < len(found) and (
        _goes_on(found, last + 1, lead=found[number])
        or (last == number and not found[number].quotable)
    ):
        last += 1
    return range(number + 1, last + 1)


def with_its_list(found: Sequence[Passage], number: int, budget: int) -> Passage | None:
    """Return the whole list of an item, or that a sentence introduces, with its introduction.

    None if the passage has no list. A list above the budget, in words, is cut at an item and
    says how many of the items of its chunk are there.
    """
    first = number
    if not _introduces(found, number):
        while _goes_on(found, first) and not found[first].introduces_next:
            first -= 1
        if not (found[first].is_item or found[first].introduces_next):
            return None
    last = first
    depth = next((_depth(p) for p in found[first : first + 2] if p.is_item), 0)
    while last + 1 < len(found) and _goes_on(found, last + 1, lead=found[first]):
        if found[last + 1].is_item and _depth(found[last + 1]) < depth:
            break
        last += 1
    items = [i for i in range(first, last + 1) if found[i].is_item]
    if len(items) < _FEWEST_ITEMS or not first <= number <= last:
        return None
    ends = [*(i - 1 for i in items[1:]), last]
    sizes = list(accumulate(passage.words for passage in found[first : last + 1]))
    kept = [end for end in ends if sizes[end - first] <= budget]
    if not kept:
        return None
    joined = _joined(found[first], found[kept[-1]], whole=len(kept) == len(ends))
    if len(kept) < len(ends):
        joined = replace(joined, text=f"{joined.text} ({len(kept)}/{len(ends)})")
    return replace(joined, keep_line_breaks=True)


def _goes_on(found: Sequence[Passage], number: int, lead: Passage | None = None) -> bool:
    """Return True if a passage belongs to the list of the one before it."""
    if number == 0 or found[number].marker != found[number - 1].marker:
        return False
    before, passage = found[number - 1], found[number]
    if not before.quotable or not passage.quotable or before.start >= passage.start:
        return False
    if passage.is_row or before.is_row:
        return False
    if (before.introduces_next or before is lead) and not _in_item(found, number - 1):
        return passage.is_item and (lead is None or lead is before)
    is_same_paragraph = passage.start - before.end < _NEXT_PARAGRAPH
    follows = passage.is_item or passage.is_command or is_same_paragraph or _is_inside(passage)
    return follows and _in_item(found, number - 1)


def _is_inside(passage: Passage) -> bool:
    """Return True if a sentence stands in a further paragraph of an item."""
    if passage.introduces_next or passage.is_item:
        return False
    return is_inside_list(passage.chunk.text, passage.start - passage.chunk.start)


def _depth(passage: Passage) -> int:
    """Return the number of characters before an item in its line."""
    start = passage.start - passage.chunk.start
    return start - (passage.chunk.text.rfind("\n", 0, start) + 1)


def _introduces(found: Sequence[Passage], number: int) -> bool:
    if found[number].introduces_next:
        return True
    return leads_to_list(found, number) and not _in_item(found, number)


def _in_item(found: Sequence[Passage], number: int) -> bool:
    """Return True if a sentence or command stands in a list item."""
    while number and not found[number].is_item:
        passage, before = found[number], found[number - 1]
        is_near = passage.is_command or passage.start - before.end < _NEXT_PARAGRAPH
        is_near = is_near or _is_inside(passage)
        if passage.marker != before.marker or not is_near:
            return False
        number -= 1
    return found[number].is_item


def with_its_command(found: Sequence[Passage], number: int) -> Passage | None:
    """Return a sentence with the code after it, or code with the sentence before it."""
    passage = found[number]
    first, last = number, number
    if passage.is_command:
        first -= 1
    elif not passage.is_row:
        last += 1
    if first < 0 or last >= len(found) or first == last:
        return None
    lead, code = found[first], found[last]
    is_near = lead.marker == code.marker and lead.start < code.start and lead.quotable
    if not is_near or not code.is_command or lead.is_command or code.words > LONGEST_COMMAND:
        return None
    return replace(_joined(lead, code, whole=True), keep_line_breaks=True)


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
