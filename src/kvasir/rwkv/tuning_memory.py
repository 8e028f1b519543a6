"""How much memory a tuning needs, by the shapes of its base, before anything of it is computed.

The largest parts are the weights in float32, what each layer keeps of each token for the gradients,
and the logits. The constants were measured as the peak of a process's memory, see
``docs/decisions/0064-rwkv.md``.
"""

from __future__ import annotations

from kvasir.rwkv.adapters import TARGETS
from kvasir.rwkv.tuning import TuneOptions
from kvasir.rwkv.weights import Weights

_FLOAT = 4
_WIDTHS = 62
"""Vectors of the model's width that a layer keeps of a token."""
_PAIRS = 14
"""Numbers that it keeps of a pair of tokens of a chunk, a head."""
_STATES = 4
"""States that it keeps of a chunk."""
_CHUNK = 64
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
    of_layer = _WIDTHS * width + heads * _PAIRS * min(_CHUNK, context)
    of_layer += _STATES * width * size // min(_CHUNK, context)
    kept = of_layer * (1 if options.recompute else layers) + 2 * layers * width
    computed = tokens * (kept + _LOGITS * vocabulary)
    return _FLOAT * (numbers + _OPTIMIZER * trained + computed) + _WORKING


def _heads(shapes: dict[str, tuple[int, ...]]) -> int:
    """Return the heads of a layer: the rows of the bonus of RWKV-7 or of RWKV-6."""
    key = "blocks.0.att.r_k" if "blocks.0.att.r_k" in shapes else "blocks.0.att.time_faaaa"
    return shapes[key][0]


def _trained(shapes: dict[str, tuple[int, ...]], options: TuneOptions, state: int) -> int:
    if options.kind == "state":
        return state
    ends = tuple(f".{target}.weight" for target in TARGETS)
    linear = sum(sum(shape) for key, shape in shapes.items() if key.endswith(ends))
    return options.rank * linear
