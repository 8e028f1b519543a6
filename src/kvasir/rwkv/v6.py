"""RWKV-6 "Finch" (x060) in plain PyTorch: one file, readable from top to bottom.

Parameters have the names and shapes of BlinkDL's ``.pth`` files. A text is read in chunks, each of
which is computed in parallel; a chunk of one token is the plain recurrence. The recurrence and its
states are float32 in every precision.
Source: https://github.com/BlinkDL/RWKV-LM, RWKV-v5/rwkv_v6_demo.py; arXiv 2404.05892
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from kvasir.rwkv.state import State, called, counted, recomputed, shifted, with_rows

_GROUP_EPS = 64e-5
_TO_BINARY = 1 / math.log(2)
_MIXED = 5
"""Inputs with a mixture of their own: decay, key, value, receptance, gate."""
CHUNK = 16
"""Tokens that are computed in parallel; the memory for them grows with its square."""


@dataclass(frozen=True, slots=True)
class Rwkv6Config:
    """The shapes of a model."""

    vocabulary: int
    layers: int
    width: int  # C
    head_size: int  # N
    hidden: int  # Of channel mixing, usually 3.5 C.
    rank_mix: int  # Of the mixtures' low-rank matrices.
    rank_w: int  # Of the decay's.

    @property
    def heads(self) -> int:
        """H."""
        return self.width // self.head_size

    @classmethod
    def from_shapes(cls, shapes: Mapping[str, tuple[int, ...]], layers: int) -> Rwkv6Config:
        """Read the shapes from those of a file's tensors.

        Raises:
            KeyError: A tensor is missing.
        """
        att = "blocks.0.att."
        return cls(
            vocabulary=shapes["emb.weight"][0],
            layers=layers,
            width=shapes["emb.weight"][1],
            head_size=shapes[f"{att}time_faaaa"][1],
            hidden=shapes["blocks.0.ffn.key.weight"][0],
            rank_mix=shapes[f"{att}time_maa_w2"][1],
            rank_w=shapes[f"{att}time_decay_w1"][1],
        )


def _steps(
    r: Tensor, log_w: Tensor, k: Tensor, v: Tensor, u: Tensor, state: Tensor
) -> tuple[Tensor, Tensor]:
    """Compute the recurrence token by token: y = S r + v (u k . r); S = S diag(w) + v k^T."""
    # Unlike exp, exp2 starts no threads of its own for a few numbers.
    w = torch.exp2(log_w * _TO_BINARY)
    bonus = (r * u * k).sum(3, keepdim=True) * v
    # Rows [B, T, H, 1, N]: a row times a transposed matrix is faster than a matrix times a column.
    r, w, k, v = (x.unsqueeze(3) for x in (r, w, k, v))
    found = []
    for t in range(r.shape[1]):
        found.append((r[:, t] @ state.mT).squeeze(2))
        state = torch.addcmul(state * w[:, t], v[:, t].mT, k[:, t])
    return torch.stack(found, 1) + bonus, state


def _chunk(
    r: Tensor, log_w: Tensor, k: Tensor, v: Tensor, u: Tensor, state: Tensor
) -> tuple[Tensor, Tensor]:
    """Compute the recurrence for all tokens of a chunk in parallel.

    A decay can be as small as it likes, so what is kept between two tokens is the exponential of
    a difference, never the quotient of two exponentials. Sums are float64, because a small decay
    after a large one would be lost.
    """
    r, log_w, k, v = (x.transpose(1, 2) for x in (r, log_w, k, v))
    total = log_w.double().cumsum(2)
    before = total - log_w
    length = r.shape[2]
    earlier = torch.ones(length, length, device=r.device, dtype=torch.bool).tril(-1)
    between = before.unsqueeze(3) - total.unsqueeze(2)  # [B, H, t, s, N]
    kept = between.masked_fill(~earlier[:, :, None], -torch.inf).exp().float()
    among = torch.einsum("bhtn,bhsn,bhtsn->bhts", r, k, kept)
    bonus = (r * u.unsqueeze(1) * k).sum(3, keepdim=True)
    y = (r * before.exp().float()) @ state.transpose(2, 3) + among @ v + bonus * v
    left = (total[:, :, -1:] - total).exp().float()
    state = state * total[:, :, -1:].exp().float() + v.transpose(2, 3) @ (k * left)
    return y.transpose(1, 2), state


def recurrence(
    r: Tensor, log_w: Tensor, k: Tensor, v: Tensor, u: Tensor, state: Tensor, chunk: int = CHUNK
) -> tuple[Tensor, Tensor]:
    """Return the outputs [B, T, H, N] and the last state [B, H, N, N].

    All inputs are float32 [B, T, H, N], ``log_w`` is the logarithm of the decay, ``u`` is [H, N],
    and the state has values as rows, and may have more.
    """
    size = v.shape[3]
    v = with_rows(v, state)
    compute = _steps if chunk == 1 or r.shape[1] == 1 else _chunk
    found = []
    for start in range(0, r.shape[1], chunk):
        part = slice(start, start + chunk)
        y, state = compute(r[:, part], log_w[:, part], k[:, part], v[:, part], u, state)
        found.append(y[..., :size])
    return torch.cat(found, 1), state


def _zeros(*shape: int) -> nn.Parameter:
    return nn.Parameter(torch.zeros(*shape))


class TimeMix(nn.Module):
    """Mixes each token with what the state holds of the tokens before."""

    def __init__(self, config: Rwkv6Config) -> None:
        super().__init__()
        c, self.heads, self.head_size = config.width, config.heads, config.head_size
        self.time_maa_x, self.time_maa_w = _zeros(1, 1, c), _zeros(1, 1, c)
        self.time_maa_k, self.time_maa_v = _zeros(1, 1, c), _zeros(1, 1, c)
        self.time_maa_r, self.time_maa_g = _zeros(1, 1, c), _zeros(1, 1, c)
        self.time_maa_w1 = _zeros(c, _MIXED * config.rank_mix)
        self.time_maa_w2 = _zeros(_MIXED, config.rank_mix, c)
        self.time_decay = _zeros(1, 1, c)
        self.time_decay_w1 = _zeros(c, config.rank_w)
        self.time_decay_w2 = _zeros(config.rank_w, c)
        self.time_faaaa = _zeros(config.heads, config.head_size)
        self.receptance = nn.Linear(c, c, bias=False)
        self.key = nn.Linear(c, c, bias=False)
        self.value = nn.Linear(c, c, bias=False)
        self.gate = nn.Linear(c, c, bias=False)
        self.output = nn.Linear(c, c, bias=False)
        self.ln_x = nn.GroupNorm(config.heads, c, eps=_GROUP_EPS)

    def forward(
        self, x: Tensor, last: Tensor, state: Tensor, lengths: Tensor | None, chunk: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return the output, the last input and the state."""
        batch, length, width = x.shape
        before, last = shifted(x, last, lengths)
        mixed = partial(torch.addcmul, x, before - x)
        low = torch.tanh(mixed(self.time_maa_x) @ self.time_maa_w1)
        low = low.view(batch, length, _MIXED, -1).permute(2, 0, 1, 3).flatten(1, 2)
        added = (low @ self.time_maa_w2).view(_MIXED, batch, length, width)
        xw = mixed(self.time_maa_w + added[0])
        k = self.key(mixed(self.time_maa_k + added[1]))
        v = self.value(mixed(self.time_maa_v + added[2]))
        r = self.receptance(mixed(self.time_maa_r + added[3]))
        g = functional.silu(self.gate(mixed(self.time_maa_g + added[4])))
        decay = (
            self.time_decay.float()
            + (torch.tanh(xw @ self.time_decay_w1) @ self.time_decay_w2).float()
        )
        log_w, key = -decay.exp(), k.float()
        counts = counted(lengths, length)
        if counts is not None:  # Positions beyond a row's end leave its state as it is.
            log_w, key = log_w * counts, key * counts
        by_head = (batch, length, self.heads, self.head_size)
        y, state = recurrence(
            r.view(by_head).float(),
            log_w.view(by_head),
            key.view(by_head),
            v.view(by_head).float(),
            self.time_faaaa.float(),
            state,
            chunk,
        )
        y = self.ln_x(y.to(x.dtype).reshape(batch * length, width)).view(batch, length, width)
        return self.output(y * g), last, state


class ChannelMix(nn.Module):
    """Mixes the channels of each token."""

    def __init__(self, config: Rwkv6Config) -> None:
        super().__init__()
        self.time_maa_k = _zeros(1, 1, config.width)
        self.time_maa_r = _zeros(1, 1, config.width)
        self.key = nn.Linear(config.width, config.hidden, bias=False)
        self.receptance = nn.Linear(config.width, config.width, bias=False)
        self.value = nn.Linear(config.hidden, config.width, bias=False)

    def forward(self, x: Tensor, last: Tensor, lengths: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return the output and the last input."""
        before, last = shifted(x, last, lengths)
        mixed = partial(torch.addcmul, x, before - x)
        k = self.key(mixed(self.time_maa_k))
        r = self.receptance(mixed(self.time_maa_r))
        return torch.sigmoid(r) * self.value(torch.relu(k).square()), last


class Block(nn.Module):
    """One layer."""

    def __init__(self, config: Rwkv6Config, layer: int) -> None:
        super().__init__()
        if layer == 0:
            self.ln0 = nn.LayerNorm(config.width)
        self.ln1 = nn.LayerNorm(config.width)
        self.ln2 = nn.LayerNorm(config.width)
        self.att = TimeMix(config)
        self.ffn = ChannelMix(config)


class Rwkv6(nn.Module):
    """The language model."""

    version = 6

    def __init__(self, config: Rwkv6Config) -> None:
        """Make a model whose weights are to be loaded or initialized."""
        super().__init__()
        self.config = config
        self.emb = nn.Embedding(config.vocabulary, config.width)
        self.blocks = nn.ModuleList(Block(config, layer) for layer in range(config.layers))
        self.ln_out = nn.LayerNorm(config.width)
        self.head = nn.Linear(config.width, config.vocabulary, bias=False)

    def zero_state(self, rows: int = 1) -> State:
        """Return the state before the first token."""
        c, at = self.config, self.emb.weight
        wkv = (c.layers, rows, c.heads, c.head_size, c.head_size)
        return State(
            torch.zeros(c.layers, 2, rows, c.width, dtype=at.dtype, device=at.device),
            torch.zeros(wkv, device=at.device),
        )

    def read(
        self,
        tokens: Tensor,
        state: State | None = None,
        lengths: Tensor | None = None,
        *,
        chunk: int = CHUNK,
        recompute: bool = False,
    ) -> tuple[Tensor, State]:
        """Read texts and return their hidden vectors [B, T, C] and states.

        Args:
            tokens: [B, T]; rows that are shorter are filled up at their end with any token.
            state: The state to go on from; by default that before the first token.
            lengths: [B], the tokens of each row that count, 0 for none; by default all.
            chunk: Tokens that are computed in parallel; 1 is the plain recurrence.
            recompute: Compute each layer a second time for its gradients, instead of keeping all
                that it computes in memory.
        """
        call = recomputed if recompute else called
        state = state or self.zero_state(tokens.shape[0])
        x = self.emb(tokens)
        shifts, matrices = [], []
        for layer, module in enumerate(self.blocks):
            block: Any = module
            if layer == 0:
                x = block.ln0(x)
            y, mixed, wkv = call(
                block.att, block.ln1(x), state.shift[layer, 0], state.wkv[layer], lengths, chunk
            )
            x = x + y
            y, fed = call(block.ffn, block.ln2(x), state.shift[layer, 1], lengths)
            x = x + y
            shifts.append(torch.stack([mixed, fed]))
            matrices.append(wkv)
        return self.ln_out(x), State(torch.stack(shifts), torch.stack(matrices))

    def forward(
        self,
        tokens: Tensor,
        state: State | None = None,
        lengths: Tensor | None = None,
        *,
        chunk: int = CHUNK,
        recompute: bool = False,
    ) -> tuple[Tensor, State]:
        """Return the logits [B, T, vocabulary] after each token, and the states; as ``read``."""
        hidden, state = self.read(tokens, state, lengths, chunk=chunk, recompute=recompute)
        return self.head(hidden), state
