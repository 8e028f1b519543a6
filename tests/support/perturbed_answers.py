"""Sentences about paragraphs of XQuAD: true ones in other words, and the same made wrong.

A true sentence is the one that holds the answer to a question, with clauses left out or moved, or
words replaced, as a language model might write it. A wrong one has a number, a name, or "not"
changed.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from kvasir.evaluation.datasets import RetrievalDataset
from kvasir.language.sentences import sentence_spans

_PARENTHESIS = re.compile(r"\s*\([^()]*\)|（[^（）]*）")
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_NAME = re.compile(r"(?<=[\w,] )[A-ZÁÉÍÓÚÑĐ][^\W\d_]{3,}")
_OPENINGS = {
    "en": ("According to the text, ", "The source says that ", ""),
    "es": ("Según el texto, ", "La fuente dice que ", ""),
    "vi": ("Theo văn bản, ", "Nguồn cho biết ", ""),
    "zh": ("根据资料，", "资料指出", ""),
}
_OTHER_WORDS = {
    "en": {
        "also": "in addition", "began": "started", "large": "big", "many": "numerous",
        "used": "employed", "called": "known as", "about": "roughly", "built": "constructed",
        "made": "produced", "important": "significant", "often": "frequently", "first": "initial",
        "several": "various", "because": "since", "however": "though", "named": "called",
        "received": "got", "led": "headed", "became": "turned into", "including": "such as",
    },
    "es": {
        "también": "además", "comenzó": "empezó", "grande": "amplio", "muchos": "numerosos",
        "llamado": "conocido como", "importante": "relevante", "varios": "diversos",
        "recibió": "obtuvo", "porque": "ya que",
    },
    "vi": {"rất": "khá", "nhiều": "vô số", "bắt đầu": "khởi đầu", "gồm": "bao gồm"},
    "zh": {"开始": "起初", "许多": "很多", "重要": "关键", "使用": "采用", "因为": "由于"},
}  # fmt: skip
_VERBS = {
    "en": re.compile(r"\b(?:is|are|was|were|has|have|had|can|will|could|did)\b"),
    "es": re.compile(r"\b(?:es|son|fue|fueron|era|tiene|había|puede|está)\b"),
    "vi": re.compile(r"\b(?:là|được|có|đã)\b"),
    "zh": re.compile("[是有在]"),
}


@dataclass(frozen=True)
class Statement:
    """A sentence about a paragraph, with what was done to it: true, number, name or negation."""

    kind: str
    question: str
    paragraph: str
    text: str


def statements(data: RetrievalDataset, language: str, seed: int = 0) -> Iterator[Statement]:
    """Yield the true sentence of each question, and one wrong form of each kind it allows."""
    rng = random.Random(seed)
    paragraphs = {passage.id: passage.text for passage in data.passages}
    names = sorted({name for text in paragraphs.values() for name in _NAME.findall(text)})
    phrases = sorted({answer for question in data.queries for answer in question.answers})
    for question in data.queries:
        paragraph = paragraphs[next(iter(data.qrels[question.id]))]
        true = _true(paragraph, question.answers, language, rng)
        if true is None:
            continue
        yield Statement("true", question.text, paragraph, true)
        wrong = {
            "number": _with_another_number(true, paragraph + question.text, rng),
            "name": _with_another_name(
                true, paragraph + question.text, question.answers, names, phrases, language, rng
            ),
            "negation": _negated(true, language),
        }
        for kind, text in wrong.items():
            if text is not None:
                yield Statement(kind, question.text, paragraph, text)


def _true(paragraph: str, answers: Sequence[str], language: str, rng: random.Random) -> str | None:
    spans = sentence_spans(paragraph, language)
    held = [paragraph[a:b] for a, b in spans if any(x in paragraph[a:b] for x in answers)]
    if not held:
        return None
    text = held[0]
    shorter = _PARENTHESIS.sub("", text)
    if any(answer in shorter for answer in answers):
        text = shorter
    comma = "，" if language == "zh" else ", "
    clauses = text.rstrip(".。").split(comma)
    if len(clauses) > 2 and rng.random() < 0.5:
        kept = clauses[:-1]
        if any(answer in comma.join(kept) for answer in answers):
            clauses = kept
    elif len(clauses) == 2 and rng.random() < 0.5:
        clauses.reverse()
    text = comma.join(clauses)
    for word, other in _OTHER_WORDS[language].items():
        pattern = word if language == "zh" else rf"\b{word}\b"
        text = re.sub(pattern, other, text)
    return rng.choice(_OPENINGS[language]) + text + ("。" if language == "zh" else ".")


def _with_another_number(text: str, known: str, rng: random.Random) -> str | None:
    numbers = list(_NUMBER.finditer(text))
    if not numbers:
        return None
    match = rng.choice(numbers)
    held = set(re.findall(r"\d+", known))
    for _ in range(50):
        digits = [c if not c.isdigit() else str(rng.randrange(1, 10)) for c in match[0]]
        other = "".join(digits)
        if not held.intersection(re.findall(r"\d+", other)):
            return text[: match.start()] + other + text[match.end() :]
    return None


def _with_another_name(
    text: str,
    known: str,
    answers: Sequence[str],
    names: Sequence[str],
    phrases: Sequence[str],
    language: str,
    rng: random.Random,
) -> str | None:
    if language == "zh":
        own = [a for a in answers if a in text and 2 <= len(a) <= 8 and not re.search(r"\d", a)]
        fresh = [p for p in phrases if 2 <= len(p) <= 8 and not re.search(r"\d", p)]
        fresh = [p for p in fresh if p not in known]
        return text.replace(own[0], rng.choice(fresh)) if own else None
    found = list(_NAME.finditer(text))
    fresh = [name for name in names if name.casefold() not in known.casefold()]
    if not found:
        return None
    match = rng.choice(found)
    return text[: match.start()] + rng.choice(fresh) + text[match.end() :]


def _negated(text: str, language: str) -> str | None:
    match = _VERBS[language].search(text)
    if match is None:
        return None
    verb = match[0]
    form = {"en": f"{verb} not", "es": f"no {verb}", "vi": f"không {verb}", "zh": f"不{verb}"}
    if verb == "有":
        form["zh"] = "没有"
    return text[: match.start()] + form[language] + text[match.end() :]
