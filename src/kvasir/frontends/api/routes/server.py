"""``/v1/server`` and ``/v1/operations``: what a client of ours asks the server itself."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from kvasir.frontends.api.callers import Kvasir, Reader
from kvasir.frontends.api.generation import has_language_model
from kvasir.remote.owner import PROTOCOL
from kvasir.settings.loading import DERIVABLE, plain_values

router = APIRouter(prefix="/v1", tags=["server"])


class Server(BaseModel):
    """The server."""

    version: str = Field(examples=["0.1.0"])
    protocol: int = Field(description="clients of another one cannot work with it")
    max_file_mb: int = Field(description="larger files are refused")
    language_model: bool = Field(description="false: answers are quotations")
    top_k: int = Field(description="most passages for a question that names no number")
    settings: dict[str, Any] = Field(
        description="the settings that shape results, without secrets; for administrators"
    )


@router.get("/server")
def describe(kvasir: Kvasir, caller: Reader) -> Server:
    """Describe the server."""
    values = plain_values(kvasir.settings) if caller.is_admin else {}
    return Server(
        version=version("kvasir"),
        protocol=PROTOCOL,
        max_file_mb=kvasir.settings.rag.ingest.max_file_mb,
        language_model=has_language_model(kvasir.settings),
        top_k=kvasir.settings.chat.rag.retriever.top_k,
        settings={key: each for key, each in values.items() if key.startswith(DERIVABLE)},
    )


@router.post("/operations/{operation_id}/stop", status_code=204)
def stop(operation_id: str, request: Request, caller: Reader) -> Response:
    """Stop long work of yours that another request does; it ends with what it has."""
    request.app.state.operations.stop(caller, operation_id)
    return Response(status_code=204)
