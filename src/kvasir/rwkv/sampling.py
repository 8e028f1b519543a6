"""Choose the next token: temperature, top-p, penalties, seeds; and end a text at a stop string.

The order is penalties, temperature, top-p, so that top-p cuts the distribution that is drawn from.
Source: Holtzman et al. 2020, arXiv 1904.09751
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kvasir.core.errors import SettingsError

Logits = NDArray[np.float32]
_MOST_PENALTY = 1000
"""Far beyond the differences of logits, and far from where float32 ends."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """How tokens are chosen.

    Attributes:
        temperature: 0 for the likeliest token.
        top_p: Only the likeliest tokens that together have this probability are drawn.
        presence_penalty: Taken from the logit of each token that was written before.
        frequency_penalty: Taken from it once more for each time that it was written.
        penalty_decay: Part of a token's count that is left with each later token.
        seed: Makes draws repeatable; None: another one each time.
    """

    temperature: float = 0.0
    top_p: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    penalty_decay: float = 0.996
    seed: int | None = None

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            SettingsError: One cannot be used.
        """
        if not (0 <= self.temperature < math.inf and 0 <= self.top_p <= 1):
            raise SettingsError("temperature must be a number of at least 0, and top_p 0 to 1")
        penalties = (self.presence_penalty, self.frequency_penalty)
        if not all(abs(each) <= _MOST_PENALTY for each in penalties):
            raise SettingsError(
                f"presence_penalty and frequency_penalty must be -{_MOST_PENALTY} to "
                f"{_MOST_PENALTY}"
            )
        if not 0 <= self.penalty_decay <= 1:
            raise SettingsError("penalty_decay must be 0 to 1")
        if self.seed is not None and self.seed < 0:
            raise SettingsError("seed must be at least 0")


class Sampler:
    """Chooses the tokens of one text."""

    def __init__(self, sampling: Sampling) -> None:
        self._sampling = sampling
        self._random = np.random.default_rng(sampling.seed)
        self._counts: dict[int, float] = {}

    def choose(self, logits: Logits) -> int:
        """Return the next token, given the logits [vocabulary], and count it."""
        sampling = self._sampling
        has_penalties = sampling.presence_penalty or sampling.frequency_penalty
        if has_penalties and self._counts:
            logits = logits.copy()
            for token, count in self._counts.items():
                logits[token] -= sampling.presence_penalty + count * sampling.frequency_penalty
        token = self._draw(logits)
        if has_penalties:
            for seen in self._counts:
                self._counts[seen] *= sampling.penalty_decay
            self._counts[token] = self._counts.get(token, 0.0) + 1.0
        return token

    def _draw(self, logits: Logits) -> int:
        sampling = self._sampling
        if sampling.temperature == 0.0 or sampling.top_p == 0.0:
            return int(logits.argmax())
        with np.errstate(over="ignore"):  # Below 0 by more than float64 has: never drawn.
            scaled = (logits.astype(np.float64) - logits.max()) / sampling.temperature
        weights = np.exp(scaled)
        if sampling.top_p >= 1.0:
            total = weights.cumsum()
            return min(_place(total, self._random.random() * total[-1]), len(weights) - 1)
        order = np.argsort(-weights, kind="stable")
        total = weights[order].cumsum()
        kept = min(_place(total, sampling.top_p * total[-1], "left") + 1, len(order))
        return int(order[min(_place(total, self._random.random() * total[kept - 1]), kept - 1)])


def _place(sums: NDArray[np.float64], value: float, side: str = "right") -> int:
    return int(np.searchsorted(sums, value, side))  # type: ignore[call-overload]


class StopFilter:
    """Passes a text on until a stop string, keeping back what may be the beginning of one."""

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = [stop for stop in stops if stop]
        self._kept = ""
        self.is_stopped = False

    def feed(self, text: str) -> str:
        """Return the text that may be shown now; nothing after a stop string."""
        if self.is_stopped:
            return ""
        self._kept += text
        found = [place for stop in self._stops if (place := self._kept.find(stop)) >= 0]
        if found:
            self.is_stopped = True
            shown, self._kept = self._kept[: min(found)], ""
            return shown
        back = max((self._overlap(stop) for stop in self._stops), default=0)
        end = len(self._kept) - back
        shown, self._kept = self._kept[:end], self._kept[end:]
        return shown

    def finish(self) -> str:
        """Return what was kept back, at the end of the text."""
        shown, self._kept = self._kept, ""
        return shown

    def _overlap(self, stop: str) -> int:
        """Return how many of the last characters begin a stop string."""
        longest = min(len(stop) - 1, len(self._kept))
        return next((n for n in range(longest, 0, -1) if self._kept.endswith(stop[:n])), 0)
