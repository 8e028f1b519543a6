"""``/v1/collections/{name}/documents/from-web``: index the pages that a web search finds."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from kvasir.core.document_metadata import check_metadata
from kvasir.core.services.jobs import Job, NewJob
from kvasir.derived_app import check_overrides
from kvasir.frontends.api.callers import Kvasir, Overrides, Writer, check_may_write
from kvasir.frontends.api.routes.batches import job_settings
from kvasir.frontends.api.routes.documents import (
    IdempotencyKey,
    MetadataValues,
    OnConflict,
    add_job,
)
from kvasir.frontends.api.routes.jobs import Wait

router = APIRouter(prefix="/v1/collections/{name}/documents", tags=["documents"])

_MOST_RESULTS = 100


class WebSearchBody(BaseModel):
    """What to search the web for."""

    model_config = ConfigDict(extra="forbid")
    query: Annotated[
        str, StringConstraints(strip_whitespace=True, min_length=1, max_length=2000)
    ] = Field(examples=["steeping time of green tea"])
    max_results: int | None = Field(
        None, ge=1, le=_MOST_RESULTS, description="most pages; default: rag.web_search.max_results"
    )
    metadata: MetadataValues | None = None
    on_conflict: OnConflict | None = None
    build_graph: bool = True


@router.post("/from-web", status_code=202, responses={202: {"model": Job}})
def search_web(
    name: str,
    body: WebSearchBody,
    request: Request,
    kvasir: Kvasir,
    caller: Writer,
    overrides: Overrides,
    key: IdempotencyKey = None,
    wait: Wait = 0.0,
) -> Response:
    """Search the web and index the pages found, in one job; its result is the report on each.

    Pages of private networks are refused.
    """
    check_may_write(kvasir, caller, name)
    check_metadata(body.metadata or {})
    check_overrides(kvasir, overrides)
    arguments = body.model_dump() | {"settings": job_settings(overrides)}
    new = NewJob("ingest_web", arguments, caller.user_id, name, key or "")
    return add_job(request, kvasir, caller, new, wait)
