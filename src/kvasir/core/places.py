"""Where a passage stands for a reader: the box on its page, the line of its file."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from kvasir.core.errors import DocumentNotFoundError
from kvasir.core.media_types import SOURCE_CODE, text_type_of
from kvasir.core.types import Answer, Block, Hit, PageBox, PageStart, RecognizedSpan

MOST_BYTES = 20_000_000
"""Larger files are not read for a line number."""
_WORD = re.compile(r"[^\W_]+")
_WORDS = (12, 6, 3)
"""Words of a passage that are looked for: fewer, if markup stands between them in the file."""
_WITHOUT_LINES = frozenset({"text/html", "application/xhtml+xml"})
"""Text that is read in a browser, which shows no lines."""

FindText = Callable[[str], str]
"""Returns the extracted text of a document by its id."""


def box_of(recognized: Sequence[RecognizedSpan], start: int, end: int) -> PageBox | None:
    """Return the area around the recognized text of a span, on its first page; None if none is."""
    boxes = [each.box for each in recognized if each.start < end and each.end > start]
    boxes = [box for box in boxes if box.page == boxes[0].page]
    if not boxes:
        return None
    return PageBox(
        page=boxes[0].page,
        left=min(box.left for box in boxes),
        top=min(box.top for box in boxes),
        right=max(box.right for box in boxes),
        bottom=max(box.bottom for box in boxes),
        confidence=min(box.confidence for box in boxes),
    )


def page_starts(blocks: Sequence[Block]) -> tuple[PageStart, ...]:
    """Return where the pages of a document begin; blocks without a page are left out."""
    starts: list[PageStart] = []
    for block in blocks:
        if block.page is not None and (not starts or starts[-1].page != block.page):
            starts.append(PageStart(block.start, block.page))
    return tuple(starts)


def page_at(pages: Sequence[PageStart], offset: int) -> int | None:
    """Return the page of an offset in a document's text; None if it is unknown."""
    number = bisect_right(pages, offset, key=lambda each: each.start)
    return pages[number - 1].page if number else None


class LineFinder:
    """Finds the lines of passages in text files of this machine, as the files are now.

    For front doors of a local user only: it opens the paths that source URIs name. Offsets of a
    document count its extracted text, so the words of a passage are looked for in the file.
    """

    def __init__(self, find_text: FindText) -> None:
        """Read nothing yet; ``find_text`` is asked where a passage's words occur repeatedly."""
        self._find_text = find_text
        self._file = lru_cache(8)(_text_of)
        self._document = lru_cache(8)(find_text)

    def line(self, source_uri: str, document_id: str, start: int, passage: str) -> int | None:
        """Return the line on which a passage begins, from 1; None if the file does not have it."""
        try:
            return self._line(source_uri, document_id, start, passage)
        except DocumentNotFoundError:
            return None  # The document was deleted just now.

    def _line(self, source_uri: str, document_id: str, start: int, passage: str) -> int | None:
        if not _has_lines(source_uri) or not (text := self._file(source_uri)):
            return None
        words = _WORD.findall(passage)
        for count in _WORDS:
            pattern = re.compile(r"[\W_]+".join(map(re.escape, words[:count])))
            found = [match.start() for match in pattern.finditer(text)] if words else []
            if len(found) > 1:
                # The same occurrence as in the extracted text, in which the offset is known.
                before = self._document(document_id)[:start]
                found = found[len(pattern.findall(before)) :] or found[-1:]
            if found:
                return text.count("\n", 0, found[0]) + 1
        return None

    def hits(self, hits: Sequence[Hit]) -> list[Hit]:
        """Return the hits with their lines."""
        return [replace(hit, line=self._line_of(hit)) for hit in hits]

    def answer(self, answer: Answer) -> Answer:
        """Return the answer with the lines of its citations and hits."""
        citations = tuple(
            replace(each, line=self.line(each.source_uri, each.document_id, each.start, each.quote))
            for each in answer.citations
        )
        return replace(answer, citations=citations, hits=tuple(self.hits(answer.hits)))

    def _line_of(self, hit: Hit) -> int | None:
        chunk = hit.chunk
        uri = str(chunk.metadata.get("source_uri", ""))
        return self.line(uri, chunk.document_id, chunk.start, chunk.text)


def _has_lines(source_uri: str) -> bool:
    kind = text_type_of(source_uri)
    return kind is not None and kind not in _WITHOUT_LINES and Path(source_uri).is_absolute()


def is_source_code(source_uri: str) -> bool:
    """Return True if a file's name says that it is source code."""
    return text_type_of(source_uri) == SOURCE_CODE


def _text_of(path: str) -> str:
    """Return the text of a file; empty if it is none, too large, or unreadable."""
    try:
        file = Path(path)
        # A pipe or a device would block.
        if not file.is_file() or file.stat().st_size > MOST_BYTES:
            return ""
        data = file.read_bytes()
    except (OSError, ValueError):
        return ""
    for encoding in ("utf-16",) if data[:2] in (b"\xff\xfe", b"\xfe\xff") else ("utf-8-sig",):
        try:
            return _with_line_feeds(data.decode(encoding))
        except UnicodeDecodeError:
            continue
    return _with_line_feeds(data.decode("cp1252", "replace"))


def _with_line_feeds(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")
