"""``/health``, ``/ready`` and ``/metrics``, for those who watch the server."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel, Field

from kvasir.core.errors import ForbiddenError, NotAuthenticatedError
from kvasir.frontends.api.callers import Kvasir, MaybeCaller

router = APIRouter(tags=["operation"])


class Health(BaseModel):
    """The server is alive."""

    status: str = Field(examples=["ok"])


class Ready(BaseModel):
    """The state of each dependency: ``ok``, or the code of its error.

    Questions are taken while the generator is not ``ok``, and wait.
    """

    ready: bool
    checks: dict[str, str] = Field(examples=[{"store": "ok", "database": "ok"}])
    generator: str = Field(examples=["ok", "fetching the model: 43 %"])


@router.get("/health", response_model=Health, summary="Health Check")
async def health() -> JSONResponse:
    """Say that the server is alive; needs no credential."""
    return JSONResponse({"status": "ok"})


@router.get(
    "/ready",
    response_model=Ready,
    responses={503: {"model": Ready, "description": "A dependency does not answer"}},
)
async def ready(request: Request) -> JSONResponse:
    """Say whether store, database, queue and mail server can be reached; needs no credential.

    They are looked at every few seconds at most.
    """
    # Not in the threads of the requests, which may all wait for what is checked.
    found = await asyncio.get_running_loop().run_in_executor(
        None, request.app.state.readiness.states
    )
    is_ready = all(state == "ok" for state in found.values())
    generator = request.app.state.generator_state()
    return JSONResponse(
        {"ready": is_ready, "checks": dict(found), "generator": generator},
        status_code=200 if is_ready else 503,
    )


def _may_read_metrics(kvasir: Kvasir, caller: MaybeCaller) -> None:
    if kvasir.settings.server.metrics == "open":
        return
    if caller is None:
        raise NotAuthenticatedError("the metrics need the API key of an administrator")
    if not caller.is_admin:
        raise ForbiddenError("the metrics are for administrators")


@router.get(
    "/metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)
def metrics(request: Request, _: Annotated[None, Depends(_may_read_metrics)]) -> Response:
    """Return the metrics in Prometheus' form, to administrators unless the settings say otherwise.

    Give Prometheus an API key with the scope `admin` in `authorization.credentials`.
    """
    return Response(request.app.state.metrics.rendered(), media_type=CONTENT_TYPE_LATEST)
