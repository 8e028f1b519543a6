"""Errors as problem documents of RFC 9457, with the error's code and what a caller may do.

Source: https://www.rfc-editor.org/rfc/rfc9457
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from kvasir.core.error_forms import fields_of
from kvasir.core.errors import (
    KvasirError,
    OperatorError,
    RateLimitedError,
    RequestError,
    StoppedError,
)

logger = logging.getLogger(__name__)

_STATUS: Mapping[str, int] = {
    "not_authenticated": 401,
    "forbidden": 403,
    "collection_not_found": 404,
    "document_not_found": 404,
    "not_found": 404,
    "conflict": 409,
    "name_taken": 409,
    "writer_conflict": 409,
    "document_busy": 409,
    "too_large": 413,
    "unreadable_source": 422,
    "not_fetched": 422,
    "rate_limited": 429,
    "component_busy": 503,
    "component_unreachable": 503,
    "locked": 503,
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
    "component_busy": "send the request again in a moment",
    "component_unreachable": "send the request again in a moment",
}
"""What a caller over HTTP may do, by code."""


def status_of(error: KvasirError) -> int:
    """Return the HTTP status of an error."""
    if isinstance(error, StoppedError):
        return 503
    return _STATUS.get(error.code, 400 if isinstance(error, RequestError) else 500)


def members(status: int, code: str, detail: str, **more: Any) -> dict[str, Any]:
    """Return the members of a problem document."""
    found = {"type": "about:blank", "status": status, "code": code, "detail": detail}
    if remedy := _REMEDIES.get(code):
        found["remedy"] = remedy
    return found | more


def describe(error: KvasirError) -> dict[str, Any]:
    """Return the members of an error's problem document, for an event of a stream."""
    return members(status_of(error), error.code, str(error), fields=fields_of(error))


def problem(status: int, code: str, detail: str, **more: Any) -> JSONResponse:
    """Return a problem document."""
    content = members(status, code, detail, **more)
    return JSONResponse(content, status_code=status, media_type="application/problem+json")


def install(api: FastAPI) -> None:
    """Answer every error with a problem document."""
    api.add_exception_handler(KvasirError, _of_kvasir)  # type: ignore[arg-type]
    api.add_exception_handler(RequestValidationError, _of_validation)  # type: ignore[arg-type]
    api.add_exception_handler(HTTPException, _of_http)  # type: ignore[arg-type]
    api.add_exception_handler(Exception, _of_unforeseen)


async def _of_kvasir(_: Request, error: KvasirError) -> JSONResponse:
    fields = fields_of(error)
    answer = problem(
        status_of(error), error.code, str(error), **({"fields": fields} if fields else {})
    )
    if isinstance(error, OperatorError):
        logger.error("%s: %s", error.code, error)
    if isinstance(error, RateLimitedError):
        answer.headers["Retry-After"] = str(max(1, round(error.retry_after)))
    if error.code == "not_authenticated":
        answer.headers["WWW-Authenticate"] = "Bearer"
    return answer


async def _of_validation(_: Request, error: RequestValidationError) -> JSONResponse:
    places = [
        {"place": ".".join(map(str, each["loc"])), "problem": each["msg"]}
        for each in error.errors()
    ]
    first = f"{places[0]['place']}: {places[0]['problem']}" if places else "malformed"
    return problem(422, RequestError.code, first, errors=places)


async def _of_http(_: Request, error: HTTPException) -> JSONResponse:
    codes = {404: "not_found", 405: "method_not_allowed"}
    answer = problem(error.status_code, codes.get(error.status_code, "http"), str(error.detail))
    answer.headers.update(error.headers or {})
    return answer


async def _of_unforeseen(request: Request, error: Exception) -> JSONResponse:
    logger.exception("unforeseen error in %s %s", request.method, request.url.path, exc_info=error)
    return problem(500, KvasirError.code, "this was not foreseen; the server's log says more")
