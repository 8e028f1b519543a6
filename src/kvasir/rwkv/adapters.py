"""Low-rank adapters of a base: LoRA and PiSSA, applied to a call without changing the weights.

A linear module of the base computes ``W x``; with an adapter it computes ``W x + scale B A x``. A
hook does it, so that one base serves calls with different adapters and without one at the same
time. PiSSA trains A and B after it took their start out of W; against the unchanged W it is an
adapter of twice the rank, ``[A; -A0]`` and ``[B, B0]``.
Source: Hu et al. 2021, arXiv 2106.09685; Meng et al. 2024, arXiv 2404.02948
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

ATTENTION = ("receptance", "key", "value", "output")
TARGETS = (*(f"att.{name}" for name in (*ATTENTION, "gate")), "ffn.key", "ffn.value",
           "ffn.receptance")  # fmt: skip
"""Linear modules of a layer that adapters change."""


@dataclass(frozen=True, slots=True)
class LowRank:
    """The adapter of one linear module."""

    a: Tensor  # [r, in]
    b: Tensor  # [out, r]
    scale: float

    def __call__(self, x: Tensor) -> Tensor:
        """Return what is added to the module's output."""
        return functional.linear(functional.linear(x, self.a), self.b) * self.scale

    def delta(self) -> Tensor:
        """Return what merging adds to the weight [out, in], in float32."""
        return self.scale * self.b.float() @ self.a.float()


@dataclass(frozen=True, slots=True)
class Adapter:
    """The adapters of a base's modules, by name, such as ``blocks.0.att.key``."""

    parts: Mapping[str, LowRank]
    fingerprint: str = ""

    def to(self, device: torch.device, dtype: torch.dtype) -> Adapter:
        """Return it on another device and in another precision."""
        moved = {
            name: LowRank(part.a.to(device, dtype), part.b.to(device, dtype), part.scale)
            for name, part in self.parts.items()
        }
        return Adapter(moved, self.fingerprint)


_ACTIVE: ContextVar[Adapter | None] = ContextVar("kvasir_rwkv_adapter", default=None)
_hooked: weakref.WeakSet[nn.Module] = weakref.WeakSet()
_hooking = threading.Lock()


@contextmanager
def applied(adapter: Adapter | None) -> Iterator[None]:
    """Apply an adapter to the calls of the block, in this thread; None for none."""
    token = _ACTIVE.set(adapter)
    try:
        yield
    finally:
        _ACTIVE.reset(token)


def linear_modules(model: nn.Module) -> dict[str, nn.Linear]:
    """Return the modules that adapters can change, by name."""
    return {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and name.partition(".")[2].partition(".")[2] in TARGETS
    }


def accept_adapters(model: nn.Module) -> None:
    """Have a model's linear modules apply the adapter of each call; a second time does nothing."""
    with _hooking:
        if model in _hooked:
            return
        for name, module in linear_modules(model).items():
            module.register_forward_hook(_hook(name))
        _hooked.add(model)


def _hook(name: str) -> Any:
    def add(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor | None:
        del module
        adapter = _ACTIVE.get()
        part = adapter.parts.get(name) if adapter else None
        return None if part is None else output + part(inputs[0])

    return add
