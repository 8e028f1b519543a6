"""Who calls, and what they may do: the dependencies of every route.

A credential comes in ``Authorization: Bearer`` or ``x-api-key``; both are checked alike. The pages
for people accept the cookie of a login, too. A credential in the query of an address is refused,
since addresses are logged.
"""

from __future__ import annotations

import hmac
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from typing import Annotated, Any, get_origin

from fastapi import Depends, Header, Request, Response
from fastapi.concurrency import contextmanager_in_threadpool, run_in_threadpool
from fastapi.routing import APIRoute
from fastapi.security import APIKeyHeader, HTTPBearer, OAuth2PasswordBearer

from kvasir.app import App
from kvasir.core.errors import (
    CollectionNotFoundError,
    ForbiddenError,
    KvasirError,
    NotAuthenticatedError,
    RequestError,
)
from kvasir.core.services.accounts import Caller, Scope
from kvasir.core.wire import loads
from kvasir.derived_app import with_settings
from kvasir.frontends.api.problems import sent_settings
from kvasir.frontends.api.uploads import UploadRequest
from kvasir.remote.client import SETTINGS_HEADER

logger = logging.getLogger(__name__)

_IN_QUERY = frozenset({"access_token", "api_key", "apikey", "key", "token", "x-api-key"})
_OWNER = Caller(None, frozenset(Scope))
SESSION_COOKIE = "kvasir_session"
"""The cookie of people who signed in; only the pages for people accept it."""

SCHEMES = (
    OAuth2PasswordBearer(tokenUrl="login", auto_error=False),
    HTTPBearer(auto_error=False),
    APIKeyHeader(name="x-api-key", auto_error=False),
)
"""The ways to send a credential, for the OpenAPI document."""

Dependency = Callable[..., Any]
_with_credential: set[Dependency] = set()


def takes_credential(dependency: Dependency | None) -> bool:
    """Return True for a dependency that finds out who calls."""
    return dependency in _with_credential


def _credential(dependency: Dependency) -> Dependency:
    """Mark a dependency that finds out who calls.

    It asks the request itself: that FastAPI resolves dependencies of dependencies took a fifth of
    the interpreter's time for a search.
    """
    _with_credential.add(dependency)
    return dependency


async def kvasir_of(request: Request) -> App:
    """Return the ``App`` that the server serves; asynchronous, since a thread would cost time."""
    app: App = request.app.state.kvasir
    return app


Kvasir = Annotated[App, Depends(kvasir_of)]


async def _caller_of(request: Request) -> Caller:
    known: Caller | None = getattr(request.state, "caller", None)
    return known or await _authenticate(request)


async def _authenticate(request: Request) -> Caller:
    _check_query(request)
    credential = _credential_of(request)
    caller = _owner(request, credential)
    if caller is None:
        caller = await _known_or_asked(request.app.state.kvasir, credential)
        request.state.credential = credential
    request.state.caller = caller
    return caller


async def withdrawn(request: Request) -> KvasirError | None:
    """Return the error of a credential that does not hold any more, or not for as much.

    None for a credential that holds, and for a request without one.
    """
    credential = getattr(request.state, "credential", None)
    if credential is None:
        return None
    before: Caller = request.state.caller
    try:
        now = await _known_or_asked(request.app.state.kvasir, credential)
    except NotAuthenticatedError as error:
        return error
    except KvasirError as error:
        # A database that cannot be asked for a moment ends no answer.
        logger.warning("a credential cannot be checked again: %s", error)
        return None
    if now.scopes >= before.scopes:
        return None
    return ForbiddenError("the credential has lost rights since the request began")


async def _known_or_asked(kvasir: App, credential: str) -> Caller:
    # The database is asked in a thread, which would cost every search time.
    caller = kvasir.services.recall(credential)
    if caller is None:
        caller = await run_in_threadpool(kvasir.services.accounts.authenticate, credential)
    return caller


def _owner(request: Request, credential: str) -> Caller | None:
    token: str = request.app.state.owner_token
    is_owner = token and hmac.compare_digest(credential.encode(), token.encode())
    return _OWNER if is_owner else None


def _credential_of(request: Request) -> str:
    scheme, _, bearer = request.headers.get("authorization", "").partition(" ")
    token = bearer.strip() if scheme.lower() == "bearer" else ""
    given = [each for each in (token, request.headers.get("x-api-key", "")) if each]
    if not given:
        raise NotAuthenticatedError("this needs a login or an API key")
    if len(set(given)) > 1:
        raise NotAuthenticatedError("two different credentials were sent: send one")
    return given[0]


class UploadRoute(APIRoute):
    """A route whose requests may be large: the credential is checked before they are read.

    Otherwise anyone could fill the disk on which a form is kept until its end.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Wrap the route's handler."""
        handle = super().get_route_handler()
        fields = {
            field.alias: get_origin(field.field_info.annotation) is list
            for field in self.dependant.body_params
        }

        async def handle_if_known(request: Request) -> Response:
            await _authenticate(request)
            return await handle(UploadRequest(request, fields))

        return handle_if_known


def _check_query(request: Request) -> None:
    if _IN_QUERY & {name.lower() for name in request.query_params}:
        raise RequestError("credentials in the address are refused: send them in a header")


@_credential
async def _caller_if_given(request: Request) -> Caller | None:
    _check_query(request)
    if not has_header_credential(request):
        return None
    caller = await _caller_of(request)
    if caller.must_change_password:
        raise ForbiddenError("change the temporary password first")
    return caller


def has_header_credential(request: Request) -> bool:
    """Return True if a request carries a credential in a header, as programs do."""
    return bool({"authorization", "x-api-key"} & set(request.headers.keys()))


async def _page_caller(request: Request) -> Caller:
    """Return the caller of a page of ours, where a browser signs in by a cookie."""
    if has_header_credential(request):
        return await _caller_of(request)
    _check_query(request)
    token = request.cookies.get(SESSION_COOKIE)
    if not token:
        raise NotAuthenticatedError("this needs a login")
    caller = await _known_or_asked(request.app.state.kvasir, token)
    if caller.api_key_id:
        raise NotAuthenticatedError("an API key in a cookie is refused: send it in a header")
    request.state.caller = caller
    return caller


_SentSettings = Annotated[
    str | None,
    Header(
        alias=SETTINGS_HEADER,
        max_length=60_000,
        description="a JSON object of settings for this request; for administrators",
    ),
]


@_credential
async def _overrides(request: Request, settings: _SentSettings = None) -> Mapping[str, Any]:
    if settings is None:
        return {}
    caller = await _caller_of(request)
    if not caller.is_admin:
        raise ForbiddenError("only an administrator may send settings with a request")
    found: Mapping[str, Any] = loads(Mapping[str, Any], settings)
    sent_settings.set(tuple(sorted(found)))
    return found


Overrides = Annotated[Mapping[str, Any], Depends(_overrides)]
"""Settings for this request, by dotted key."""


@_credential
async def _with_overrides(request: Request, settings: _SentSettings = None) -> AsyncIterator[App]:
    kvasir: App = request.app.state.kvasir
    overrides = await _overrides(request, settings)
    if not overrides:
        # A thread would cost every search time.
        yield kvasir
        return
    async with contextmanager_in_threadpool(with_settings(kvasir, overrides)) as chosen:
        yield chosen


Chosen = Annotated[App, Depends(_with_overrides)]
"""The ``App`` with the settings of this request, until its response is sent."""


def _check_scope(caller: Caller, scope: Scope) -> Caller:
    if caller.must_change_password:
        raise ForbiddenError("change the temporary password first")
    if not caller.has(scope):
        raise ForbiddenError(f"the credential does not have the scope '{scope}'")
    return caller


def needs(scope: Scope) -> Callable[[Request], Awaitable[Caller]]:
    """Return the dependency of a route that needs a scope."""

    @_credential
    async def check(request: Request) -> Caller:
        return _check_scope(await _caller_of(request), scope)

    return check


def _check_logged_in(caller: Caller) -> Caller:
    if caller.user is None or caller.api_key_id:
        raise ForbiddenError("this needs a login, not an API key")
    return caller


@_credential
async def _page_reader(request: Request) -> Caller:
    return _check_scope(await _page_caller(request), Scope.READ)


@_credential
async def _page_user(request: Request) -> Caller:
    return _check_logged_in(await _page_caller(request))


@_credential
async def signed_in(request: Request) -> Caller:
    """Return the caller, also one who has to change the password first."""
    return await _caller_of(request)


@_credential
async def logged_in(request: Request) -> Caller:
    """Return a caller who logged in; an API key must not make others or change the password."""
    caller = await _caller_of(request)
    if caller.must_change_password:
        raise ForbiddenError("change the temporary password first")
    return _check_logged_in(caller)


Reader = Annotated[Caller, Depends(needs(Scope.READ))]
Writer = Annotated[Caller, Depends(needs(Scope.WRITE))]
Answerer = Annotated[Caller, Depends(needs(Scope.ANSWERING))]
Admin = Annotated[Caller, Depends(needs(Scope.ADMIN))]
SignedIn = Annotated[Caller, Depends(signed_in)]
LoggedIn = Annotated[Caller, Depends(logged_in)]
PageUser = Annotated[Caller, Depends(_page_user)]
"""Who logged in and sees a page for people, also one who has to change the password first."""
PageReader = Annotated[Caller, Depends(_page_reader)]
MaybeCaller = Annotated[Caller | None, Depends(_caller_if_given)]


def check_may_read(kvasir: App, caller: Caller, collection: str) -> None:
    """Raise CollectionNotFoundError for a collection that the caller may not read.

    One that does not exist has the same answer, so that names stay secret.
    """
    if not may_read(kvasir, caller, collection):
        raise CollectionNotFoundError(collection, _readable(kvasir, caller))


def may_read(kvasir: App, caller: Caller, collection: str) -> bool:
    """Return True if the caller may read a collection."""
    # The owner of the data folder may do everything, also without any accounts.
    return caller.user is None or kvasir.services.accounts.may_read(caller, collection)


def check_may_write(kvasir: App, caller: Caller, collection: str) -> None:
    """Raise ForbiddenError for a collection that the caller may read only."""
    check_may_read(kvasir, caller, collection)
    if caller.user is None:
        return
    if not kvasir.services.accounts.may_write(caller, collection):
        raise ForbiddenError(f"you may read collection '{collection}', but not change it")


def readable_collections(kvasir: App, caller: Caller) -> list[str]:
    """Return the names of the collections that the caller may read."""
    names = [record.name for record in kvasir.collections()]
    return names if caller.user is None else kvasir.services.accounts.readable(caller, names)


def _readable(kvasir: App, caller: Caller) -> tuple[str, ...]:
    return tuple(readable_collections(kvasir, caller))
