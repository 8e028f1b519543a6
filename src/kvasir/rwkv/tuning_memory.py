"""How much memory a tuning needs, by the shapes of its base, before anything of it is computed.

The largest parts are the weights in float32, what each layer keeps of each token for the gradients,
and the logits. What a layer keeps was counted as the storage of the tensors that PyTorch saves for
the gradients of an adapter: 51 vectors of the model's width with RWKV-7 and 75 with RWKV-6 (34 and
54 for a state), whatever width and context.
"""

from __future__ import annotations

from kvasir.rwkv.adapters import TARGETS
from kvasir.rwkv.tuning import TuneOptions
from kvasir.rwkv.weights import Weights

_FLOAT = 4
_BONUS_OF_7, _BONUS_OF_6 = "blocks.0.att.r_k", "blocks.0.att.time_faaaa"
_KEPT = {7: 56, 6: 80}
"""Vectors of the model's width that a layer keeps of a token, by version."""
_LOGITS = 4
"""Copies of the logits: they, their gradient, and what the loss computes of them."""
_OPTIMIZER = 4
"""Copies of what is trained: it, its gradient, and two moments."""
_WORKING = 256 << 20


def tuning_memory(weights: Weights, options: TuneOptions, context: int) -> int:
    """Return the bytes that a tuning needs at its peak, about.

    Args:
        weights: Of the base.
        options: How it is tuned.
        context: Tokens of the longest example.
    """
    shapes = {key: tuple(value.shape) for key, value in weights.tensors.items()}
    vocabulary, width = shapes["emb.weight"]
    layers = len({key.split(".")[1] for key in shapes if key.startswith("blocks.")})
    heads = _heads(shapes)
    size = width // heads
    numbers = sum(tensor.numel() for tensor in weights.tensors.values())
    trained = _trained(shapes, options, layers * heads * size * size)
    tokens = min(options.micro_batch, options.batch) * context
    version = 7 if _BONUS_OF_7 in shapes else 6
    # With less memory one layer is computed at a time, and only what goes in is kept.
    layers_kept = 1 if options.recompute else layers
    kept = width * (_KEPT[version] * layers_kept + 2 * layers)
    computed = tokens * (kept + _LOGITS * vocabulary)
    return _FLOAT * (numbers + _OPTIMIZER * trained + computed) + _WORKING


def _heads(shapes: dict[str, tuple[int, ...]]) -> int:
    """Return the heads of a layer: the rows of the bonus of RWKV-7 or of RWKV-6."""
    return shapes[_BONUS_OF_7 if _BONUS_OF_7 in shapes else _BONUS_OF_6][0]


def _trained(shapes: dict[str, tuple[int, ...]], options: TuneOptions, state: int) -> int:
    if options.kind == "state":
        return state
    ends = tuple(f".{target}.weight" for target in TARGETS)
    linear = sum(sum(shape) for key, shape in shapes.items() if key.endswith(ends))
    return options.rank * linear
