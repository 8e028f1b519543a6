"""Windows of a fixed number of pages, passages, sentences, words or lines.

The options are those of Haystack's ``DocumentSplitter``, as in InstructLab's proposal for RAG,
without its defects: a last chunk that only repeats an overlap, duplicate ids, lost page
numbers, and a download for sentences.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator
from itertools import pairwise

from kvasir.components.splitters.chunks import FORM_FEED, ChunkMaker, spans_without_furniture
from kvasir.core.errors import SettingsError
from kvasir.core.registry import suggestion
from kvasir.core.types import Chunk, Document
from kvasir.language.sentences import sentence_spans


class WindowSplitter:
    """Cuts after a fixed number of units."""

    def __init__(
        self,
        split_by: str = "word",
        split_length: int = 200,
        split_overlap: int = 0,
        split_threshold: int = 0,
    ) -> None:
        """Set the windows, all in the unit ``split_by``.

        The unit is ``page``, ``passage`` (ends at a blank line), ``sentence``, ``word`` (ends at a
        space) or ``line``; a separator belongs to the unit before it. A last window of fewer than
        ``split_threshold`` units joins the one before it.

        Raises:
            SettingsError: A value is out of range; the message names the option.
        """
        if split_by not in _UNITS:
            raise SettingsError(
                f"split_by must be one of {', '.join(_UNITS)}, not '{split_by}'"
                + suggestion(str(split_by), list(_UNITS))
            )
        if split_length < 1:
            raise SettingsError(f"split_length must be at least 1, not {split_length}")
        if not 0 <= split_overlap < split_length:
            raise SettingsError(
                f"split_overlap must be at least 0 and less than split_length ({split_length}), "
                f"not {split_overlap}"
            )
        if split_threshold < 0:
            raise SettingsError(f"split_threshold must be at least 0, not {split_threshold}")
        self._starts = _UNITS[split_by]
        self._length = split_length
        self._overlap = split_overlap
        self._threshold = split_threshold

    def split(self, document: Document) -> list[Chunk]:
        """Return the windows of a document, without blank ones and without furniture."""
        maker = ChunkMaker(document)
        starts = list(self._starts(document))
        chunks: list[Chunk] = []
        for start, end in spans_without_furniture(document):
            inside = starts[bisect_right(starts, start) : bisect_left(starts, end)]
            edges = [start, *dict.fromkeys(inside), end]
            chunks += (
                maker.chunk(edges[first], edges[last])
                for first, last in self._windows(len(edges) - 1)
                if document.text[edges[first] : edges[last]].strip()
            )
        return chunks

    def _windows(self, count: int) -> list[tuple[int, int]]:
        """Return the first unit of each window, and the one after its last."""
        windows: list[tuple[int, int]] = []
        first, last = 0, 0
        while last < count:
            last = min(first + self._length, count)
            windows.append((first, last))
            first += self._length - self._overlap
        if len(windows) > 1 and windows[-1][1] - windows[-1][0] < self._threshold:
            windows[-2:] = [(windows[-2][0], count)]
        return windows


def _after(separator: str) -> Callable[[Document], Iterator[int]]:
    def starts(document: Document) -> Iterator[int]:
        ends = (match.end() for match in re.finditer(re.escape(separator), document.text))
        return (end for end in ends if end < len(document.text))

    return starts


def _sentence_starts(document: Document) -> Iterator[int]:
    language = document.metadata.get("language")
    spans = sentence_spans(document.text, str(language) if language else None)
    # Text between two sentences belongs to the first.
    return (start for start, _ in spans[1:])


def _page_starts(document: Document) -> Iterator[int]:
    if FORM_FEED in document.text:
        yield from _after(FORM_FEED)(document)
        return
    for before, block in pairwise(document.blocks):
        if block.page is not None and block.page != before.page:
            yield block.start


_UNITS: dict[str, Callable[[Document], Iterator[int]]] = {
    "page": _page_starts,
    "passage": _after("\n\n"),
    "sentence": _sentence_starts,
    "word": _after(" "),
    "line": _after("\n"),
}
