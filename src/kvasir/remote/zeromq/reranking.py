"""The reranker of a service, and its proxy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kvasir.core.protocols import Reranker
from kvasir.core.types import Hit
from kvasir.core.wire import to_json
from kvasir.remote.zeromq.components import TIMEOUT_SECONDS, RemoteComponent, describing
from kvasir.remote.zeromq.worker import Arguments, Service

ROLE = "reranker"


class RemoteReranker(RemoteComponent):
    """Reorders hits at a service."""

    role = ROLE

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

    def rerank(self, query: str, hits: Sequence[Hit], top_k: int) -> list[Hit]:
        """Return the best hits, best first, with ``score`` replaced (0..1)."""
        asked = {"query": query, "hits": to_json(list(hits)), "top_k": top_k}
        return self._read(list[Hit], self._call("rerank", asked))


def reranker_service(reranker: Reranker, name: str = ROLE, slots: int = 1) -> Service:
    """Return the service of a reranker."""

    def rerank(given: Arguments) -> Any:
        hits = given.get("hits", list[Hit])
        return to_json(reranker.rerank(given.get("query", str), hits, given.get("top_k", int)))

    return Service(name, {"describe": describing(ROLE, []), "rerank": rerank}, slots)
