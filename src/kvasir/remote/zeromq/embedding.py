"""The embedder of a service, and its proxy."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from kvasir.core.batches import sized_batches
from kvasir.core.errors import WrongEmbedderError
from kvasir.core.protocols import Embedder, PendingVectors, TokenCounter
from kvasir.core.types import Matrix
from kvasir.remote.zeromq.calls import Call
from kvasir.remote.zeromq.components import (
    TIMEOUT_SECONDS,
    RemoteComponent,
    capabilities_of,
    describing,
)
from kvasir.remote.zeromq.worker import Arguments, Operation, Service

ROLE = "embedder"
_ROWS, _CHARACTERS = 512, 400_000
"""Texts of one request: many, because an embedder sorts them by length, and yet few enough that
several workers share the texts of one call."""
_AT_ONCE = 8
"""Requests of one call that are on their way."""
_KNOWN: Mapping[str, type] = {"token_counter": TokenCounter}


class _CountsTokens:
    max_tokens: int
    _call: Any
    _read: Any

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Return the number of tokens of each text, special tokens included."""
        if not texts:
            return []
        found: list[int] = self._read(list[int], self._call("count_tokens", {"texts": list(texts)}))
        return found


class RemoteEmbedder(RemoteComponent):
    """Embeds texts at a service; it always computes in the background of this process."""

    role = ROLE
    capabilities: ClassVar[Mapping[str, type]] = {"token_counter": _CountsTokens}

    def __init__(
        self,
        address: str,
        service: str = ROLE,
        keys: str = "",
        key: str = "client",
        timeout: float = TIMEOUT_SECONDS,
    ) -> None:
        """Connect; arguments and errors as of ``RemoteComponent``."""
        super().__init__(address, service, keys, key, timeout)
        self.name = self._fact("name", str)
        self.dimension = self._fact("dimension", int)
        self.fingerprint = self._fact("fingerprint", str)
        self.languages = tuple(self._fact("languages", list[str]))
        if isinstance(self, _CountsTokens):
            self.max_tokens = self._fact("max_tokens", int)

    def embed_documents(self, texts: Sequence[str]) -> Matrix:
        """Return float32 [n, dimension], unit length, in the order of the texts."""
        parts: list[Matrix] = []
        waiting: deque[_Pending] = deque()
        for batch in sized_batches(((text, len(text)) for text in texts), _ROWS, _CHARACTERS):
            if len(waiting) >= _AT_ONCE:
                parts.append(waiting.popleft().result())
            waiting.append(self._start("embed_documents", batch))
        parts += [each.result() for each in waiting]
        return np.concatenate(parts) if len(parts) > 1 else self._only(parts)

    def embed_queries(self, texts: Sequence[str]) -> Matrix:
        """Return vectors of queries, which some models embed differently from documents."""
        return self.start_queries(texts).result()

    def start_queries(self, texts: Sequence[str]) -> PendingVectors:
        """Start ``embed_queries`` and return at once."""
        return self._start("embed_queries", texts)

    def _only(self, parts: list[Matrix]) -> Matrix:
        return parts[0] if parts else np.zeros((0, self.dimension), dtype=np.float32)

    def _start(self, operation: str, texts: Sequence[str]) -> _Pending:
        call = None
        if texts:
            call = self._client.start(
                self._service,
                operation,
                {"texts": list(texts), "fingerprint": self.fingerprint},
                timeout=self._timeout,
            )
        return _Pending(self, call, len(texts))

    def _check(self, vectors: Any, count: int) -> Matrix:
        shape = (count, self.dimension)
        if getattr(vectors, "dtype", None) != np.float32 or vectors.shape != shape:
            raise self._malformed(f"these are no vectors of the shape {shape}")
        return np.asarray(vectors)


class _Pending:
    """Vectors that a service computes."""

    def __init__(self, embedder: RemoteEmbedder, call: Call | None, count: int) -> None:
        self._embedder, self._call, self._count = embedder, call, count
        self._vectors: Matrix | None = None

    def result(self) -> Matrix:
        """Wait for the vectors; float32 [n, dimension]."""
        if self._vectors is None:
            embedder = self._embedder
            self._vectors = (
                np.zeros((0, embedder.dimension), dtype=np.float32)
                if self._call is None
                else embedder._check(self._call.result(), self._count)
            )
        return self._vectors


def embedder_service(embedder: Embedder, name: str = ROLE, slots: int = 1) -> Service:
    """Return the service of an embedder."""
    described = {
        "name": embedder.name,
        "dimension": embedder.dimension,
        "fingerprint": embedder.fingerprint,
        "languages": sorted(embedder.languages),
    }

    def texts_of(arguments: Arguments) -> list[str]:
        # While workers are restarted with another model, callers must not mix two kinds of vectors.
        expected = arguments.get("fingerprint", str)
        if expected != embedder.fingerprint:
            raise WrongEmbedderError(
                f"service '{name}' has another embedder than before: '{embedder.fingerprint}' in "
                f"place of '{expected}'"
            )
        return arguments.get("texts", list[str])

    operations: dict[str, Operation] = {
        "embed_documents": lambda given: embedder.embed_documents(texts_of(given)),
        "embed_queries": lambda given: embedder.embed_queries(texts_of(given)),
    }
    if isinstance(embedder, TokenCounter):
        counter = embedder
        described["max_tokens"] = counter.max_tokens
        operations["count_tokens"] = lambda given: counter.count_tokens(
            given.get("texts", list[str])
        )
    operations["describe"] = describing(ROLE, capabilities_of(embedder, _KNOWN), **described)
    return Service(name, operations, slots)
