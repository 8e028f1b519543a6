"""``/docs``: Swagger UI, served without the Internet, and the OpenAPI document behind it.

Swagger UI's files come with the package ``fastapi-offline``.
"""

from __future__ import annotations

from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.dependencies.models import Dependant
from fastapi.encoders import jsonable_encoder
from fastapi.openapi.utils import get_openapi
from fastapi.responses import FileResponse, HTMLResponse, Response
from fastapi.routing import iter_route_contexts

from kvasir.core.errors import NotFoundError, OperatorError
from kvasir.frontends.api.callers import SCHEMES, takes_credential
from kvasir.frontends.api.problems import MEDIA_TYPE, Problem

router = APIRouter(include_in_schema=False)

_DESCRIPTION = """
Press **Authorize** to log in by user name or e-mail address and password, or to give an API key.
Errors are problem documents of RFC 9457: `code` is a stable word, `detail` a sentence, and `remedy`
says what you may do.
"""

_TAGS = (
    ("operation", "For those who watch the server."),
    ("accounts", "Register, log in, API keys."),
    ("collections", "Documents that are searched together, and who may read and write them."),
    ("documents", "Upload, list, show, change and delete documents."),
    ("jobs", "The state of uploads that are being indexed."),
    ("search", "Find passages."),
    ("answers", "Ask, with citations."),
    ("services", "The ZeroMQ services of the server's data folder; for administrators."),
    ("tuning", "Training data and tuning jobs; for administrators."),
    ("models", "Models on the server's machine, and what llm runs; for administrators."),
    ("openai", "For clients of OpenAI's interface: a collection is a model."),
    ("completion", "The interface of requirement document 002."),
    ("predict", "The interface of requirement document 003."),
)

_RESPONSES = {
    400: "The request is not acceptable; `detail` says why",
    401: "No credential, or it is wrong, expired or revoked",
    403: "The credential does not allow this",
    404: "There is no such thing, or you may not see it",
    409: "It conflicts with existing data or with work in progress",
    413: "It is larger than the server allows",
    422: "A value is missing or malformed",
    429: "Too many requests; `Retry-After` says how long to wait",
    503: "A part of the service is busy or cannot be reached; `Retry-After` says how long to wait",
    504: "The time allowed for it is over",
}
_LIMITED = frozenset({"accounts", "questions", "course"})
_TIMED = frozenset({"search", "answers", "openai", "completion", "predict"})

_FILES = {
    "swagger-ui-bundle.js": "text/javascript",
    "swagger-ui.css": "text/css",
    "favicon.png": "image/png",
}
_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Kvasir</title>
<link rel="stylesheet" href="docs/swagger-ui.css"><link rel="icon" href="docs/favicon.png">
</head><body><div id="swagger-ui"></div>
<script src="docs/swagger-ui-bundle.js"></script><script src="docs/start.js"></script>
</body></html>
"""
_START = """SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  docExpansion: "list",
  defaultModelsExpandDepth: -1,
  presets: [SwaggerUIBundle.presets.apis],
});
"""
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
        "img-src 'self' data:; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
}


@router.get("/docs")
def show_manual() -> HTMLResponse:
    """Show Swagger UI."""
    return HTMLResponse(_PAGE, headers=_HEADERS)


@router.get("/docs/start.js")
def start() -> Response:
    """Return the script that starts Swagger UI."""
    return Response(_START, media_type="text/javascript")


@router.get("/docs/{name}")
def static_file(name: str) -> FileResponse:
    """Return a file of Swagger UI."""
    if name not in _FILES:
        raise NotFoundError(f"there is no file '{name}'")
    headers = {"Cache-Control": "public, max-age=3600"}
    return FileResponse(_folder() / name, media_type=_FILES[name], headers=headers)


@router.get("/openapi.json")
def show_openapi(request: Request) -> dict[str, Any]:
    """Return the OpenAPI document."""
    api: FastAPI = request.app
    return api.openapi()


def _folder() -> Path:
    # Looked up, not imported: its module imports FastAPI's own pages.
    found = find_spec("fastapi_offline")
    if found is None or not found.submodule_search_locations:
        raise OperatorError("the package fastapi-offline is not installed: install kvasir again")
    return Path(found.submodule_search_locations[0]) / "static"


def document(api: FastAPI) -> dict[str, Any]:
    """Return the OpenAPI document, in which every route names the errors that it may answer."""
    found = get_openapi(
        title=api.title,
        version=version("kvasir"),
        summary="Answers questions from your documents and shows where each answer stands.",
        description=_DESCRIPTION,
        routes=api.routes,
        tags=[{"name": name, "description": text} for name, text in _TAGS],
    )
    _add_security(api, found)
    schemas = found.setdefault("components", {}).setdefault("schemas", {})
    schemas["Problem"] = Problem.model_json_schema()
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    for path, item in found["paths"].items():
        for method, operation in item.items():
            for parameter in operation.get("parameters", ()):
                _leave_out_null(parameter["schema"])
            responses = operation["responses"]
            for status in _errors(path, method, operation):
                described = {"description": _RESPONSES[status], "content": content}
                # FastAPI documents its own form of 422.
                kept = responses.get(str(status), described) if status != 422 else described
                responses[str(status)] = kept
    return found


def _add_security(api: FastAPI, found: dict[str, Any]) -> None:
    """Name the ways to send a credential, for each operation that takes one."""
    components = found.setdefault("components", {})
    components["securitySchemes"] = {
        scheme.scheme_name: jsonable_encoder(scheme.model, by_alias=True, exclude_none=True)
        for scheme in SCHEMES
    }
    for route in iter_route_contexts(api.routes):
        operations = found["paths"].get(getattr(route, "path_format", None))
        if operations is None or not _takes_credential(route.dependant):
            continue
        for method in route.methods or ():
            if operation := operations.get(method.lower()):
                operation["security"] = [{scheme.scheme_name: []} for scheme in SCHEMES]


def _takes_credential(dependant: Dependant) -> bool:
    return takes_credential(dependant.call) or any(map(_takes_credential, dependant.dependencies))


def _leave_out_null(schema: dict[str, Any]) -> None:
    """Describe a parameter that may be left out by its type alone; null cannot be sent."""
    types = [each for each in schema.get("anyOf", ()) if each != {"type": "null"}]
    if len(types) == 1:
        del schema["anyOf"]
        schema.update(types[0])


def _errors(path: str, method: str, operation: dict[str, Any]) -> list[int]:
    """Return the statuses of the errors that an operation may answer."""
    tags = set(operation.get("tags", ()))
    found = {503}
    if operation.get("security"):
        found |= {401, 403, 404, 400}
    if operation.get("parameters") or operation.get("requestBody"):
        found |= {400, 422}
    if "{" in path:
        found.add(404)
    if operation.get("requestBody"):
        found.add(413)
    if method != "get":
        found.add(409)
    if tags & _LIMITED:
        found.add(429)
    if "accounts" in tags:
        found |= {401, 403}
    if tags & _TIMED:
        found.add(504)
    return sorted(found)
