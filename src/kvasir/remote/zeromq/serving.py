"""The service of a component, by its role."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from kvasir.remote.zeromq import embedding, reranking, storing
from kvasir.remote.zeromq.worker import Service

ROLES: Mapping[str, Callable[[Any, str, int], Service]] = {
    embedding.ROLE: embedding.embedder_service,
    reranking.ROLE: reranking.reranker_service,
    storing.ROLE: storing.store_service,
}
"""What makes a service of a component, a name and slots; of generators ``generator_services``.

The component of a store is a function that opens one, ``storing.OpenStore``.
"""
