"""Decides whether two questions ask the same, so that one answer serves both.

The cosine of two questions does not say so: "When was the treaty signed?" and "Where was the treaty
signed?" are near, and so are two questions that differ in one number. Here the words decide: the
same content words, numbers, identifiers and negations, the same words of order and direction, the
same kind of question, names in the same order, and no two words in exchanged places ("miles to
kilometres", "kilometres to miles"). What is left for the cosine are the words that
these rules do not know.

The error rates are in docs/decisions/0065-answer-cache.md.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass

from kvasir.core.protocols import TextAnalyzer
from kvasir.language.detect import detect
from kvasir.language.identifiers import identifying_values

_TOKEN = re.compile(r"(?:(?<!\w)-(?=\d))?[^\W_]+(?:[.,:/+\-'’_@]+[^\W_]+)*[+#%]*")
"""A word, or a number or identifier with the signs inside and behind it."""
_NAME = re.compile(r"[^\W\d_]+")
_ARTICLES = frozenset({"the", "a", "an", "el", "la", "los", "las", "un", "una"})
_RELATIONS = re.compile("[到比给对向从被把于]")
"""Chinese words between two others whose order matters; words are not parted there."""

_KINDS: Mapping[str, Mapping[str, str]] = {
    "en": {
        "number": r"how (?:many|much)|what number|population",
        "extent": r"how (?:long|old|often|far|tall|high|large|big|fast|hot|deep|wide|heavy)",
        "manner": r"how",
        "time": r"when|what (?:year|time|date|day|month|century)|(?:which|in what) year|by when",
        "place": r"where",
        "person": r"who|whom|whose",
        "reason": r"why",
        "which": r"which|what",
    },
    "es": {
        "number": r"cuánt[oa]s|cuant[oa]s",
        "extent": r"cuánto|cuánta|cuanto|cuanta",
        "manner": r"cómo|como",
        "time": r"cuándo|cuando|qué (?:año|día|fecha|hora)",
        "place": r"dónde|donde|adónde",
        "person": r"quién|quiénes|quien|quienes",
        "reason": r"por ?qué",
        "which": r"cuál|cuáles|cual|cuales|qué|que",
    },
    "vi": {
        "number": r"bao nhiêu|mấy",
        "extent": r"bao lâu|bao xa",
        "manner": r"thế nào|như thế nào|làm sao|ra sao",
        "time": r"khi nào|lúc nào|bao giờ|năm nào|ngày nào",
        "place": r"ở đâu|đâu",
        "person": r"\bai\b",
        "reason": r"tại sao|vì sao",
        "which": r"gì|nào",
    },
    "zh": {
        "number": r"多少|几",
        "extent": r"多[长久高大远热快深宽]",
        "manner": r"怎么|如何|怎样|怎麼",
        "time": r"什么时候|何时|几点|哪[一]?[年天日]",
        "place": r"哪里|哪儿|何处",
        "person": r"谁|誰",
        "reason": r"为什么|为何",
        "which": r"什么|什麼|哪",
    },
}
"""What a question asks for, by the words of its language; the first that is found holds."""
_SAME_KIND = {"which": "", "manner": "manner"}
"""Kinds that say nothing by themselves: "which" asks for anything."""

_DIRECTIONS: Mapping[str, str] = {
    "en": r"\b(?:before|after|above|below|over|under|up|down|off|more|less|most|least|fewer|fewest"
    r"|against|only|first|last|next|previous|from|until|since|between|within|outside|inside"
    r"|not|no|never|none|neither|nor|without|cannot|except|other|others|both|all|any|every|each)\b"
    r"|n['’]t\b",
    "es": r"\b(?:antes|después|sobre|bajo|arriba|abajo|más|menos|contra|solo|sólo|primer[oa]?"
    r"|últim[oa]|desde|hasta|entre|dentro|fuera|no|nunca|jamás|ningun[oa]|ningún|sin|tampoco"
    r"|excepto|otr[oa]s?|ambos|ambas|tod[oa]s?)\b",
    "vi": r"\b(?:trước|sau|trên|dưới|lên|xuống|hơn|nhất|ít|nhiều|chỉ|đầu tiên|cuối cùng|từ|đến"
    r"|giữa|trong|ngoài|không|chưa|chẳng|đừng|khác|cả|mọi|mỗi)\b",
    "zh": r"之前|以前|之后|以后|以上|以下|上|下|多|少|最|只|第一|最后|从|到|之间|内|外"
    r"|[不没未无非]|除了|其他|都|每",
}
"""Words that change what is asked, though keyword search passes over them."""


@dataclass(frozen=True, slots=True)
class QuestionForm:
    """What two questions must have in common.

    Attributes:
        exact: The question without case, punctuation and spaces between words.
        language: Its language.
        terms: The content words, as keyword search has them.
        values: Numbers and identifiers.
        directions: Words of order, direction, amount and negation, sorted.
        kind: What is asked for, such as a time; empty if that is not said.
        names: Names in their order.
        order: Content words that stand side by side or about one other word: the first, the one
            between, and the second.
    """

    exact: str
    language: str
    terms: frozenset[int]
    values: frozenset[str]
    directions: tuple[str, ...]
    kind: str
    names: tuple[str, ...]
    order: frozenset[tuple[str, str, str]]


def exact_form(question: str) -> str:
    """Return a question without case, punctuation and superfluous spaces.

    Signs within numbers and identifiers stay: 1.5 is not 15, and C++ is not C.
    """
    text = unicodedata.normalize("NFKC", question).casefold()
    return " ".join(_TOKEN.findall(text))


def form_of(question: str, analyzer: TextAnalyzer) -> QuestionForm:
    """Return the form of a question."""
    language = detect(question, list(_KINDS))
    terms = analyzer.query_terms([question], [language])[0].indices
    lowered = unicodedata.normalize("NFC", question).lower()
    found = re.findall(_DIRECTIONS[language], lowered) if language in _DIRECTIONS else []
    return QuestionForm(
        exact_form(question),
        language,
        frozenset(int(term) for term in terms),
        frozenset(identifying_values(question)) | frozenset(re.findall(r"\d+", question)),
        tuple(sorted(found)),
        _kind(lowered, language),
        _names(question),
        _order(lowered, language, analyzer, frozenset(int(term) for term in terms)),
    )


def asks_the_same(one: QuestionForm, other: QuestionForm) -> bool:
    """Return True if no rule tells two questions apart; the cosine has to agree as well."""
    if one.exact == other.exact:
        return True
    return (
        bool(one.terms)
        and one.language == other.language
        and one.terms == other.terms
        and one.values == other.values
        and one.directions == other.directions
        and one.kind == other.kind
        and one.names == other.names
        and not any((last, between, first) in other.order for first, between, last in one.order)
        and not (one.language == "zh" and _RELATIONS.search(one.exact + other.exact))
    )


def _kind(lowered: str, language: str) -> str:
    for kind, words in _KINDS.get(language, {}).items():
        pattern = words if language == "zh" else rf"\b(?:{words})\b"
        if re.search(pattern, lowered):
            return _SAME_KIND.get(kind, kind)
    return ""


def _order(
    lowered: str, language: str, analyzer: TextAnalyzer, terms: frozenset[int]
) -> frozenset[tuple[str, str, str]]:
    words = [word for word in _TOKEN.findall(lowered) if word not in _ARTICLES]
    found = analyzer.query_terms(words, [language] * len(words))
    has_content = [bool(terms & {int(t) for t in each.indices}) for each in found]
    return frozenset(
        (words[at], words[at + 1] if step == 2 else "", words[at + step])
        for step in (1, 2)
        for at in range(len(words) - step)
        if has_content[at] and has_content[at + step] and words[at] != words[at + step]
    )


def _names(question: str) -> tuple[str, ...]:
    """Return words with a capital that do not begin the question, two or more, in their order."""
    words = _NAME.findall(question)
    names = tuple(word.casefold() for word in words[1:] if word[:1].isupper())
    return names if len(names) > 1 else ()
