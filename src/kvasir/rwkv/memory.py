"""Memory that tuning needs, estimated before a weight is read into memory.

The base is run once on PyTorch's device ``meta``, which has shapes and no numbers, and what the
gradients keep of one row of the longest length is counted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

from kvasir.core.errors import ComponentError
from kvasir.core.machine import available_memory
from kvasir.rwkv.state import State
from kvasir.rwkv.tune_options import TuneOptions, make_trainable
from kvasir.rwkv.tuning_data import Example
from kvasir.rwkv.weights import Rwkv, Weights, make_model

_FLOAT = 4
_OPTIMIZER = 4
"""Copies of a trained number: itself, its gradient, and Adam's two averages."""
_LOGITS = 3
"""Copies of the logits: themselves, their normalized form, and the gradient."""
_BESIDE = 16 << 20
"""Bytes of buffers of libraries."""
_PASSING = 0.18
"""Part of what is kept that is needed beside it, for gradients on their way back. Measured with
PyTorch on a processor."""
_PASSING_OF_A_LAYER = {6: 0.45, 7: 0.18}
"""The same of one layer, by version, if layers are computed again."""


@dataclass(frozen=True, slots=True)
class TuningMemory:
    """Bytes that a run of tuning needs.

    Attributes:
        weights: The base in float32.
        trained: Trained numbers, their gradients and the optimizer.
        kept: What is kept of a batch for its gradients.
        beside: What is computed at the moment, and buffers of libraries.
    """

    weights: int
    trained: int
    kept: int
    beside: int

    @property
    def total(self) -> int:
        """All together."""
        return self.weights + self.trained + self.kept + self.beside


def estimate(weights: Weights, options: TuneOptions, examples: Sequence[Example]) -> TuningMemory:
    """Return what tuning a base with some examples needs; of its weights only the shapes count."""
    shapes = {k: torch.empty(value.shape, device="meta") for k, value in weights.tensors.items()}
    model = make_model(Weights(shapes, weights.layout, {}, {}), Path(), device="meta")
    numbers = sum(tensor.numel() for tensor in model.state_dict().values())
    vocabulary = model.config.vocabulary
    trained = make_trainable(model, options, shapes_only=True)
    rows, tokens, learnt = _largest(options, examples)
    kept = _kept(model, trained, tokens, recompute=options.recompute)
    passing = int(_PASSING * kept)
    if options.recompute:
        # A layer at a time is computed again, with what it keeps.
        layer = _kept(model, trained, tokens, recompute=False) // model.config.layers
        kept, passing = kept + layer, int(_PASSING_OF_A_LAYER[model.version] * layer)
    batch = kept * rows + _LOGITS * learnt * vocabulary * _FLOAT
    copies = sum(tensor.numel() for tensor in trained.values()) * _OPTIMIZER
    return TuningMemory(numbers * _FLOAT, copies * _FLOAT, batch, passing * rows + _BESIDE)


def _largest(options: TuneOptions, examples: Sequence[Example]) -> tuple[int, int, int]:
    """Return rows, tokens of a row, and learnt tokens of the largest micro batch there can be."""
    if options.pack:
        longest = max(options.pack, *(len(each.tokens) - 1 for each in examples))
        share = sum(map(_learnt, examples)) / sum(len(each.tokens) for each in examples)
        return options.micro_batch, longest, int(options.micro_batch * longest * share)
    rows = min(options.micro_batch, len(examples))
    longest_ones = sorted(examples, key=lambda each: -len(each.tokens))[:rows]
    return rows, len(longest_ones[0].tokens) - 1, sum(map(_learnt, longest_ones))


def _learnt(example: Example) -> int:
    return sum(example.is_learnt[1:])


def check(memory: TuningMemory, device: str, name: str) -> None:
    """Raise ``ComponentError``, with the figures, if a run does not fit into the free memory."""
    free = free_memory(device)
    if free is not None and memory.total > free:
        raise ComponentError(
            "rwkv",
            "tuning",
            f"tuning {name} needs about {memory.total >> 20:,} MB of memory on {device} "
            f"({memory.weights >> 20:,} MB for the base, {memory.trained >> 20:,} MB for what is "
            f"trained, {memory.kept >> 20:,} MB for a batch), of which {free >> 20:,} MB are free: "
            "use a smaller micro batch or context, recompute, or a smaller model",
        )


def free_memory(device: str) -> int | None:
    """Return the bytes that are free for a run on a device; None if unknown."""
    if device.startswith("cuda"):
        free: int = torch.cuda.mem_get_info(device)[0]
        return free
    return available_memory()


def _kept(model: Rwkv, trained: Mapping[str, Tensor], length: int, *, recompute: bool) -> int:
    """Return the bytes that a row of some length keeps for its gradients, weights left out."""
    weights = {p.untyped_storage()._cdata for p in (*model.parameters(), *trained.values())}
    seen: dict[int, Tensor] = {}

    def keep(tensor: Tensor) -> Tensor:
        place = tensor.untyped_storage()._cdata
        if place not in weights:
            seen[place] = tensor
        return tensor

    tokens = torch.zeros(1, length, dtype=torch.long, device="meta")
    lengths = torch.full((1,), length, device="meta")
    state = _state(model, trained)
    with saved_tensors_hooks(keep, lambda tensor: tensor):
        hidden, after = model.read(tokens, state, lengths, recompute=recompute)
    del hidden, after
    return sum(tensor.untyped_storage().nbytes() for tensor in seen.values())


def _state(model: Rwkv, trained: Mapping[str, Tensor]) -> State | None:
    matrices = [value for name, value in trained.items() if name.endswith("time_state")]
    if not matrices:
        return None
    return State(model.zero_state().shift, torch.stack(matrices).unsqueeze(1).float())
