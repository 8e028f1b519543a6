"""Answer the turns of a conversation without a language model.

Thanks and greetings are answered politely, without a search. A follow-up question ("and in July?",
"when did I buy it?") is searched with words of the conversation. Those are kept that stand beside
the question's own words in a sentence of the documents, so that "and a service?" after "How much is
a tyre change for the Bix?" keeps the Bix and drops the tyre change. "Tell me more" searches for the
subject again and leaves out what was quoted.

The history is the only memory: quoted sentences are recognized by their words. Nothing is fitted;
the rarity of words decides. Reasons: docs/decisions/0054-follow-up-questions.md.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace

from kvasir.answering.retrieval import MOST_HITS, Languages
from kvasir.answering.search_result import SearchResult
from kvasir.core.protocols import TextAnalyzer
from kvasir.core.scoring import inverse_document_frequency
from kvasir.core.types import Chunk, Hit, Message, SearchRequest, Stage
from kvasir.language.conversation import (
    ASSENT,
    FAREWELL,
    GREETING,
    SPACELESS_RUN,
    THANKS,
    asks_for_more,
    follow_up_part,
    interrogative,
    polite_message,
    refers_back,
    without_interrogatives,
)
from kvasir.language.detect import detect
from kvasir.language.sentences import sentence_spans

REPLIES: Mapping[str, Mapping[str, str]] = {
    "en": {
        GREETING: "Hello! What would you like to know from the documents?",
        THANKS: "You are welcome.",
        FAREWELL: "Goodbye!",
        ASSENT: "What else would you like to know?",
    },
    "es": {
        GREETING: "¡Hola! ¿Qué quiere saber de los documentos?",
        THANKS: "De nada.",
        FAREWELL: "¡Hasta luego!",
        ASSENT: "¿Qué más quiere saber?",
    },
    "fr": {
        GREETING: "Bonjour ! Que voulez-vous savoir des documents ?",
        THANKS: "Je vous en prie.",
        FAREWELL: "Au revoir !",
        ASSENT: "Que voulez-vous savoir d'autre ?",
    },
    "de": {
        GREETING: "Hallo! Was möchten Sie aus den Dokumenten wissen?",
        THANKS: "Gern geschehen.",
        FAREWELL: "Auf Wiedersehen!",
        ASSENT: "Was möchten Sie noch wissen?",
    },
    "vi": {
        GREETING: "Xin chào! Bạn muốn biết gì từ tài liệu?",
        THANKS: "Không có gì.",
        FAREWELL: "Tạm biệt!",
        ASSENT: "Bạn muốn biết thêm gì?",
    },
    "zh": {
        GREETING: "您好！您想从文档中了解什么？",
        THANKS: "不客气。",
        FAREWELL: "再见！",
        ASSENT: "您还想了解什么？",
    },
}
"""Replies to polite messages, by language and kind."""

NOTHING_MORE = {
    "en": "The documents hold nothing more about this.",
    "es": "Los documentos no dicen nada más sobre esto.",
    "fr": "Les documents ne disent rien de plus à ce sujet.",
    "de": "Die Dokumente enthalten dazu nichts weiter.",
    "vi": "Tài liệu không nói gì thêm về điều này.",
    "zh": "文档中没有更多相关内容。",
}
"""Refusals of a wish for more."""

_MARKER = re.compile(r"(?<!\s)\s*\[\d+\]")
_TOKEN = re.compile(r"\S+")
_WORD = re.compile(r"\w+")
_EDGES = "\"'“”„«»‘’()[]{}¿?¡!,;:.…。，；：？！、*_`|"
_LONGEST_SPACELESS = 6
"""Characters of the longest word that is looked for in a script without spaces."""
_LONGEST_SUBJECT = 1_000
"""Characters of earlier turns, the last ones first, whose words are compared with the question."""


def polite_reply(message: str, history: Sequence[Message], languages: Languages) -> str:
    """Return the reply to thanks, a greeting or the like; empty for another message."""
    held = languages() if callable(languages) else languages
    found = polite_message(message, _spoken(history, held))
    if found is None:
        return ""
    kind, language = found
    return REPLIES[language][kind]


def _spoken(history: Sequence[Message], held: Collection[str]) -> list[str]:
    """Return the languages of earlier polite messages, the last one first, then ``held``."""
    asked = [message.content for message in reversed(history) if message.role == "user"]
    said = [found[1] for text in asked if (found := polite_message(text, held))]
    return [*said, *sorted(held)]


@dataclass(frozen=True, slots=True)
class _Turn:
    """A question and its reply."""

    question: str
    answer: str

    @property
    def quotes(self) -> bool:
        """Whether the reply has citations; others say nothing about the subject."""
        return _MARKER.search(self.answer) is not None


def _turns(history: Sequence[Message]) -> list[_Turn]:
    """Return the turns about the documents, oldest first."""
    turns: list[_Turn] = []
    for message in history:
        if message.role == "user":
            turns.append(_Turn(message.content, ""))
        elif message.role == "assistant" and turns:
            turns[-1] = replace(turns[-1], answer=f"{turns[-1].answer}\n{message.content}".strip())
    return [turn for turn in turns if polite_message(turn.question) is None]


@dataclass(frozen=True, slots=True)
class FollowUps:
    """Searches for the questions of a conversation; implements ``Rewriter``.

    Attributes:
        analyzer: The collection's, which says which words are the same.
    """

    analyzer: TextAnalyzer

    def search(
        self,
        request: SearchRequest,
        history: Sequence[Message],
        retrieve: Callable[[SearchRequest], list[Hit]],
    ) -> Generator[Stage, None, SearchResult]:
        """Search for a question, a follow-up with the words of the conversation it belongs to."""
        turns = _turns(history)
        if turns and asks_for_more(request.query):
            yield Stage("searching")
            return self._more(request, turns, retrieve)
        resolved = self._resolved(request, turns, retrieve)
        if resolved != request.query:
            yield Stage("searching")
        hits = tuple(retrieve(replace(request, query=resolved)))
        return SearchResult(hits, resolved if resolved != request.query else "")

    def _more(
        self,
        request: SearchRequest,
        turns: Sequence[_Turn],
        retrieve: Callable[[SearchRequest], list[Hit]],
    ) -> SearchResult:
        """Search for the last subject again, without the sentences that were quoted."""
        asked = [n for n, turn in enumerate(turns) if not asks_for_more(turn.question)]
        last = asked[-1] if asked else 0
        topic = self._resolved(replace(request, query=turns[last].question), turns[:last], retrieve)
        language = _language(topic, retrieve(replace(request, query=topic)))
        (subject,) = _beginnings([without_interrogatives(topic)])
        words = self._words(subject, language)
        topic = " ".join(word for word, _ in words) or topic
        quoted = [p for turn in turns if turn.quotes for p in _MARKER.split(turn.answer)]
        top_k = min(MOST_HITS, request.top_k + len(quoted))
        found = retrieve(replace(request, query=topic, top_k=top_k))
        hits = [unread for hit in found for unread in _unread(hit, quoted)]
        return SearchResult(tuple(hits[: request.top_k]), topic, sayings=NOTHING_MORE)

    def _resolved(
        self,
        request: SearchRequest,
        turns: Sequence[_Turn],
        retrieve: Callable[[SearchRequest], list[Hit]],
    ) -> str:
        """Return the question with words of the conversation if it is a follow-up."""
        own = follow_up_part(request.query) if turns else None
        if own is None:
            return request.query
        subject = list(_since_subject(turns))
        # What is asked of "it" is no part of the subject: "When did I buy it? How heavy is it?"
        said_before = (
            text
            for turn in subject
            for text in (
                turn.question if turn is subject[-1] or not refers_back(turn.question) else "",
                _names(turn),
            )
        )
        texts = [*_beginnings(said_before)]
        said = " ".join([own, *texts])
        found = [*retrieve(replace(request, query=said)), *retrieve(replace(request, query=own))]
        hits = list({hit.chunk.id: hit for hit in found}.values())
        language = _language(said, hits)
        own_terms = self._terms(without_interrogatives(own), language)
        words = [
            (word, terms - own_terms)
            for text in texts
            for word, terms in self._words(without_interrogatives(text), language)
            if not terms <= own_terms
        ]
        order = [text for turn in subject for text in (turn.question, turn.answer) if text]
        turn_terms = [self._terms(_MARKER.sub(" ", text), language) - own_terms for text in order]
        kept = self._kept(own_terms, words, turn_terms, hits)
        asked = "" if interrogative(own) else interrogative(subject[-1].question)
        chosen: dict[AbstractSet[int], str] = {}
        for word, terms in words:
            if terms & kept:
                chosen.setdefault(terms, word)
        return " ".join(part for part in (asked, own, *chosen.values()) if part) + "?"

    def _kept(
        self,
        own: AbstractSet[int],
        words: Sequence[tuple[str, AbstractSet[int]]],
        turn_terms: Sequence[AbstractSet[int]],
        hits: Sequence[Hit],
    ) -> AbstractSet[int]:
        """Return the terms of the conversation that the question is about.

        They are those of the sentence that holds most of the question's own terms, and of several
        such sentences the one that holds most of the last turn, then of the turn before.
        """
        candidates = {term for _, terms in words for term in terms}
        sentences = [sentence for hit in hits for sentence in self._sentences(hit)]
        counts = Counter(term for sentence in sentences for term in sentence.terms)
        weights = {
            term: inverse_document_frequency(len(sentences), counts[term])
            for term in sorted(frozenset(own).union(candidates, *turn_terms))
        }

        def weight(terms: AbstractSet[int]) -> float:
            # Added in one order, so that equal sets have equal sums.
            return sum(weights[term] for term in sorted(terms))

        def rank(sentence: _Sentence) -> tuple[float, ...]:
            under = sentence.terms | sentence.above
            return (
                weight(own & sentence.terms),
                weight(own & under),
                *(weight(terms & under) for terms in turn_terms),
                *(weight(terms & sentence.around) for terms in turn_terms),
            )

        best = max(sentences, key=rank, default=None)
        if best is None or not own & (best.terms | best.above):
            return candidates
        beside = candidates & best.terms
        # A heading's word that another sentence repeats belongs to that sentence.
        kept = beside | (candidates & best.above - best.beside)
        if kept:
            return kept
        wider = candidates & (best.above if best.is_row else best.around)
        # Words from around it must not make another sentence the better one.
        asked = own | wider
        most = max(len(asked & sentence.terms) for sentence in sentences)
        return wider if most <= len(asked & (best.terms | best.above)) else frozenset()

    def _sentences(self, hit: Hit) -> Iterator[_Sentence]:
        """Yield the sentences and table rows of a hit with the terms around them."""
        chunk = hit.chunk
        language = str(chunk.metadata.get("language", ""))
        spans = sentence_spans(chunk.text, language or None)
        texts = [chunk.text[start:end] for start, end in spans]
        title = str(chunk.metadata.get("title", ""))
        above = self._terms(" ".join([title, *chunk.headings]), language)
        found = self.analyzer.document_terms(texts, [language] * len(texts))
        terms = [frozenset(each.indices.tolist()) for each in found]
        rows = [text.startswith("|") for text in texts]
        header = next((each for each, row in zip(terms, rows, strict=True) if row), frozenset())
        around = above.union(*terms)
        times = Counter(term for each in terms for term in each)
        for each, is_row in zip(terms, rows, strict=True):
            beside = {term for term, count in times.items() if count > (term in each)}
            over = above | header if is_row else above
            yield _Sentence(each, over, beside - header if is_row else beside, around, is_row)

    def _terms(self, text: str, language: str) -> frozenset[int]:
        (found,) = self.analyzer.query_terms([text], [language])
        return frozenset(found.indices.tolist())

    def _words(self, text: str, language: str) -> Iterator[tuple[str, AbstractSet[int]]]:
        """Yield the words of a text that have terms, each with its terms."""
        for token in _TOKEN.findall(text):
            word = token.strip(_EDGES)
            parts = [word]
            if run := SPACELESS_RUN.search(word):
                cut = self._cut(run[0], language)
                parts = [word[: run.start()], *cut, word[run.end() :]]
            for part in parts:
                if part and (terms := self._terms(part, language)):
                    yield part, terms

    def _cut(self, run: str, language: str) -> list[str]:
        """Cut text without spaces into words, as the analyzer does: a word has one term."""
        words: list[str] = []
        start = 0
        while start < len(run):
            length = min(_LONGEST_SPACELESS, len(run) - start)
            while length > 1 and len(self._terms(run[start : start + length], language)) > 1:
                length -= 1
            words.append(run[start : start + length])
            start += length
        return words


@dataclass(frozen=True, slots=True)
class _Sentence:
    """The terms of a sentence and of what it stands in."""

    terms: AbstractSet[int]
    above: AbstractSet[int]
    """Terms of the title, the headings and, for a table row, the table's first row."""
    beside: AbstractSet[int]
    """Terms of the chunk's other sentences."""
    around: AbstractSet[int]
    """Terms of the whole chunk."""
    is_row: bool


def _language(text: str, hits: Sequence[Hit]) -> str:
    """Return the language of a text, one of those of the hits if possible."""
    found = [str(hit.chunk.metadata.get("language", "")) for hit in hits]
    held = [code for code in dict.fromkeys(found) if code]
    return held[0] if len(held) == 1 else detect(text, held)


def _since_subject(turns: Sequence[_Turn]) -> Iterator[_Turn]:
    """Yield the turns, the last one first, until the one that needs no other."""
    for turn in reversed(turns):
        if asks_for_more(turn.question):
            continue
        yield turn if turn.quotes else replace(turn, answer="")
        if follow_up_part(turn.question) is None:
            return


def _beginnings(texts: Iterable[str]) -> Iterator[str]:
    """Yield texts, cut where all of them have ``_LONGEST_SUBJECT`` characters."""
    room = _LONGEST_SUBJECT
    for text in texts:
        yield text[:room]
        room = max(0, room - len(text))


def _names(turn: _Turn) -> str:
    """Return the names and identifiers of a reply.

    They are words with a capital inside a sentence, or with a letter and a digit.
    """
    text = _MARKER.sub(" ", turn.answer)
    return " ".join(
        found[0]
        for found in _WORD.finditer(text)
        if (found[0][0].isupper() and not _begins_sentence(text, found.start()))
        or not (found[0].isalpha() or found[0].isdigit() or SPACELESS_RUN.search(found[0]))
    )


def _begins_sentence(text: str, start: int) -> bool:
    before = text[:start].rstrip(" \"'(“„«¿¡")
    return not before or before[-1] in ".!?:|\n。！？：-–*•"


def _flat(text: str) -> str:
    """Return the words of a text in lower case, with spaces around each."""
    return f" {' '.join(_WORD.findall(text.casefold()))} "


def _unread(hit: Hit, quoted: Sequence[str]) -> Iterator[Hit]:
    """Yield a hit without the sentences that were quoted: the parts of its chunk that remain."""
    chunk = hit.chunk
    pieces = [flat for piece in quoted if (flat := _flat(piece)).strip()]
    language = str(chunk.metadata.get("language", ""))
    spans = sentence_spans(chunk.text, language or None)
    read = [_is_read(chunk.text[start:end], pieces) for start, end in spans]
    if not any(read):
        yield hit
        return
    begin: int | None = None
    end = 0
    for (first, last), is_read in zip([*spans, (0, 0)], [*read, True], strict=True):
        if not is_read:
            begin = first if begin is None else begin
            end = last
        elif begin is not None:
            yield replace(hit, chunk=_part(chunk, begin, end))
            begin = None


def _is_read(sentence: str, pieces: Sequence[str]) -> bool:
    """Return True if a sentence, or a part of it, was quoted; its order in tables may differ."""
    flat = _flat(sentence)
    words = set(flat.split())
    return any(piece in flat or words <= set(piece.split()) for piece in pieces)


def _part(chunk: Chunk, start: int, end: int) -> Chunk:
    return replace(
        chunk, text=chunk.text[start:end], start=chunk.start + start, end=chunk.start + end
    )
