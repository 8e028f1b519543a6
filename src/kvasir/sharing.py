"""Serves an embedded index to other processes of the user while this process holds it.

Only one process can open an embedded index. One that holds it for two seconds starts a server on a
local socket, so that others work through it.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import threading
from typing import Any, Protocol

from kvasir.core import registry
from kvasir.core.errors import KvasirError, SettingsError
from kvasir.remote.owner import OwnerRecord, read_owner
from kvasir.settings.schema import Settings
from kvasir.settings.store_uris import normal_uri

logger = logging.getLogger(__name__)

SERVER = "http"
"""The entry point of ``kvasir.owner_servers`` that is used."""


def index_of(settings: Settings) -> str:
    """Return the hash by which an index is known: of kind and place of its store and catalog."""
    places = [normal_uri(settings.store_uri), normal_uri(settings.catalog_url)]
    chosen = [settings.rag.vectordb.type, *places]
    return hashlib.sha256(json.dumps(chosen).encode()).hexdigest()


def owner_of(settings: Settings) -> OwnerRecord | None:
    """Return the record of the living owner of the index that the settings name, if any."""
    return read_owner(settings.data_folder, index_of(settings))


def is_embedded(settings: Settings) -> bool:
    """Return True if one process at a time can open the store that the settings name."""
    return "://" not in settings.store_uri.removeprefix("file://")


def has_own_spool(settings: Settings) -> bool:
    """Return True if the bytes of uploads are kept in a folder of this machine."""
    return "://" not in settings.spool_uri


def indexes_nothing(settings: Settings) -> bool:
    """Return True if neither this process nor another one does the jobs that it would add.

    An instance of AWS Lambda without workers shares its folder of uploads with nobody.
    """
    return (
        settings.environment == "lambda"
        and settings.jobs.backend == "database"
        and not settings.server.job_workers
        and has_own_spool(settings)
    )


def check_jobs(settings: Settings) -> None:
    """Check that worker processes can open the store, where Celery brings them jobs.

    Raises:
        SettingsError: The store is embedded: one process at a time can open it.
    """
    if settings.jobs.backend == "celery" and is_embedded(settings):
        raise SettingsError(
            "jobs.backend 'celery' needs a store server, because one process at a time can open "
            f"'{settings.store_uri}': set rag.vectordb.uri to an address such as "
            "http://localhost:6333, or jobs.backend to 'database'"
        )


class Holder(Protocol):
    """An application that may hold an index."""

    settings: Settings

    @property
    def holds_index(self) -> bool:
        """Whether the store of a collection is open."""


class IndexSharing:
    """Starts the server of an application's index in time, and ends it with the application."""

    after_seconds = 2.0
    """How long the index is held before it is served: a short command pays nothing."""

    def __init__(self, app: Holder) -> None:
        """Start nothing yet."""
        self._app = app
        self._lock = threading.Lock()
        self._timer: threading.Timer | None = None
        self._server: Any = None
        self._is_closed = False

    def note_open(self) -> None:
        """Serve the index in a while, if it is held then; called when a store was opened."""
        settings = self._app.settings
        if not settings.server.share_index or not is_embedded(settings):
            return
        self._start_later()

    def _start_later(self) -> None:
        with self._lock:
            if self._timer is None and self._server is None and not self._is_closed:
                self._timer = threading.Timer(self.after_seconds, self._start)
                self._timer.name, self._timer.daemon = "index sharing", True
                self._timer.start()

    def close(self) -> None:
        """End the server; a second call does nothing."""
        with self._lock:
            self._is_closed = True
            server, self._server = self._server, None
            if self._timer is not None:
                self._timer.cancel()
        if server is not None:
            server.stop()

    def _start(self) -> None:
        is_early = False
        try:
            if not self._app.holds_index or SERVER not in registry.names("owner_servers"):
                return
            owner = owner_of(self._app.settings)
            if owner is not None:
                # Its place is taken when it ends.
                is_early = owner.pid != os.getpid()
                return
            server = registry.build("owner_servers", SERVER, {}, {"app": self._app})
            with self._lock:
                if not self._is_closed and server.start():
                    self._server = server
        except (KvasirError, OSError) as error:
            logger.warning("the index is not served to other processes: %s", error)
        finally:
            with self._lock:
                self._timer = None
            if is_early:
                self._start_later()
