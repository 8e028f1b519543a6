"""Read many texts in batches: their hidden vectors and states.

Texts are sorted by length and batches filled to a budget of tokens. A row's result does not depend
on the other rows, but for rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from kvasir.rwkv.state import State, join
from kvasir.rwkv.weights import Rwkv

BATCH_TOKENS = 2048
"""Tokens of a batch, those that fill its rows up included."""

OfRow = Callable[[int, Tensor, State], None]
"""Gets the number of a text, its hidden vectors [T, C], and its state."""


@torch.inference_mode()
def read_texts(
    model: Rwkv,
    texts: Sequence[Sequence[int]],
    states: Sequence[State],
    result: OfRow,
    *,
    batch_tokens: int = BATCH_TOKENS,
) -> None:
    """Read texts, each from the state of its number, and pass on what each gives.

    Args:
        model: The model.
        texts: Tokens of each; none may be empty.
        states: Those of one row before each text.
        result: Is called for each text, in any order.
        batch_tokens: Most tokens of a batch; one longer text is a batch of its own.

    Raises:
        ArithmeticError: The model computes numbers that are not finite.
    """
    device = model.emb.weight.device
    for numbers in _batches([len(text) for text in texts], batch_tokens):
        lengths = [len(texts[number]) for number in numbers]
        longest = max(lengths)
        filled = [[*texts[number], *[0] * (longest - len(texts[number]))] for number in numbers]
        is_even = min(lengths) == longest
        hidden, state = model.read(
            torch.tensor(filled, device=device),
            join([states[number] for number in numbers]),
            None if is_even else torch.tensor(lengths, device=device),
        )
        for row, (number, length) in enumerate(zip(numbers, lengths, strict=True)):
            check_computed(hidden[row, :length])
            result(number, hidden[row, :length], state.take([row]))


def check_computed(values: Tensor) -> None:
    """Raise ``ArithmeticError`` if a model computed numbers that are not finite."""
    if not values.isfinite().all():
        raise ArithmeticError(
            "the model computes numbers that are not finite: its file is damaged, or precision "
            "f16 is too narrow for it (bf16 and f32 are not)"
        )


def _batches(lengths: Sequence[int], budget: int) -> list[list[int]]:
    """Return the numbers of the texts of each batch, the longest first."""
    batches: list[list[int]] = []
    longest = 0
    for number in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        if batches and longest * (len(batches[-1]) + 1) <= budget:
            batches[-1].append(number)
        else:
            batches.append([number])
            longest = lengths[number]
    return batches
