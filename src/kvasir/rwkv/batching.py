"""Write several texts at once: requests join and leave the batch at any step.

A step reads a part of one waiting prompt, so that a long one does not stop the others, and writes
one token of every text. The rows of a batch do not see each other. Requests with other adapters
cannot be rows of one batch, so there is a batch for each.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from kvasir.rwkv.reading import check_computed
from kvasir.rwkv.sampling import Logits, Sampler, Sampling, StopFilter
from kvasir.rwkv.state import State, join
from kvasir.rwkv.tokenizer import END_OF_DOCUMENT, TextStream, WorldTokenizer
from kvasir.rwkv.weights import Rwkv

GREEDY = Sampling()
ROWS = 16
READ_TOKENS = 256
"""Tokens of a prompt that are read in one step."""

Reached = Callable[[int, State], State]
"""Gets a number of tokens of the prompt and the state after them; returns that to go on with."""


@dataclass(frozen=True, slots=True)
class Request:
    """A text to write.

    Attributes:
        tokens: The prompt, or what of it is still to be read; at least one.
        max_tokens: The text ends after this many.
        state: That of one row, before the tokens; None: that before any text.
        sampling: How tokens are chosen.
        stops: The text ends before the first of these.
        marks: Numbers of tokens, ascending, after which ``reached`` gets the state.
        reached: Is called while the prompt is read, and may replace the state.
        is_scored: ``Written.score`` is computed.
    """

    tokens: Sequence[int]
    max_tokens: int
    state: State | None = None
    sampling: Sampling = GREEDY
    stops: Sequence[str] = ()
    marks: Sequence[int] = ()
    reached: Reached | None = None
    is_scored: bool = False


@dataclass(frozen=True, slots=True)
class Written:
    """What a step wrote of one text."""

    request: int
    text: str
    tokens: int  # So far.
    is_finished: bool
    is_cut: bool = False
    """It was finished by ``max_tokens``."""
    score: float = 0.0
    """Mean logarithm of the probabilities of its tokens so far, without temperature."""


@dataclass(slots=True, eq=False)
class _Reading:
    number: int
    request: Request
    state: State
    done: int = 0


@dataclass(slots=True, eq=False)
class _Row:
    number: int
    request: Request
    logits: Logits
    sampler: Sampler
    stream: TextStream
    stops: StopFilter
    tokens: list[int] = field(default_factory=list)
    total: float = 0.0

    def write(self) -> Written:
        """Choose the next token and return its text."""
        token = self.sampler.choose(self.logits)
        self.tokens.append(token)
        if self.request.is_scored:
            self.total += _log_probability(self.logits, token)
        is_end = token == END_OF_DOCUMENT
        text = "" if is_end else self.stops.feed(self.stream.feed(token))
        is_whole = is_end or self.stops.is_stopped
        is_cut = not is_whole and len(self.tokens) >= self.request.max_tokens
        is_finished = is_whole or is_cut
        if is_finished and not self.stops.is_stopped:
            text += self.stops.feed(self.stream.finish())
            text += self.stops.finish()
        count = len(self.tokens)
        # The last characters may complete a stop text.
        is_cut = is_cut and not self.stops.is_stopped
        return Written(self.number, text, count, is_finished, is_cut, self.total / count)


def _log_probability(logits: Logits, token: int) -> float:
    shifted = logits.astype(np.float64) - logits.max()
    return float(shifted[token] - np.log(np.exp(shifted).sum()))


class Batch:
    """Texts that are written together. Used by one thread at a time."""

    def __init__(
        self,
        model: Rwkv,
        tokenizer: WorldTokenizer,
        *,
        rows: int = ROWS,
        read_tokens: int = READ_TOKENS,
    ) -> None:
        """Begin with no texts; at most ``rows`` are written at once, others wait."""
        self._model, self._tokenizer = model, tokenizer
        self._most_rows, self._read_tokens = rows, read_tokens
        self._next = 0
        self._waiting: deque[_Reading] = deque()
        self._rows: list[_Row] = []
        self._state: State | None = None

    @property
    def is_empty(self) -> bool:
        """True if there is no text to write."""
        return not self._waiting and not self._rows

    def join(self, request: Request) -> int:
        """Add a request and return its number.

        Raises:
            ValueError: It has no tokens.
        """
        if not request.tokens:
            raise ValueError("a request needs at least one token")
        self._next += 1
        state = request.state or self._model.zero_state()
        self._waiting.append(_Reading(self._next, request, state))
        return self._next

    def leave(self, number: int) -> None:
        """Take a request out; a finished or unknown one is no error."""
        self._waiting = deque(each for each in self._waiting if each.number != number)
        self._keep([row for row in self._rows if row.number != number])

    def clear(self) -> None:
        """Take all requests out. Computes nothing, so it works after a failure, too."""
        self._waiting.clear()
        self._rows, self._state = [], None

    @torch.inference_mode()
    def step(self) -> list[Written]:
        """Read a part of one prompt, and write a token of each text.

        Raises:
            ArithmeticError: The model computes numbers that are not finite.
        """
        if self._waiting and len(self._rows) < self._most_rows:
            self._read()
        written = [row.write() for row in self._rows]
        finished = {each.request for each in written if each.is_finished}
        self._keep([row for row in self._rows if row.number not in finished])
        if self._rows:
            tokens = torch.tensor([[row.tokens[-1]] for row in self._rows], device=self._device)
            hidden, self._state = self._model.read(tokens, self._state)
            for row, values in zip(self._rows, self._logits(hidden), strict=True):
                row.logits = values
        return written

    @property
    def _device(self) -> torch.device:
        return self._model.emb.weight.device

    def _logits(self, hidden: torch.Tensor) -> Logits:
        """Return the logits [rows, vocabulary] after the last token of each row."""
        logits = self._model.head(hidden[:, -1]).float().cpu()
        check_computed(logits)
        found: Logits = logits.numpy()
        return found

    def _read(self) -> None:
        """Read a part of the first waiting prompt; after its end it becomes a row."""
        reading = self._waiting[0]
        request = reading.request
        end = min(reading.done + self._read_tokens, len(request.tokens))
        end = next((mark for mark in request.marks if reading.done < mark < end), end)
        part = torch.tensor([list(request.tokens[reading.done : end])], device=self._device)
        hidden, reading.state = self._model.read(part, reading.state)
        reading.done = end
        if request.reached is not None and end in request.marks:
            reading.state = request.reached(end, reading.state)
        if end < len(request.tokens):
            return
        self._waiting.popleft()
        logits = self._logits(hidden)[0]
        row = _Row(
            reading.number,
            request,
            logits,
            Sampler(request.sampling),
            TextStream(self._tokenizer),
            StopFilter(request.stops),
        )
        self._rows.append(row)
        self._state = join([reading.state] if self._state is None else [self._state, reading.state])

    def _keep(self, rows: list[_Row]) -> None:
        """Keep some of the rows."""
        if len(rows) == len(self._rows):
            return
        places = [place for place, row in enumerate(self._rows) if row in rows]
        self._rows = rows
        self._state = self._state.take(places) if rows and self._state is not None else None
