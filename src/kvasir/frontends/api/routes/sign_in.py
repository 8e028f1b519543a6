"""``/sign-in``, ``/sign-out`` and ``/change-password``: how people sign in for the pages.

The session is a token of ``POST /login`` in a cookie that scripts cannot read, that other sites
cannot send with a form, and that only the pages accept.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from html import escape
from typing import Annotated

from fastapi import APIRouter, Form, Query, Request, Response
from fastapi.responses import HTMLResponse

from kvasir.app import App
from kvasir.core.errors import (
    KvasirError,
    NotAuthenticatedError,
    RateLimitedError,
    RequestError,
)
from kvasir.core.services.accounts import Caller, Login
from kvasir.frontends.api.callers import SESSION_COOKIE, Kvasir, PageUser
from kvasir.frontends.api.limiting import limit_login
from kvasir.frontends.api.pages import (
    PageRoute,
    alert,
    check_own_form,
    go_to,
    html_page,
    own_path,
)
from kvasir.frontends.api.problems import headers_of, status_of
from kvasir.frontends.api.registration import language_of, registration_of
from kvasir.frontends.api.routes.login import change_own_password
from kvasir.frontends.api.sources import base_url, path_prefix

router = APIRouter(include_in_schema=False, route_class=PageRoute)

Then = Annotated[str, Form(alias="next", max_length=2000)]

_TEXTS: Mapping[str, Mapping[str, str]] = {
    "en": {
        "title": "Sign in",
        "username": "User name or e-mail address",
        "password": "Password",
        "submit": "Sign in",
        "wrong": "The user name or the password is wrong.",
        "wait": "Too many attempts: wait {} seconds.",
        "register": "Register",
        "done": "You are signed in",
        "out": "Sign out",
        "change": "Choose a new password",
        "why": "Choose a new password for the user {}, and sign in with it.",
        "present": "Present or temporary password",
        "new": "New password (8 to 64 characters)",
        "again": "New password again",
        "wrong_present": "The present password is wrong.",
    },
    "es": {
        "title": "Iniciar sesión",
        "username": "Nombre de usuario o correo electrónico",
        "password": "Contraseña",
        "submit": "Iniciar sesión",
        "wrong": "El nombre de usuario o la contraseña no son correctos.",
        "wait": "Demasiados intentos: espere {} segundos.",
        "register": "Registrarse",
        "done": "Ha iniciado sesión",
        "out": "Cerrar sesión",
        "change": "Elegir una contraseña nueva",
        "why": "Elija una contraseña nueva para el usuario {} e inicie sesión con ella.",
        "present": "Contraseña actual o temporal",
        "new": "Contraseña nueva (8 a 64 caracteres)",
        "again": "Repita la contraseña nueva",
        "wrong_present": "La contraseña actual no es correcta.",
    },
}


@router.get("/sign-in")
def show_sign_in(
    request: Request,
    kvasir: Kvasir,
    then: Annotated[str, Query(alias="next", max_length=2000)] = "",
) -> HTMLResponse:
    """Show the form."""
    return _sign_in_form(request, kvasir, own_path(then))


@router.post("/sign-in")
def sign_in(
    request: Request,
    kvasir: Kvasir,
    username: Annotated[str, Form(max_length=254)] = "",
    password: Annotated[str, Form(max_length=200)] = "",
    then: Then = "",
) -> Response:
    """Sign in, and go to the page that was asked for."""
    check_own_form(request)
    wanted = own_path(then)
    try:
        limit_login(kvasir, request, username)
        found = kvasir.services.accounts.login(username, password)
    except (NotAuthenticatedError, RateLimitedError) as error:
        return _sign_in_form(request, kvasir, wanted, error, username)
    if found.must_change_password:
        answer = go_to(kvasir, request, "/change-password", next=wanted)
    else:
        answer = go_to(kvasir, request, wanted or "/signed-in")
    _set_cookie(answer, kvasir, request, found)
    return answer


@router.get("/signed-in")
def show_signed_in(request: Request, kvasir: Kvasir, caller: PageUser) -> HTMLResponse:
    """Show who is signed in, with the way out."""
    text = _TEXTS[language_of(request)]
    links = f'<p>{escape(_name(caller))}</p><p><a href="change-password">{text["change"]}</a></p>'
    return html_page(request, text["done"], links + sign_out_form(request, kvasir))


@router.post("/sign-out")
def sign_out(request: Request, kvasir: Kvasir) -> Response:
    """Forget the session in this browser."""
    check_own_form(request)
    answer = go_to(kvasir, request, "/sign-in")
    answer.delete_cookie(SESSION_COOKIE, path=_cookie_path(kvasir, request))
    return answer


@router.get("/change-password")
def show_change_password(
    request: Request,
    caller: PageUser,
    then: Annotated[str, Query(alias="next", max_length=2000)] = "",
) -> HTMLResponse:
    """Show the form to change a password."""
    return _password_form(request, _name(caller), own_path(then))


@router.post("/change-password")
def change_password(
    request: Request,
    kvasir: Kvasir,
    caller: PageUser,
    password: Annotated[str, Form(max_length=200)] = "",
    new_password: Annotated[str, Form(max_length=200)] = "",
    rewrite_password: Annotated[str, Form(max_length=200)] = "",
    then: Then = "",
) -> Response:
    """Change the password, and sign in again with it."""
    check_own_form(request)
    wanted = own_path(then)
    try:
        change_own_password(kvasir, request, caller, password, new_password, rewrite_password)
    except RequestError as error:
        return _password_form(request, _name(caller), wanted, error)
    return go_to(kvasir, request, "/sign-in", next=wanted)


def _name(caller: Caller) -> str:
    return caller.user.username if caller.user else ""


def sign_out_form(request: Request, kvasir: App) -> str:
    """Return the HTML of the button that signs out."""
    text = _TEXTS[language_of(request)]
    action = escape(f"{path_prefix(kvasir, request)}/sign-out")
    return f'<form method="post" action="{action}"><button>{text["out"]}</button></form>'


def _sign_in_form(
    request: Request,
    kvasir: App,
    then: str,
    error: KvasirError | None = None,
    username: str = "",
) -> HTMLResponse:
    text = _TEXTS[language_of(request)]
    content = _message(request, error, text["wrong"]) + _form(
        "sign-in",
        text["submit"],
        then,
        _field("username", text["username"], f'autocomplete="username" value="{escape(username)}"'),
        _field("password", text["password"], 'type="password" autocomplete="current-password"'),
    )
    if registration_of(kvasir, request) != "closed":
        content += f'<p><a href="register">{text["register"]}</a></p>'
    return _answer(request, text["title"], content, error)


def _password_form(
    request: Request, username: str, then: str, error: KvasirError | None = None
) -> HTMLResponse:
    text = _TEXTS[language_of(request)]
    own = 'type="password" autocomplete="current-password"'
    new = 'type="password" minlength="8" maxlength="64" autocomplete="new-password"'
    content = _message(request, error, text["wrong_present"]) + _form(
        "change-password",
        text["change"],
        then,
        f"<p>{escape(text['why'].format(username))}</p>",
        _field("password", text["present"], own),
        _field("new_password", text["new"], new),
        _field("rewrite_password", text["again"], new),
    )
    return _answer(request, text["change"], content, error)


def _form(action: str, submit: str, then: str, *fields: str) -> str:
    hidden = f'<input type="hidden" name="next" value="{escape(then)}">' if then else ""
    inner = f"{''.join(fields)}{hidden}<button>{submit}</button>"
    return f'<form method="post" action="{action}">{inner}</form>'


def _field(name: str, label: str, attributes: str) -> str:
    made = f'<input id="{name}" name="{name}" required {attributes}>'
    return f'<label for="{name}">{label}</label>{made}'


def _message(request: Request, error: KvasirError | None, wrong: str) -> str:
    if error is None:
        return ""
    if isinstance(error, RateLimitedError):
        seconds = max(1, round(error.retry_after))
        return alert(_TEXTS[language_of(request)]["wait"].format(seconds))
    return alert(wrong if isinstance(error, NotAuthenticatedError) else str(error))


def _answer(request: Request, title: str, content: str, error: KvasirError | None) -> HTMLResponse:
    page = html_page(request, title, content, status_of(error) if error else 200)
    if error is not None:
        page.headers.update(headers_of(error))
    return page


def _set_cookie(answer: Response, kvasir: App, request: Request, found: Login) -> None:
    seconds = int((found.expires - datetime.now(UTC)).total_seconds())
    is_https = "https" in (request.url.scheme, base_url(kvasir, request).partition(":")[0])
    answer.set_cookie(
        SESSION_COOKIE,
        found.access_token,
        max_age=max(0, seconds),
        path=_cookie_path(kvasir, request),
        secure=is_https,
        httponly=True,
        # With "strict", the link in a mail that is read in a browser would ask to sign in again.
        samesite="lax",
    )


def _cookie_path(kvasir: App, request: Request) -> str:
    return f"{path_prefix(kvasir, request)}/"
