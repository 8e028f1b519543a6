"""Choose what an extractive answer quotes: the best passage, completed, and what adds to it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from kvasir.components.generators import extractive_blocks as blocks
from kvasir.components.generators import extractive_tables as tables
from kvasir.components.generators.extractive_passages import Passage
from kvasir.core.scoring import inverse_document_frequency
from kvasir.language.question_kinds import QuestionKind
from kvasir.language.question_values import announces_a_number, holds_what_is_asked

MORE_OF_ANOTHER_DOCUMENT = 0.09
"""Added to ``min_relative_score`` for a sentence of another document than the best one's."""
MOST_MARKERS = 3
"""Sources named for one sentence that several documents contain."""
OTHER_SIDE = 0.5
"""``min_relative_score`` for what speaks of the side of a difference that is not yet quoted."""
WHOLE_LIST = 3.5
"""Most words of a list or of steps that the question asks for, as a multiple of ``max_words``."""
WHOLE_SECTION = 1.5
"""Most words of a passage that says with commands how to do something, as such a multiple."""
LONGEST_DESCRIPTION = 60
"""Most words of a paragraph that describes a name or term of the question."""
PARALLEL = 0.4
"""Share of the longer one's terms that two sentences have in common if one says of another thing
what the other one says."""
FEWEST_PARALLEL = 2
"""Fewest terms that two such sentences have in common."""

_READ_WHOLE = (QuestionKind.HOW_TO, QuestionKind.WHY)
"""Questions that a sentence alone seldom answers: the best one is quoted with its passage."""

_VALUES = (QuestionKind.WHEN, QuestionKind.HOW_MANY, QuestionKind.HOW_OFTEN)
"""Questions for a value, which may stand in the sentence beside the one that names its thing."""

Scores = NDArray[np.float64]
Sides = Sequence[AbstractSet[int | str]]


@dataclass(frozen=True, slots=True)
class Overlap:
    """What a passage has in common with the question.

    Attributes:
        bm25: Its BM25 score.
        shared: Terms of the question that it holds; a row's header counts if the row has one.
        names: Numbered names of the question that it holds, such as "mill 23".
        terms: All of its terms.
        shares_itself: The passage itself shares a term, not its header alone.
        describes: It begins with a name or term of the question, and says what that is.
        is_weak_row: A row that shares too few terms, its header's included.
        names_row: A row whose first cell stands whole in the question.
        only_repeats_question: It has no other terms than the question's, or quotes it whole.
    """

    bm25: float
    shared: AbstractSet[int]
    names: AbstractSet[str]
    terms: AbstractSet[int]
    shares_itself: bool
    describes: bool
    is_weak_row: bool
    names_row: bool
    only_repeats_question: bool


@dataclass(frozen=True, slots=True)
class Limits:
    """How much is quoted; the attributes are options of ``ExtractiveGenerator``."""

    max_sentences: int
    max_words: int
    min_relative_score: float


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked.

    Attributes:
        kind: What kind of answer is asked for; None if no word shows it.
        sides: Which of several things that are asked about, such as the sides of a difference, each
            passage speaks of.
        is_several: The question asks several things.
        language: The question's language, if the passages are in several; else empty.
        compares: The most or least, or an amount without some of it, which no row alone shows.
    """

    kind: QuestionKind | None
    sides: Sides
    is_several: bool
    language: str
    compares: bool = False


def covered_by_documents(found: Sequence[Passage], overlaps: Sequence[Overlap]) -> Scores:
    """Return for each passage what its document's passages hold of the question's terms, 0..1.

    A name may stand at the head of a mail alone, and not in the sentence that answers.
    """
    idf = idf_of(overlaps)
    held: defaultdict[str, set[int]] = defaultdict(set)
    for passage, overlap in zip(found, overlaps, strict=True):
        held[passage.document_id] |= overlap.shared
    total = sum(idf.values()) or 1.0
    covered = {key: sum(idf[term] for term in terms) / total for key, terms in held.items()}
    return np.array([covered[passage.document_id] for passage in found])


def idf_of(overlaps: Sequence[Overlap]) -> dict[int, float]:
    """Return the IDF of the question's terms over the passages that hold them."""
    counts = Counter(term for overlap in overlaps for term in overlap.shared)
    return {term: inverse_document_frequency(len(overlaps), n) for term, n in counts.items()}


def select(
    found: Sequence[Passage],
    scores: Scores,
    overlaps: Sequence[Overlap],
    asked: Asked,
    limits: Limits,
) -> list[Passage]:
    """Return the passages to quote, best first, each with what it needs to be understood.

    Args:
        found: All passages.
        scores: Their scores.
        overlaps: What they share with the question.
        asked: What is asked.
        limits: How much is quoted.
    """
    sides = asked.sides
    order = [i for i in np.argsort(-scores, kind="stable").tolist() if found[i].quotable]
    if not order:
        # Only headings and questions were found: quote the best of them.
        return [found[int(scores.argmax())]]
    order = _other_sides_first(order, sides, asked.kind)
    best = float(scores[order[0]])
    said: set[int | str] = set()
    chosen: list[Passage] = []
    numbers: list[int] = []
    has_block = False
    words = 0
    for i in order:
        needed = limits.min_relative_score
        if chosen and found[i].document_id != chosen[0].document_id:
            needed += MORE_OF_ANOTHER_DOCUMENT
        is_side = bool(chosen and sides[i] - said)
        is_beside = (
            bool(chosen) and asked.is_several and found[i].marker == found[numbers[0]].marker
        )
        needed = OTHER_SIDE if is_side or is_beside else needed
        if chosen and (len(chosen) >= limits.max_sentences or scores[i] < needed * best):
            continue
        if _is_quoted(found[i], chosen) or (has_block and not is_side):
            continue
        if chosen and asked.language and chosen[0].language == asked.language != found[i].language:
            continue
        if not (is_side or is_beside) and any(
            _is_about_another(i, n, found, overlaps) for n in numbers
        ):
            continue
        if asked.kind is QuestionKind.LIST and not chosen:
            longest = int(WHOLE_LIST * limits.max_words)
            if chosen := blocks.beginnings_of_list(found, i, longest):
                return chosen
        block = None if has_block else _block(found, i, asked, limits.max_words)
        is_step = asked.kind is QuestionKind.HOW_TO and not chosen
        if is_step and _is_one_of_commands(found, i, block):
            longest = int(WHOLE_SECTION * limits.max_words)
            block = blocks.with_its_chunk(found, i, longest) or block
        quoted = block
        if quoted is None and not chosen and (asked.kind in _READ_WHOLE or asked.is_several):
            quoted = blocks.with_its_chunk(found, i, limits.max_words)
        if quoted is None and not chosen:
            quoted = _paragraph(found, i, asked.kind, limits.max_words)
        if quoted is None and overlaps[i].describes:
            longest = min(LONGEST_DESCRIPTION, limits.max_words - words)
            others = {n for n, side in enumerate(sides) if side - sides[i]}
            quoted = blocks.with_its_paragraph(found, i, longest, until=others)
            if quoted and _is_quoted(quoted, chosen):
                quoted = None
        if quoted is None and not chosen and asked.kind in _VALUES:
            holds = partial(_holds, asked.kind)
            quoted = blocks.with_its_value(found, i, limits.max_words, holds)
        budget = limits.max_words - words
        if asked.kind is QuestionKind.LIST and not chosen:
            budget = int(WHOLE_LIST * limits.max_words)
        quoted = quoted or _completed(found, i, overlaps[i], budget)
        if quoted is None or (chosen and not block and words + quoted.words > limits.max_words):
            continue
        if quoted is not found[i] and _is_quoted(quoted, chosen):
            continue
        chosen.append(replace(quoted, duplicate_markers=_duplicates(found[i], found)))
        numbers.append(i)
        said |= sides[i]
        has_block = has_block or block is not None
        words += quoted.words
    # Every passage may introduce a text that is not there: then quote an introduction.
    return chosen or [found[order[0]]]


def _is_about_another(
    number: int, quoted: int, found: Sequence[Passage], overlaps: Sequence[Overlap]
) -> bool:
    """Return True if a passage says of another thing what a quoted one says of the one asked for.

    It lacks a term or numbered name of the question that the quoted one has, has none that this one
    lacks, and is built alike: a row, an item of a list, or a sentence with mostly the same words.
    """
    this, other = overlaps[number], overlaps[quoted]
    lacks_some = this.shared != other.shared or this.names != other.names
    if not (lacks_some and this.shared <= other.shared and this.names <= other.names):
        return False
    passage, before = found[number], found[quoted]
    if (passage.is_row and before.is_row) or (passage.is_item and before.is_item):
        return True
    if abs(number - quoted) == 1 and blocks.in_one_paragraph(found, min(number, quoted)):
        return False
    longer = max(len(this.terms), len(other.terms))
    return len(this.terms & other.terms) >= max(FEWEST_PARALLEL, PARALLEL * longer)


def _completed(
    found: Sequence[Passage], number: int, overlap: Overlap, budget: int
) -> Passage | None:
    """Add the text that a passage needs to be understood; None where it cannot be added."""
    passage = found[number]
    if passage.introduces_next:
        return blocks.with_what_follows(found, number, budget)
    if passage.is_row and not overlap.shares_itself:
        return tables.with_its_table(found, number, budget)
    if passage.text[0].islower():
        return blocks.with_what_precedes(found, number, budget)
    return passage


def _block(found: Sequence[Passage], number: int, asked: Asked, max_words: int) -> Passage | None:
    """Return a passage with its list, table or command, where the question asks for these."""
    passage, kind = found[number], asked.kind
    if asked.compares and passage.is_row:
        return tables.with_its_table(found, number, int(WHOLE_LIST * max_words))
    if kind not in (QuestionKind.HOW_TO, QuestionKind.LIST) or passage.is_row:
        return None
    if kind is QuestionKind.HOW_TO and blocks.begins_entry(found, number) is not None:
        return None  # Of what is named beside each other, one answers; they are no steps.
    budget = int(WHOLE_LIST * max_words)
    if not passage.is_code and (listed := blocks.with_its_list(found, number, budget)):
        return listed
    if kind is QuestionKind.LIST and (table := tables.with_next_table(found, number, budget)):
        return table
    return blocks.with_its_command(found, number) if kind is QuestionKind.HOW_TO else None


def _holds(kind: QuestionKind, passage: Passage) -> bool:
    return holds_what_is_asked(kind, passage.text, passage.language)


def _is_one_of_commands(found: Sequence[Passage], number: int, block: Passage | None) -> bool:
    """Return True if a block is a command with its sentence, and its hit has other commands."""
    if block is None or block.is_item or not block.is_command:
        return False
    commands = [p for p in found if p.marker == found[number].marker and p.is_command]
    return len(commands) > 1


def _paragraph(
    found: Sequence[Passage], number: int, kind: QuestionKind | None, max_words: int
) -> Passage | None:
    """Return a passage with the rest of its paragraph, where it is the beginning of an answer."""
    passage = found[number]
    is_wanted = kind in _READ_WHOLE or (
        kind is QuestionKind.LIST and announces_a_number(passage.text)
    )
    if not is_wanted or passage.is_row or passage.is_code or passage.introduces_next:
        return None
    if kind is QuestionKind.WHY and passage.text[0].islower():
        return None  # Its beginning is quoted with it.
    first = number
    if kind in _READ_WHOLE and (entry := blocks.begins_entry(found, number)) is not None:
        first = entry
    read = blocks.with_its_paragraph(found, first, max_words)
    return read if read is None or read.end >= passage.end else None


def _other_sides_first(order: Sequence[int], sides: Sides, kind: QuestionKind | None) -> list[int]:
    """Put the best passage about each side after the best of all, which speaks of another side.

    Of a difference whose sides are both spoken of, the best of all may speak of neither.
    """
    about = {side for i in order for side in sides[i]}
    is_of_none = kind is QuestionKind.DIFFERENCE and len(about) > 1 and not sides[order[0]]
    firsts = [] if is_of_none else list(order[:1])
    said = set(sides[order[0]])
    for i in order:
        if sides[i] - said:
            firsts.append(i)
            said |= sides[i]
    return [*firsts, *(i for i in order if i not in firsts)]


def _is_quoted(passage: Passage, chosen: Sequence[Passage]) -> bool:
    """Return True if a chosen passage contains this one, or the other way round."""
    text = f" {passage.normalized_text} "
    others = (f" {other.normalized_text} " for other in chosen)
    return any(text in other or other in text for other in others)


def _duplicates(passage: Passage, found: Sequence[Passage]) -> tuple[int, ...]:
    """Return the markers of other documents with the same text, one per document."""
    markers: dict[str, int] = {}
    for other in found:
        if other.normalized_text == passage.normalized_text:
            markers.setdefault(other.document_id, other.marker)
    markers.pop(passage.document_id, None)
    return tuple(sorted(markers.values())[: MOST_MARKERS - 1])
