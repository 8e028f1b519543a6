"""How a base is tuned, and what of it is trained."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from torch import nn

from kvasir.core.errors import SettingsError
from kvasir.rwkv.adapters import linear_modules
from kvasir.rwkv.state_files import time_state
from kvasir.rwkv.weights import Rwkv

STATE, LORA, PISSA = "state", "lora", "pissa"
KINDS = (STATE, LORA, PISSA)
_MOST, _MOST_STEPS, _MOST_RATE, _SEEDS = 65_536, 1_000_000_000, 1000.0, 1 << 63
_RATES = {STATE: 1e-2, LORA: 1e-4, PISSA: 1e-4}


@dataclass(frozen=True, slots=True)
class TuneOptions:
    """How a base is tuned.

    Attributes:
        kind: ``state``, ``lora`` or ``pissa``.
        steps: Most updates.
        batch: Examples of an update.
        micro_batch: Examples that are computed at once; gradients of the others are added.
        learning_rate: At the start; by default 1e-2 for a state and 1e-4 for adapters.
        final_rate: Part of it that is left at the last step.
        warmup: Steps until the rate is reached.
        rank: Of adapters.
        alpha: The scale of a LoRA adapter is alpha / rank.
        seed: Decides the order of examples and the start of LoRA.
        held_out: Part of the examples that is not trained with.
        evaluate_every: Steps between evaluations and checkpoints.
        patience: Evaluations without a better one after which it ends; 0: never.
        recompute: Compute layers twice to save memory.
        pack: Tokens of a row into which the examples of an update are packed, one after the other;
            0 for a row each. The state goes on from one to the next, as RWKV's trainers do it, so
            it is for adapters alone.
        tensorboard: Write the metrics for TensorBoard, too.
    """

    kind: str
    steps: int = 1000
    batch: int = 8
    micro_batch: int = 8
    learning_rate: float | None = None
    final_rate: float = 0.1
    warmup: int = 10
    rank: int = 32
    alpha: float = 32.0
    seed: int = 0
    held_out: float = 0.1
    evaluate_every: int = 50
    patience: int = 5
    recompute: bool = False
    pack: int = 0
    tensorboard: bool = False

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise SettingsError(f"kind must be {', '.join(KINDS)}, not '{self.kind}'")
        if min(self.steps, self.batch, self.micro_batch, self.rank, self.evaluate_every) < 1:
            raise SettingsError(
                "steps, batch, micro_batch, rank and evaluate_every must be at least 1"
            )
        if max(self.batch, self.micro_batch, self.rank, self.pack) > _MOST:
            raise SettingsError(f"batch, micro_batch, rank and pack must be at most {_MOST:,}")
        if max(self.steps, self.evaluate_every, self.warmup, self.patience) > _MOST_STEPS:
            raise SettingsError(
                f"steps, evaluate_every, warmup and patience must be at most {_MOST_STEPS:,}"
            )
        if min(self.warmup, self.patience) < 0 or not 0 <= self.seed < _SEEDS:
            raise SettingsError("warmup, patience and seed must be at least 0, and seed below 2^63")
        rate = 1.0 if self.learning_rate is None else self.learning_rate
        if not (0 < rate <= _MOST_RATE and 0 < self.alpha <= _MOST):
            raise SettingsError(
                f"learning_rate must be above 0 and at most {_MOST_RATE:g}, and alpha above 0 and "
                f"at most {_MOST:,}"
            )
        if not 0 <= self.held_out < 1 or not 0 <= self.final_rate <= 1:
            raise SettingsError("held_out must be at least 0 and below 1, and final_rate 0 to 1")
        if self.pack < 0 or (self.pack and self.kind == STATE):
            raise SettingsError(
                "pack must be at least 0, and 0 for a state: it stands before each example"
            )

    def rate(self, step: int) -> float:
        """Return the learning rate of a step: a warm-up, then a cosine."""
        top = _RATES[self.kind] if self.learning_rate is None else self.learning_rate
        rise = min(1.0, (step + 1) / max(1, self.warmup))
        fall = 0.5 * (1 + math.cos(math.pi * step / self.steps))
        return top * rise * (self.final_rate + (1 - self.final_rate) * fall)


def make_trainable(
    model: Rwkv, options: TuneOptions, *, shapes_only: bool = False
) -> dict[str, nn.Parameter]:
    """Return what is trained, by name; an adapter is added to the model.

    With ``shapes_only`` an adapter starts with any numbers.

    Raises:
        SettingsError: The adapter cannot be added.
    """
    model.requires_grad_(False)
    if options.kind == STATE:
        zeros = time_state(model.zero_state())
        return {name: nn.Parameter(matrix) for name, matrix in zeros.items()}
    # Imported only here: peft takes seconds, and generating needs none of it.
    from peft import LoraConfig, inject_adapter_in_model  # noqa: PLC0415

    is_pissa = options.kind == PISSA
    # PiSSA's start equals the base only at a scale of 1.
    start: Any = "pissa_niter_4" if is_pissa and not shapes_only else True
    scale: Any = options.rank if is_pissa else options.alpha
    config = LoraConfig(
        r=options.rank,
        lora_alpha=scale,
        target_modules=sorted(linear_modules(model)),
        init_lora_weights=start,
    )
    inject_adapter_in_model(config, model)
    found = {n: p for n, p in model.named_parameters() if p.requires_grad}
    if not found or not all("lora_" in name for name in found):
        raise SettingsError("the adapter could not be added to the model")
    return found
