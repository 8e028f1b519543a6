"""``/v1/collections``: list, make, show and delete collections."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from kvasir.collection_deletion import delete_collection
from kvasir.core.errors import ForbiddenError, NameTakenError
from kvasir.core.ledger import CollectionRecord
from kvasir.core.services.accounts import CollectionAccess, Visibility
from kvasir.core.wire import to_json
from kvasir.frontends.api.caching import cached
from kvasir.frontends.api.callers import (
    Kvasir,
    Reader,
    Writer,
    check_may_read,
    check_may_write,
    readable_collections,
)
from kvasir.frontends.api.sources import public_path

router = APIRouter(prefix="/v1/collections", tags=["collections"])


class NewCollection(BaseModel):
    """A collection to make."""

    model_config = ConfigDict(extra="forbid")
    name: str = Field(min_length=1, max_length=64, pattern=r"^[\w.-]+$", examples=["course"])
    visibility: Visibility = Visibility.PRIVATE


@router.get("", responses={200: {"model": list[CollectionRecord]}})
def list_collections(
    request: Request,
    kvasir: Kvasir,
    caller: Reader,
    after: Annotated[str, Query(description="the last name of the page before")] = "",
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> Response:
    """List the collections that you may read, by name."""
    readable = set(readable_collections(kvasir, caller))
    records = sorted(kvasir.collections(), key=lambda record: record.name)
    found = [each for each in records if each.name in readable and each.name > after]
    return cached(request, to_json(found[:limit]))


@router.post("", status_code=201, responses={201: {"model": CollectionAccess}})
def make(body: NewCollection, request: Request, kvasir: Kvasir, caller: Writer) -> JSONResponse:
    """Make a collection of your own; its index is made with its first document."""
    accounts = kvasir.services.accounts
    # One that is indexed and nobody's belongs to the owner of the data folder.
    may_claim = caller.is_admin or body.name not in _names(kvasir)
    if not may_claim or not accounts.claim_collection(body.name, caller.user_id):
        raise NameTakenError(body.name, ": choose another name")
    access = CollectionAccess(body.name, caller.user_id, body.visibility)
    accounts.set_access(access)
    path = f"/v1/collections/{quote(body.name, safe='')}"
    address = public_path(kvasir, request, path)
    return JSONResponse(to_json(access), 201, headers={"Location": address})


@router.get("/{name}", responses={200: {"model": CollectionRecord}})
def show(name: str, request: Request, kvasir: Kvasir, caller: Reader) -> Response:
    """Show a collection."""
    check_may_read(kvasir, caller, name)
    with kvasir.collection(name) as collection:
        return cached(request, to_json(collection.record()))


@router.delete("/{name}", status_code=204)
def delete(name: str, request: Request, kvasir: Kvasir, caller: Writer) -> Response:
    """Delete a collection with all of its documents; its owner and administrators may."""
    check_may_write(kvasir, caller, name)
    accounts = kvasir.services.accounts
    if not caller.is_admin and accounts.access(name).owner_id != caller.user_id:
        raise ForbiddenError(f"only the owner of collection '{name}' may delete it")
    delete_collection(kvasir, name)
    # The uploaded bytes are deleted soon.
    request.app.state.tidy_up()
    return Response(status_code=204)


def _names(kvasir: Kvasir) -> set[str]:
    return {record.name for record in kvasir.collections()}
