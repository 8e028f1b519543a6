"""``/mcp``: the Model Context Protocol for clients with a token or an API key."""

from __future__ import annotations

import importlib
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any
from uuid import uuid4

import anyio.to_thread
from fastapi import APIRouter, Request, Response
from starlette.types import Receive, Scope, Send

from kvasir.core.errors import KvasirError
from kvasir.core.types import Answer
from kvasir.frontends.api.answer_records import record
from kvasir.frontends.api.callers import Kvasir, Reader, readable_collections
from kvasir.frontends.api.generation import open_answer
from kvasir.frontends.api.problems import detail_of
from kvasir.frontends.api.sources import base_url

# JSON-RPC is no REST: its methods are listed by the protocol itself.
router = APIRouter(include_in_schema=False)


class _Delegated(Response):
    """A response that the protocol's library writes."""

    def __init__(self, serve: Callable[[Scope, Receive, Send], Awaitable[None]]) -> None:
        super().__init__()
        self._serve = serve

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._serve(scope, receive, send)


@router.post("/mcp")
async def serve_mcp(request: Request, kvasir: Kvasir, caller: Reader) -> Response:
    """Answer a request of the protocol, with the caller's permissions."""
    serving, library_class = await anyio.to_thread.run_sync(_load)

    def keep(collection: str, question: str, answer: Answer) -> None:
        record(request, kvasir, caller, str(uuid4()), collection, question, answer)

    library = library_class(
        kvasir,
        readable=lambda: readable_collections(kvasir, caller),
        base_url=base_url(kvasir, request),
        record=keep,
        start=lambda collection, question, filters, explain: open_answer(
            request, kvasir, collection, question, filters=filters, explain=explain
        ),
        settings=kvasir.settings,
    )

    def describe(error: KvasirError) -> str:
        return detail_of(error, caller)

    return _Delegated(partial(serving.serve_request, library, describe))


def _load() -> tuple[Any, Any]:
    # By name: front doors do not import each other.
    serving = importlib.import_module("kvasir.frontends.mcp").load()
    return serving, importlib.import_module("kvasir.frontends.mcp.library").Library
