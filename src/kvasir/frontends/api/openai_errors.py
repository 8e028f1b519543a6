"""Errors in the form of OpenAI's interface, for the routes that imitate it.

Source: https://platform.openai.com/docs/guides/error-codes
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from pydantic import BaseModel

from kvasir.core.errors import KvasirError, OperatorError, RateLimitedError
from kvasir.frontends.api.problems import status_of

logger = logging.getLogger(__name__)

_CODES: Mapping[str, str] = {
    "not_authenticated": "invalid_api_key",
    "collection_not_found": "model_not_found",
    "rate_limited": "rate_limit_exceeded",
    "too_large": "context_length_exceeded",
}
"""OpenAI's codes by ours; others are passed on."""

_TYPES: Mapping[int, str] = {
    401: "authentication_error",
    403: "permission_error",
    429: "rate_limit_error",
}
_INVALID = "invalid_request_error"
_UNKNOWN_FIELD = "extra_forbidden"


class OpenAIError(BaseModel):
    """What went wrong."""

    message: str
    type: str
    param: str | None
    code: str | None


class OpenAIErrorBody(BaseModel):
    """An error as OpenAI's interface has it."""

    error: OpenAIError


ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": OpenAIErrorBody, "description": description}
    for status, description in {
        400: "a field is unknown, unsupported or has an unusable value",
        401: "no credential, or it is not valid",
        403: "the credential does not allow this",
        404: "there is no such model",
        429: "too many requests",
        503: "a component is busy or cannot be reached",
    }.items()
}
"""The documented errors of a route."""


class OpenAIFault(Exception):  # noqa: N818 - the error in OpenAI's form is its body
    """A fault of the request in OpenAI's terms.

    Attributes:
        param: The field that has it.
        code: OpenAI's word for it.
        status: The HTTP status.
    """

    def __init__(
        self, message: str, param: str, code: str = "invalid_value", status: int = 400
    ) -> None:
        super().__init__(message)
        self.param, self.code, self.status = param, code, status


def unknown_model(model: str) -> OpenAIFault:
    """Return the fault of a model that does not exist, or that the caller may not use."""
    message = f"The model '{model}' does not exist or you do not have access to it."
    return OpenAIFault(message, "model", "model_not_found", 404)


class OpenAIRoute(APIRoute):
    """A route whose errors have OpenAI's form, also those of authentication and validation."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Wrap the route's handler."""
        handle = super().get_route_handler()

        async def handle_in_form(request: Request) -> Response:
            try:
                return await handle(request)
            except RequestValidationError as error:
                return _of_validation(error)
            except OpenAIFault as fault:
                body = _body(str(fault), _INVALID, fault.param, fault.code)
                return JSONResponse(body, fault.status)
            except KvasirError as error:
                return _of_kvasir(error)

        return handle_in_form


def error_body(error: KvasirError) -> dict[str, Any]:
    """Return an error in OpenAI's form."""
    status = status_of(error)
    kind = "server_error" if status >= 500 else _TYPES.get(status, _INVALID)
    param = "model" if error.code == "collection_not_found" else None
    return _body(str(error), kind, param, _CODES.get(error.code, error.code))


def _of_kvasir(error: KvasirError) -> JSONResponse:
    status = status_of(error)
    if isinstance(error, OperatorError):
        logger.error("%s: %s", error.code, error)
    answer = JSONResponse(error_body(error), status)
    if isinstance(error, RateLimitedError):
        answer.headers["Retry-After"] = str(max(1, round(error.retry_after)))
    if status == 401:
        answer.headers["WWW-Authenticate"] = "Bearer"
    return answer


def _of_validation(error: RequestValidationError) -> JSONResponse:
    first = error.errors()[0]
    param = _param(first["loc"])
    if first["type"] == _UNKNOWN_FIELD:
        message, code = f"Unrecognized request argument supplied: {param}", "unknown_parameter"
    elif first["type"] == "missing":
        message, code = f"Missing required parameter: '{param}'.", "missing_required_parameter"
    else:
        message, code = f"Invalid value for '{param}': {first['msg']}", "invalid_value"
    return JSONResponse(_body(message, _INVALID, param or None, code), 400)


def _param(location: tuple[str | int, ...]) -> str:
    """Return a place in the body as OpenAI names it, such as ``messages[0].role``."""
    found = ""
    for part in location[1:]:
        found += f"[{part}]" if isinstance(part, int) else f".{part}" if found else part
    return found


def _body(message: str, kind: str, param: str | None, code: str | None) -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}
