"""Ingest at a server: files are sent in batches, each one job, and their reports are put together.

The server never opens a path of this machine: a file's path is the name of its document. A batch
that a stop interrupts is reported as left; what the server has finished of it is kept there.
"""

from __future__ import annotations

import json
import stat
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import IO, Any, Protocol
from urllib.parse import quote

from kvasir.core.batches import batches
from kvasir.core.document_metadata import check_metadata
from kvasir.core.errors import CollectionNotFoundError, FetchError, StoppedError
from kvasir.core.ledger import DocumentRecord
from kvasir.core.reports import Failed, Finished, IngestReport, NotRead, Outcome
from kvasir.core.run import Run
from kvasir.core.services.jobs import Job, JobState
from kvasir.core.types import Metadata
from kvasir.core.wire import from_json, to_json
from kvasir.ingesting.extraction import too_large
from kvasir.ingesting.kinds import is_named_otherwise, not_read
from kvasir.ingesting.sources import (
    NOT_A_FILE,
    Discovery,
    Input,
    KeptBytes,
    discover,
    is_address,
)
from kvasir.remote.client import ServerClient
from kvasir.remote.jobs import await_job, cancel_job, making_collection, result_of

_MOST_FILES = 64
_MOST_BYTES = 32 << 20
"""Of one batch: a stop loses at most one batch."""
_UPLOADED_AHEAD = 2
"""Batches that wait at the server while another one is indexed."""
_DELETED_TOGETHER = 100

_COUNTS = tuple(each.name for each in fields(IngestReport) if each.type == "int")


class Target(Protocol):
    """The collection that documents are sent to."""

    name: str

    def documents(self, prefix: str = "") -> list[DocumentRecord]:
        """Return documents whose source URI begins with ``prefix``."""

    def delete(self, *sources: str) -> int:
        """Delete documents by id."""


@dataclass
class Uploads:
    """Sends files to one server.

    Attributes:
        client: The server's client.
        host: Name of this machine, if the server is on another one: it comes before paths.
        left_out: Paths to skip inside of folders.
        max_file_mb: Larger files are not sent.
        pending: Ids of jobs that have not ended.
    """

    client: ServerClient
    host: str = ""
    left_out: Sequence[str] = ()
    max_file_mb: int = 200
    pending: set[str] = field(default_factory=set)

    def label(self, path: str) -> str:
        """Return the source URI of a file of this machine."""
        return f"{self.host}:{path}" if self.host and Path(path).is_absolute() else path

    def ingest(
        self,
        collection: Target,
        sources: Sequence[Input],
        options: Mapping[str, Any],
        *,
        prune: bool,
        metadata: Metadata | None,
        run: Run,
    ) -> IngestReport:
        """Send sources to a collection; return the reports of all jobs as one."""
        given: dict[str, Any] = {"metadata": metadata, **options}
        for name in ("metadata", "metadata_of_new"):
            if given.get(name) is not None:
                given[name] = check_metadata(given[name])
        run.check()
        started = time.perf_counter()
        found = discover(sources, self.left_out, run.stop)
        given["gone"] = sorted({*given.get("gone", ()), *self._gone(found, collection)})
        work = _Upload(self, collection.name, found, given, run)
        try:
            work.send()
            if prune:
                work.prune(collection)
        except StoppedError:
            work.cancel()
            work.report.interrupted = True
        return work.finish(time.perf_counter() - started)

    def _gone(self, found: Discovery, collection: Target) -> set[str]:
        """Return the documents of the given folders, and beside the given files, without a file."""
        gone: set[str] = set()
        try:
            for folder in found.folders_of_files():
                prefix = self.label(folder)
                before = len(prefix) - len(folder)
                records = collection.documents(prefix)
                uris = (record.source_uri for record in records)
                gone.update(uri for uri in uris if found.is_moved(uri[before:]))
        except CollectionNotFoundError:
            return set()
        return gone


@dataclass(frozen=True, slots=True)
class _Entry:
    """One source of a batch: what the server gets to know, and where its bytes are."""

    uri: str
    media_type: str = ""
    path: str = ""
    data: bytes | KeptBytes | None = None
    size: int = 0
    in_folder: bool = False
    modified: float | None = None
    known: Mapping[str, Any] = field(default_factory=dict)


@dataclass
class _Upload:
    uploads: Uploads
    collection: str
    found: Discovery
    given: Mapping[str, Any]
    run: Run
    report: IngestReport = field(default_factory=IngestReport)
    handled: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._client = self.uploads.client
        path = quote(self.collection, safe="")
        self._path = f"/v1/collections/{path}/documents/batch"
        self._total = len(self.found.items) + len(self.found.missing)
        self._waiting: list[str] = []
        self._passages = 0

    def send(self) -> None:
        """Send all sources and wait for their jobs."""
        self.report.without_files = list(self.found.without_files)
        label = self.uploads.label
        self.report.not_read += [
            replace(each, source_uri=label(each.source_uri)) for each in self.found.not_read
        ]
        self.run.step("documents", 0, self._total, "documents")
        for missing in self.found.missing:
            self._note(missing)
        for batch in self._batches():
            self._send(batch)
            while len(self._waiting) > _UPLOADED_AHEAD:
                self._await_first()
        while self._waiting:
            self._await_first()

    def prune(self, collection: Target) -> None:
        """Delete documents of the given folders whose file is gone."""
        label = self.uploads.label
        for folder in self.found.folders:
            prefix = label(folder)
            before = len(prefix) - len(folder)
            gone = [
                record
                for record in collection.documents(prefix)
                if self.found.is_gone(record.source_uri[before:])
            ]
            for part in batches(gone, _DELETED_TOGETHER):
                self.run.check()
                collection.delete(*(record.id for record in part))
                for record in part:
                    self._note(Finished(record.source_uri, Outcome.REMOVED))

    def cancel(self) -> None:
        """Cancel the jobs that have not ended."""
        for job in self._waiting:
            cancel_job(self._client, job)
            self.uploads.pending.discard(job)

    def finish(self, seconds: float) -> IngestReport:
        """Return the report of everything."""
        uris = [self._uri(key) for key in self.found.items]
        self.report.left = [uri for uri in uris if uri not in self.handled]
        self.report.sort()
        self.report.seconds["total"] = seconds
        return self.report

    def _uri(self, key: str) -> str:
        is_file = isinstance(self.found.items[key], str) and not is_address(key)
        return self.uploads.label(key) if is_file else key

    def _batches(self) -> Iterator[list[_Entry]]:
        """Yield the sources in parts; at least one, because an ingest makes the collection."""
        batch: list[_Entry] = []
        size, is_first = 0, True
        # The server refuses requests that are larger than its largest file.
        most = min(_MOST_BYTES, self.uploads.max_file_mb << 20)
        for key in self.found.items:
            self.run.check()
            entry = self._entry(key)
            if entry is None:
                continue
            if batch and (len(batch) == _MOST_FILES or size + entry.size > most):
                yield batch
                batch, size, is_first = [], 0, False
            batch.append(entry)
            size += entry.size
        if batch or is_first:
            yield batch

    def _entry(self, key: str) -> _Entry | None:
        """Look at a source; one that cannot be sent is reported."""
        item, uri = self.found.items[key], self._uri(key)
        if isinstance(item, tuple):
            source, kept = item
            kind, size = source.media_type, len(kept)
            if size > self.uploads.max_file_mb << 20:
                refusal = too_large(self.uploads.max_file_mb << 20, size)
                self._note(Failed(uri, refusal.reason, str(refusal)))
                return None
            return _Entry(
                uri,
                kind,
                data=kept,
                size=size,
                in_folder=source.in_folder,
                modified=source.modified,
                known=to_json(dict(source.known)),
            )
        if is_address(item):
            return _Entry(uri)
        most = self.uploads.max_file_mb << 20
        try:
            status = Path(item).stat()
        except OSError as error:
            self._note(_unreadable(uri, error))
            return None
        if not stat.S_ISREG(status.st_mode):
            self._note(Failed(uri, "unreadable", NOT_A_FILE))
            return None
        if status.st_size > most and key in self.found.in_folders and is_named_otherwise(key):
            self._note(not_read(uri, ""))
            return None
        if status.st_size > most:
            refusal = too_large(most, status.st_size)
            self._note(Failed(uri, refusal.reason, str(refusal)))
            return None
        return _Entry(
            uri,
            path=item,
            size=status.st_size,
            in_folder=key in self.found.in_folders,
            modified=status.st_mtime,
        )

    def _send(self, batch: Sequence[_Entry]) -> None:
        """Send a batch; make the collection if the caller has none of this name."""
        making_collection(self._client, self.collection, lambda: self._send_files(batch))

    def _send_files(self, batch: Sequence[_Entry]) -> None:
        with ExitStack() as opened:
            entries: list[dict[str, Any]] = []
            files: list[tuple[str, tuple[str, IO[bytes] | bytes, str]]] = []
            for entry in batch:
                if entry.uri in self.handled:
                    continue  # It could not be read at the first attempt.
                try:
                    data = self._bytes(entry, opened)
                except OSError as error:
                    self._note(_unreadable(entry.uri, error))
                    continue
                except FetchError as error:
                    self._note(Failed(entry.uri, "fetch", str(error)))
                    continue
                known: dict[str, Any] = {"uri": entry.uri, "media_type": entry.media_type}
                if entry.in_folder:
                    known["in_folder"] = True
                if entry.modified is not None:
                    known["modified"] = entry.modified
                if entry.known:
                    known["known"] = entry.known
                entries.append(known)
                if data is not None:
                    name = f"{len(files)}"
                    entries[-1]["file"] = name
                    files.append(("files", (name, data, "application/octet-stream")))
            content = {key: value for key, value in self.given.items() if value is not None}
            fields = {"batch": json.dumps(content | {"sources": entries})}
            sent = self._client.send(
                "POST", self._path, "sending files", data=fields, files=files or None
            )
        job = from_json(Job, sent.json()).id
        self._waiting.append(job)
        self.uploads.pending.add(job)

    def _bytes(self, entry: _Entry, opened: ExitStack) -> IO[bytes] | bytes | None:
        if entry.path:
            return opened.enter_context(Path(entry.path).open("rb"))
        return entry.data.read() if isinstance(entry.data, KeptBytes) else entry.data

    def _await_first(self) -> None:
        job_id, handled = self._waiting[0], len(self.handled)
        job = await_job(self._client, job_id, self.run, lambda job: self._show(job, handled))
        if job.state is not JobState.DONE:
            self.cancel()
            self._waiting.clear()
        result = result_of(job)
        del self._waiting[0]
        self.uploads.pending.discard(job_id)
        self._add(from_json(IngestReport, result))

    def _show(self, job: Job, handled: int) -> None:
        progress = job.progress
        if progress is not None and progress.stage == "documents":
            self.run.report("documents", handled + progress.done, self._total, "documents")
        elif progress is not None and progress.stage == "passages":
            done, total = self._passages + progress.done, self._passages + progress.total
            self.run.report("passages", done, total, progress.unit)

    def _add(self, report: IngestReport) -> None:
        for moved in report.moved:
            self._note(Finished(moved.source_uri, Outcome.MOVED, former_uri=moved.former_uri))
        for outcome in set(Outcome) - {Outcome.MOVED}:
            for uri in getattr(report, outcome):
                self._note(Finished(uri, outcome))
        for failed in report.failed:
            self._note(failed)
        self.report.warnings += report.warnings
        for other in report.not_read:
            self._note(other)
        for name in _COUNTS:
            total = getattr(self.report, name) + getattr(report, name)
            setattr(self.report, name, total)
        # Every report counts the whole store.
        self.report.chunks_unknown = report.chunks_unknown
        for stage, seconds in report.seconds.items():
            self.report.spend(stage, seconds)
        self._passages += report.chunks_embedded + report.chunks_reused + report.chunks_repeated

    def _note(self, event: Finished | Failed | NotRead) -> None:
        """Add a source to the report."""
        self.handled.add(event.source_uri)
        details = self.report.note(event)
        done = len(self.handled)
        total = max(self._total, done)
        uri = event.source_uri
        self.run.report("documents", done, total, "documents", remaining=None, item=uri, **details)


def _unreadable(uri: str, error: OSError) -> Failed:
    return Failed(uri, "missing", f"it cannot be read: {error.strerror or error}")
