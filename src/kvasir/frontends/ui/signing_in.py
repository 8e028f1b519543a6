"""``/sign-in``, ``/sign-out`` and ``/change-password`` of the web client: plain pages.

Streamlit's own forms cannot set a cookie. These can: the session is a token of the API's ``/login``
in a cookie that scripts cannot read and other sites cannot send with a form.
"""

from __future__ import annotations

import re
from html import escape
from urllib.parse import parse_qsl, quote

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from kvasir.core.errors import (
    ForbiddenError,
    KvasirError,
    NotAuthenticatedError,
    RateLimitedError,
    RequestError,
    TooLargeError,
)
from kvasir.frontends.locality import is_own_form
from kvasir.frontends.ui.connection import Api, current
from kvasir.frontends.ui.look import PLAIN_STYLE
from kvasir.frontends.ui.session import LANGUAGE_COOKIE, SESSION_COOKIE
from kvasir.frontends.ui.texts import LANGUAGES, chosen, has, preferred, text

_OWN_PATH = re.compile(r"/(?![/\\])[\x21-\x5b\x5d-\x7e]*")
_LONGEST = 2000
_LONGEST_FORM = 1 << 16
"""Bytes."""
_DAY = 86_400


def routes() -> list[Route]:
    """Return the routes."""
    return [
        Route("/sign-in", _show_sign_in, methods=["GET"]),
        Route("/sign-in", _sign_in, methods=["POST"]),
        Route("/sign-out", _sign_out, methods=["POST"]),
        Route("/change-password", _show_change, methods=["GET"]),
        Route("/change-password", _change, methods=["POST"]),
    ]


async def _show_sign_in(request: Request) -> Response:
    key = "error.not_authenticated" if "expired" in request.query_params else ""
    return _sign_in_page(request, request.query_params.get("next", ""), text_key=key)


async def _sign_in(request: Request) -> Response:
    if not is_own_form(request.headers):
        return _sign_in_page(request, "", text_key="error.forbidden", status=403)
    username = then = ""
    try:
        form = await _form(request)
        username, then = form.get("username", ""), form.get("next", "")
        data = {"username": username, "password": form.get("password", "")}
        answer = await run_in_threadpool(
            current().client.send,
            "POST",
            "/login",
            "signing in",
            data=data,
            headers=_asker(request),
        )
        token = answer.json()["access_token"]
        me = await run_in_threadpool(Api(current(), token).get, "/v1/users/me")
    except KvasirError as error:
        key = "signin.wrong" if isinstance(error, NotAuthenticatedError) else _key_of(error)
        return _sign_in_page(request, then, username, key, _status_of(error), str(error))
    target = "/change-password" if me["must_change_password"] else (_own_path(then) or "/")
    response = RedirectResponse(target, 303, headers=_NO_STORE)
    response.set_cookie(
        SESSION_COOKIE,
        token,
        max_age=30 * _DAY,  # The token itself ends earlier.
        httponly=True,
        samesite="lax",
        secure=request.url.scheme == "https",
    )
    return response


def _asker(request: Request) -> dict[str, str]:
    """Return the header that says for whom we ask, so that attempts are counted by browser."""
    before = request.headers.getlist("x-forwarded-for")
    own = [request.client.host] if request.client else []
    return {"X-Forwarded-For": ", ".join([*before, *own])} if own else {}


async def _sign_out(request: Request) -> Response:
    response = RedirectResponse("/sign-in", 303, headers=_NO_STORE)
    if is_own_form(request.headers):
        response.delete_cookie(SESSION_COOKIE)
    return response


async def _show_change(request: Request) -> Response:
    return _change_page(request)


async def _change(request: Request) -> Response:
    if not is_own_form(request.headers):
        return _change_page(request, "error.forbidden", 403)
    names = ("password", "new_password", "rewrite_password")
    api = Api(current(), request.cookies.get(SESSION_COOKIE, ""))
    try:
        form = await _form(request)
        body = {name: form.get(name, "") for name in names}
        await run_in_threadpool(api.post, "/auth/change-password/", body)
    except KvasirError as error:
        return _change_page(request, _key_of(error), _status_of(error), str(error))
    response = RedirectResponse("/sign-in", 303, headers=_NO_STORE)
    response.delete_cookie(SESSION_COOKIE)
    return response


async def _form(request: Request) -> dict[str, str]:
    """Return the fields of a form.

    Raises:
        TooLargeError: It is longer than any of ours; the rest is not read.
    """
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > _LONGEST_FORM:
            raise TooLargeError("the form is too long")
    return dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True))


_STATUS = {
    NotAuthenticatedError.code: 401,
    ForbiddenError.code: 403,
    TooLargeError.code: 413,
    RateLimitedError.code: 429,
}
_NO_STORE = {"Cache-Control": "no-store"}


def _status_of(error: KvasirError) -> int:
    return _STATUS.get(error.code, 400 if isinstance(error, RequestError) else 503)


def _key_of(error: KvasirError) -> str:
    key = f"error.{error.code}"
    return key if has(key) else "error.other"


def _own_path(given: str) -> str:
    return given if len(given) < _LONGEST and _OWN_PATH.fullmatch(given) else ""


def _sign_in_page(
    request: Request,
    then: str,
    username: str = "",
    text_key: str = "",
    status: int = 200,
    detail: str = "",
) -> Response:
    _choose_language(request)
    fields = _field(
        "username", "signin.username", f'autocomplete="username" value="{escape(username)}"'
    )
    fields += _field(
        "password", "signin.password", 'type="password" autocomplete="current-password"'
    )
    kept = _own_path(then)
    if kept:
        fields += f'<input type="hidden" name="next" value="{escape(kept)}">'
    form = f'<form method="post" action="/sign-in">{fields}{_button("app.sign_in")}</form>'
    return _page(request, "signin.title", _alert(text_key, detail) + form, status)


def _change_page(
    request: Request, text_key: str = "", status: int = 200, detail: str = ""
) -> Response:
    _choose_language(request)
    new = 'type="password" minlength="8" maxlength="64" autocomplete="new-password"'
    fields = _field("password", "signin.present", 'type="password" autocomplete="current-password"')
    fields += _field("new_password", "signin.new", new)
    fields += _field("rewrite_password", "signin.again", new)
    form = f'<form method="post" action="/change-password">{fields}{_button("app.save")}</form>'
    why = f"<p>{escape(text('signin.why'))}</p>"
    return _page(request, "signin.change", _alert(text_key, detail) + why + form, status)


def _field(name: str, label: str, attributes: str) -> str:
    made = f'<input id="{name}" name="{name}" required {attributes}>'
    return f'<label for="{name}">{escape(text(label))}</label>{made}'


def _button(label: str) -> str:
    return f"<button>{escape(text(label))}</button>"


def _alert(key: str, detail: str = "") -> str:
    return f'<p role="alert">{escape(text(key, detail=detail))}</p>' if key else ""


def _choose_language(request: Request) -> None:
    asked = request.query_params.get("language") or request.cookies.get(LANGUAGE_COOKIE, "")
    known = asked in LANGUAGES
    chosen.set(asked if known else preferred(request.headers.get("accept-language", "")))


def _page(request: Request, title: str, content: str, status: int) -> Response:
    shown, language = escape(text(title)), chosen.get()
    links = " · ".join(
        f'<a lang="{code}" href="{escape(request.url.path)}?language={code}'
        f'&next={quote(_own_path(request.query_params.get("next", "")), safe="")}">{name}</a>'
        for code, name in LANGUAGES.items()
    )
    response = HTMLResponse(
        f'<!doctype html><html lang="{language}"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>{shown} - Kvasir</title><style>{PLAIN_STYLE}</style></head><body>"
        f'<main><p class="name">Kvasir</p><h1>{shown}</h1>{content}</main>'
        f"<footer>{links}</footer></body></html>",
        status,
        headers=_NO_STORE
        | {
            "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; "
            "form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
            "Referrer-Policy": "same-origin",
        },
    )
    if request.query_params.get("language") in LANGUAGES:
        response.set_cookie(LANGUAGE_COOKIE, language, max_age=365 * _DAY, samesite="lax")
    return response
