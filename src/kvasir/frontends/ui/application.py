"""The ASGI application of the web client: Streamlit's, with pages of its own to sign in."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import quote

import streamlit as st
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import HTTPConnection
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from kvasir.core.errors import KvasirError
from kvasir.frontends.locality import is_own_origin
from kvasir.frontends.ui import signing_in
from kvasir.frontends.ui.connection import current
from kvasir.frontends.ui.left_sessions import freeing
from kvasir.frontends.ui.session import SESSION_COOKIE

PAGES = (
    "/",
    "/knowledge",
    "/questions",
    "/evaluation",
    "/services",
    "/tuning",
    "/models",
    "/help",
)
"""The addresses of pages, for which a browser without a session is asked to sign in."""
_UPLOADS = "/_stcore/upload_file/"
_SCRIPT = Path(__file__).with_name("script.py")


def make_application() -> ASGIApp:
    """Return the application; the connection and Streamlit's options are set before."""
    return st.App(**application_parts())


def application_parts() -> dict[str, Any]:
    """Return the arguments of ``st.App``."""
    return {
        "script_path": _SCRIPT,
        "lifespan": freeing,
        "routes": signing_in.routes(),
        "middleware": [Middleware(SignIn), Middleware(Headers)],
    }


class SignIn:
    """Sends browsers without a session to the page to sign in, and refuses pages of others.

    Streamlit itself would take a WebSocket of any page of this machine, whatever its port.
    """

    def __init__(self, app: ASGIApp) -> None:
        """Guard an application."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer it."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        asking = HTTPConnection(scope)
        if _is_of_streamlit(scope) and not is_own_origin(asking.headers):
            await _refuse(scope, receive, send)
            return
        is_page = scope["type"] == "http" and scope["method"] == "GET" and scope["path"] in PAGES
        is_upload = scope["path"].startswith(_UPLOADS)
        if scope["type"] == "websocket" or is_page or is_upload:
            try:
                may_pass = await run_in_threadpool(_is_known, asking)
            except KvasirError:
                may_pass = not is_upload  # The page says that the API does not answer.
            if not may_pass and is_page:
                await _to_sign_in(asking)(scope, receive, send)
                return
            if not may_pass:
                await _refuse(scope, receive, send)
                return
        await self._app(scope, receive, send)


def _is_of_streamlit(scope: Scope) -> bool:
    return scope["type"] == "websocket" or str(scope["path"]).startswith("/_stcore/")


async def _refuse(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008})
        return
    await Response(status_code=403)(scope, receive, send)


def _is_known(asking: HTTPConnection) -> bool:
    """Return True if somebody is signed in, or need not; errors as of the connection."""
    signed_in = asking.cookies.get(SESSION_COOKIE, "")
    return bool(current().token_for(signed_in, asking.headers))


def _to_sign_in(asking: HTTPConnection) -> Response:
    query = asking.url.query
    then = asking.url.path + (f"?{query}" if query else "")
    expired = "&expired=1" if asking.cookies.get(SESSION_COOKIE) else ""
    target = f"/sign-in?next={quote(then, safe='')}{expired}"
    # The cookie may be that of another server of this machine: signing in replaces it.
    return RedirectResponse(target, 303, {"Cache-Control": "no-store"})


class Headers:
    """Adds headers that keep other sites from framing the pages, and pictures of theirs out."""

    def __init__(self, app: ASGIApp) -> None:
        """Add them to the answers of an application."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""

        async def send_with_headers(message: Any) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [
                    *message.get("headers", ()),
                    (b"x-content-type-options", b"nosniff"),
                    (b"x-frame-options", b"DENY"),
                    (b"content-security-policy", b"img-src 'self' data: blob:"),
                    (b"referrer-policy", b"same-origin"),
                ]
            await send(message)

        await self._app(scope, receive, send_with_headers)
