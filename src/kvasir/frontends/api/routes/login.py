"""The accounts of requirement document 004: register, log in, recover and change a password."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Form, Request
from fastapi.responses import JSONResponse
from fastapi.security import OAuth2PasswordRequestForm
from pydantic import BaseModel, ConfigDict, Field

from kvasir.app import App
from kvasir.core.errors import ForbiddenError, RequestError
from kvasir.core.services.accounts import Caller, Role, User
from kvasir.frontends.api.callers import Kvasir, SignedIn
from kvasir.frontends.api.limiting import limit_login, limit_recovery
from kvasir.frontends.api.registration import register

router = APIRouter(tags=["accounts"])

_NO_STORE = {"Cache-Control": "no-store"}

_RECOVERY = {
    "en": "if there is such a user, a temporary password is on its way by mail",
    "es": "si existe tal usuario, se ha enviado una contraseña temporal por correo",
}
_NO_MAIL = {
    "en": "this server sends no mail: ask its administrator for a new password",
    "es": "este servidor no envía correo: pida una nueva contraseña a su administrador",
}
_CHANGED = {
    "en": "the password was changed; log in again",
    "es": "la contraseña fue cambiada; inicie sesión de nuevo",
}


class NewUser(BaseModel):
    """A user to register."""

    email: str = Field(max_length=254, pattern=r"^[^@\s]+@[^@\s]+$", examples=["ana@example.org"])
    username: str = Field(min_length=3, max_length=50, examples=["ana"])
    password: str = Field(
        min_length=8, max_length=64, json_schema_extra={"format": "password"}, examples=["a secret"]
    )
    language: str | None = Field(
        None, pattern="^(en|es)$", description="of mails; by default as the browser prefers"
    )
    invitation: str | None = Field(None, max_length=200)


class NewUserByAdmin(NewUser):
    """A user to register, by an administrator also with a role."""

    model_config = ConfigDict(extra="forbid")
    role: Role | None = None


class RegisteredUser(BaseModel):
    """A registered user."""

    id: int
    email: str
    username: str


class Token(BaseModel):
    """A bearer token."""

    access_token: str
    token_type: str = Field(examples=["bearer"])


class Message(BaseModel):
    """What was done."""

    message: str


class ChangedPassword(BaseModel):
    """The present and the new password, the latter twice."""

    model_config = ConfigDict(extra="forbid")
    password: str = Field(max_length=200, json_schema_extra={"format": "password"})
    new_password: str = Field(min_length=8, max_length=64, json_schema_extra={"format": "password"})
    rewrite_password: str = Field(max_length=64, json_schema_extra={"format": "password"})


@router.post("/user/", status_code=201, response_model=RegisteredUser)
def create_user(body: NewUser, request: Request, kvasir: Kvasir) -> JSONResponse:
    """Register yourself."""
    user = register(kvasir, request, None, **body.model_dump())
    return JSONResponse({"id": user.id, "email": user.email, "username": user.username}, 201)


@router.post("/login", response_model=Token)
def login(
    request: Request, kvasir: Kvasir, form: Annotated[OAuth2PasswordRequestForm, Depends()]
) -> JSONResponse:
    """Log in by user name or e-mail address, also by a temporary password.

    The token of a temporary password allows nothing else than changing the password.
    """
    limit_login(kvasir, request, form.username)
    found = kvasir.services.accounts.login(form.username, form.password)
    content = {"access_token": found.access_token, "token_type": "bearer"}
    return JSONResponse(content, headers=_NO_STORE)


@router.post("/auth/forgot-password/", status_code=202, response_model=Message)
def forgot_password(
    request: Request,
    kvasir: Kvasir,
    username_or_email: Annotated[str, Form(min_length=1, max_length=254)],
    language: Annotated[str, Form(max_length=20, description="en or es")] = "",
) -> JSONResponse:
    """Mail a temporary password, which can be used once; the old one goes on working until then.

    The answer is the same if there is no such user. A server without a mail server says so.
    """
    limit_recovery(kvasir, request, username_or_email)
    chosen = language.strip().lower()[:2]
    said = _NO_MAIL
    if kvasir.settings.mail.host:
        kvasir.services.accounts.recover(username_or_email, chosen)
        said = _RECOVERY
    return JSONResponse({"message": said["es" if chosen == "es" else "en"]}, 202)


@router.post("/auth/change-password/", response_model=Message)
def change_password(
    body: ChangedPassword, request: Request, kvasir: Kvasir, caller: SignedIn
) -> JSONResponse:
    """Change your password; all logins end, this one too."""
    user = change_own_password(
        kvasir, request, caller, body.password, body.new_password, body.rewrite_password
    )
    return JSONResponse({"message": _CHANGED[user.language]})


def change_own_password(
    kvasir: App, request: Request, caller: Caller, password: str, new: str, repeated: str
) -> User:
    """Change the password of a caller who logged in.

    Raises:
        ForbiddenError: The caller did not log in as a user.
        RequestError: The new password is not acceptable, or its repetition differs.
        NotAuthenticatedError: The old password is wrong.
    """
    if caller.user is None or caller.api_key_id:
        raise ForbiddenError("log in by user name and password to change the password")
    if new != repeated:
        raise RequestError("the new password and its repetition differ")
    limit_login(kvasir, request, f"change of {caller.user_id}")
    kvasir.services.accounts.change_password(caller.user_id, password, new)
    return caller.user
