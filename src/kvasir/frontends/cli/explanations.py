"""Explanations of searches and answers as lines of a terminal, in the asker's language."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.text import Text

from kvasir.core.explanation_words import say
from kvasir.core.explanations import (
    DESCRIBED_WEIGHT,
    AnswerExplanation,
    Decision,
    EvidencePart,
    HitExplanation,
    LeftOut,
    LeftOutReason,
    SearchExplanation,
    Weighting,
)
from kvasir.core.text import one_line, printable
from kvasir.core.types import Answer, Certainty
from kvasir.frontends.cli.paths import location
from kvasir.frontends.cli.wrapping import hanging

_SHOWN_PARTS = 5
_SHOWN_PASSAGES = 3
_PART_WIDTH = 100
_QUESTION_WIDTH = 200
_STEP = "  "
_BY = {
    Decision.EVIDENCE: "by_evidence",
    Decision.NOTHING_FOUND: "by_nothing_found",
    Decision.TABLE: "by_table",
    Decision.MODEL: "by_model",
    Decision.QUOTATION: "by_quotation",
    Decision.NO_VALUE: "by_no_value",
    Decision.NEVER_REFUSES: "by_never_refuses",
}

Line = tuple[int, str]
"""The depth of a line below the first ones, and its text."""


def hit_lines(
    hit: HitExplanation, search: SearchExplanation, width: int | None, indent: str = ""
) -> list[Text]:
    """Return the lines below a hit: what gave it its score and its place."""
    lines = [(0, text) for text in _of_hit(hit, search)]
    return _laid_out(lines, width, indent)


def search_lines(search: SearchExplanation, width: int | None) -> list[Text]:
    """Return the lines about a search as a whole, and about what it left out."""
    title = Text(say("search", search.reply_language), "bold")
    return [title, *_laid_out(list(_of_search(search)), width, _STEP)]


def answer_lines(answer: Answer, width: int | None) -> list[Text]:
    """Return the lines about an answer: how it was decided, then what was searched.

    None if the answer has no explanation.
    """
    why = answer.explanation
    if why is None:
        return []
    lines = [Text(say("why", why.reply_language), "bold")]
    lines += _laid_out(list(_of_decision(why, answer.certainty)), width, _STEP)
    if why.evidence:
        lines += _evidence_lines(why, width)
    if not why.searches:
        return lines
    *earlier, last = why.searches
    lines += [Text(), *search_lines(last, width)]
    lines += _laid_out([(0, _asked(each)) for each in earlier], width, _STEP)
    shown = {hit.chunk.id: hit for hit in answer.hits}
    for number, part in enumerate(last.hits, 1):
        if (hit := shown.get(part.chunk_id)) is not None:
            uri = str(hit.chunk.metadata.get("source_uri", ""))
            page = hit.box.page if hit.box else hit.chunk.page
            where = Text(f"{number}. {location(uri, page, hit.line)}  ({part.score:.2f})")
            lines += hanging(where, width, _STEP, _STEP * 2)
            lines += hit_lines(part, last, width, _STEP * 2)
    return lines


def _asked(search: SearchExplanation) -> str:
    """Return the line about a search that only helped to word the last one."""
    return say("before", search.reply_language, query=one_line(search.query, _QUESTION_WIDTH))


def _laid_out(lines: Sequence[Line], width: int | None, indent: str) -> list[Text]:
    laid_out: list[Text] = []
    for depth, text in lines:
        begin = indent + _STEP * depth
        laid_out += hanging(Text(printable(text), "dim"), width, begin, begin + _STEP)
    return laid_out


def _of_hit(hit: HitExplanation, search: SearchExplanation) -> Iterator[str]:
    language = search.reply_language
    by_meaning = "by_meaning" if hit.dense_rank else "not_by_meaning"
    legs = say(by_meaning, language, rank=hit.dense_rank, cosine=hit.cosine, depth=search.depth)
    if search.weighting is not Weighting.VECTORS_ALONE:
        by_words = "by_words" if hit.lexical_rank else "not_by_words"
        score, rank = hit.lexical_score or 0.0, hit.lexical_rank
        legs += "; " + say(by_words, language, rank=rank, score=score, depth=search.depth)
    yield legs
    if len(search.parts) > 1:
        yield say("part", language, part=hit.part + 1)
    if search.weighting is not Weighting.VECTORS_ALONE:
        share = search.dense_share
        yield say(
            "fused",
            language,
            fused=hit.fused,
            share=share,
            dense=hit.scaled_dense,
            rest=1.0 - share,
            lexical=hit.scaled_lexical,
        )
    score = hit.fused
    if hit.literal_share is not None:
        score = (hit.fused + hit.literal_share) / 2.0
        held = ", ".join(hit.held) or "-"
        yield say("literal", language, share=hit.literal_share, held=held, score=score)
    if hit.described is not None:
        score = (score + DESCRIBED_WEIGHT * hit.described) / (1.0 + DESCRIBED_WEIGHT)
        yield say("described" if hit.described else "not_described", language, score=score)
    if hit.reranked is not None:
        yield say("reranked", language, score=hit.reranked, place=hit.place)
    elif search.unread_factor is not None:
        yield say("unread", language, before=score, factor=search.unread_factor)
    if hit.copies:
        yield say("copies", language, count=hit.copies)
    if hit.filled:
        yield say("filled", language)


def _of_search(search: SearchExplanation) -> Iterator[Line]:
    language = search.reply_language
    share = search.dense_share
    if len(search.parts) < 2:
        yield 0, say("query", language, query=one_line(search.query, _QUESTION_WIDTH))
    else:
        yield 0, say("parts", language, count=len(search.parts))
        for number, part in enumerate(search.parts[:_SHOWN_PARTS], 1):
            yield 1, f"{number}. {one_line(part, _PART_WIDTH)}"
        if len(search.parts) > _SHOWN_PARTS:
            yield 1, say("more", language, count=len(search.parts) - _SHOWN_PARTS)
    if search.language:
        name = "language_set" if search.language_set else "language_detected"
        held = ", ".join(search.languages) or "-"
        yield 0, say(name, language, language=search.language, held=held)
    if search.candidates and search.language and not search.best_lexical:
        yield 0, say("no_words", language)
    else:
        yield 0, say(search.weighting.value, language, share=share, rest=1.0 - share)
    yield (
        0,
        say(
            "candidates",
            language,
            candidates=search.candidates,
            dense=search.dense_candidates,
            lexical=search.lexical_candidates,
            depth=search.depth,
        ),
    )
    yield from ((0, text) for text in _conditions(search))
    if search.left_out:
        yield 0, say("left_out", language)
        for left_out in search.left_out:
            yield 1, _of_left_out(left_out, search)


def _conditions(search: SearchExplanation) -> Iterator[str]:
    language = search.reply_language
    spread = search.best_dense - search.worst_dense
    if search.candidates and spread < search.noise:
        yield say("noise", language, spread=spread, noise=search.noise)
    for name in ("phrases", "identifiers", "options"):
        if values := getattr(search, name):
            yield say(name, language, values=", ".join(values))
    filters = [filter_text(each) for each in (search.operator_filters, search.filters) if each]
    if filters:
        yield say("filters", language, filters=" and ".join(filters))
    if search.reranked:
        yield say("rerank", language, count=search.reranked)


def _of_left_out(left_out: LeftOut, search: SearchExplanation) -> str:
    counted = say(
        left_out.reason.value,
        search.reply_language,
        count=left_out.count,
        threshold=search.threshold,
        most=min(search.most_of_one, search.top_k),
        top_k=search.top_k,
    )
    named = [
        f"{location(each.source_uri, each.page)} ({each.word or f'{each.score:.2f}'})"
        for each in left_out.passages[:_SHOWN_PASSAGES]
    ]
    if named and left_out.count > len(named):
        named.append("…")
    is_copy = left_out.reason is LeftOutReason.COPY  # Its sources stand below the hit.
    return counted if is_copy or not named else f"{counted}: {', '.join(named)}"


def _of_decision(why: AnswerExplanation, certainty: Certainty) -> Iterator[Line]:
    language = why.reply_language
    yield 0, f"{say(certainty.value, language)}; {say(_BY[why.decided_by], language)}"
    if why.table:
        yield 0, say("table_refusal", language, table=why.table)
    if not why.evidence:
        return
    yield (
        0,
        say(
            "confidence",
            language,
            confidence=why.confidence,
            refuse=why.refuse_below,
            sure=why.sure_from,
        ),
    )
    if why.decided_by in (Decision.EVIDENCE, Decision.NEVER_REFUSES):
        if why.confidence < why.refuse_below:
            yield 0, say("short_of", language, missing=why.refuse_below - why.confidence)
        elif why.confidence < why.sure_from:
            yield 0, say("short_of_sure", language, missing=why.sure_from - why.confidence)
    if why.calibrated:
        yield 0, say("own_decision", language)
    if any(len(search.parts) > 1 for search in why.searches):
        yield 0, say("of_part", language, question=one_line(why.question, _QUESTION_WIDTH))


def _evidence_lines(why: AnswerExplanation, width: int | None) -> list[Text]:
    """Return the sum of a decision: value x weight = contribution, with words for each."""
    total = why.bias + sum(part.contribution for part in why.evidence)
    rows = [(f"{why.bias:+.2f}", "", say("start", why.reply_language))]
    rows += [_evidence_row(part) for part in why.evidence]
    rows.append((f"{total:+.2f}", "", say("sum", why.reply_language, confidence=why.confidence)))
    lines: list[Text] = []
    for added, product, meaning in rows:
        begin = f"{_STEP * 2}{added:>6}  {product:<16} "
        lines += hanging(Text(meaning, "dim"), width, begin, " " * min(len(begin), 12))
    return lines


def _evidence_row(part: EvidencePart) -> tuple[str, str, str]:
    product = f"= {part.value:.2f} x {part.weight:.2f}"
    # A contribution that rounds to nothing has no sign of its own.
    return f"{round(part.contribution, 2) + 0.0:+.2f}", product, part.meaning


def filter_text(condition: Mapping[str, Any]) -> str:
    """Return a filter in Haystack's syntax as one line to read."""
    if "conditions" not in condition:
        field = str(condition["field"]).removeprefix("meta.")
        return f"{field} {condition['operator']} {one_line(str(condition['value']), _PART_WIDTH)}"
    parts = [filter_text(each) for each in condition["conditions"]]
    operator = str(condition["operator"]).lower()
    if operator == "not":
        return f"not ({' and '.join(parts)})"
    return "(" + f" {operator} ".join(parts) + ")" if len(parts) > 1 else "".join(parts)
