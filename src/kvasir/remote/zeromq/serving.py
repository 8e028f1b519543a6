"""The service of a component, by its role."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from kvasir.remote.zeromq import embedding, generating, reranking, storing
from kvasir.remote.zeromq.worker import Service

ROLES: Mapping[str, Callable[[Any, str, int], Service]] = {
    embedding.ROLE: embedding.embedder_service,
    reranking.ROLE: reranking.reranker_service,
    generating.ROLE: generating.generator_service,
    storing.ROLE: storing.store_service,
}
"""The roles that can be served, and what makes a service of a component, a name and slots.

The component of a store is a function that opens one, ``storing.OpenStore``.
"""
