"""The HTML pages for people: their form, their errors, and protection against other sites.

A page works without scripts and loads nothing. Everything that is not a fixed text is escaped.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable, Coroutine
from html import escape
from typing import Any
from urllib.parse import quote, urlencode

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, RedirectResponse
from fastapi.routing import APIRoute

from kvasir.app import App
from kvasir.core.errors import (
    ForbiddenError,
    KvasirError,
    NotAuthenticatedError,
    OperatorError,
    RequestError,
)
from kvasir.frontends.api.callers import has_header_credential
from kvasir.frontends.api.problems import detail_of, headers_of, logger, status_of
from kvasir.frontends.api.registration import language_of
from kvasir.frontends.api.sources import public_path
from kvasir.frontends.locality import is_own_form

_STYLE = (
    "body{font:1rem/1.5 sans-serif;max-width:26rem;margin:3rem auto;padding:0 1rem;"
    "overflow-wrap:anywhere}"
    "body.wide{max-width:46rem}"
    "label{display:block;margin:1rem 0 .25rem}"
    "input,button{box-sizing:border-box;width:100%;font:inherit;padding:.5rem}"
    "button{margin-top:1.5rem}"
    ".passage{white-space:pre-wrap;border-left:.25rem solid #ccc;padding-left:1rem}"
    "mark{background:#ffe88a}"
    ".wide button{width:auto}"
)
_TITLES = {"en": "This did not work", "es": "Esto no funcionó"}
_ERRORS = {
    "en": {
        "not_authenticated": "The login is not valid, or it has expired.",
        "not_found": "There is no such page, or you may not read it.",
        "malformed": "The address or the form is incomplete.",
    },
    "es": {
        "not_authenticated": "El acceso no es válido o ha caducado.",
        "not_found": "Esta página no existe, o usted no puede leerla.",
        "malformed": "La dirección o el formulario están incompletos.",
    },
}
_OWN_PATH = re.compile(r"/(?![/\\])[\x21-\x5b\x5d-\x7e]*")


def html_page(
    request: Request,
    title: str,
    content: str,
    status: int = 200,
    *,
    script: str = "",
    wide: bool = False,
) -> HTMLResponse:
    """Return a page.

    Args:
        request: Its language is that of the page.
        title: Plain text.
        content: HTML, in which everything that is not fixed is escaped.
        status: The HTTP status.
        script: The only script that may run.
        wide: True for text to read, false for a form.
    """
    scripts = f"script-src {_source(script)}; " if script else ""
    headers = {
        "Cache-Control": "no-store",
        "Content-Security-Policy": (
            f"default-src 'none'; {scripts}style-src {_source(_STYLE)}; "
            "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
        ),
        # With "no-referrer", a browser hides the origin of our own forms from us, too.
        "Referrer-Policy": "same-origin",
    }
    width = ' class="wide"' if wide else ""
    tag = f"<script>{script}</script>" if script else ""
    return HTMLResponse(
        f'<!doctype html><html lang="{language_of(request)}"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)} - Kvasir</title><style>{_STYLE}</style></head>"
        f"<body{width}><h1>{escape(title)}</h1>{content}{tag}</body></html>",
        status,
        headers=headers,
    )


def alert(message: str) -> str:
    """Return the HTML of an error message."""
    return f'<p role="alert"><strong>{escape(message)}</strong></p>'


def check_own_form(request: Request) -> None:
    """Check that a form was sent by a page of ours.

    Raises:
        ForbiddenError: It was sent by another site.
    """
    if not is_own_form(request.headers):
        raise ForbiddenError("the form was sent from another site")


def own_path(given: str) -> str:
    """Return a path of this server to go to after a form; empty for anything else."""
    return given if _OWN_PATH.fullmatch(given) else ""


def go_to(kvasir: App, request: Request, path: str, **query: str) -> RedirectResponse:
    """Send a browser to another page of ours."""
    filled = {name: value for name, value in query.items() if value}
    address = public_path(kvasir, request, path) + (f"?{urlencode(filled)}" if filled else "")
    return RedirectResponse(address, 303, headers={"Cache-Control": "no-store"})


class PageRoute(APIRoute):
    """A route that answers errors with a page, and asks a browser to sign in."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the handler of a request."""
        answer = super().get_route_handler()

        async def handle(request: Request) -> Response:
            try:
                return await answer(request)
            except RequestValidationError:
                return _malformed(request)
            except KvasirError as error:
                return _sign_in_page(request, error) or error_page(request, error)

        return handle


def _sign_in_page(request: Request, error: KvasirError) -> Response | None:
    """Return the way to the page where a person can do something about an error, if there is."""
    if has_header_credential(request):
        return None
    kvasir: App = request.app.state.kvasir
    caller = getattr(request.state, "caller", None)
    then = own_path(_address(request)) if request.method == "GET" else ""
    if isinstance(error, NotAuthenticatedError):
        return go_to(kvasir, request, "/sign-in", next=then)
    if isinstance(error, ForbiddenError) and caller is not None and caller.must_change_password:
        return go_to(kvasir, request, "/change-password", next=then)
    return None


def _address(request: Request) -> str:
    path = request.scope["path"].removeprefix(request.scope.get("root_path", ""))
    query = request.url.query
    return quote(path) + (f"?{query}" if query else "")


def error_page(request: Request, error: KvasirError) -> HTMLResponse:
    """Return the page of an error."""
    if isinstance(error, OperatorError):
        logger.error("%s: %s", error.code, error)
    language, status = language_of(request), status_of(error)
    if status == 404:
        message = _ERRORS[language]["not_found"]
    elif isinstance(error, NotAuthenticatedError):
        message = _ERRORS[language]["not_authenticated"]
    else:
        message = detail_of(error, getattr(request.state, "caller", None))
    page = html_page(request, _TITLES[language], alert(message), status)
    page.headers.update(headers_of(error))
    return page


def _malformed(request: Request) -> HTMLResponse:
    language = language_of(request)
    content = alert(_ERRORS[language]["malformed"])
    return html_page(request, _TITLES[language], content, status_of(RequestError("")))


def _source(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"
