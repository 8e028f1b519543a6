"""Whether an answer holds the kind of thing that its question asks for.

A passage on the very subject of a question holds all of its words but the answer. So the value that
is asked for is looked for as well: a date, a number, and the thing that is counted or named ("how
many seconds", "which bank") itself. Who does something need not have a name ("two dwarfs"), so
names are not looked for. Words alone decide, so an answer is doubted, not refused.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from kvasir.answering.asked_language import asked_language
from kvasir.core.protocols import TextAnalyzer
from kvasir.core.types import Hit
from kvasir.language.question_kinds import QuestionKind, holds_what_is_asked, question_kind

_COUNTED = {
    "en": r"\bhow many (?P<thing>[^\W\d_]+)",
    "es": r"\bcu[aá]nt[oa]s (?P<thing>[^\W\d_]+)",
    "de": r"\bwie ?viele (?P<thing>[^\W\d_]+)",
    "fr": r"\bcombien (?:de |d['’])(?P<thing>[^\W\d_]+)",
}
_NAMED = {
    "en": r"^\W*(?:which|what) (?!is|are|was|were|do|does|did|if|can|has|have)(?P<thing>[^\W\d_]+)",
    "es": r"^\W*(?:de |en |con |por |a )?qué (?P<thing>[^\W\d_]+) (?:tiene|usa|es|lleva|da|hace)",
    "de": r"^\W*(?:welche[rsmn]?) (?P<thing>[^\W\d_]+)",
    "fr": r"^\W*quel(?:le)?s? (?:est (?:le |la |l['’]))?(?P<thing>[^\W\d_]+)",
}
_IN_UNIT = {
    "en": r"\bhow \w+ .*\bin (?P<thing>[a-z]+)\W*$",
    "es": r"\bcuánt\w* .*\ben (?P<thing>[a-z]+)\W*$",
    "de": r"\bwie \w+ .*\bin (?P<thing>[A-Z][a-zäöüß]+)\W*$",
    "fr": r"\bcombien .*\ben (?P<thing>[a-z]+)\W*$",
}
_MARKER = re.compile(r"\s*\[\d+\]")
_KINDS = (QuestionKind.WHEN, QuestionKind.HOW_MANY)
_TIME_WORDS = """
    time day date year month hour hora día fecha año mes tag datum jahr monat uhr stunde jour
    année mois heure
"""
_TIMES = frozenset(_TIME_WORDS.split())
"""Things of which a value is told by its form."""


def lacks_what_is_asked(
    question: str, text: str, hits: Sequence[Hit], analyzer: TextAnalyzer
) -> bool:
    """Return True if an answer has no date or number, or no passage speaks of what is asked for.

    A question in another language than all passages has no word for that, and is not doubted.

    Args:
        question: The question as it was answered. In other languages than English, Spanish,
            German and French only dates and numbers are looked for.
        text: The answer; its markers count for nothing.
        hits: The passages that were read for it.
        analyzer: Compares words in all their forms.
    """
    # Of the passages' languages: to choose from more may load a model.
    language = asked_language(question, hits, ())
    text = _MARKER.sub("", text)
    kind = question_kind(question)
    if kind in _KINDS and not holds_what_is_asked(kind, text, language):
        return True
    things = [
        found["thing"]
        for patterns in (_COUNTED, _IN_UNIT, _NAMED)
        if (found := re.search(patterns.get(language, "$^"), question, re.IGNORECASE))
    ]
    return any(
        thing.casefold() not in _TIMES and not _is_said(thing, language, hits, analyzer)
        for thing in things
    )


def _is_said(thing: str, language: str, hits: Sequence[Hit], analyzer: TextAnalyzer) -> bool:
    """Return True if a passage speaks of a thing, or the language takes it for a function word."""
    (wanted,) = analyzer.query_terms([thing], [language])
    terms = {*wanted.indices.tolist()}
    passages = [hit.chunk.passage for hit in hits]
    held = analyzer.document_terms(passages, [language] * len(passages))
    folded = thing.casefold()
    return not terms or any(
        terms & {*vector.indices.tolist()} or folded in passage.casefold()
        for vector, passage in zip(held, passages, strict=True)
    )
