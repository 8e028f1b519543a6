"""The passages that the extractive generator quotes: split from chunks, completed and rendered.

Headings, separators and questions are not quoted. Captions, code, headers of mails, and short lines
that look like headings are secondary: they are quoted only when they are clearly the best. Code is
not split. A sentence of more than 80 words is cut to at most 60, at clause boundaries only, with an
ellipsis for the omitted clauses. A sentence that introduces a list is quoted with the list, a row
that needs its table with the table. Quotations are exact apart from line breaks inside a sentence;
a table row is preceded by its header.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence, Set
from dataclasses import dataclass, field, replace
from itertools import chain, pairwise

from kvasir.core.markers import protected
from kvasir.core.text import count_words
from kvasir.core.types import Chunk, Hit
from kvasir.language.lists import is_line
from kvasir.language.sentences import sentence_spans, trim

LONGEST_SENTENCE = 80
"""Words above which a sentence is cut to its best clauses."""
CUT_LENGTH = 60
"""Most words of the clauses that are kept, unless one clause alone is longer."""
LONGEST_HEADING = 10
"""Most words of a line that looks like a heading."""
_GAP = 8
"""Most characters (white space and a bullet) between neighbouring passages."""

_CLAUSE = re.compile(r"(?<=[,;:—–])\s+|(?<=[，；：、])|(?<!\s)\s*\n\s*")
_SEPARATOR_ROW = re.compile(r"[\s:|]*-[\s:|-]*")
_QUESTION = re.compile(r"[?？][\"'”’»*_)]*$")
_LIST_ITEM = re.compile(r"(?:[-*+•]|\d+[.)])\s")
_NUMBER = re.compile(r"\d+[.)]")
_BULLET = re.compile(r"[-*+•]\s+(?=[^\s\d])")
"""A bullet, not before a digit, where it may be a sign; numbers are never bullets."""
_CODE_LINE = re.compile(r"^(?: {4}|\t|```|~~~)|[{};]\s*$", re.MULTILINE)
_FENCE = re.compile(r"^ {0,3}(?:```|~~~)[^\S\n]*(?P<info>[^\n]*)$", re.MULTILINE)
_INDENTED = re.compile(r"^ {2,}(?![-*+•]\s)\S", re.MULTILINE)
_CAPTION = re.compile(
    r"(?:fig(?:ure|ura)?|table|tabla|cuadro|hình|bảng|图|圖|表)\b\.?\s*\d+", re.IGNORECASE
)
_MAIL_HEADER = re.compile(r"(?:From|To|Cc|Date|Subject|Reply-To): ")
_SHELL = re.compile(r"(?:[$#%] )?(?:sudo )?[a-z~./][\w.+/-]*(?:\s+\S+)*")
"""A line that can be typed into a shell."""
_FINISHED = re.compile(r"[.!?。！？…:：;；,，][\"'”’»*_`)\]]*$")
_REFERENCE = re.compile(r"\[[\d\s,;^–-]{1,12}\]")
_LINK = re.compile(r"\[([^\]]+)\]\s?\([^)\s]*\)")
_NOT_WORDS = re.compile(r"(?:(?![+#%<>=$£€°]|[-−](?=\d))[\W_])+")
"""Characters that are ignored in comparisons; signs are not, because C++ is not C."""


@dataclass(frozen=True, slots=True)
class Passage:
    """A sentence, table row, list item or line of a retrieved chunk."""

    marker: int
    """Number of its hit, from 1."""
    chunk: Chunk
    start: int
    """Offset in the document's text; of the chunk, for the heading above it."""
    text: str
    quotable: bool = True
    is_secondary: bool = False
    header: str = ""
    """Header and separator row of a table row, where they are known."""
    keep_line_breaks: bool = False
    is_of_list: bool = False
    """It is quoted as a part of a list, of which more is left out."""
    duplicate_markers: tuple[int, ...] = ()
    """Numbers of hits in other documents with the same text."""
    words: int = field(init=False)
    """Two characters of Chinese, Japanese or Korean make one."""
    normalized_text: str = field(init=False)
    """Equal for the same words in an overlapping chunk or a copied document."""

    @property
    def document_id(self) -> str:
        """Its document."""
        return self.chunk.document_id

    @property
    def language(self) -> str:
        """ISO 639-1 code, or empty."""
        return str(self.chunk.metadata.get("language", ""))

    @property
    def end(self) -> int:
        """Offset after its last character, in the document's text."""
        return self.start + len(self.text)

    @property
    def is_row(self) -> bool:
        """True if it is a line of a table."""
        return self.text.startswith("|")

    @property
    def label(self) -> str:
        """The first cell of a row that can be quoted; else empty."""
        return self.text.strip("| ").partition("|")[0] if self.is_row and self.quotable else ""

    @property
    def is_item(self) -> bool:
        """True if it is an item of a list."""
        return _LIST_ITEM.match(self.text) is not None

    @property
    def is_line(self) -> bool:
        """True if it is a short line without an end, as of a list without signs."""
        return self.quotable and is_line(self.text)

    @property
    def is_code(self) -> bool:
        """True if it is code of several lines."""
        return "\n" in self.text and bool(_CODE_LINE.search(self.text))

    @property
    def is_command(self) -> bool:
        """True if it is code, also of one line: a command to type."""
        return self.keep_line_breaks or self.text.startswith("$ ")

    @property
    def looks_typed(self) -> bool:
        """True if its first line looks like a command, also where nothing marks it as code."""
        line = self.text.partition("\n")[0]
        is_marked = self.is_command or line.startswith(("# ", "% "))
        has_signs = any(sign in line for sign in "-/=_<>|$.")
        is_shell = _SHELL.fullmatch(line) is not None and _FINISHED.search(line) is None
        return is_marked or (has_signs and is_shell)

    @property
    def is_table_header(self) -> bool:
        """True if it is a header or separator row."""
        return self.is_row and not self.quotable

    @property
    def introduces_next(self) -> bool:
        """True if it ends in a colon."""
        return self.text.rstrip("*_ ").endswith((":", "：")) and not self.is_row

    def __post_init__(self) -> None:
        object.__setattr__(self, "words", count_words(self.text))
        object.__setattr__(self, "normalized_text", normalized(self.text))


def normalized(text: str) -> str:
    """Return words, numbers and signs, without a bullet, link targets and references."""
    text = _REFERENCE.sub(" ", _LINK.sub(r"\1", without_bullet(text)))
    return " ".join(_NOT_WORDS.sub(" ", text.casefold()).split())


def without_bullet(text: str) -> str:
    """Remove the bullet of a list item; a number stays, because it may be a date."""
    bullet = _BULLET.match(text)
    return text[bullet.end() :] if bullet else text


def beginning_of(item: Passage) -> str:
    """Return the first sentence of an item of a list, with its bullet or number."""
    sign = _LIST_ITEM.match(item.text)
    start = sign.end() if sign else 0
    first = next(iter(sentence_spans(item.text[start:], item.language or None)), None)
    return item.text[: start + first[1]] if first else item.text


def passages(hits: Sequence[Hit]) -> list[Passage]:
    """Return the passages of all hits, in the hits' order."""
    headings: defaultdict[str, set[str]] = defaultdict(set)
    for hit in hits:
        headings[hit.chunk.document_id].update(hit.chunk.headings)
    return [
        passage
        for marker, hit in enumerate(hits, 1)
        for passage in _of_chunk(marker, hit.chunk, headings[hit.chunk.document_id])
    ]


def _of_chunk(marker: int, chunk: Chunk, headings: Set[str]) -> Iterator[Passage]:
    language = str(chunk.metadata.get("language", ""))
    code = _code_spans(chunk.text)
    sentences = _with_numbers(chunk.text, sentence_spans(chunk.text, language or None))
    spans = _kept_whole(sentences, code)
    texts = [chunk.text[start:end] for start, end in spans]
    section = chunk.headings[-1] if chunk.headings else ""
    if _QUESTION.search(section):
        # The text under a question answers it, and inherits its score.
        yield Passage(marker, chunk, chunk.start, section, quotable=False)
    header = ""
    caption = False
    for i, ((start, end), text) in enumerate(zip(spans, texts, strict=True)):
        is_row = text.startswith("|")
        following = texts[i + 1] if i + 1 < len(texts) else ""
        if not is_row:
            header = ""
        elif _SEPARATOR_ROW.fullmatch(following):
            header = f"{text.strip()}\n{following.strip()}"
        heads_a_table = is_row and header.startswith(text.strip())
        is_table_header = heads_a_table or _SEPARATOR_ROW.fullmatch(text) is not None
        is_announced = i > 0 and texts[i - 1].rstrip().endswith((":", "："))
        is_prompt = is_announced and text.startswith("# ") and text[2:].strip() not in headings
        heading = text.startswith(("#", "<!--")) or text.strip() in headings
        heading = heading and not is_prompt
        is_code = (start, end) in code
        goes_on = i > 0 and "\n\n" not in chunk.text[spans[i - 1][1] : start]
        caption = _CAPTION.match(text) is not None or (caption and goes_on)
        stands_alone = not is_row and bool(following) and _stands_alone(chunk.text, start, end)
        # A line above a list may be what the list is of.
        stands_alone = stands_alone and not _LIST_ITEM.match(following)
        is_frame_of_text = is_table_header or heading or _is_question(text)
        needs_header = is_row and not is_table_header
        yield Passage(
            marker,
            chunk,
            chunk.start + start,
            text,
            quotable=any(map(str.isalnum, text)) and not is_frame_of_text,
            is_secondary=is_code
            or caption
            or stands_alone
            or ("\n" in text and _CODE_LINE.search(text) is not None)
            or bool(_MAIL_HEADER.match(text)),
            header=(header or _carried_header(section, text)) if needs_header else "",
            keep_line_breaks=is_code,
        )


def _is_question(text: str) -> bool:
    """Return True if a text asks; a command with a question in quotation marks does not."""
    is_argument = text[:1].islower() and not text.endswith(("?", "？"))
    return _QUESTION.search(text) is not None and not is_argument


def _with_numbers(text: str, spans: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Join a number such as "3." that was split off as a sentence with the rest of its line."""
    joined: list[tuple[int, int]] = []
    ends_in_number = False
    for start, end in spans:
        if ends_in_number and "\n" not in text[joined[-1][1] : start]:
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((start, end))
        ends_in_number = _NUMBER.fullmatch(text, start, end) is not None
    return joined


def _code_spans(text: str) -> list[tuple[int, int]]:
    """Return the fenced and the indented code of a chunk, which may begin or end inside one."""
    fences = list(_FENCE.finditer(text))
    spans: list[tuple[int, int]] = []
    if len(fences) % 2 and not fences[0]["info"] and _INDENTED.search(text, 0, fences[0].start()):
        spans.append((0, fences.pop(0).end()))
    ends = [fence.end() for fence in fences[1::2]] + [len(text)]
    spans += zip((fence.start() for fence in fences[::2]), ends, strict=False)
    return [trim(text, *span) for span in spans]


def _kept_whole(
    sentences: Sequence[tuple[int, int]], code: Sequence[tuple[int, int]]
) -> list[tuple[int, int]]:
    """Replace the sentences that overlap a span of code by that span."""

    def is_code(start: int, end: int) -> bool:
        return any(start < last and first < end for first, last in code)

    apart = [span for span in sentences if not is_code(*span)]
    return sorted([*apart, *(span for span in code if span[0] < span[1])])


def _stands_alone(text: str, start: int, end: int) -> bool:
    """Return True if a short line between blank ones looks like a heading."""
    line = text[start:end]
    if "\n" in line or _FINISHED.search(line) or _LIST_ITEM.match(line) or ": " in line:
        return False
    before, after = text[:start].rstrip(" \t"), text[end:].lstrip(" \t")
    return (
        (not before or before.endswith("\n\n"))
        and (not after or after.startswith("\n\n"))
        and count_words(line) <= LONGEST_HEADING
    )


def _carried_header(section: str, row: str) -> str:
    """Return the header of a table that began in an earlier chunk, if the heading path has it."""
    cells = [cell.strip() for cell in section.split(" | ")]
    if len(cells) < 2 or row.strip().strip("|").count("|") != len(cells) - 1:
        return ""
    return f"| {' | '.join(cells)} |\n|{' --- |' * len(cells)}"


def shorten(passage: Passage, weigh: Callable[[Sequence[str]], Sequence[float]]) -> Passage:
    """Cut a very long sentence to the consecutive clauses with the largest total weight.

    Rows, code and sentences of usual length are returned unchanged.
    """
    text = passage.text
    is_preformatted = passage.header or passage.keep_line_breaks or _CODE_LINE.search(text)
    if passage.words <= LONGEST_SENTENCE or is_preformatted:
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
            # Prefer the longer, then the earlier of runs with equal weight.
            best = max(best, (sum(weights[first:last]), words, -first, last))
    first, last = -best[2], best[3]
    kept = text[bounds[first] : bounds[last]].strip()
    opening = "" if first == 0 else "… "
    closing = "" if last == len(clauses) else " …"
    return replace(passage, text=f"{opening}{kept}{closing}")


def in_reading_order(chosen: Sequence[Passage]) -> list[Passage]:
    """Order passages, given best first: by document, then best first, neighbours as they stand."""
    ordered: list[Passage] = []
    for document in dict.fromkeys(passage.document_id for passage in chosen):
        runs: list[list[Passage]] = []
        quoted = [passage for passage in chosen if passage.document_id == document]
        for passage in sorted(quoted, key=lambda passage: passage.start):
            if runs and passage.start - runs[-1][-1].end < _GAP:
                runs[-1].append(passage)
            else:
                runs.append([passage])
        runs.sort(key=lambda run: min(map(chosen.index, run)))
        ordered += chain.from_iterable(runs)
    return ordered


def render(chosen: Sequence[Passage]) -> Iterator[str]:
    """Yield the quotations, each with its markers; each document starts a paragraph.

    Bracketed numbers of the documents are protected.
    """
    for i, passage in enumerate(chosen):
        before = chosen[i - 1] if i else None
        following = chosen[i + 1] if i + 1 < len(chosen) else None
        is_next_line = _is_next_line(passage, before)
        if before is not None and not is_next_line:
            apart = passage.document_id != before.document_id or _is_block(before)
            yield "\n\n" if apart or _is_block(passage) else " "
        if passage.header and not is_next_line:
            yield protected(passage.header) + "\n"
        in_one_line = without_bullet(" ".join(passage.text.split()))
        yield protected(passage.text if _is_block(passage) else in_one_line)
        if _is_next_line(passage, following):
            yield "\n"
        else:
            yield "\n" if _is_block(passage) else " "
            markers = sorted((passage.marker, *passage.duplicate_markers))
            yield "".join(f"[{marker}]" for marker in markers)


def _is_next_line(passage: Passage, other: Passage | None) -> bool:
    """Return True if two quotations are lines of one table, or of one list that is cut."""
    if other is None or (passage.marker, passage.header) != (other.marker, other.header):
        return False
    return (passage.is_row and other.is_row) or (passage.is_of_list and other.is_of_list)


def _is_block(passage: Passage) -> bool:
    """Return True if line breaks matter: tables, lists and code."""
    breaks_lines = "\n" in passage.text and passage.keep_line_breaks
    return passage.is_row or passage.is_code or passage.is_of_list or breaks_lines
