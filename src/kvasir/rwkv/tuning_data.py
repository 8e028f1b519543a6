"""Training examples: which tokens are learnt, held-out examples, and the order of batches.

Only the answers of a conversation are learnt, from after ``Assistant:`` to the end of that turn; a
document without such a turn is learnt whole. A prompt that is too long loses its beginning.
Everything follows from the seed and the step, so that a run that was interrupted goes on with the
batches that it would have had.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from kvasir.core.errors import SettingsError
from kvasir.rwkv.tokenizer import WorldTokenizer

_ANSWER = re.compile(
    rb"(?:\A|\r?\n\r?\n)Assistant:(.*?)(?=\r?\n\r?\n(?:User|System):|\Z)", re.DOTALL
)
IGNORED = -100
"""The target where nothing is learnt."""


@dataclass(frozen=True, slots=True)
class Example:
    """A document, and which of its tokens are learnt."""

    tokens: tuple[int, ...]
    is_learnt: tuple[bool, ...]


def example_of(tokens: Sequence[int], tokenizer: WorldTokenizer, context: int) -> Example | None:
    """Return a document as an example of at most ``context`` tokens; None if nothing is learnt.

    A token is learnt if its first byte belongs to an answer. The end of the document is learnt,
    unless it was cut off. Of a longer document the first answer is kept, and as much of the prompt
    before it as fits; a document without answers is cut at its end.
    """
    text = tokenizer.decode_bytes(tokens)
    spans = [match.span(1) for match in _ANSWER.finditer(text)] or [(0, len(text))]
    learnt = _in_spans([len(tokenizer.decode_bytes([token])) for token in tokens], spans)
    learnt[:1] = [False]  # It follows no token.
    if True not in learnt:
        return None
    start = _first_kept(learnt, context + 1)
    kept = slice(start, start + context + 1)
    return Example(tuple(tokens[kept]), tuple(learnt[kept]))


def _first_kept(learnt: Sequence[bool], size: int) -> int:
    """Return where the part of ``size`` tokens begins that has the first answer.

    An answer that is longer follows the token before it, and is cut off at the end.
    """
    first = learnt.index(True)
    end = learnt.index(False, first) if False in learnt[first:] else len(learnt)
    return max(0, min(end - size, first - 1))


def _in_spans(sizes: Sequence[int], spans: Sequence[tuple[int, int]]) -> list[bool]:
    """Return which tokens begin in one of the spans; a token without bytes always does.

    The spans are in order and do not overlap.
    """
    found, at, index = [], 0, 0
    for size in sizes:
        while index < len(spans) and spans[index][1] <= at:
            index += 1
        found.append(not size or (index < len(spans) and spans[index][0] <= at))
        at += size
    return found


def split(
    examples: Sequence[Example], part: float, seed: int
) -> tuple[list[Example], list[Example]]:
    """Return the examples to train with and those that are held out, of equal documents one side.

    Raises:
        SettingsError: There are too few examples.
    """
    distinct = sorted(set(examples), key=lambda example: example.tokens)
    random.Random(seed).shuffle(distinct)
    held_out = max(1, round(part * len(distinct))) if part else 0
    if len(distinct) - held_out < 1:
        raise SettingsError(f"{len(distinct)} different examples are too few to hold some out")
    return distinct[held_out:], distinct[:held_out]


def batch_of(examples: Sequence[Example], step: int, size: int, seed: int) -> list[Example]:
    """Return the examples of a step: each epoch has all of them, in an order of its own."""
    found = []
    for place in range(step * size, (step + 1) * size):
        epoch, within = divmod(place, len(examples))
        found.append(examples[_order(len(examples), epoch, seed)[within]])
    return found


@lru_cache(maxsize=2)
def _order(count: int, epoch: int, seed: int) -> tuple[int, ...]:
    """Return the order of an epoch; a batch may end one and begin the next."""
    order = list(range(count))
    random.Random(f"{seed} {epoch}").shuffle(order)
    return tuple(order)


def tensors_of(examples: Sequence[Example], device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Return inputs [B, T], targets [B, T] and lengths [B] of a batch."""
    longest = max(len(example.tokens) for example in examples) - 1
    inputs, targets, lengths = [], [], []
    for example in examples:
        length = len(example.tokens) - 1
        fill = longest - length
        inputs.append([*example.tokens[:-1], *[0] * fill])
        wanted = [
            token if learnt else IGNORED
            for token, learnt in zip(example.tokens[1:], example.is_learnt[1:], strict=True)
        ]
        targets.append([*wanted, *[IGNORED] * fill])
        lengths.append(length)
    return (
        torch.tensor(inputs, device=device),
        torch.tensor(targets, device=device),
        torch.tensor(lengths, device=device),
    )


def micro_batches(examples: Sequence[Example], size: int) -> Iterator[list[Example]]:
    """Yield the parts of a batch that are computed at once, of similar lengths."""
    ordered = sorted(examples, key=lambda example: len(example.tokens))
    for start in range(0, len(ordered), size):
        yield ordered[start : start + size]


def packed(examples: Sequence[Example], size: int) -> list[Example]:
    """Return examples joined to rows of at most ``size`` tokens; a longer one is a row of its own.

    The first token of an example follows another example, so it is never learnt.
    """
    rows: list[list[Example]] = []
    for example in sorted(examples, key=lambda each: -len(each.tokens)):
        length = len(example.tokens)
        row = next((r for r in rows if sum(len(e.tokens) for e in r) + length <= size + 1), None)
        if row is None:
            rows.append([example])
        else:
            row.append(example)
    return [
        Example(
            tuple(token for each in row for token in each.tokens),
            tuple(learnt for each in row for learnt in each.is_learnt),
        )
        for row in rows
    ]
