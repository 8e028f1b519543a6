"""Errors as problem documents of RFC 9457, with the error's code and what a caller may do.

What is wrong with the installation is said to administrators and the log; other callers get the
code and the id of their request.

Source: https://www.rfc-editor.org/rfc/rfc9457
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from kvasir.core.error_forms import fields_of, public_message
from kvasir.core.errors import (
    ComponentError,
    KvasirError,
    OperatorError,
    RateLimitedError,
    RequestError,
    StoppedError,
    StorageError,
)
from kvasir.core.services.accounts import Caller
from kvasir.frontends.process import request_id

logger = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"

_STATUS: Mapping[str, int] = {
    "not_authenticated": 401,
    "forbidden": 403,
    "collection_not_found": 404,
    "document_not_found": 404,
    "not_found": 404,
    "conflict": 409,
    "name_taken": 409,
    "split_conflict": 409,
    "writer_conflict": 409,
    "document_busy": 409,
    "too_large": 413,
    "unknown_field": 422,
    "unreadable_source": 422,
    "not_fetched": 422,
    "rejected_data": 422,
    "rate_limited": 429,
    "component_busy": 503,
    "component_unreachable": 503,
    "locked": 503,
    "closed": 503,
    "component_timeout": 504,
    "deadline_exceeded": 504,
}
"""HTTP status by an error's code; by default 400 for the caller's errors and 500 for others."""

_REMEDIES: Mapping[str, str] = {
    "not_authenticated": "POST /login gives a token; send it as 'Authorization: Bearer TOKEN'",
    "collection_not_found": "GET /v1/collections lists the collections that you may read",
    "document_not_found": "GET /v1/collections/{name}/documents lists its documents",
    "too_large": "split the file, or ask the operator to raise the limit",
    "rate_limited": "wait as long as Retry-After says",
    "component_busy": "wait as long as Retry-After says, or put the question in the queue",
    "component_unreachable": "send the request again in a moment",
    "deadline_exceeded": "ask again later, or put the question in the queue",
}
"""What a caller over HTTP may do, by code."""

_OF_SETTINGS = frozenset(
    {"invalid_settings", "unknown_component", "missing_extra", "model_not_found"}
)
"""Codes that are the caller's where the settings came with the request."""

sent_settings: ContextVar[tuple[str, ...]] = ContextVar("kvasir_sent_settings", default=())
"""The keys of the settings that came with the present request."""

_RETRY_SECONDS = 5.0


class Problem(BaseModel):
    """A problem document of RFC 9457."""

    model_config = ConfigDict(extra="allow")
    type: str = Field(examples=["about:blank"])
    status: int = Field(examples=[404])
    code: str = Field(examples=["document_not_found"], description="a stable word")
    detail: str = Field(examples=["there is no document 'a.pdf' in collection 'course'"])
    remedy: str | None = Field(None, description="what the caller may do")
    settings: list[str] | None = Field(
        None, description="the keys of the settings that came with the request, if one is unusable"
    )
    request_id: str = Field("", description="finds the request in the server's log")


def status_of(error: KvasirError) -> int:
    """Return the HTTP status of an error."""
    if isinstance(error, StoppedError):
        return 503
    if error.code in _OF_SETTINGS and sent_settings.get():
        return 422
    return _STATUS.get(error.code, 400 if isinstance(error, RequestError) else 500)


def members(status: int, code: str, detail: str, **more: Any) -> dict[str, Any]:
    """Return the members of a problem document."""
    found = {"type": "about:blank", "status": status, "code": code, "detail": detail}
    if remedy := _REMEDIES.get(code):
        found["remedy"] = remedy
    if code in _OF_SETTINGS and (keys := sent_settings.get()):
        found["settings"] = list(keys)
    if known := request_id.get():
        found["request_id"] = known
    return found | more


def describe(error: KvasirError, caller: Caller | None = None) -> dict[str, Any]:
    """Return the members of an error's problem document; an administrator sees all of it."""
    return members(status_of(error), error.code, detail_of(error, caller), **_fields(error, caller))


def _fields(error: KvasirError, caller: Caller | None) -> dict[str, Any]:
    """Return the attributes of an error that a caller may know, for clients of our own."""
    is_admin = caller is not None and caller.is_admin
    if not is_admin and not isinstance(error, (RequestError, StoppedError)):
        return {}
    fields = fields_of(error)
    if not is_admin:
        # It has the names of every collection.
        fields.pop("known", None)
    return {"fields": fields} if fields else {}


def detail_of(error: KvasirError, caller: Caller | None = None) -> str:
    """Return what a caller may know of an error."""
    return str(error) if caller is not None and caller.is_admin else public_message(error)


def problem(status: int, code: str, detail: str, **more: Any) -> JSONResponse:
    """Return a problem document."""
    content = members(status, code, detail, **more)
    return JSONResponse(content, status_code=status, media_type=MEDIA_TYPE)


def install(api: FastAPI) -> None:
    """Answer every error with a problem document."""
    api.add_exception_handler(KvasirError, _of_kvasir)  # type: ignore[arg-type]
    api.add_exception_handler(RequestValidationError, _of_validation)  # type: ignore[arg-type]
    api.add_exception_handler(HTTPException, _of_http)  # type: ignore[arg-type]


async def _of_kvasir(request: Request, error: KvasirError) -> JSONResponse:
    answer = respond(error, getattr(request.state, "caller", None))
    if isinstance(error, OperatorError):
        logger.error("%s: %s", error.code, error)
    return answer


def respond(error: KvasirError, caller: Caller | None = None) -> JSONResponse:
    """Return the response of an error, with the headers of its status."""
    detail = detail_of(error, caller)
    answer = problem(status_of(error), error.code, detail, **_fields(error, caller))
    answer.headers.update(headers_of(error))
    return answer


def headers_of(error: KvasirError) -> dict[str, str]:
    """Return the headers that belong to an error's status."""
    found = {}
    if (seconds := _retry_after(error)) is not None:
        found["Retry-After"] = str(max(1, round(seconds)))
    if error.code == "not_authenticated":
        found["WWW-Authenticate"] = "Bearer"
    return found


def _retry_after(error: KvasirError) -> float | None:
    if isinstance(error, RateLimitedError):
        return error.retry_after
    if status_of(error) != 503:
        return None
    return (error.retry_after if isinstance(error, ComponentError) else None) or _RETRY_SECONDS


async def _of_validation(_: Request, error: RequestValidationError) -> JSONResponse:
    # Without the values, which may be passwords.
    places = [
        {
            "place": ".".join(map(str, each["loc"])),
            "problem": each["msg"].removeprefix("Value error, "),
        }
        for each in error.errors()
    ]
    first = f"{places[0]['place']}: {places[0]['problem']}" if places else "malformed"
    return problem(422, RequestError.code, first, errors=places)


async def _of_http(request: Request, error: HTTPException) -> JSONResponse:
    if isinstance(error.__cause__, OSError):
        # Large bodies are kept in files until they have arrived.
        full = StorageError(f"the body of a request cannot be kept: {error.__cause__}")
        return await _of_kvasir(request, full)
    codes = {404: "not_found", 405: "method_not_allowed", 413: "too_large"}
    code = codes.get(error.status_code, RequestError.code)
    answer = problem(error.status_code, code, str(error.detail))
    answer.headers.update(error.headers or {})
    return answer


def unforeseen(method: str, path: str, error: Exception) -> JSONResponse:
    """Log an error that is nobody's on purpose, and return its problem document."""
    content = describe_unforeseen(method, path, error)
    return JSONResponse(content, status_code=500, media_type=MEDIA_TYPE)


def describe_unforeseen(method: str, path: str, error: Exception) -> dict[str, Any]:
    """Log an error that is nobody's on purpose; return the members of its problem document."""
    logger.error("unforeseen error in %s %s", method, path, exc_info=error)
    return members(500, KvasirError.code, "this was not foreseen; the server's log says more")
