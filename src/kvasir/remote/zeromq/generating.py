"""The generator of a service, and its proxy: answers come in pieces, as they are written."""

from __future__ import annotations

import hashlib
from collections.abc import Generator as Pieces
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any, ClassVar

from kvasir.core.daemon_threads import start_daemon
from kvasir.core.deadline import current_stop, stopping
from kvasir.core.pieces import CutReason, Incomplete
from kvasir.core.protocols import (
    Approximate,
    BoundedContext,
    Generator,
    IdentifiesModel,
    Preparable,
    PromptCounter,
    QuotesOnly,
)
from kvasir.core.run import Progress, Run, StopToken
from kvasir.core.types import Message, Prompt
from kvasir.core.wire import to_json
from kvasir.remote.zeromq.components import (
    TIMEOUT_SECONDS,
    RemoteComponent,
    capabilities_of,
    describing,
)
from kvasir.remote.zeromq.worker import Arguments, Operation, Service

ROLE = "generator"
_MODEL = "@model"
"""Ends the name of the service that says which model a generator has."""
_MODEL_SECONDS = 2.0
"""How long that may take: it computes nothing, and each question waits for it."""
_IDENTIFIES = "identifies_model"
"""The capability of a generator beside which that service is served."""
_KNOWN: Mapping[str, type] = {
    "bounded_context": BoundedContext,
    "prompt_counter": PromptCounter,
    "quotes_only": QuotesOnly,
    "preparable": Preparable,
    "approximate": Approximate,
}


@dataclass(frozen=True, slots=True)
class _End:
    """The last piece of a text that was cut."""

    incomplete: CutReason
    text: str


class _BoundsContext:
    answer_tokens: int
    _call: Any
    _read: Any

    def context_tokens(self) -> int | None:
        """Return the model's context length in tokens, or None if unknown."""
        found: int | None = self._read(int | None, self._call("context_tokens"))
        return found


class _CountsPrompts:
    _call: Any
    _read: Any

    def count_prompt_tokens(self, messages: Sequence[Message]) -> int:
        """Return the tokens of messages as the model reads them."""
        asked = {"messages": to_json(list(messages))}
        found: int = self._read(int, self._call("count_prompt_tokens", asked))
        return found


class _Quotes:
    quotes_only: bool


class _Approximates:
    approximation: str


class _Identifies:
    _client: Any
    _service: str
    _timeout: float
    _read: Any

    def model_fingerprint(self) -> str:
        """Return the fingerprint of the model that the service has now."""
        seconds = min(self._timeout, _MODEL_SECONDS)
        found: str = self._read(
            str, self._client.call(self._service + _MODEL, "fingerprint", {}, timeout=seconds)
        )
        return found


class _Prepares:
    _client: Any
    _service: str
    _read: Any

    def prepare(self, run: Run) -> None:
        """Fetch what is missing at the service; ``run`` stops it and hears of its progress."""
        with stopping(run.stop):
            for piece in self._client.stream(self._service, "prepare", {}):
                run.progress(self._read(Progress, piece))


class RemoteGenerator(RemoteComponent):
    """Writes answers at a service."""

    role = ROLE
    capabilities: ClassVar[Mapping[str, type]] = {
        "bounded_context": _BoundsContext,
        "prompt_counter": _CountsPrompts,
        "quotes_only": _Quotes,
        "preparable": _Prepares,
        "approximate": _Approximates,
        _IDENTIFIES: _Identifies,
    }

    def __init__(
        self,
        address: str,
        service: str = ROLE,
        keys: str = "",
        key: str = "client",
        timeout: float = TIMEOUT_SECONDS,
    ) -> None:
        """Connect; arguments and errors as of ``RemoteComponent``.

        ``timeout`` is how long the service may be silent within an answer.
        """
        super().__init__(address, service, keys, key, timeout)
        if isinstance(self, _BoundsContext):
            self.answer_tokens = self._fact("answer_tokens", int)
        if isinstance(self, _Quotes):
            self.quotes_only = self._fact("quotes_only", bool)
        if isinstance(self, _Approximates):
            self.approximation = self._fact("approximation", str)

    def generate(self, prompt: Prompt) -> Iterator[str]:
        """Yield the answer's text in pieces; closing the iterator stops the model."""
        asked = {"prompt": to_json(prompt)}
        pieces = self._client.stream(self._service, "generate", asked, silence=self._timeout)
        with closing(pieces):
            for piece in pieces:
                if isinstance(piece, dict):
                    end = self._read(_End, piece)
                    yield Incomplete(end.incomplete, end.text)
                else:
                    yield self._read(str, piece)


def generator_services(
    generator: Generator, name: str = ROLE, slots: int = 1, configured: str = ""
) -> tuple[Service, Service]:
    """Return the service of a generator, and the one that identifies its model: serve both.

    The second one is a service of its own because it must not wait until an answer is written.

    Args:
        generator: The generator.
        name: Name of its service.
        slots: Answers that are written at once.
        configured: The settings of the generator; other settings count as another model.
    """

    def fingerprint(_: Arguments) -> str:
        own = generator.model_fingerprint() if isinstance(generator, IdentifiesModel) else ""
        return hashlib.sha256(f"{configured}\n{own}".encode()).hexdigest()[:32]

    described: dict[str, Any] = {}
    operations: dict[str, Operation] = {
        "generate": lambda given: _pieces_of(generator, given.get("prompt", Prompt)),
    }
    if isinstance(generator, BoundedContext):
        bounded = generator
        described["answer_tokens"] = bounded.answer_tokens
        operations["context_tokens"] = lambda _: bounded.context_tokens()
    if isinstance(generator, PromptCounter):
        counter = generator
        operations["count_prompt_tokens"] = lambda given: counter.count_prompt_tokens(
            given.get("messages", list[Message])
        )
    if isinstance(generator, QuotesOnly):
        described["quotes_only"] = generator.quotes_only
    if isinstance(generator, Approximate):
        described["approximation"] = generator.approximation
    if isinstance(generator, Preparable):
        preparable = generator
        operations["prepare"] = lambda _: _progress_of(preparable)
    known = [*capabilities_of(generator, _KNOWN), _IDENTIFIES]
    operations["describe"] = describing(ROLE, known, **described)
    identifying = Service(name + _MODEL, {"fingerprint": fingerprint})
    return Service(name, operations, slots), identifying


def _pieces_of(generator: Generator, prompt: Prompt) -> Pieces[Any, None, None]:
    """Yield a generator's text as plain data."""
    pieces = iter(generator.generate(prompt))
    try:
        for piece in pieces:
            if isinstance(piece, Incomplete):
                yield to_json(_End(piece.reason, str(piece)))
            else:
                yield piece
    finally:
        if isinstance(pieces, Pieces):
            pieces.close()


def _progress_of(generator: Preparable) -> Pieces[Any, None, None]:
    """Prepare a generator; yield its progress as plain data."""
    reported: SimpleQueue[Progress | BaseException | None] = SimpleQueue()
    stop = StopToken(parent=current_stop())

    def work() -> None:
        try:
            generator.prepare(Run(stop, reported.put))
        except BaseException as error:  # noqa: BLE001 - raised again by the reader
            reported.put(error)
        else:
            reported.put(None)

    start_daemon(work)
    try:
        while (found := reported.get()) is not None:
            if isinstance(found, BaseException):
                raise found
            yield to_json(found)
    finally:
        stop.set()
