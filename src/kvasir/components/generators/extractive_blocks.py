"""Complete a passage that cannot be read alone: with its list, table, code or beginning.

What is joined is one span of its chunk, to the letter; a cut list or table ends in an ellipsis.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from dataclasses import replace
from itertools import accumulate, takewhile

from kvasir.components.generators.extractive_passages import Passage, beginning_of
from kvasir.components.generators.extractive_spans import is_near, joined, with_count
from kvasir.language.lists import is_inside_list
from kvasir.language.question_sides import is_step, names_its_thing
from kvasir.language.question_values import announces_a_number

LONGEST_COMMAND = 120
"""Most words of code that is quoted with its sentence."""
_FEWEST_ITEMS = 2
"""Items of what is quoted as a list."""


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
    whole_text = joined(lead, last, whole=whole)
    if last.is_line and last is not found[number + 1]:
        return replace(whole_text, keep_line_breaks=True)
    if not last.is_row:
        return whole_text
    table = list(takewhile(lambda p: p.is_row and p.marker == lead.marker, found[number + 1 :]))
    return with_count(whole_text, table, table.index(last) + 1)


def with_its_paragraph(
    found: Sequence[Passage], number: int, budget: int, *, until: Container[int] = ()
) -> Passage | None:
    """Return a sentence with those that follow it in its paragraph or item; None if none does.

    The numbers in ``until`` are of passages that belong to something else, and end it.
    """
    last = first = found[number]
    words = first.words
    for i, following in enumerate(found[number + 1 :], number + 1):
        words += following.words
        if i in until:
            break
        if not is_near(last, following) or not following.quotable or words > budget:
            break
        if following.is_row or following.is_item or following.introduces_next:
            break
        last = following
    if last is first:
        return None
    return replace(joined(first, last, whole=True), keep_line_breaks=False)


def with_its_value(
    found: Sequence[Passage], number: int, budget: int, holds: Callable[[Passage], bool]
) -> Passage | None:
    """Return a sentence with the next or the last one of its paragraph that has what it lacks."""
    passage = found[number]
    if passage.is_row or passage.is_code or passage.introduces_next or holds(passage):
        return None
    for first, last in ((number, number + 1), (number - 1, number)):
        if first < 0 or last >= len(found):
            continue
        one, other = found[first], found[last]
        further = other if first == number else one
        is_whole = one.words + other.words <= budget and is_near(one, other)
        if is_whole and further.quotable and not further.is_item and holds(further):
            return replace(joined(one, other, whole=True), keep_line_breaks=False)
    return None


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
    whole_text = joined(first, last, whole=True)
    return replace(whole_text, keep_line_breaks="\n" in whole_text.text)


def leads_to_list(found: Sequence[Passage], number: int) -> bool:
    """Return True if a list follows a sentence, with or without a colon.

    A sentence in an item leads to no list, unless it ends in a colon.
    """
    lead, following = found[number], found[number + 1 : number + 2]
    return (
        lead.quotable
        and not (lead.is_item or lead.is_row)
        and any(
            each.marker == lead.marker and each.is_item and each.start > lead.start
            for each in following
        )
        and (lead.introduces_next or not _in_item(found, number))
    )


def announces_list(found: Sequence[Passage], number: int) -> bool:
    """Return True if a sentence says how many things there are, and a list of them follows soon.

    Another sentence may stand between: "There are three methods. They differ in speed."
    """
    if number + 1 >= len(found) or leads_to_list(found, number):
        return False
    lead, between = found[number], found[number + 1]
    is_sentence = lead.quotable and not (lead.is_item or lead.is_row)
    follows = is_sentence and is_near(lead, between) and leads_to_list(found, number + 1)
    return follows and announces_a_number(lead.text) and not _in_item(found, number)


def begins_list(found: Sequence[Passage], number: int) -> bool:
    """Return True if a list follows a sentence or heading, or begins here without either."""
    passage, following = found[number], found[number + 1 : number + 2]
    if passage.is_item:
        before = found[number - 1] if number else passage
        return before.marker != passage.marker or number == 0 or before.start > passage.start
    if leads_to_list(found, number) or announces_list(found, number):
        return True
    return not (passage.quotable or passage.is_row) and any(
        each.marker == passage.marker and each.is_item and each.start > passage.start
        for each in following
    )


def begins_steps(found: Sequence[Passage], number: int) -> bool:
    """Return True if the list that begins here, or follows, has numbers."""
    return any(
        passage.is_item and passage.text[:1].isdigit() for passage in found[number : number + 2]
    )


def begins_entry(found: Sequence[Passage], number: int) -> int | None:
    """Return where the entry of a list of names begins in which a passage stands, or None.

    Entries explain one thing each, "- name: text"; items with numbers ("Step 2: ...") or words of
    order ("First: ...") are steps.
    """
    first = number
    while first and not found[first].is_item and _in_item(found, first):
        first -= 1
    item = found[first]
    is_entry = item.is_item and not is_step(item.text) and names_its_thing(item.text)
    return first if is_entry else None


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
    if announces_list(found, number):
        lead, between = found[number], found[number + 1]
        listed = with_its_list(found, number + 1, budget - lead.words)
        start = lead.chunk.start
        before = lead.chunk.text[lead.start - start : between.start - start]
        return listed and replace(listed, start=lead.start, text=f"{before}{listed.text}")
    span = _list_of(found, number)
    if span is None:
        return None
    first, last = span
    items = [i for i in range(first, last + 1) if found[i].is_item]
    ends = [*(i - 1 for i in items[1:]), last]
    sizes = list(accumulate(passage.words for passage in found[first : last + 1]))
    kept = [end for end in ends if sizes[end - first] <= budget]
    if not kept:
        return None
    listed = joined(found[first], found[kept[-1]], whole=len(kept) == len(ends))
    if len(kept) < len(ends):
        listed = replace(listed, text=f"{listed.text} ({len(kept)}/{len(ends)})")
    return replace(listed, keep_line_breaks=True)


def beginnings_of_list(found: Sequence[Passage], number: int, budget: int) -> list[Passage]:
    """Return the first sentence of each item of a list above the budget, with what leads to it.

    Items of items are left out. Empty if the list is within the budget, in words, or even these
    sentences are not.
    """
    span = _list_of(found, number)
    if span is None:
        return []
    first, last = span
    part = found[first : last + 1]
    items = [i for i in range(first, last + 1) if found[i].is_item]
    depth = min(_depth(found[i]) for i in items)
    items = [i for i in items if _depth(found[i]) == depth]
    leads = [] if found[first].is_item else [found[first]]
    if sum(passage.words for passage in part) <= budget or len(items) < _FEWEST_ITEMS:
        return []
    ends = [*(i - 1 for i in items[1:]), last]
    kept = [*leads]
    for i, end in zip(items, ends, strict=True):
        text = beginning_of(found[i])
        is_whole = i == end and text == found[i].text
        kept.append(replace(found[i], text=text if is_whole else f"{text} …"))
    if sum(passage.words for passage in kept) > budget:
        return []
    return [replace(passage, is_of_list=True) for passage in kept]


def _list_of(found: Sequence[Passage], number: int) -> tuple[int, int] | None:
    """Return the first and last passage of an item's list, or of the one that a sentence leads to.

    The sentence that leads to it is its first.
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
    items = sum(passage.is_item for passage in found[first : last + 1])
    return (first, last) if items >= _FEWEST_ITEMS and first <= number <= last else None


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
    follows = passage.is_item or passage.is_command or is_near(before, passage)
    follows = follows or _is_inside(passage) or (before.introduces_next and passage.looks_typed)
    return follows and _in_item(found, number - 1)


def in_one_paragraph(found: Sequence[Passage], number: int) -> bool:
    """Return True if a sentence and the next one stand in one paragraph."""
    before, passage = found[number], found[number + 1]
    return not (before.is_row or passage.is_row) and is_near(before, passage)


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
        goes_on = passage.is_command or is_near(before, passage) or _is_inside(passage)
        goes_on = goes_on or (before.introduces_next and passage.looks_typed)
        if passage.marker != before.marker or not goes_on:
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
    is_before = lead.marker == code.marker and lead.start < code.start and lead.quotable
    if not is_before or not code.is_command or lead.is_command or code.words > LONGEST_COMMAND:
        return None
    return replace(joined(lead, code, whole=True), keep_line_breaks=True)


def with_what_precedes(found: Sequence[Passage], number: int, budget: int) -> Passage:
    """Return a sentence that continues after an example or a line of code, with its beginning."""
    passage = found[number]
    before = found[number - 1] if number else passage
    is_before = before.marker == passage.marker and before.start < passage.start
    if not is_before or not before.quotable or before.words + passage.words > budget:
        return passage
    return joined(before, passage, whole=True)


def _continues_list(last: Passage, following: Passage) -> bool:
    """Return True if a passage continues the list or table of the one before it."""
    if following.is_row or last.is_row:
        return following.is_row and last.is_row
    if last.is_line and following.is_line:
        return True
    is_same_paragraph = is_near(last, following)
    if following.is_item:
        return last.is_item or is_same_paragraph
    return last.is_item and is_same_paragraph


def _is_series(passage: Passage) -> bool:
    return passage.is_row or passage.is_item or passage.is_line
