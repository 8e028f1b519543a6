"""Initial weights, for models that are trained from scratch and for random ones in tests.

A simplification of BlinkDL's: the same shapes of decay and token shift over layers and channels.
Source: https://github.com/BlinkDL/RWKV-LM, RWKV-v7/train_temp/src/model.py
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from kvasir.rwkv.v6 import Rwkv6, Rwkv6Config
from kvasir.rwkv.v7 import Rwkv7, Rwkv7Config


def small_rwkv7(
    vocabulary: int, layers: int, width: int, *, head_size: int = 64, rank: int = 32, seed: int = 0
) -> Rwkv7:
    """Return an RWKV-7 model to train; its low-rank matrices all have one rank."""
    config = Rwkv7Config(vocabulary, layers, width, head_size, 4 * width, rank, rank, rank, rank)
    model = Rwkv7(config)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        _common(model, width, generator)
        for layer, module in enumerate(model.blocks):
            block: Any = module
            depth, rest = layer / max(1, layers - 1), 1 - layer / layers
            at = torch.arange(width) / width
            att = block.att
            for name, power in (("r", 0.2), ("w", 0.9), ("k", 0.7), ("v", 0.7), ("a", 0.9)):
                getattr(att, f"x_{name}").copy_(1 - at ** (power * rest))
            att.x_g.copy_(1 - at ** (0.2 * rest))
            block.ffn.x_k.copy_(1 - at ** (rest**4))
            places = torch.arange(width) / (width - 1)
            within = (torch.arange(width) % head_size) / (head_size - 1) * 2 - 1
            zigzag = within * within.abs()
            decay = -6 + 6 * places ** (1 + depth**0.3)
            att.w0.copy_(decay + 0.5 + zigzag * 2.5)
            att.a0.copy_(-0.19 + zigzag * 0.3 + (places - 0.5) * 0.4)
            att.k_k.copy_(0.71 - (places - 0.5) * 0.1)
            att.k_a.fill_(1.02)
            att.r_k.fill_(-0.04)
            for name in ("w", "a", "g") if layer == 0 else ("w", "a", "v", "g"):
                _orthogonal(getattr(att, f"{name}2"), 0.1, generator)
            if layer:
                att.v0.copy_(0.73 - (places - 0.5) * 0.4)
            _orthogonal(att.g1, 0.1, generator)
            limit = width**-0.5
            for matrix, scale in ((att.receptance, 0.5), (att.key, 0.05), (att.value, 0.5)):
                matrix.weight.uniform_(-scale * limit, scale * limit, generator=generator)
            att.output.weight.zero_()
            block.ffn.key.weight.uniform_(-0.5 * limit, 0.5 * limit, generator=generator)
            block.ffn.value.weight.zero_()
    return model


def small_rwkv6(
    vocabulary: int, layers: int, width: int, *, head_size: int = 64, rank: int = 32, seed: int = 0
) -> Rwkv6:
    """Return an RWKV-6 model to train."""
    hidden = int(width * 3.5 // 32 * 32)
    model = Rwkv6(Rwkv6Config(vocabulary, layers, width, head_size, hidden, rank, rank))
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        _common(model, width, generator)
        for layer, module in enumerate(model.blocks):
            block: Any = module
            depth, rest = layer / max(1, layers - 1), 1 - layer / layers
            at = torch.arange(width) / width
            att, ffn = block.att, block.ffn
            for name in ("x", "w", "k"):
                getattr(att, f"time_maa_{name}").copy_(1 - at**rest)
            att.time_maa_v.copy_(1 - (at**rest + 0.3 * depth))
            att.time_maa_r.copy_(1 - at ** (0.5 * rest))
            att.time_maa_g.copy_(1 - at ** (0.5 * rest))
            ffn.time_maa_k.copy_(1 - at**rest)
            ffn.time_maa_r.copy_(1 - at**rest)
            places = torch.arange(width) / (width - 1)
            att.time_decay.copy_(-6 + 5 * places ** (0.7 + 1.3 * depth))
            att.time_faaaa.copy_(
                (depth * (1 - places) + ((torch.arange(width) + 1) % 3 - 1) * 0.1).view_as(
                    att.time_faaaa
                )
            )
            for low_rank in (att.time_maa_w2, att.time_decay_w2):
                low_rank.uniform_(-0.01, 0.01, generator=generator)
            limit = width**-0.5
            for matrix, scale in (
                (att.receptance, 0.5),
                (att.key, 0.05),
                (att.value, 0.5),
                (att.gate, 0.5),
                (ffn.key, 0.5),
                (ffn.receptance, 0.5),
            ):
                matrix.weight.uniform_(-scale * limit, scale * limit, generator=generator)
            att.output.weight.zero_()
            ffn.value.weight.zero_()
    return model


def _common(model: Rwkv6 | Rwkv7, width: int, generator: torch.Generator) -> None:
    model.emb.weight.uniform_(-1e-2, 1e-2, generator=generator)
    scale = 0.5 * math.sqrt(model.head.weight.shape[0] / width)
    _orthogonal(model.head.weight, min(scale, 1.0), generator)


def _orthogonal(matrix: Tensor, gain: float, generator: torch.Generator) -> None:
    nn.init.orthogonal_(matrix, gain=gain, generator=generator)
