"""``/v1/collections/{name}/search``: passages for a query."""

from __future__ import annotations

from functools import partial
from typing import Any

from anyio import to_thread
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from kvasir.app import App
from kvasir.core.deadline import deadline
from kvasir.core.services.accounts import Caller
from kvasir.core.types import ExplainedSearch, Hit
from kvasir.core.wire import to_json
from kvasir.frontends.api.callers import Chosen, Reader, check_may_read
from kvasir.frontends.api.explained import search_for
from kvasir.frontends.api.search_limits import Threshold, TopK

router = APIRouter(prefix="/v1", tags=["search"])


class SearchBody(BaseModel):
    """A search."""

    model_config = ConfigDict(extra="forbid")
    query: str = Field(min_length=1, max_length=20_000, examples=["How do I grow green tea?"])
    top_k: TopK | None = None
    min_score_threshold: Threshold | None = None
    filters: str | dict[str, Any] | None = Field(None, examples=["language=en"])
    explain: bool = Field(False, description="return an object: the hits and how they were found")


@router.post("/collections/{name}/search", responses={200: {"model": list[Hit] | ExplainedSearch}})
async def search(
    name: str, body: SearchBody, request: Request, kvasir: Chosen, caller: Reader
) -> JSONResponse:
    """Return the passages that belong to a query, best first; with `explain` also why.

    The header `Kvasir-Note` says when there are none because the collection has no documents.
    """
    work = partial(_search, name, body, request, kvasir, caller)
    return await to_thread.run_sync(work, limiter=request.app.state.searches)


def _search(
    name: str, body: SearchBody, request: Request, kvasir: App, caller: Caller
) -> JSONResponse:
    check_may_read(kvasir, caller, name)
    seconds = request.app.state.metrics.stage_seconds.labels("search")
    with (
        kvasir.collection(name) as collection,
        deadline(kvasir.settings.server.search_seconds),
        seconds.time(),
    ):
        limits: dict[str, Any] = {
            "top_k": body.top_k,
            "min_score_threshold": body.min_score_threshold,
            "filters": body.filters,
        }
        found: list[Hit] | ExplainedSearch = (
            search_for(caller, collection.explain(body.query, **limits))
            if body.explain
            else collection.search(body.query, **limits)
        )
        hits = found.hits if isinstance(found, ExplainedSearch) else found
        is_empty = not hits and not collection.chunk_count()
    note = {"Kvasir-Note": "the collection has no documents"} if is_empty else None
    return JSONResponse(to_json(found), headers=note)
