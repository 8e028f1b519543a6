"""``/register``: the page behind the link of an invitation.

The invitation stands in the link's fragment, which browsers do not send and servers do not log. A
script copies it into the form; without scripts it can be pasted.
"""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Annotated

from fastapi import APIRouter, Form, Request
from fastapi.responses import HTMLResponse

from kvasir.core.errors import KvasirError, RequestError
from kvasir.frontends.api.callers import Kvasir
from kvasir.frontends.api.pages import alert, check_own_form, html_page
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
        check_own_form(request)
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
    return html_page(request, text["done"], f"<p>{text['next']} {link}.</p>", 201)


def _form(
    request: Request, error: KvasirError | None = None, given: Mapping[str, str] | None = None
) -> HTMLResponse:
    text, given = _TEXTS[language_of(request)], given or {}
    message = alert(str(error)) if error else ""
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
    status = status_of(error) if error else 200
    return html_page(request, text["title"], message + form, status, script=_SCRIPT)
