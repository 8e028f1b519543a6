"""What of a chunk can be quoted, and how a quotation is written down.

Sentences are quoted to the letter, apart from line breaks inside them. A table row brings its
header. Headings, separators and questions are no answers by themselves. A sentence of more
than 60 words is cut to at most 40, at clause boundaries only, with an ellipsis where something
is left out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from kvasir.core.types import Hit
from kvasir.language.sentences import sentence_spans

LONGEST_SENTENCE = 80
"""Words above which a sentence is cut to its best clauses."""
CUT_LENGTH = 60
"""Most words of what is left of it, unless one clause alone is longer."""

_WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W_]+)*|\d[\d.,]*")
_WIDE = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")
_CLAUSE = re.compile(r"(?<=[,;:—–])\s+|(?<=[，；：、])|\s*\n\s*")
_SEPARATOR_ROW = re.compile(r"\|?[\s:|-]*-[\s:|-]*")
_QUESTION = re.compile(r"[?？][\"'”’»*_)]*$")
_LIST_ITEM = re.compile(r"(?:[-*+•]|\d+[.)])\s")
_CODE_LINE = re.compile(r"^(?: {4}|\t|```|~~~)|[{};]\s*$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Passage:
    """A sentence, table row, list item or line of a retrieved chunk.

    Attributes:
        marker: Number of its hit, from 1.
        document_id: The document it stands in.
        start: Offset in the document's text; of the chunk, for the heading above it.
        text: The words, to the letter.
        language: ISO 639-1 code, or empty.
        quotable: False for headings, separators and questions.
        header: Header and separator row, for a row of a table where they are known.
    """

    marker: int
    document_id: str
    start: int
    text: str
    language: str
    quotable: bool = True
    header: str = ""

    @property
    def words(self) -> int:
        """Its length in words; two characters of Chinese, Japanese or Korean make one."""
        return count_words(self.text)

    @property
    def key(self) -> str:
        """Equal for the same words elsewhere, in an overlapping chunk or a copied document."""
        return " ".join(self.text.casefold().split())


def count_words(text: str) -> int:
    """Counts words; two characters of Chinese, Japanese or Korean make one."""
    wide = len(_WIDE.findall(text))
    return (wide + 1) // 2 + len(_WORD.findall(_WIDE.sub(" ", text)))


def passages(hits: Sequence[Hit]) -> list[Passage]:
    """Returns everything that stands in the hits' chunks, in their order."""
    return [p for marker, hit in enumerate(hits, 1) for p in _of_chunk(marker, hit)]


def _of_chunk(marker: int, hit: Hit) -> Iterator[Passage]:
    chunk = hit.chunk
    language = str(chunk.metadata.get("language", ""))
    spans = sentence_spans(chunk.text, language or None)
    texts = [chunk.text[start:end] for start, end in spans]
    section = chunk.headings[-1] if chunk.headings else ""
    if _QUESTION.search(section):
        # What stands under a question answers it.
        yield Passage(marker, chunk.document_id, chunk.start, section, language, quotable=False)
    header = ""
    for i, ((start, _), text) in enumerate(zip(spans, texts, strict=True)):
        is_row = text.startswith("|")
        following = texts[i + 1] if i + 1 < len(texts) else ""
        if not is_row:
            header = ""
        elif _SEPARATOR_ROW.fullmatch(following):
            header = f"{text.strip()}\n{following.strip()}"
        heads_a_table = is_row and header.startswith(text.strip())
        is_frame = heads_a_table or _SEPARATOR_ROW.fullmatch(text) is not None
        heading = text.startswith("#") or text.strip() in chunk.headings
        yield Passage(
            marker,
            chunk.document_id,
            chunk.start + start,
            text,
            language,
            quotable=not (is_frame or heading or _QUESTION.search(text) or not _has_words(text)),
            header=(header or _carried_header(section, text)) if is_row and not is_frame else "",
        )


def _carried_header(section: str, row: str) -> str:
    """Returns the header of a table that began in an earlier chunk, if the path carries it."""
    cells = [cell.strip() for cell in section.split(" | ")]
    if len(cells) < 2 or row.strip().strip("|").count("|") != len(cells) - 1:
        return ""
    return f"| {' | '.join(cells)} |\n|{' --- |' * len(cells)}"


def _has_words(text: str) -> bool:
    return any(map(str.isalnum, text))


def shorten(passage: Passage, weigh: Callable[[Sequence[str]], Sequence[float]]) -> Passage:
    """Cuts a very long sentence to the run of clauses that weighs most.

    Args:
        passage: Any passage; rows, code and sentences of usual length come back unchanged.
        weigh: Says of each clause how much it shares with the question.
    """
    text = passage.text
    if passage.words <= LONGEST_SENTENCE or passage.header or _CODE_LINE.search(text):
        return passage
    bounds = [0, *(m.end() for m in _CLAUSE.finditer(text)), len(text)]
    clauses = [text[a:b] for a, b in pairwise(bounds)]
    lengths = [count_words(clause) for clause in clauses]
    weights = weigh(clauses)
    best = (-1.0, 0, 0, 1)
    for first in range(len(clauses)):
        for last in range(first + 1, len(clauses) + 1):
            words = sum(lengths[first:last])
            if words > CUT_LENGTH and last > first + 1:
                break
            # Of equal runs the longer one reads better, of those the earlier.
            best = max(best, (sum(weights[first:last]), words, -first, last))
    first, last = -best[2], best[3]
    kept = text[bounds[first] : bounds[last]].strip()
    opening = "" if first == 0 else "… "
    closing = "" if last == len(clauses) else " …"
    return replace(passage, text=f"{opening}{kept}{closing}")


def render(chosen: Sequence[Passage]) -> Iterator[str]:
    """Yields the quotations, each with its marker; another document starts a paragraph."""
    for i, passage in enumerate(chosen):
        before = chosen[i - 1] if i else None
        following = chosen[i + 1] if i + 1 < len(chosen) else None
        same_table = _same_table(passage, before)
        if before is not None and not same_table:
            apart = passage.document_id != before.document_id or _is_block(before)
            yield "\n\n" if apart or _is_block(passage) else " "
        if passage.header and not same_table:
            yield passage.header + "\n"
        yield _written(passage)
        if _same_table(passage, following):
            yield "\n"
        else:
            yield f"\n[{passage.marker}]" if _is_block(passage) else f" [{passage.marker}]"


def _same_table(passage: Passage, other: Passage | None) -> bool:
    return (
        other is not None
        and passage.text.startswith("|")
        and other.text.startswith("|")
        and (passage.marker, passage.header) == (other.marker, other.header)
    )


def _is_block(passage: Passage) -> bool:
    """Says whether line breaks matter: tables and code."""
    return passage.text.startswith("|") or (
        "\n" in passage.text and bool(_CODE_LINE.search(passage.text))
    )


def _written(passage: Passage) -> str:
    if _is_block(passage):
        return passage.text
    text = " ".join(passage.text.split())
    return _LIST_ITEM.sub("", text, count=1) if _LIST_ITEM.match(text) else text
