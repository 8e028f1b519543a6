"""Compose the states of passages that were each read alone: approximate, after PICASO.

A passage changes the matrices of a state linearly: S becomes S P + Q, and its tokens decide P and
Q. So the matrices after several passages follow from those of each passage, in any order. That is
exact in the first layer alone: in a sequence, the later layers would read other inputs. The states
of the orders are averaged, here of the rotations of one order, so that no passage is favoured for
its place.
Source: Liu et al. 2025, PICASO, arXiv 2502.17605
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from kvasir.core.types import Hit
from kvasir.rwkv.reading import read_texts
from kvasir.rwkv.state import State
from kvasir.rwkv.state_cache import StateCache, prefix_keys
from kvasir.rwkv.weights import Rwkv

APPROXIMATE = (
    "the answer is approximate: the model read its passages apart, and their states were composed"
)
_NUMBERS = 99
"""Passages have numbers up to this one; two that would have the same one differ nevertheless."""


@dataclass(frozen=True, slots=True)
class Change:
    """What reading a passage does to the state before it.

    Attributes:
        after: The state after the passage, of one row.
        transition: P of each layer and head, float32 [layers, 1, H, N, N].
    """

    after: State
    transition: Tensor


def passage_numbers(hits: Sequence[Hit]) -> list[int]:
    """Return a number for each passage, which is the same whichever others come with it.

    It stands in the text that the model reads, so another number would be another state. Only of
    two passages with the same number does the later one get the next that is free.
    """
    found: list[int] = []
    most = max(_NUMBERS, len(hits))
    for hit in hits:
        seen = hashlib.sha256(hit.chunk.id.encode()).digest()
        number = int.from_bytes(seen[:8], "big") % most + 1
        while number in found:
            number = number % most + 1
        found.append(number)
    return found


def with_transition(state: State) -> State:
    """Return the state of one text, whose matrices have N more rows for the transition.

    Each row of a matrix changes as the others do, and the rows that begin as the identity and get
    no values become P.
    """
    identity = torch.eye(state.wkv.shape[-1], device=state.wkv.device).expand_as(state.wkv)
    return State(state.shift, torch.cat([state.wkv, identity], 3))


def change_of(state: State) -> Change:
    """Return the change that was read from a state of ``with_transition``."""
    after, transition = state.wkv.chunk(2, 3)
    return Change(State(state.shift, after), transition)


def composed(start: State, changes: Sequence[Change]) -> State:
    """Return the mean of the states after the passages, over the rotations of their order.

    Args:
        start: The state before each of the passages.
        changes: At least one.
    """
    total = torch.zeros_like(start.wkv)
    for first in range(len(changes)):
        added = torch.zeros_like(start.wkv)
        for change in (*changes[first:], *changes[:first]):
            added = added @ change.transition + (change.after.wkv - start.wkv)
        total += added
    # Each passage is the last one of one rotation.
    shift = torch.stack([change.after.shift for change in changes]).mean(0)
    return State(shift, start.wkv + total / len(changes))


class PassageReader:
    """Reads passages, each after the same beginning, and keeps what it has read."""

    def __init__(self, model: Rwkv, initial: State, cache: StateCache, identity: str) -> None:
        """Read nothing yet.

        Args:
            model: The model.
            initial: The state of one row before the beginning.
            cache: Where states are kept, if it keeps some.
            identity: Names all that a state depends on beside the tokens.
        """
        self._model, self._initial = model, initial
        self._cache, self._identity = cache, identity

    def read(self, beginning: Sequence[int], passages: Sequence[Sequence[int]]) -> State:
        """Return the composed state of passages; those that are kept are not read."""
        start, is_read = self._start(beginning)
        keys = [prefix_keys(self._identity, [beginning, passage])[1] for passage in passages]
        found = [self._kept(key) for key in keys]
        unread = [place for place, change in enumerate(found) if change is None]
        tokens = [len(beginning), *map(len, passages)]
        read = sum(len(passages[place]) for place in unread) + is_read * len(beginning)
        self._cache.count(sum(tokens) - read, read)

        def keep(number: int, hidden: Tensor, state: State) -> None:
            del hidden
            place = unread[number]
            change = change_of(state)
            after = self._cache.put(keys[place], change.after)
            kept = self._cache.put(_transition(keys[place]), _as_state(change.transition))
            found[place] = Change(after, kept.wkv)

        before = with_transition(start)
        texts = [passages[place] for place in unread]
        read_texts(self._model, texts, [before] * len(unread), keep)
        return composed(start, [change for change in found if change is not None])

    def _start(self, beginning: Sequence[int]) -> tuple[State, bool]:
        """Return the state after the beginning, and True if it was read."""
        if not beginning:
            return self._initial, False
        (key,) = prefix_keys(self._identity, [beginning])
        kept = self._cache.get(key)
        if kept is not None:
            return kept.moved(self._initial), False
        found: list[State] = []
        read_texts(self._model, [beginning], [self._initial], lambda _n, _h, s: found.append(s))
        return self._cache.put(key, found[0]), True

    def _kept(self, key: str) -> Change | None:
        after = self._cache.get(key)
        transition = self._cache.get(_transition(key)) if after is not None else None
        if after is None or transition is None:
            return None
        return Change(after.moved(self._initial), transition.wkv.to(self._initial.wkv))


def _transition(key: str) -> str:
    """Return the key under which the transition of a state is kept."""
    return hashlib.sha256(f"{key} transition".encode()).hexdigest()


def _as_state(transition: Tensor) -> State:
    """Return a transition in the form of a cache: a state without shifts."""
    return State(transition.new_zeros(transition.shape[0], 2, 1, 0), transition)
