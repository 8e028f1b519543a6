"""RWKV-7 "Goose" (x070) in plain PyTorch: one file, readable from top to bottom.

Parameters have the names and shapes of BlinkDL's ``.pth`` files. A text is read in chunks, each of
which is computed in parallel; a chunk of one token is the plain recurrence. The recurrence and its
states are float32 in every precision.
Source: https://github.com/BlinkDL/RWKV-LM, RWKV-v7/rwkv_v7_demo.py; arXiv 2503.14456
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

_DECAY = 0.606531
"""exp(-0.5): a channel keeps between 0.545 and 1 of its content a token."""
_GROUP_EPS = 64e-5
_TO_BINARY = 1 / math.log(2)
CHUNK = 64
"""Tokens that are computed in parallel; float32 allows about 140."""


@dataclass(frozen=True, slots=True)
class Rwkv7Config:
    """The shapes of a model."""

    vocabulary: int
    layers: int
    width: int  # C
    head_size: int  # N
    hidden: int  # Of channel mixing, usually 4 C.
    rank_w: int  # Of the decay's low-rank matrices.
    rank_a: int  # Of the in-context learning rate's.
    rank_v: int  # Of the value residual's.
    rank_g: int  # Of the gate's.

    @property
    def heads(self) -> int:
        """H."""
        return self.width // self.head_size

    @classmethod
    def from_shapes(cls, shapes: Mapping[str, tuple[int, ...]], layers: int) -> Rwkv7Config:
        """Read the shapes from those of a file's tensors.

        Raises:
            KeyError: A tensor is missing.
        """
        att = "blocks.0.att."
        # The first layer has no value residual, or one that is not used.
        rank_v = shapes["blocks.1.att.v1"][1] if layers > 1 else 0
        return cls(
            vocabulary=shapes["emb.weight"][0],
            layers=layers,
            width=shapes["emb.weight"][1],
            head_size=shapes[f"{att}r_k"][1],
            hidden=shapes["blocks.0.ffn.key.weight"][0],
            rank_w=shapes[f"{att}w1"][1],
            rank_a=shapes[f"{att}a1"][1],
            rank_v=rank_v,
            rank_g=shapes[f"{att}g1"][1],
        )


def _steps(
    r: Tensor, log_w: Tensor, k: Tensor, v: Tensor, alpha: Tensor, beta: Tensor, state: Tensor
) -> tuple[Tensor, Tensor]:
    """Compute the recurrence token by token: S = S diag(w) + S alpha beta^T + v k^T; y = S r."""
    # Unlike exp, exp2 starts no threads of its own for a few numbers.
    w = torch.exp2(log_w * _TO_BINARY)
    # Rows [B, T, H, 1, N]: a row times a transposed matrix is faster than a matrix times a column.
    r, w, k, alpha, beta, v = (x.unsqueeze(3) for x in (r, w, k, alpha, beta, v))
    found = []
    for t in range(r.shape[1]):
        removed = alpha[:, t] @ state.mT
        state = torch.addcmul(state * w[:, t], removed.mT, beta[:, t])
        state = torch.addcmul(state, v[:, t].mT, k[:, t])
        found.append((r[:, t] @ state.mT).squeeze(2))
    return torch.stack(found, 1), state


def _chunk(
    r: Tensor, log_w: Tensor, k: Tensor, v: Tensor, alpha: Tensor, beta: Tensor, state: Tensor
) -> tuple[Tensor, Tensor]:
    """Compute the recurrence for all tokens of a chunk in parallel.

    U holds what each token removes from the state; it depends on what the tokens before removed,
    which makes a triangular system.
    """
    r, log_w, k, v, alpha, beta = (x.transpose(1, 2) for x in (r, log_w, k, v, alpha, beta))
    total = log_w.double().cumsum(2)
    kept, before = total.exp().float(), (total - log_w).exp().float()
    undone = (-total).exp().float()
    left = (total[:, :, -1:] - total).exp().float()
    r_, alpha_, k_, beta_ = r * kept, alpha * before, k * undone, beta * undone
    past = state.transpose(2, 3)
    among = (alpha_ @ beta_.transpose(2, 3)).tril(-1)
    wanted = (alpha_ @ k_.transpose(2, 3)).tril(-1) @ v + alpha_ @ past
    identity = torch.eye(r.shape[2], device=r.device)
    u = torch.linalg.solve_triangular(identity - among, wanted, upper=False, unitriangular=True)
    y = r_ @ past + (r_ @ k_.transpose(2, 3)).tril() @ v + (r_ @ beta_.transpose(2, 3)).tril() @ u
    state = (
        state * kept[:, :, -1:] + v.transpose(2, 3) @ (k * left) + u.transpose(2, 3) @ (beta * left)
    )
    return y.transpose(1, 2), state


def recurrence(
    r: Tensor,
    log_w: Tensor,
    k: Tensor,
    v: Tensor,
    alpha: Tensor,
    beta: Tensor,
    state: Tensor,
    chunk: int = CHUNK,
) -> tuple[Tensor, Tensor]:
    """Return the outputs [B, T, H, N] and the last state [B, H, N, N].

    All inputs are float32 [B, T, H, N], ``log_w`` is the logarithm of the decay, and the state has
    values as rows, and may have more. Source of the parallel form: Yang et al. 2024,
    arXiv 2412.06464.
    """
    size = v.shape[3]
    v = with_rows(v, state)
    compute = _steps if chunk == 1 or r.shape[1] == 1 else _chunk
    found = []
    for start in range(0, r.shape[1], chunk):
        part = slice(start, start + chunk)
        y, state = compute(
            r[:, part], log_w[:, part], k[:, part], v[:, part], alpha[:, part], beta[:, part], state
        )
        found.append(y[..., :size])
    return torch.cat(found, 1), state


def _zeros(*shape: int) -> nn.Parameter:
    return nn.Parameter(torch.zeros(*shape))


class TimeMix(nn.Module):
    """Mixes each token with what the state holds of the tokens before."""

    def __init__(self, config: Rwkv7Config, layer: int) -> None:
        super().__init__()
        c, self.heads, self.head_size = config.width, config.heads, config.head_size
        self.is_first = layer == 0
        self.x_r, self.x_w, self.x_k = _zeros(1, 1, c), _zeros(1, 1, c), _zeros(1, 1, c)
        self.x_v, self.x_a, self.x_g = _zeros(1, 1, c), _zeros(1, 1, c), _zeros(1, 1, c)
        self.w0, self.a0 = _zeros(1, 1, c), _zeros(1, 1, c)
        self.w1, self.w2 = _zeros(c, config.rank_w), _zeros(config.rank_w, c)
        self.a1, self.a2 = _zeros(c, config.rank_a), _zeros(config.rank_a, c)
        self.g1, self.g2 = _zeros(c, config.rank_g), _zeros(config.rank_g, c)
        if not self.is_first:
            self.v0 = _zeros(1, 1, c)
            self.v1, self.v2 = _zeros(c, config.rank_v), _zeros(config.rank_v, c)
        self.k_k, self.k_a = _zeros(1, 1, c), _zeros(1, 1, c)
        self.r_k = _zeros(config.heads, config.head_size)
        self.receptance = nn.Linear(c, c, bias=False)
        self.key = nn.Linear(c, c, bias=False)
        self.value = nn.Linear(c, c, bias=False)
        self.output = nn.Linear(c, c, bias=False)
        self.ln_x = nn.GroupNorm(config.heads, c, eps=_GROUP_EPS)

    def forward(
        self,
        x: Tensor,
        last: Tensor,
        state: Tensor,
        first_value: Tensor | None,
        lengths: Tensor | None,
        chunk: int,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return the output, the last input, the state, and the first layer's values."""
        batch, length, width = x.shape
        before, last = shifted(x, last, lengths)
        mixed = partial(torch.addcmul, x, before - x)
        r = self.receptance(mixed(self.x_r))
        k = self.key(mixed(self.x_k))
        xv = mixed(self.x_v)
        v = self.value(xv)
        w = self.w0 + torch.tanh(mixed(self.x_w) @ self.w1) @ self.w2
        a = torch.sigmoid(self.a0 + mixed(self.x_a) @ self.a1 @ self.a2)
        g = torch.sigmoid(mixed(self.x_g) @ self.g1) @ self.g2
        if first_value is None:
            first_value = v
        else:
            v = v + (first_value - v) * torch.sigmoid(self.v0 + xv @ self.v1 @ self.v2)
        by_head = (batch, length, self.heads, self.head_size)
        log_w = -_DECAY * torch.sigmoid(w.float())
        kk = functional.normalize((k * self.k_k).view(by_head).float(), dim=-1, eps=1e-12)
        k = k * (1 + (a - 1) * self.k_a)
        alpha, beta, key = -kk, kk * a.view(by_head), k.view(by_head).float()
        counts = counted(lengths, length)
        if counts is not None:  # Positions beyond a row's end leave its state as it is.
            log_w = log_w * counts
            alpha, beta, key = (z * counts.unsqueeze(3) for z in (alpha, beta, key))
        y, state = recurrence(
            r.view(by_head).float(),
            log_w.view(by_head),
            key,
            v.view(by_head).float(),
            alpha,
            beta.float(),
            state,
            chunk,
        )
        y = self.ln_x(y.to(x.dtype).reshape(batch * length, width)).view(by_head)
        bonus = (r * k).view(by_head) * self.r_k
        y = y + bonus.sum(-1, keepdim=True) * v.view(by_head)
        return self.output(y.view(batch, length, width) * g), last, state, first_value


class ChannelMix(nn.Module):
    """Mixes the channels of each token."""

    def __init__(self, config: Rwkv7Config) -> None:
        super().__init__()
        self.x_k = _zeros(1, 1, config.width)
        self.key = nn.Linear(config.width, config.hidden, bias=False)
        self.value = nn.Linear(config.hidden, config.width, bias=False)

    def forward(self, x: Tensor, last: Tensor, lengths: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return the output and the last input."""
        before, last = shifted(x, last, lengths)
        k = self.key(torch.addcmul(x, before - x, self.x_k))
        return self.value(torch.relu(k).square()), last


class Block(nn.Module):
    """One layer."""

    def __init__(self, config: Rwkv7Config, layer: int) -> None:
        super().__init__()
        if layer == 0:
            self.ln0 = nn.LayerNorm(config.width)
        self.ln1 = nn.LayerNorm(config.width)
        self.ln2 = nn.LayerNorm(config.width)
        self.att = TimeMix(config, layer)
        self.ffn = ChannelMix(config)


class Rwkv7(nn.Module):
    """The language model."""

    version = 7

    def __init__(self, config: Rwkv7Config) -> None:
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
        first_value: Tensor | None = None
        shifts, matrices = [], []
        for layer, module in enumerate(self.blocks):
            block: Any = module
            if layer == 0:
                x = block.ln0(x)
            y, mixed, wkv, first_value = call(
                block.att,
                block.ln1(x),
                state.shift[layer, 0],
                state.wkv[layer],
                first_value,
                lengths,
                chunk,
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
