"""Token ids of pairs of texts, as a cross-encoder reads them.

The tokenizer could cut pairs itself, but it keeps all that it cuts off, each piece of one text with
each piece of the other: 11 GB for two texts of 20,000 words.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tokenizers import Tokenizer


@dataclass(frozen=True, slots=True)
class Pair:
    """One pair: its ids, and for each of them the type of its token."""

    ids: list[int]
    types: list[int]


class PairTokenizer:
    """Encodes pairs of a query and a text with the special tokens of the model."""

    def __init__(self, tokenizer: Tokenizer, max_tokens: int) -> None:
        """Take a tokenizer that does not cut; pairs are cut to ``max_tokens``."""
        self._tokenizer = tokenizer
        sample = tokenizer.encode("a", "a")
        of = sample.sequence_ids
        ids, types = sample.ids, sample.type_ids
        starts = [of.index(number) for number in (0, 1)]
        ends = [len(of) - of[::-1].index(number) for number in (0, 1)]
        spans = ((0, starts[0]), (ends[0], starts[1]), (ends[1], len(of)))
        self._special = [Pair(ids[start:end], types[start:end]) for start, end in spans]
        self._types = [types[start] for start in starts]
        self._room = max_tokens - sum(len(part.ids) for part in self._special)

    def encode(self, query: str, texts: Sequence[str]) -> list[Pair]:
        """Return the pair of the query and each text."""
        encodings = self._tokenizer.encode_batch_fast([query, *texts], add_special_tokens=False)
        first = encodings[0].ids
        return [self._join(first, encoding.ids) for encoding in encodings[1:]]

    def _join(self, first: list[int], second: list[int]) -> Pair:
        lengths = _cut(len(first), len(second), self._room)
        inner = [
            Pair(ids[:length], [kind] * length)
            for ids, length, kind in zip((first, second), lengths, self._types, strict=True)
        ]
        before, between, after = self._special
        parts = (before, inner[0], between, inner[1], after)
        return Pair(
            [each for part in parts for each in part.ids],
            [each for part in parts for each in part.types],
        )


def _cut(first: int, second: int, room: int) -> tuple[int, int]:
    """Return the lengths to which a pair is cut, the longer text first.

    Source: ``truncate_encodings`` of https://github.com/huggingface/tokenizers, ``LongestFirst``.
    """
    if first + second <= room:
        return first, second
    shorter = min(first, second, room // 2)
    longer = room - shorter
    return (longer, shorter) if first > second else (shorter, longer)
