"""Where the collections of a command are: in this process, at the index's owner, or at a server.

An embedded index has one owner. While another process owns it, commands work through that process;
the settings of the owner hold, except those that were typed.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol, Self, TypeVar, cast
from urllib.parse import urlsplit

from pydantic import BaseModel, SecretStr

from kvasir.core.deadline import deadline
from kvasir.core.errors import ComponentError, KvasirError, StoreLockedError
from kvasir.core.text import shown
from kvasir.frontends.cli.logins import clean_address, token_of
from kvasir.frontends.cli.terminal import echo
from kvasir.settings.loading import DERIVABLE, plain_values
from kvasir.settings.schema import Settings
from kvasir.sharing import owner_of

if TYPE_CHECKING:
    from kvasir.app import App
    from kvasir.collection import Collection
    from kvasir.core.ledger import CollectionRecord
    from kvasir.remote.client import ServerClient
    from kvasir.remote.collection import RemoteCollection
    from kvasir.remote.owner import OwnerRecord
    from kvasir.remote.service import RemoteService

R = TypeVar("R")

PATIENCE_SECONDS = 8.0
"""How long to wait for a process that has the index open but does not answer."""
ANSWER_SECONDS = 2.0
_PAUSE_SECONDS = 0.1
_HERE = ("localhost", "127.0.0.1", "::1")


class Service(Protocol):
    """What has collections: an ``App``, or a server."""

    def collection(self, name: str | None = None) -> Collection:
        """Return a collection, by default the one that the settings name."""

    def collections(self) -> list[CollectionRecord]:
        """Return the records of all collections."""


class Services:
    """Runs the work of a command where its collections are; close it, or use it in a ``with``."""

    def __init__(
        self,
        app: App,
        typed: Mapping[str, Any] | None = None,
        server: str | None = None,
        *,
        logs: bool = True,
    ) -> None:
        """Connect to nothing yet.

        Args:
            app: The application of this process.
            typed: Values that were typed, by dotted key.
            server: Address of a server that was named; by default the index's owner is looked up.
            logs: Whether a server adds answers to its log.
        """
        self._app = app
        self._typed = {
            key: _plain(app.settings, key, value)
            for key, value in (typed or {}).items()
            if key.startswith(DERIVABLE)
        }
        self._server = server and clean_address(server)
        self._logs = logs
        self._remote: RemoteService | None = None
        self._of = ""  # The address or the owner's token that ``_remote`` is connected to.
        self._said = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        remote, self._remote, self._of = self._remote, None, ""
        if remote is not None:
            remote.close()

    def run(self, work: Callable[[Service], R], *, may_repeat: bool = False) -> R:
        """Do work where the collections are.

        It is begun again where it has done nothing, because another process has the index open or
        the owner has ended; with ``may_repeat`` also where the owner ends in the middle of it.

        Raises:
            StoreLockedError: Another process has the index open and does not answer.
        """
        if self._server:
            return work(self._at_server(self._server))
        end = time.monotonic() + PATIENCE_SECONDS
        while True:
            owner = owner_of(self._app.settings)
            if owner is not None and (service := self._at_owner(owner)) is not None:
                try:
                    return work(service)
                except ComponentError as error:
                    if not _is_gone(error, may_repeat=may_repeat):
                        raise
                    self._take_back()
            try:
                return work(self._app)
            except StoreLockedError:
                if time.monotonic() > end:
                    raise
            time.sleep(_PAUSE_SECONDS)

    def with_model(self, service: Service, model: str | None) -> RemoteCollection:
        """Return the default collection of a server, asked with another language model."""
        remote = cast("RemoteService", service)
        return remote.collection() if model is None else remote.with_model(model)

    def _at_server(self, server: str) -> Service:
        if self._of != server:
            token = token_of(server)

            def connect(settings: Mapping[str, Any]) -> ServerClient:
                from kvasir.remote.client import ServerClient

                return ServerClient(server, token=token, settings=settings)

            is_here = urlsplit(server).hostname in _HERE
            self._connect(connect, server, host="" if is_here else platform.node())
        return cast("Service", self._remote)

    def _at_owner(self, record: OwnerRecord) -> Service | None:
        """Return the service of the index's owner; None if it does not answer."""
        from kvasir.remote.service import connect_to_owner

        if self._of != record.token:
            try:
                # A stuck owner must not hold up what works without it.
                with deadline(ANSWER_SECONDS):
                    self._connect(lambda settings: connect_to_owner(record, settings), record.token)
            except ComponentError as error:
                if error.kind not in ("unreachable", "timeout"):
                    raise
                return None
        return cast("Service", self._remote)

    def _connect(
        self, connect: Callable[[Mapping[str, Any]], ServerClient], of: str, host: str = ""
    ) -> None:
        from kvasir.remote.service import RemoteService

        self.close()
        settings = self._app.settings
        self._remote = RemoteService(
            connect,
            collection=settings.collection,
            chosen=self._typed,
            host=host,
            left_out=settings.own_paths,
            logs=self._logs,
        )
        self._of = of
        differences = _differences(settings, self._typed, self._remote.settings)
        if differences and differences != self._said:
            self._said = differences
            echo(f"the settings of {self._remote.client.name} hold: {differences}", err=True)

    def _take_back(self) -> None:
        """Cancel the jobs of an owner that has ended: this process does their work itself."""
        remote = self._remote
        if remote is not None:
            for job in remote.uploads.pending:
                with suppress(KvasirError):
                    self._app.services.jobs.cancel(job)
        self.close()


def _is_gone(error: ComponentError, *, may_repeat: bool) -> bool:
    from kvasir.remote.client import is_unreachable

    return is_unreachable(error, at_once=not may_repeat)


def _differences(settings: Settings, typed: Mapping[str, Any], at_server: Mapping[str, Any]) -> str:
    """Return which settings of this process, not typed ones, are others at the server."""
    if not at_server:
        return ""
    sent = tuple(f"{key}." for key in typed)
    return "; ".join(
        f"{key} is {shown(str(at_server.get(key)))} there, {shown(str(value))} here"
        for key, value in plain_values(settings, given=True).items()
        if key.startswith(DERIVABLE)
        and not f"{key}.".startswith(sent)
        and at_server.get(key) != value
    )


def _plain(settings: Settings, key: str, typed: Any) -> Any:
    """Return a checked value as plain data; of a plug-in's option, what was typed."""
    value: Any = settings
    for name in key.split("."):
        if isinstance(value, BaseModel):
            value = getattr(value, name)
        elif isinstance(value, Mapping):
            value = value.get(name, typed)
        else:
            return typed
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    return value.model_dump(mode="json") if isinstance(value, BaseModel) else value
