"""Whether an answer holds the kind of thing that its question asks for.

A passage on the very subject of a question holds all of its words but the answer. So the value that
is asked for is looked for as well: a date, a number, and the thing that is counted or named ("how
many seconds", "which bank") itself. Who does something need not have a name ("two dwarfs"), so
names are not looked for; but an answer with a name that the question lacks may be "which player",
though no passage says "player". Words alone decide, so an answer is doubted, not refused.
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
    "en": r"^\W*(?:which|what) (?!is|are|was|were|do|does|did|if|can|has|have)"
    r"(?P<thing>[^\W\d_]+)\b(?! of\b)",
    "es": r"^\W*(?:de |en |con |por |a )?qué (?P<thing>[^\W\d_]+) (?:tiene|usa|es|lleva|da|hace)",
    "de": r"^\W*(?:welche[rsmn]?) (?P<thing>[^\W\d_]+)\b(?! (?:von|der|des)\b)",
    "fr": r"^\W*quel(?:le)?s? (?:est (?:le |la |l['’]))?(?P<thing>[^\W\d_]+)\b(?! de\b)",
}
"""Behind "which kind of" the thing is another one."""
_IN_UNIT = {
    "en": r"\bhow \w+ .*\bin (?P<thing>[a-z]+)\W*$",
    "es": r"\bcuánt\w* .*\ben (?P<thing>[a-z]+)\W*$",
    "de": r"\bwie \w+ .*\bin (?P<thing>[A-Z][a-zäöüß]+)\W*$",
    "fr": r"\bcombien .*\ben (?P<thing>[a-z]+)\W*$",
}
_MARKER = re.compile(r"\s*\[\d+\]")
_WORD = re.compile(r"[^\W\d_]+")
_NAME = re.compile(r"(?<=[^\s.!?:;„“\"«»¿¡*#|(-] )[^\W\d_a-zß-öø-ÿ]\w+")
"""A word with a capital letter behind another word."""
_KINDS = (QuestionKind.WHEN, QuestionKind.HOW_MANY)
_VALUE_WORDS = """
    time day date year month hour hora día fecha año mes tag datum jahr monat uhr stunde jour
    année mois heure percentage percent porcentaje prozentsatz pourcentage
"""
_TOLD_BY_FORM = frozenset(_VALUE_WORDS.split())
"""Things whose values have a form of their own."""


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
    # German writes all nouns as it writes names.
    is_named = language != "de" and _has_another_name(text, question)
    things = [
        found["thing"]
        for patterns in (_COUNTED, _IN_UNIT, *(() if is_named else (_NAMED,)))
        if (found := re.search(patterns.get(language, "$^"), question, re.IGNORECASE))
    ]
    return any(
        thing.casefold() not in _TOLD_BY_FORM and not _is_said(thing, language, hits, analyzer)
        for thing in things
    )


def _has_another_name(text: str, question: str) -> bool:
    """Return True if a text has a capital letter within a sentence, in a word of its own."""
    asked = {word.casefold() for word in _WORD.findall(question)}
    return any(name.casefold() not in asked for name in _NAME.findall(text))


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
