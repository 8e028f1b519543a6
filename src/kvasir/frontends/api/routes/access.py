"""``/v1/collections/{name}/access`` and ``/v1/access``: who may read and write collections."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from kvasir.app import App
from kvasir.core.errors import CollectionNotFoundError, ForbiddenError
from kvasir.core.services.accounts import Caller, CollectionAccess, Visibility
from kvasir.frontends.api.callers import Kvasir, Reader, Writer, check_may_read

router = APIRouter(prefix="/v1", tags=["collections"])

Name = Annotated[str, Field(min_length=1, max_length=254, examples=["ana"])]


class AccessChange(BaseModel):
    """Who may read and write a collection, in the place of what is recorded."""

    model_config = ConfigDict(extra="forbid")
    visibility: Visibility
    readers: list[Name] = Field(
        [], max_length=1000, description="user names or e-mail addresses; unless private"
    )
    writers: list[Name] = Field(
        [], max_length=1000, description="those who may also change documents; unless private"
    )
    owner: Name | None = Field(None, description="a new owner; administrators only")


class Access(BaseModel):
    """Who may read and write a collection; the owner is null if only administrators may."""

    collection: str
    owner: str | None
    visibility: Visibility
    readers: list[str]
    writers: list[str]


@router.get("/access", response_model=list[Access])
def list_access(kvasir: Kvasir, caller: Reader) -> JSONResponse:
    """List the rights on your collections, also of those without documents.

    An administrator sees those of all users.
    """
    accounts = kvasir.services.accounts
    names = accounts.collections_of(None if caller.is_admin else caller.user_id)
    return JSONResponse([_shown(kvasir, accounts.access(each)) for each in names])


@router.get("/collections/{name}/access", response_model=Access)
def show_access(name: str, kvasir: Kvasir, caller: Reader) -> JSONResponse:
    """Show who may read and write a collection of yours."""
    return JSONResponse(_shown(kvasir, _own_access(kvasir, caller, name)))


@router.put("/collections/{name}/access", response_model=Access)
def change_access(name: str, body: AccessChange, kvasir: Kvasir, caller: Writer) -> JSONResponse:
    """Say who may read and write a collection of yours."""
    present, accounts = _own_access(kvasir, caller, name), kvasir.services.accounts
    owner_id = present.owner_id
    if body.owner is not None:
        if not caller.is_admin:
            raise ForbiddenError("only an administrator may give a collection another owner")
        owner_id = accounts.user(body.owner).id
    changed = CollectionAccess(
        name,
        owner_id,
        body.visibility,
        readers=tuple(accounts.user(each).id for each in body.readers),
        writers=tuple(accounts.user(each).id for each in body.writers),
    )
    accounts.set_access(changed)
    return JSONResponse(_shown(kvasir, accounts.access(name)))


def _own_access(kvasir: App, caller: Caller, name: str) -> CollectionAccess:
    """Return the rights on a collection, if the caller may see and change them."""
    check_may_read(kvasir, caller, name)
    access = kvasir.services.accounts.access(name)
    if not caller.is_admin and access.owner_id != caller.user_id:
        raise ForbiddenError(f"only the owner of collection '{name}' may see and change its rights")
    names = [record.name for record in kvasir.collections()]
    if not access.owner_id and name not in names:
        raise CollectionNotFoundError(name, names)
    return access


def _shown(kvasir: App, access: CollectionAccess) -> dict[str, object]:
    def names(ids: tuple[int, ...]) -> list[str]:
        return [kvasir.services.accounts.user(each).username for each in ids]

    return {
        "collection": access.collection,
        "owner": names((access.owner_id,))[0] if access.owner_id else None,
        "visibility": access.visibility,
        "readers": names(access.readers),
        "writers": names(access.writers),
    }
