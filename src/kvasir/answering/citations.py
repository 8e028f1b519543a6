"""Check every citation marker of an answer while the answer streams.

A marker ``[n]`` is kept if it points to a retrieved chunk, its statement shares words with that
chunk, and the supporting quote is in the document at its offsets. Other markers are removed from
the text and counted. A statement of fewer than three words, or in another language than the chunk,
need not share any: its quote is the sentence nearest to the question, or the chunk's first.

A bracketed number that belongs to a document is shown as ``[ 2 ]`` where ``[2]`` could be a marker,
so that a document cannot cite what it likes; in code of a language model it stays as it is.
"""

from __future__ import annotations

import math
import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate

from kvasir.core.ledger import DocumentVersion
from kvasir.core.markers import NUMBERS, PROTECTION
from kvasir.core.places import box_of, page_at
from kvasir.core.protocols import TextAnalyzer
from kvasir.core.text import CJK
from kvasir.core.types import Chunk, Citation, Hit
from kvasir.language.detect import detect
from kvasir.language.sentences import sentence_spans

FindVersion = Callable[[str], DocumentVersion | None]
"""Returns the live version of a document by its id, or None if its text is not stored."""

_MARKER = re.compile(rf"(?<!\s)\s*(?P<protection>{PROTECTION})?[\[【]\s*{NUMBERS}\s*[\]】]")
_UNFINISHED = re.compile(
    rf"(?<!\s)(?:\s*{PROTECTION}?[\[【][\s\d^,;，、]{{0,40}}$|\s*{PROTECTION}$|\s+$)"
)
"""The beginning of a marker, or white space before one, at the end of a piece."""
_WORDS = re.compile(rf"[{CJK}]|[^\W_]+")
_BLACK = re.compile(r"\S+")
_EDGES = " \t\r\n*…>-–•"
_CUT = re.compile(r"\n… \(\d+/\d+\)\s*$")
"""The end of a list that is cut: how many of its items are quoted."""
_LITERAL_CONTEXT = 12
"""Characters before a bracketed number that must be the same in a chunk to make it a literal.

Fewer are enough for a number above the number of hits, which cannot be a marker.
"""
_SHORT_STATEMENT = 3
"""Fewest words of a statement that can be checked; "According to [1]" has too few."""


@dataclass
class CitationChecker:
    """Checks an answer piece by piece and returns the text to show.

    Attributes:
        question: The question that is answered.
        hits: Those of the prompt; ``[n]`` means ``hits[n - 1]``.
        analyzer: Without one, words are compared as they are.
        find_version: Without it, offsets are not checked.
        citations: The citations found so far, in order of appearance.
        removed: Number of removed markers.
        text: The text to show so far.
    """

    question: str
    hits: Sequence[Hit]
    analyzer: TextAnalyzer | None = None
    find_version: FindVersion | None = None
    citations: list[Citation] = field(default_factory=list, init=False)
    removed: int = field(default=0, init=False)
    text: str = field(default="", init=False)

    def __post_init__(self) -> None:
        self._pending = self._statement = ""
        self._after_marker = False
        self._quotable: dict[int, _Quotable] = {}
        self._flat: list[str] | None = None

    def feed(self, piece: str) -> str:
        """Add a piece of the answer; return the text that no later piece can change."""
        text = self._pending + piece
        unfinished = _UNFINISHED.search(text)
        settled = unfinished.start() if unfinished else len(text)
        self._pending = text[settled:]
        return self._resolve(text[:settled])

    def finish(self) -> str:
        """Return the rest of the text; call it once, after the last piece."""
        text, self._pending = self._pending.rstrip(), ""
        return self._resolve(text)

    def _resolve(self, text: str) -> str:
        before = len(self.text)
        position = 0
        for match in _MARKER.finditer(text):
            self._append(text[position : match.start()])
            if match["protection"] or self._is_literal(match):
                self._append(match[0], self._as_literal(match))
            else:
                self._mark(match)
            position = match.end()
        self._append(text[position:])
        return self.text[before:]

    def _append(self, text: str, shown: str | None = None) -> None:
        """Add a part of the answer; ``shown`` is its form in the text, if that is another."""
        text = text.replace(PROTECTION, "")
        shown = text if shown is None else shown
        if self._after_marker and any(map(str.isalnum, text)):
            self._statement = ""
            self._after_marker = False
        self.text += shown if self.text else shown.lstrip()
        self._statement += text

    def _is_literal(self, match: re.Match[str]) -> bool:
        """Return True if a bracketed number belongs to code or to a document's text."""
        bracket = match[0]
        if self._is_in_code() and not bracket[0].isspace():
            return True
        if self.text and (self._after_marker or not self._statement.strip()):
            return False
        may_cite = all(1 <= number <= len(self.hits) for number in _numbers(match))
        before = self._statement[-_LITERAL_CONTEXT:]
        # The line alone is tried, too, because quoted table rows may not be adjacent.
        for context in dict.fromkeys((before, before.rpartition("\n")[2])):
            words = (context + bracket).split()
            if may_cite and sum(map(len, words)) < _LITERAL_CONTEXT:
                continue
            if any(" ".join(words) in text for text in self._flat_texts()):
                return True
        return False

    def _flat_texts(self) -> list[str]:
        """Return the text of each hit with single spaces."""
        if self._flat is None:
            self._flat = [" ".join(hit.chunk.text.split()) for hit in self.hits]
        return self._flat

    def _as_literal(self, match: re.Match[str]) -> str:
        """Return a bracketed number that is no marker so that it cannot be taken for one."""
        bracket = match[0].replace(PROTECTION, "")
        may_cite = any(1 <= number <= len(self.hits) for number in _numbers(match))
        if not may_cite or (self._is_in_code() and not match["protection"]):
            return bracket
        opening, closing = bracket.lstrip()[0], bracket[-1]
        space = bracket[: len(bracket) - len(bracket.lstrip())]
        return f"{space}{opening} {match['numbers']} {closing}"

    def _is_in_code(self) -> bool:
        line = self.text[self.text.rfind("\n") + 1 :]
        return bool(self.text.count("```") % 2 or line.count("`") % 2)

    def _mark(self, match: re.Match[str]) -> None:
        kept: list[str] = []
        for number in _numbers(match):
            citation = self._cite(number)
            if citation is None:
                self.removed += 1
            else:
                self.citations.append(citation)
                kept.append(f"[{number}]")
        if kept:
            bracket = match[0].lstrip()
            self.text += match[0][: len(match[0]) - len(bracket)] + "".join(kept)
        self._after_marker = True

    def _cite(self, number: int) -> Citation | None:
        if not 1 <= number <= len(self.hits):
            return None
        if number not in self._quotable:
            self._quotable[number] = _Quotable(self.hits[number - 1].chunk, self.analyzer)
        quotable = self._quotable[number]
        span = quotable.supporting(self._statement, self.question)
        if span is None:
            return None
        chunk = quotable.chunk
        start, end = chunk.start + span[0], chunk.start + span[1]
        quote = chunk.text[span[0] : span[1]]
        version = self.find_version(chunk.document_id) if self.find_version else None
        if version is not None and version.text[start:end] != quote:
            return None
        return citation_of(number, chunk, version, start, end, quote)


def citation_of(
    number: int,
    chunk: Chunk,
    version: DocumentVersion | None,
    start: int,
    end: int,
    quote: str | None = None,
) -> Citation:
    """Return the citation of a span of a chunk's document.

    The chunk gives the document's source and headings; the version, where the text is stored,
    gives page and box, and the quote unless it is given.
    """
    if quote is None:
        quote = version.text[start:end] if version else ""
    uri = str(chunk.metadata.get("source_uri", ""))
    content_hash = version.content_hash if version else ""
    box = box_of(version.recognized, start, end) if version else None
    # A passage may begin on the page before.
    page = box.page if box else (page_at(version.pages, start) if version else None)
    return Citation(
        number,
        chunk.document_id,
        uri,
        chunk.page if page is None else page,
        quote,
        start,
        end,
        content_hash,
        box,
        chunk.headings,
    )


def _numbers(match: re.Match[str]) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", match["numbers"])]


class _Quotable:
    """A cited chunk with its sentences and their terms."""

    def __init__(self, chunk: Chunk, analyzer: TextAnalyzer | None) -> None:
        self.chunk = chunk
        self._analyzer = analyzer
        self._language = str(chunk.metadata.get("language", ""))
        self._spans = sentence_spans(chunk.text, self._language or None)
        self._terms = self._terms_of([chunk.text[a:b] for a, b in self._spans])
        self._found_in = Counter(term for terms in self._terms for term in terms)
        self._flat: str | None = None
        self._begins: list[int] = []
        self._flat_begins: list[int] = []

    def supporting(self, statement: str, question: str) -> tuple[int, int] | None:
        """Return the span of the chunk that supports a statement, or None."""
        exact = self._verbatim(statement)
        if exact or not self._spans:
            return exact
        statement = statement.strip()
        sentences = sentence_spans(statement, self._language or None)
        last = statement[sentences[-1][0] :] if sentences else ""
        if exact := self._verbatim(last):
            return exact
        if len(_WORDS.findall(last)) < _SHORT_STATEMENT:
            return self._best(f"{last} {question}") or self._spans[0]
        best = self._best(last) or self._best(statement)
        if best is None and self._in_another_language(statement):
            # Across languages only names and numbers can match, and there are none.
            return self._best(question) or self._spans[0]
        return best

    def _verbatim(self, statement: str) -> tuple[int, int] | None:
        """Find a quotation with any line breaks; extend it to whole sentences unless cut."""
        words = _CUT.sub("", statement).strip(_EDGES).split()
        if not words:
            return None
        found = self._find(" ".join(words))
        if found is None or "…" in statement:
            return found
        start = max((a for a, b in self._spans if a <= found[0] < b), default=found[0])
        end = min((b for a, b in self._spans if a < found[1] <= b), default=found[1])
        return start, end

    def _find(self, words: str) -> tuple[int, int] | None:
        """Return the first span of the chunk with these words, between which is any white space.

        A regular expression of them would have to be compiled, which takes longer than all else.
        """
        if self._flat is None:
            found = list(_BLACK.finditer(self.chunk.text))
            # Where each word begins in the text, and in the text with single spaces.
            self._begins = [word.start() for word in found]
            self._flat_begins = [0, *accumulate(len(word[0]) + 1 for word in found)]
            self._flat = " ".join(word[0] for word in found)
        start = self._flat.find(words)
        return None if start < 0 else (self._place(start), self._place(start + len(words) - 1) + 1)

    def _place(self, flat: int) -> int:
        """Return where a character of the text with single spaces is in the chunk."""
        word = bisect_right(self._flat_begins, flat) - 1
        return self._begins[word] + flat - self._flat_begins[word]

    def _best(self, statement: str) -> tuple[int, int] | None:
        """Return the sentence that shares most terms with a statement, weighted by rarity."""
        wanted = self._terms_of([statement])[0]
        scores = [
            sum(math.log(1 + len(self._spans) / self._found_in[t]) for t in terms & wanted)
            for terms in self._terms
        ]
        best = max(range(len(scores)), key=scores.__getitem__)
        return self._spans[best] if scores[best] > 0 else None

    def _terms_of(self, texts: Sequence[str]) -> list[frozenset[int | str]]:
        if self._analyzer is None:
            return [frozenset(_WORDS.findall(text.casefold())) for text in texts]
        found = self._analyzer.document_terms(texts, [self._language] * len(texts))
        return [frozenset(sparse.indices.tolist()) for sparse in found]

    def _in_another_language(self, statement: str) -> bool:
        if not self._language:
            return False
        return detect(statement, [self._language, "en", "es", "vi", "zh"]) != self._language
