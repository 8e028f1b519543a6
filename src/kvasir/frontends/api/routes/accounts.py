"""``/v1/users`` and ``/v1/invitations``: users, API keys and invitations."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from kvasir.core.errors import ForbiddenError
from kvasir.core.services.accounts import ApiKey, Role, Scope, User
from kvasir.core.wire import to_json
from kvasir.frontends.api.callers import Admin, Kvasir, LoggedIn, MaybeCaller, SignedIn
from kvasir.frontends.api.registration import invitation_link, register
from kvasir.frontends.api.routes.login import NewUserByAdmin
from kvasir.frontends.api.sources import public_path

router = APIRouter(prefix="/v1", tags=["accounts"])

_NO_STORE = {"Cache-Control": "no-store"}


class Me(BaseModel):
    """The caller; the owner of the data folder is no user."""

    user: User | None
    scopes: list[Scope]
    must_change_password: bool = Field(
        description="after logging in by a temporary password: nothing else is allowed"
    )


class UserChange(BaseModel):
    """What to change of a user."""

    model_config = ConfigDict(extra="forbid")
    role: Role | None = None
    disabled: bool | None = None
    language: Literal["en", "es"] | None = None


class OwnChange(BaseModel):
    """What users may change of themselves."""

    model_config = ConfigDict(extra="forbid")
    language: Literal["en", "es"]


class NewApiKey(BaseModel):
    """An API key to make."""

    model_config = ConfigDict(extra="forbid")
    name: str = Field(min_length=1, max_length=100, examples=["my script"])
    scopes: list[Scope] = Field(min_length=1, max_length=4, examples=[["read"]])
    expires: datetime | None = Field(None, description="with a time zone; by default never")


class MadeApiKey(BaseModel):
    """A new API key."""

    key: ApiKey
    secret: str = Field(description="shown only now")


class NewInvitation(BaseModel):
    """An invitation to make."""

    model_config = ConfigDict(extra="forbid")
    role: Role = Role.USER
    hours: float = Field(168.0, gt=0, le=8760, description="its validity")


class MadeInvitation(BaseModel):
    """A new invitation, which registers one user."""

    invitation: str
    link: str


@router.get("/users/me", response_model=Me)
def show_me(caller: SignedIn) -> JSONResponse:
    """Show who you are and what your credential allows."""
    content = {
        "user": None if caller.user is None else to_json(caller.user),
        "scopes": [scope for scope in Scope if scope in caller.scopes],
        "must_change_password": caller.must_change_password,
    }
    return JSONResponse(content, headers=_NO_STORE)


@router.patch("/users/me", responses={200: {"model": User}})
def change_me(body: OwnChange, kvasir: Kvasir, caller: LoggedIn) -> JSONResponse:
    """Change the language of your mails."""
    changed = kvasir.services.accounts.change_user(caller.user_id, language=body.language)
    return JSONResponse(to_json(changed))


@router.get("/users", responses={200: {"model": list[User]}})
def list_users(
    kvasir: Kvasir,
    _: Admin,
    after: Annotated[int, Query(ge=0, le=2**31 - 1, description="the last id before")] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> JSONResponse:
    """List the users by their ids."""
    return JSONResponse(to_json(kvasir.services.accounts.users(after=after, limit=limit)))


@router.post("/users", status_code=201, responses={201: {"model": User}})
def create_user(
    body: NewUserByAdmin, request: Request, kvasir: Kvasir, caller: MaybeCaller
) -> JSONResponse:
    """Register a user: yourself, where that is allowed, or as an administrator anyone."""
    user = register(kvasir, request, caller, **body.model_dump())
    address = public_path(kvasir, request, f"/v1/users/{user.id}")
    return JSONResponse(to_json(user), 201, headers={"Location": address})


UserId = Annotated[int, Field(ge=1, le=2**31 - 1)]


@router.get("/users/{user_id}", responses={200: {"model": User}})
def show_user(user_id: UserId, kvasir: Kvasir, _: Admin) -> JSONResponse:
    """Show a user."""
    return JSONResponse(to_json(kvasir.services.accounts.user(user_id)))


@router.patch("/users/{user_id}", responses={200: {"model": User}})
def change_user(user_id: UserId, body: UserChange, kvasir: Kvasir, _: Admin) -> JSONResponse:
    """Disable, enable or change a user; disabling or another role ends all logins."""
    changed = kvasir.services.accounts.change_user(user_id, **body.model_dump())
    return JSONResponse(to_json(changed))


@router.get("/users/me/api-keys", responses={200: {"model": list[ApiKey]}})
def list_api_keys(kvasir: Kvasir, caller: LoggedIn) -> JSONResponse:
    """List your API keys."""
    return JSONResponse(to_json(kvasir.services.accounts.api_keys(caller.user_id)))


@router.post("/users/me/api-keys", status_code=201, response_model=MadeApiKey)
def create_api_key(body: NewApiKey, kvasir: Kvasir, caller: LoggedIn) -> JSONResponse:
    """Make an API key; its secret is shown only now."""
    key, secret = kvasir.services.accounts.create_api_key(
        caller.user_id, body.name, set(body.scopes), expires=body.expires
    )
    return JSONResponse({"key": to_json(key), "secret": secret}, 201, headers=_NO_STORE)


@router.delete("/users/me/api-keys/{key_id}", status_code=204)
def revoke_api_key(key_id: str, kvasir: Kvasir, caller: LoggedIn) -> Response:
    """Revoke an API key."""
    kvasir.services.accounts.revoke_api_key(caller.user_id, key_id)
    return Response(status_code=204)


@router.post("/invitations", status_code=201, response_model=MadeInvitation)
def invite(body: NewInvitation, request: Request, kvasir: Kvasir, _: Admin) -> JSONResponse:
    """Make an invitation, by which one user registers, also where not everyone may."""
    if kvasir.settings.accounts.registration == "closed":
        raise ForbiddenError("accounts.registration is closed: make the user yourself")
    made = kvasir.services.accounts.invite(body.role, hours=body.hours)
    content = {"invitation": made, "link": invitation_link(kvasir, made)}
    return JSONResponse(content, 201, headers=_NO_STORE)
