"""Whether an answer holds the kind of thing that its question asks for.

A passage on the very subject of a question holds all of its words but the answer. So the value that
is asked for is looked for as well: a date, a number, a price, a weight, and the thing that is
counted or named ("how many seconds", "which bank") itself. Who did something may be "two dwarfs",
but of 101 such answers to questions of XQuAD all but two had a name that the question lacks; and an
answer with one may be "which player", though no passage says "player". Words alone decide, so an
answer is doubted, not refused.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from kvasir.answering.asked_language import asked_language
from kvasir.answering.asked_scope import find_disregard
from kvasir.core.protocols import TextAnalyzer
from kvasir.core.types import Hit
from kvasir.language.question_kinds import QuestionKind, question_kind
from kvasir.language.question_values import holds_what_is_asked

_COUNTED = {
    "en": r"\bhow many (?P<thing>[^\W\d_]+)",
    "es": r"\bcu[aá]nt[oa]s (?P<thing>[^\W\d_]+)",
    "de": r"\bwie ?viele (?P<thing>[^\W\d_]+)",
    "fr": r"\bcombien (?:de |d['’])(?P<thing>[^\W\d_]+)",
}
_NAMED = {
    "en": r"^\W*(?:which|what) "
    r"(?!(?:is|are|was|were|do|does|did|if|can|has|have|happens|[a-z]+[^e]ed)\b)"
    r"(?P<thing>[^\W\d_]+)\b(?! (?:of|the|an?|on|in|at|to|his|her|their|its)\b)",
    "es": r"^\W*(?:de |en |con |por |a )?qué (?P<thing>[^\W\d_]+) (?:tiene|usa|es|lleva|da|hace)",
    "de": r"^\W*(?:welche[rsmn]?) (?P<thing>[^\W\d_]+)\b(?! (?:von|der|des)\b)",
    "fr": r"^\W*quel(?:le)?s? (?:est (?:le |la |l['’]))?(?P<thing>[^\W\d_]+)\b(?! de\b)",
    "zh": r"的(?P<thing>[\u4e00-\u9fff]{2,6}?)是谁",
}
"""Behind "which kind of" the thing is another one, and "what causes the" has none."""
_IN_UNIT = {
    "en": r"^(?>(?s:.*?)\bhow \w+ ).*\bin (?P<thing>[a-z]+)\W*$",
    "es": r"^(?>(?s:.*?)\bcuánt\w* ).*\ben (?P<thing>[a-z]+)\W*$",
    "de": r"^(?>(?s:.*?)\bwie \w+ ).*\bin (?P<thing>[A-Z][a-zäöüß]+)\W*$",
    "fr": r"^(?>(?s:.*?)\bcombien ).*\ben (?P<thing>[a-z]+)\W*$",
}
_FORMS = (
    (
        r"\b(?:phone|telephone|fax) number|\bteléfono|\btelefonnummer|\bnuméro de téléphone|电话",
        r"\d(?:[\s()/.-]?\d){5}",
    ),
    (
        r"\b(?:(?:which|what|newest|latest|current) version|version number|"
        r"qué versión|welche[rs]? version|quelle version)\b|哪个版本|版本号",
        r"\d",
    ),
    (
        r"\bhow much (?:does|do|did|is|was|will) .*\bcosts?\b|\bwhat does .* cost\b|"
        r"\bcuánto (?:cuesta|cuestan|vale)|\bwas kostet|\bwie teuer|\bcombien coûte|"
        r"\b(?:price|selling price|precio|preis|prix) (?:of|del?|von|du)|价格|售价|多少钱",
        r"[$€£¥₫]|\d ?(?:元|块)|\b(?:eur|usd|gbp|chf|cny|euros?|dollars?|pounds?|pence|cents?|"
        r"francs?|yuan|pesos?|dólar(?:es)?|libras?|franken|pfund|free|gratis|gratuit\w*|"
        r"kostenlos)\b|免费|\|",
    ),
    (
        r"\bhow heavy|\bhow much (?:does|do|did) .* weigh|\bcuánto pesa|\bwie schwer|"
        r"\bwie ?viel wieg|\bcombien pèse|多重|重量",
        r"\d ?(?:k?g|t|lbs?|oz)\b|\b(?:kilos?|kilogram\w*|gram\w*|tons?|tonn\w+|tonelada\w*|"
        r"pounds?|pfund|ounces?)\b|公斤|千克|克|吨|斤|\|",
    ),
)
"""Questions for a value with a form of its own, and that form; a cell has it in its header."""
_MARKER = re.compile(r"(?<!\s)\s*\[\d+\]")
_WORD = re.compile(r"[^\W\d_]+")
_NAME = re.compile(r"(?<=[^\s.!?:;„“\"«»¿¡*#|(-] )[^\W\d_a-zß-öø-ÿ]\w+\b(?!-?\d)")
"""A word with a capital letter behind another word, which is no code such as AC-7731."""
_NUMBERED = re.compile(r"\b[A-ZÀ-ÖØ-Þ][^\W\d_]+[ -]\d{1,3}\b(?![.:,/]?\d)")
"""A name with a number, such as "Mill 23", which "Mill 3" is not."""
_SIGNED = re.compile(
    r"(?<![\w+#-])(?:[A-Z]{1,2}[-−]|[^\W\d_]{1,3}(?:\+{1,2}|#))(?![\w+#-])"
    r"(?!(?:, ?\w+[-−])*,? ?(?:und|oder|bzw\.?|sowie|and|or|to|y|o|et|ou)\b)"
)
"""A short name with a sign, such as "AB-" and "C#", which "AB+" and "C" are not.

The hyphen of "IT- und HR-Abteilung" is no sign.
"""
_NO_COUNT = re.compile(
    r"[$€£¥]\s?\d[\d.,]*|(?<!\d)\d[\d.,]*\s?(?:[$€£¥%元]|(?:eur|euros?|usd|dollars?|gbp|pounds?|chf|"
    r"francs?|franken|percent|prozent|por ciento|pour ?cent)\b)|\b\d{1,2}[:h]\d\d\b|"
    r"\b[A-Z]+-?\d+\b",
    re.IGNORECASE,
)
"""Numbers that count no things: money, shares, times of day, codes."""
_KINDS = (QuestionKind.WHEN, QuestionKind.HOW_MANY, QuestionKind.HOW_OFTEN)
_LACKED_VALUES = {
    QuestionKind.WHEN: "what is quoted has no date or time",
    QuestionKind.HOW_MANY: "what is quoted has no such number",
    QuestionKind.HOW_OFTEN: "what is quoted does not say how often",
}
_NOT_NAMED = "the passages do not name '{}'"
_NUMBERING = re.compile(r"(?:^|(?<=\]\s))\s*\d{1,3}[.)、]\s", re.MULTILINE)
"""Numbers of the items of a list."""
_VALUE_WORDS = """
    time day date year month hour hora día fecha año mes tag datum jahr monat uhr stunde jour
    année mois heure percentage percent porcentaje prozentsatz pourcentage
"""
_TOLD_BY_FORM = frozenset(_VALUE_WORDS.split())
"""Things whose values have a form of their own."""


def find_doubt(question: str, text: str, hits: Sequence[Hit], analyzer: TextAnalyzer) -> str:
    """Return what an answer or its passages lack of what is asked for; empty if nothing.

    That is a value in the answer, or a passage that speaks of the thing.

    A question in another language than all passages has no word for that, and is not doubted.

    Args:
        question: The question as it was answered. In other languages than English, Spanish,
            German, French and Chinese only values are looked for.
        text: The answer; its markers count for nothing.
        hits: The passages that were read for it.
        analyzer: Compares words in all their forms.
    """
    # Of the passages' languages: to choose from more may load a model.
    language = asked_language(question, hits, ())
    text = _MARKER.sub("", _NUMBERING.sub(" ", text))
    if doubt := find_disregard(question, text, language, analyzer):
        return doubt
    kind = question_kind(question)
    if kind in _KINDS and not holds_what_is_asked(kind, text, language):
        return _LACKED_VALUES[kind]
    forms = [form for asked, form in _FORMS if re.search(asked, question, re.IGNORECASE)]
    if not all(re.search(form, text, re.IGNORECASE) for form in forms):
        return "what is quoted has no such value"
    if name := _lacking_name(question, hits):
        return _NOT_NAMED.format(name)
    counted = re.search(_COUNTED.get(language, "$^"), question, re.IGNORECASE)
    is_of_things = counted and not _NO_COUNT.search(f"1 {counted['thing']}")
    if is_of_things and not holds_what_is_asked(
        QuestionKind.HOW_MANY, _NO_COUNT.sub(" ", text), language
    ):
        return _LACKED_VALUES[QuestionKind.HOW_MANY]
    # German writes all nouns as it writes names, and Chinese has no capitals.
    has_capitals = language not in ("de", "zh")
    is_named = has_capitals and _has_another_name(text, question)
    if kind is QuestionKind.WHO and has_capitals and not is_named:
        return "what is quoted names nobody"
    things = [
        found["thing"]
        for patterns in (_COUNTED, _IN_UNIT, *(() if is_named or forms else (_NAMED,)))
        if (found := re.search(patterns.get(language, "$^"), question, re.IGNORECASE))
    ]
    unsaid = (
        _NOT_NAMED.format(thing)
        for thing in things
        if thing.casefold() not in _TOLD_BY_FORM and not _is_said(thing, language, hits, analyzer)
    )
    return next(unsaid, "")


def _lacking_name(question: str, hits: Sequence[Hit]) -> str:
    """Return a numbered or signed name of the question that no passage has; no date is one."""
    numbered = [
        name
        for name in _NUMBERED.findall(question)
        if not holds_what_is_asked(QuestionKind.WHEN, name, "")
    ]
    signed = _SIGNED.findall(question)
    if not numbered and not signed:
        return ""
    texts = []
    for hit in hits:
        metadata = hit.chunk.metadata
        file = str(metadata.get("source_uri", "")).replace("\\", "/").rpartition("/")[2]
        texts.append(f"{metadata.get('title', '')} {file} {hit.chunk.passage}".casefold())
    spaced = [*map(_spaced, texts)]
    forms = {name: (rf"{re.escape(_spaced(name))}(?!\d)", spaced) for name in numbered}
    forms |= {name: (rf"(?<!\w){re.escape(name.casefold())}", texts) for name in signed}
    lacking = (
        name
        for name, (form, held) in forms.items()
        if not any(re.search(form, text) for text in held)
    )
    return next(lacking, "")


def _spaced(text: str) -> str:
    return " ".join(re.sub(r"[-_]", " ", text.casefold()).split())


def _has_another_name(text: str, question: str) -> bool:
    """Return True if a text has a capital letter within a sentence, in a word of its own."""
    asked = {word.casefold() for word in _WORD.findall(question)}
    return any(
        name.casefold() not in asked and not holds_what_is_asked(QuestionKind.WHEN, name, "")
        for name in _NAME.findall(text)
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
