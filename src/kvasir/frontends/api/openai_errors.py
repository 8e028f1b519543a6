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
from starlette.exceptions import HTTPException

from kvasir.core.errors import KvasirError, OperatorError
from kvasir.core.services.accounts import Caller
from kvasir.frontends.api.problems import detail_of, respond, status_of

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
_KEPT_HEADERS = ("Retry-After", "WWW-Authenticate")
_SERVER = "server_error"
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
        409: "it conflicts with work in progress",
        413: "the request is larger than the server allows",
        422: "a field has an unusable value",
        429: "too many requests",
        503: "a component is busy or cannot be reached",
        504: "the time allowed for it is over",
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
            except HTTPException as error:
                body = _body(str(error.detail), _INVALID, None, None)
                return JSONResponse(body, error.status_code, error.headers)
            except OpenAIFault as fault:
                body = _body(str(fault), _INVALID, fault.param, fault.code)
                return JSONResponse(body, fault.status)
            except KvasirError as error:
                return error_response(error, getattr(request.state, "caller", None))

        return handle_in_form


def error_body(error: Exception, caller: Caller | None) -> dict[str, Any]:
    """Return an error in OpenAI's form, and log it if it is ours."""
    if not isinstance(error, KvasirError):
        logger.error("unforeseen error in an answer", exc_info=error)
        return _body("this was not foreseen", _SERVER, None, KvasirError.code)
    if isinstance(error, OperatorError):
        logger.error("%s: %s", error.code, error)
    status = status_of(error)
    kind = _SERVER if status >= 500 else _TYPES.get(status, _INVALID)
    param = "model" if error.code == "collection_not_found" else None
    return _body(detail_of(error, caller), kind, param, _CODES.get(error.code, error.code))


def error_response(error: KvasirError, caller: Caller | None) -> JSONResponse:
    """Return the response of an error, with the headers of its status."""
    headers = respond(error, caller).headers
    kept = {name: headers[name] for name in _KEPT_HEADERS if name in headers}
    return JSONResponse(error_body(error, caller), status_of(error), kept)


def _of_validation(error: RequestValidationError) -> JSONResponse:
    first = error.errors()[0]
    param = _param(first["loc"])
    if first["type"] == _UNKNOWN_FIELD:
        message, code = f"Unrecognized request argument supplied: {param}", "unknown_parameter"
    elif first["type"] == "json_invalid":
        message, code = "We could not parse the JSON body of your request.", "invalid_json"
        param = ""
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
