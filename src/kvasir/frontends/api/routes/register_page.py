"""``/register``: the page behind the link of an invitation.

The invitation stands in the link's fragment, which browsers do not send and servers do not log. A
script copies it into the form; without scripts it can be pasted.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from html import escape
from typing import Annotated

from fastapi import APIRouter, Form, Request
from fastapi.responses import HTMLResponse

from kvasir.core.errors import ForbiddenError, KvasirError, RequestError
from kvasir.frontends.api.callers import Kvasir
from kvasir.frontends.api.problems import status_of
from kvasir.frontends.api.registration import language_of, register

router = APIRouter(include_in_schema=False)

_TEXTS: Mapping[str, Mapping[str, str]] = {
    "en": {
        "title": "Register",
        "email": "E-mail address",
        "username": "User name (3 to 50 characters)",
        "password": "Password (8 to 64 characters)",
        "invitation": "Invitation (if you have one)",
        "submit": "Register",
        "done": "You are registered",
        "next": "Log in with the button Authorize of the",
        "manual": "manual of the interface",
    },
    "es": {
        "title": "Registrarse",
        "email": "Correo electrónico",
        "username": "Nombre de usuario (3 a 50 caracteres)",
        "password": "Contraseña (8 a 64 caracteres)",
        "invitation": "Invitación (si la tiene)",
        "submit": "Registrarse",
        "done": "Se ha registrado",
        "next": "Inicie sesión con el botón Authorize del",
        "manual": "manual de la interfaz",
    },
}

_SCRIPT = (
    'document.getElementById("invitation").value ||= decodeURIComponent(location.hash.slice(1));'
)
_STYLE = (
    "body{font:1rem/1.5 sans-serif;max-width:26rem;margin:3rem auto;padding:0 1rem}"
    "label{display:block;margin:1rem 0 .25rem}"
    "input,button{box-sizing:border-box;width:100%;font:inherit;padding:.5rem}"
    "button{margin-top:1.5rem}"
)


def _source(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        f"default-src 'none'; script-src {_source(_SCRIPT)}; style-src {_source(_STYLE)}; "
        "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


@router.get("/register")
def show_form(request: Request) -> HTMLResponse:
    """Show the form."""
    return _form(request)


@router.post("/register")
def submit_form(
    request: Request,
    kvasir: Kvasir,
    email: Annotated[str, Form(max_length=254)] = "",
    username: Annotated[str, Form(max_length=200)] = "",
    password: Annotated[str, Form(max_length=200)] = "",
    invitation: Annotated[str, Form(max_length=200)] = "",
) -> HTMLResponse:
    """Register a user, and say so."""
    try:
        # A form of another site must not register anyone here.
        if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
            raise ForbiddenError("the form was sent from another site")
        register(
            kvasir,
            request,
            None,
            email=email,
            username=username,
            password=password,
            invitation=invitation,
        )
    except RequestError as error:
        given = {"email": email, "username": username, "invitation": invitation}
        return _form(request, error, given)
    text = _TEXTS[language_of(request)]
    link = f'<a href="docs">{text["manual"]}</a>'
    return _page(request, text["done"], f"<p>{text['next']} {link}.</p>", 201)


def _form(
    request: Request, error: KvasirError | None = None, given: Mapping[str, str] | None = None
) -> HTMLResponse:
    text, given = _TEXTS[language_of(request)], given or {}
    message = f'<p role="alert"><strong>{escape(str(error))}</strong></p>' if error else ""
    kinds = {
        "email": 'type="email" required maxlength="254" autocomplete="email"',
        "username": 'required minlength="3" maxlength="50" autocomplete="username"',
        "password": 'type="password" required minlength="8" maxlength="64" '
        'autocomplete="new-password"',
        "invitation": 'maxlength="200" autocomplete="off"',
    }
    fields = "".join(
        f'<label for="{name}">{text[name]}</label>'
        f'<input id="{name}" name="{name}" {kind} value="{escape(given.get(name, ""))}">'
        for name, kind in kinds.items()
    )
    form = f'<form method="post" action="register">{fields}<button>{text["submit"]}</button></form>'
    content = f"{message}{form}<script>{_SCRIPT}</script>"
    return _page(request, text["title"], content, status_of(error) if error else 200)


def _page(request: Request, title: str, content: str, status: int) -> HTMLResponse:
    return HTMLResponse(
        f'<!doctype html><html lang="{language_of(request)}"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{title} - Kvasir</title><style>{_STYLE}</style></head>"
        f"<body><h1>{title}</h1>{content}</body></html>",
        status,
        headers=_HEADERS,
    )
