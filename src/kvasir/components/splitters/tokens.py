"""Lengths in tokens: the embedder's count, or an upper estimate without one."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from kvasir.core.deadline import check
from kvasir.core.protocols import TokenCounter
from kvasir.language.graphemes import is_between_characters

ASSUMED_LIMIT = 256
"""Tokens that an embedder is assumed to read."""

_LONGEST_TOKEN = 16
"""Characters; ordinary text has four or five per token."""

_REACH = 300
"""Characters from the middle of a text in which a good place to cut it is searched."""

_PIECES = re.compile(r"[A-Za-z]+|\d|[^\W\d]|[^\w\s]")


class EstimatedTokens:
    """Estimates the worst case of a vocabulary of some 30,000 word pieces on ordinary text.

    Four Latin letters of a word, a digit, a sign or a letter of another script are one token;
    English comes out about a third too long, never too short.
    """

    max_tokens = ASSUMED_LIMIT

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Return the estimate for each text, two special tokens included."""
        return [2 + sum(-(-len(piece) // 4) for piece in _PIECES.findall(text)) for text in texts]


class LengthBound:
    """Another counter's count, but at least one token per sixteen characters.

    A tokenizer may count a word of a million characters as one unknown token.
    """

    def __init__(self, counter: TokenCounter) -> None:
        self._counter = counter
        self.max_tokens = counter.max_tokens

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Return the number of tokens of each text, special tokens included."""
        # A text that is too long by its length alone is not counted.
        longest = self.max_tokens * _LONGEST_TOKEN * 2
        counts = iter(self._counter.count_tokens([text for text in texts if len(text) <= longest]))
        return [
            max(next(counts) if len(text) <= longest else 0, len(text) // _LONGEST_TOKEN)
            for text in texts
        ]


def cut(
    text: str, start: int, end: int, limit: int, counter: TokenCounter
) -> list[tuple[int, int]]:
    """Cut a span into pieces of at most ``limit`` tokens, special tokens included.

    Each cut is near the middle: after a clause, at white space, or else between two characters.
    """
    done: list[tuple[int, int]] = []
    open_spans = [(start, end)]
    while open_spans:
        check("splitting")
        counts = counter.count_tokens([text[first:last] for first, last in open_spans])
        still: list[tuple[int, int]] = []
        for (first, last), count in zip(open_spans, counts, strict=True):
            if count <= limit or last - first < 2:
                done.append((first, last))
            else:
                middle = _middle(text, first, last)
                still += [(first, middle), (middle, last)]
        open_spans = still
    return sorted(done)


def _middle(text: str, start: int, end: int) -> int:
    centre = (start + end) // 2
    reach = min(_REACH, max(1, (end - start) // 4))
    first, last = max(start + 1, centre - reach), min(end - 1, centre + reach)
    for good in (_after_clause, _after_space, is_between_characters):
        for position in _outwards(centre, first, last):
            if good(text, position):
                return position
    # One long character, or several; if it is one, it is cut.
    places = _outwards(centre, start + 1, end - 1)
    return next((each for each in places if is_between_characters(text, each)), centre)


def _outwards(centre: int, first: int, last: int) -> Iterator[int]:
    """Yield the positions of a range, the nearest to the centre first."""
    for distance in range(max(centre - first, last - centre) + 1):
        if centre - distance >= first:
            yield centre - distance
        if distance and centre + distance <= last:
            yield centre + distance


def _after_clause(text: str, position: int) -> bool:
    before = text[position - 1]
    return before in "，、；：،؛\n" or (
        position > 1 and before.isspace() and text[position - 2] in ",;:)|"
    )


def _after_space(text: str, position: int) -> bool:
    return text[position - 1].isspace() and not text[position].isspace()
