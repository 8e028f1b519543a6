"""Scores of passages for a query: a base reads the passage, then the query, then says yes or no.

The passage comes first, so that its state can be kept and only the query's tokens are read. A plain
base ranks worse than no reranker (arXiv 2601.07861): it needs a state or an adapter that was
trained for it, and a proof that it is better on questions that it was not trained on.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from kvasir.core.errors import SettingsError, WireError
from kvasir.core.text import one_paragraph
from kvasir.core.wire import dumps, from_json
from kvasir.rwkv.bases import Base
from kvasir.rwkv.packing import rows_of
from kvasir.rwkv.reading import check_computed, read_texts
from kvasir.rwkv.state import State
from kvasir.rwkv.state_cache import StateCache, prefix_keys

PASSAGE = "Passage: {passage}"
QUERY = "\n\nUser: {query}"
ASKED = "\nDoes the passage answer this?\n\nAssistant:"
YES, NO = " yes", " no"


@dataclass(frozen=True, slots=True)
class Proof:
    """The result of comparing a reranker with none, on questions it was not trained on."""

    fingerprint: str  # Of base, state and adapter.
    questions: int
    with_reranker: float  # nDCG@10
    without: float
    p_value: float  # That the difference is due to chance.

    @property
    def is_better(self) -> bool:
        """True if the reranker is better than none, and hardly by chance."""
        return self.with_reranker > self.without and self.p_value < MOST_CHANCE


MOST_CHANCE = 0.05


def proof_file(tuned: Path) -> Path:
    """Return where the proof of a state or an adapter stands."""
    return tuned.with_name(tuned.name + ".proof.json")


def write_proof(proof: Proof, tuned: Path) -> None:
    """Write a proof beside the state or the adapter that it is of."""
    proof_file(tuned).write_text(dumps(proof, indent=2) + "\n", "utf-8")


def read_proof(tuned: Path) -> Proof | None:
    """Return the proof of a state or an adapter; None if there is none that can be read."""
    try:
        return from_json(Proof, json.loads(proof_file(tuned).read_text("utf-8")))
    except (OSError, ValueError, WireError):
        return None


def training_text(query: str, passage: str, is_relevant: bool) -> str:
    """Return a text to tune a reranker with: what it reads, and what it should say."""
    asked = QUERY.format(query=one_paragraph(query)) + ASKED
    return PASSAGE.format(passage=one_paragraph(passage)) + asked + (YES if is_relevant else NO)


class Relevance:
    """Scores passages with a base and an initial state."""

    def __init__(
        self,
        base: Base,
        state: State,
        max_tokens: int,
        cache: StateCache,
        identity: str = "",
    ) -> None:
        """Check that the tokenizer has the words of the answer.

        Args:
            base: The model.
            state: That of one row before the passage.
            max_tokens: The end of longer passages and queries is cut off.
            cache: Keeps the states of passages.
            identity: Names base, precision, state and adapter, for the cache.

        Raises:
            SettingsError: The base cannot write.
        """
        encode = base.tokenizer.encode
        if not hasattr(base.model.head, "weight"):
            raise SettingsError(f"{base.path} is an embedding model, which cannot rerank")
        self._base, self._state, self._max_tokens = base, state, max_tokens
        self._cache, self._identity = cache, identity
        self._answers = [encode(YES)[0], encode(NO)[0]]
        if self._answers[0] == self._answers[1]:
            self._answers = [encode(YES)[1], encode(NO)[1]]
            self._prefix = encode(YES)[:1]
        else:
            self._prefix = []
        self._rows = rows_of(base.model.head, self._answers)

    def scores(self, query: str, passages: Sequence[str]) -> Tensor:
        """Return float32 [n], 0 to 1: the probability of yes against no.

        Raises:
            ArithmeticError: The model computes numbers that are not finite.
        """
        encode = self._base.tokenizer.encode
        states = self._passage_states(passages)
        asked = encode(QUERY.format(query=one_paragraph(query)))[: self._max_tokens]
        asked += [*encode(ASKED), *self._prefix]
        found = torch.zeros(len(passages))

        def score(number: int, hidden: Tensor, state: State) -> None:
            del state
            yes, no = (self._rows @ hidden[-1]).float()
            found[number] = torch.sigmoid(yes - no).cpu()

        read_texts(self._base.model, [asked] * len(passages), states, score)
        check_computed(found)
        return found

    def _passage_states(self, passages: Sequence[str]) -> list[State]:
        """Return the state after each passage, those that are kept without reading."""
        encode = self._base.tokenizer.encode
        tokens = [
            encode(PASSAGE.format(passage=one_paragraph(p)))[: self._max_tokens] for p in passages
        ]
        keys = [prefix_keys(self._identity, [t])[0] for t in tokens]
        kept = [self._cache.get(key) for key in keys]
        states = [state and state.moved(self._state) for state in kept]
        unread = [number for number, state in enumerate(states) if state is None]

        def keep(place: int, hidden: Tensor, state: State) -> None:
            del hidden
            number = unread[place]
            states[number] = self._cache.put(keys[number], state)

        texts = [tokens[number] for number in unread]
        read_texts(self._base.model, texts, [self._state] * len(unread), keep)
        return [state for state in states if state is not None]
