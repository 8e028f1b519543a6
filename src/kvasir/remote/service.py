"""A server's collections, as an application has them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, BinaryIO, Self
from urllib.parse import urlencode

from kvasir.core.errors import IncompatibleVersionError
from kvasir.core.ledger import CollectionRecord
from kvasir.core.run import Run
from kvasir.core.wire import from_json
from kvasir.remote.client import ServerClient
from kvasir.remote.collection import RemoteCollection
from kvasir.remote.owner import PROTOCOL, OwnerRecord
from kvasir.remote.uploading import Uploads

_SEARCH = "chat.rag.retriever."
_ON_CONFLICT = "rag.ingest.on_conflict"
_MAX_FILE_MB = "rag.ingest.max_file_mb"
_SPLITTER = "rag.splitter."
_OF_A_SEARCH = ("top_k", "min_score_threshold", "filters")
_PAGE = 1000


class RemoteService:
    """The collections at a server; close it, or use it in a ``with``.

    Attributes:
        client: The server's client.
        uploads: Sends files.
        settings: The server's settings that shape results, by dotted key; empty for a caller who
            may not see them.
    """

    def __init__(
        self,
        connect: Callable[[Mapping[str, Any]], ServerClient],
        *,
        collection: str,
        chosen: Mapping[str, Any] | None = None,
        host: str = "",
        left_out: Sequence[str] = (),
        logs: bool = True,
    ) -> None:
        """Ask the server whether it is one, and which protocol it has.

        Args:
            connect: Makes a client that sends these settings with every request.
            collection: The name of the collection that is used by default.
            chosen: Settings for every request, by dotted key. Those that only an administrator may
                send are sent only if there are any.
            host: Name of this machine, if the server is on another one.
            left_out: Paths that the ingest of a folder skips.
            logs: Whether the server adds answers to its log; only an administrator may say no.

        Raises:
            IncompatibleVersionError: The server is of another version.
            KvasirError: It does not answer, or refuses the caller.
        """
        chosen = dict(chosen or {})
        self._connect = connect
        self._collection = collection
        self._logs = logs
        self._search = {
            name: chosen.pop(_SEARCH + name) for name in _OF_A_SEARCH if _SEARCH + name in chosen
        }
        self._on_conflict = chosen.pop(_ON_CONFLICT, None)
        self.client = connect({})
        try:
            found = self.client.get("/v1/server", "connecting")
            if found["protocol"] != PROTOCOL:
                raise IncompatibleVersionError(
                    f"{self.client.name} is of version {found['version']}, which cannot work with "
                    "this one: end it, or use the same version"
                )
        except BaseException:
            self.client.close()
            raise
        self.settings: Mapping[str, Any] = found["settings"]
        self._chosen = {key: each for key, each in chosen.items() if not self._has(key, each)}
        if self._chosen:
            self.client.close()
            self.client = connect(self._chosen)
        most = chosen.get(_MAX_FILE_MB, found["max_file_mb"])
        self.uploads = Uploads(self.client, host, left_out, int(most))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self.client.close()

    def _has(self, key: str, value: Any) -> bool:
        """Return True if the server has this value; an option of the splitter also chooses one."""
        is_same = key in self.settings and self.settings[key] == value
        return is_same and not key.startswith(_SPLITTER)

    def collection(self, name: str | None = None) -> RemoteCollection:
        """Return a collection, by default the one that was named first."""
        return RemoteCollection(
            self.client,
            name or self._collection,
            self.uploads,
            search=self._search,
            on_conflict=self._on_conflict,
            logs=self._logs,
        )

    def with_model(self, model: str) -> RemoteCollection:
        """Return the default collection, asked with another language model; close it."""
        client = self._connect(self._chosen | {"generator.model": model})
        return RemoteCollection(
            client, self._collection, self.uploads, search=self._search, on_close=client.close
        )

    def back_up(self, target: BinaryIO, *, run: Run) -> None:
        """Write a backup of everything that the server keeps; needs an administrator."""
        self.client.download("/v1/backup", "backing up", target.write, run)

    def export_answers(
        self, write: Callable[[bytes], object], *, since: datetime | None, run: Run
    ) -> None:
        """Write the log of answers as JSON lines: of all users for an administrator."""
        query = f"?{urlencode({'since': since.isoformat()})}" if since else ""
        self.client.download(f"/v1/answers/export{query}", "exporting answers", write, run)

    def collections(self) -> list[CollectionRecord]:
        """Return the records of all collections that the caller may read."""
        found: list[CollectionRecord] = []
        after = ""
        while True:
            page = self.client.get("/v1/collections", "listing", after=after, limit=_PAGE)
            found += from_json(list[CollectionRecord], page)
            if len(page) < _PAGE:
                return found
            after = found[-1].name


def connect_to_owner(record: OwnerRecord, settings: Mapping[str, Any]) -> ServerClient:
    """Return a client of an index's owner."""
    return ServerClient(
        record.address,
        socket=record.socket,
        token=record.token,
        name=f"process {record.pid} ({record.command})",
        settings=settings,
    )
