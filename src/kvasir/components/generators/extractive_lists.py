"""What leads to a list or table is worth where a question asks for one, or for steps."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kvasir.components.generators import extractive_blocks as blocks
from kvasir.components.generators.extractive_forms import LEADS_TO_LIST
from kvasir.components.generators.extractive_passages import Passage
from kvasir.components.generators.extractive_selection import Overlap, Scores, idf_of
from kvasir.components.generators.extractive_tables import rows_of, table_after
from kvasir.components.generators.extractive_terms import TermReader, restricted
from kvasir.language.list_questions import listed_thing
from kvasir.language.question_kinds import QuestionKind

ABOUT_THE_LIST = 0.6
"""Added for what leads to a list that holds all of the question's terms, with its headings."""
OF_ITEMS = 0.5
"""What a term counts that only the items of a list hold: a long one holds many words by chance."""
NAMES_THE_THINGS = 0.5
"""Added for what leads to a list, or is under a heading, with the word for the things asked for."""
LONGEST_LEAD = 15
"""Most words of such a lead."""


def list_scores(
    question: str,
    found: Sequence[Passage],
    overlaps: Sequence[Overlap],
    kind: QuestionKind | None,
    terms: TermReader,
) -> Scores:
    """Return what each sentence or heading is worth that leads to the list that is asked for.

    A list is about the question as far as its headings, the sentences that lead to it and its
    items together hold more than half of the question's terms.
    """
    result = np.zeros(len(found))
    asks_steps = kind is QuestionKind.HOW_TO
    leads = [
        i
        for i in range(len(found) if asks_steps or kind is QuestionKind.LIST else 0)
        if (blocks.begins_list(found, i) and (not asks_steps or blocks.begins_steps(found, i)))
        or (not asks_steps and table_after(found, i) is not None)
    ]
    if not leads:
        return result
    idf = idf_of(overlaps)
    languages = [found[i].language for i in leads]
    wanted = terms.asked(question, languages)
    thing = "" if asks_steps else listed_thing(question)
    things = terms.asked(thing, languages) if thing else {}
    texts = [" ".join(found[i].chunk.headings) for i in leads]
    headings = restricted(terms.weights(texts, languages), wanted, languages)
    rarest = max(idf.values(), default=1.0)
    idf |= {term: rarest for heading in headings for term in heading if term not in idf}
    total = sum(idf.values())
    for i, heading in zip(leads, headings, strict=True):
        held = heading.keys() | overlaps[i].shared
        if i and found[i - 1].marker == found[i].marker and not found[i - 1].is_item:
            held |= overlaps[i - 1].shared
        if (header := table_after(found, i)) is not None:
            held = held.union(*(overlaps[n].shared for n in range(i + 1, header + 1)))
            items = rows_of(found, header)
        else:
            items = blocks.items_after(found, i + blocks.announces_list(found, i))
        said = set[int]().union(*(overlaps[item].shared for item in items)) - held
        share = sum(idf[term] for term in held) + OF_ITEMS * sum(idf[term] for term in said)
        share /= total or 1.0
        worth = ABOUT_THE_LIST + LEADS_TO_LIST * found[i].is_item
        result[i] = worth * max(0.0, 2.0 * share - 1.0)
        if things and found[i].words <= LONGEST_LEAD:
            lead = "" if found[i].is_item else found[i].text
            label = f"{' '.join(found[i].chunk.headings[-1:])} {lead}"
            (named,) = terms.weights([label], [found[i].language])
            result[i] += NAMES_THE_THINGS * bool(named.keys() & things[found[i].language])
    return result
