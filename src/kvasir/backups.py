"""Backs up everything that a service keeps, while it serves, and restores it.

The order makes the parts fit together, though the service goes on working:

    1. uploads   what a job needs is copied before its row
    2. vectors   those of chunks that are deleted before step 4 are kept
    3. service   accounts, jobs, questions and answers, in one transaction
    4. catalog   in one transaction; a job that step 3 saw finished has its document here
    5. vectors   of the chunks that came since step 2
    6. uploads   that came since step 1

A job that ended between the steps 3 and 4 runs again after a restore, and finds its document
unchanged. A chunk that was deleted between the steps 4 and 5 is embedded again by a restore.
"""

from __future__ import annotations

import gzip
import io
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, TYPE_CHECKING, Any, BinaryIO

import numpy as np

from kvasir.accounts import tables as account_tables
from kvasir.catalog import tables as catalog_tables
from kvasir.collection import Collection
from kvasir.core.batches import batches
from kvasir.core.errors import (
    ConflictError,
    DamagedError,
    NotFoundError,
    RequestError,
    StorageError,
)
from kvasir.core.ledger import CollectionRecord, check_embedder, passage_hash
from kvasir.core.private_files import make_private_folder
from kvasir.core.protocols import Embedder
from kvasir.core.reports import BackupReport, RestoreReport
from kvasir.core.run import Run
from kvasir.core.services.jobs import Spool
from kvasir.core.types import Matrix
from kvasir.core.wire import from_json, to_json
from kvasir.database import open_database
from kvasir.database.dumping import dump, load, row_count
from kvasir.database.metadata import metadata
from kvasir.jobs import tables as job_tables
from kvasir.maintenance.backup import (
    Archive,
    ArchiveWriter,
    KeptVectors,
    VectorFile,
    writing_archive,
)
from kvasir.maintenance.repair import examine, repair
from kvasir.questions import tables as question_tables
from kvasir.services import make_spool

if TYPE_CHECKING:
    from sqlalchemy import Engine, Table

    from kvasir.app import App
    from kvasir.settings.schema import Settings

_DIGEST = re.compile(r"[0-9a-f]{64}")
_SLICE = 500
_KEY = "signing.key"
_SETTINGS = "settings/kvasir.yaml"

_CATALOG = {
    catalog_tables.collections,
    catalog_tables.sources,
    catalog_tables.versions,
    catalog_tables.texts,
    catalog_tables.chunks,
}
_SERVICE = {
    account_tables.users,
    account_tables.api_keys,
    account_tables.recoveries,
    account_tables.invitations,
    account_tables.collection_access,
    account_tables.collection_members,
    job_tables.jobs,
    question_tables.questions,
    question_tables.mails,
    question_tables.answer_log,
}
"""All tables but ``writers``, which are leases of processes, and ``kept_vectors`` and
``answer_cache``, which can be made again; a test holds that none is missing."""


def open_backup(path: Path, *, run: Run | None = None) -> Archive:
    """Read a backup and check every part of it.

    Raises:
        DamagedError: It is no backup, was cut off, or a part differs from its checksum.
        IncompatibleVersionError: A newer version of Kvasir wrote it.
        RequestError: There is no such file.
    """
    if not path.is_file():
        raise RequestError(f"there is no file '{path}'")
    return Archive(path, run=run)


def settings_in(archive: Archive) -> bytes | None:
    """Return the settings file in a backup, if it has one."""
    return archive.read(_SETTINGS) if _SETTINGS in archive.names else None


def report_of(archive: Archive) -> BackupReport:
    """Return the report of a backup from its manifest."""
    return from_json(BackupReport, archive.manifest["report"])


def back_up(app: App, target: BinaryIO, *, run: Run | None = None) -> BackupReport:
    """Write a backup to a file or a stream; the service may go on working.

    It holds everything that was committed before it began.

    Raises:
        RequestError: There is nothing to back up.
        StoppedError: The run was stopped; what was written is no backup.
        ComponentError: A database or the vector store failed.
    """
    run = run or Run()
    settings = app.settings
    if not app.has_catalog and not _has_service(settings):
        raise RequestError(f"there is nothing to back up in {settings.data_folder}")
    created = datetime.now(UTC).isoformat(timespec="seconds")
    with writing_archive(target, created, run) as archive, ExitStack() as opened:
        spool = make_spool(settings)
        spooled = _add_uploads(archive, spool, set())
        vectors: dict[str, VectorFile] = {}
        _collect_vectors(app, vectors, opened, run)
        rows = _add_database(archive, "service", settings.database_url, _SERVICE)
        rows |= _add_database(archive, "catalog", settings.catalog_url, _CATALOG)
        _complete_vectors(app, vectors, opened, run)
        for number, file in enumerate(vectors.values(), 1):
            file.write_to(archive, number)
        spooled |= _add_uploads(archive, spool, spooled)
        _add_files(archive, settings)
        counts = {name: len(file) for name, file in vectors.items()}
        total, notes = archive.written, _notes(settings)
        report = BackupReport(created, rows, counts, len(spooled), total, notes)
        archive.finish({"report": to_json(report)})
    return report


def restore(
    app: App, archive: Archive, *, force: bool = False, run: Run | None = None
) -> RestoreReport:
    """Restore a backup where the settings have database and index; no server may run there.

    Args:
        app: The databases, the index and the data folder of its settings are filled.
        archive: The backup, which was checked when it was opened.
        force: Replace what is there.
        run: Stops it and receives its progress. A stopped restore is begun again with ``force``.

    Raises:
        ConflictError: Something is there already; nothing was changed.
        IncompatibleVersionError: A newer version of Kvasir wrote the backup.
        DamagedError: What was restored differs from the backup.
        StoppedError: The run was stopped.
    """
    run = run or Run()
    settings, spool = app.settings, make_spool(app.settings)
    with ExitStack() as opened:
        service = _engine(settings.database_url, opened)
        catalog = _engine(settings.catalog_url, opened)
        if row_count(service, _sorted(_SERVICE)) or row_count(catalog, _sorted(_CATALOG)):
            if not force:
                raise ConflictError(
                    f"there are documents or users in {settings.data_folder} already: restore into "
                    "another data folder, or replace everything that is there"
                )
            for record in app.collections():
                with app.collection(record.name) as collection:
                    collection.drop()
        kept: dict[tuple[str, str], tuple[list[str], Matrix]] = {}
        rows: dict[str, int] = {}
        uploads = 0
        with archive.open() as members:
            facts: dict[str, Any] = {}
            for name, stream in members:
                run.check()
                folder, _, rest = name.partition("/")
                if folder == "spool":
                    _restore_upload(spool, rest, stream)
                    uploads += 1
                elif folder == "databases":
                    of_service = rest.startswith("service")
                    tables = _sorted(_SERVICE if of_service else _CATALOG)
                    rows |= load(service if of_service else catalog, tables, _lines(stream), run)
                elif rest.endswith(".json"):
                    facts = json.load(stream)
                elif rest.endswith(".f32"):
                    key = facts["collection"], facts["fingerprint"]
                    kept[key] = _read_vectors(facts, stream, opened)
                elif rest == _KEY:
                    _restore_key(settings, stream.read(), force=force)
        chunks, embedded = {}, 0
        for record in app.collections():
            nothing: tuple[list[str], Matrix] = ([], np.empty((0, 0), np.float32))
            passages, vectors = kept.get((record.name, record.fingerprint), nothing)
            known = KeptVectors(record, passages, vectors, _checked(app, record))
            chunks[record.name] = _restore_index(app, record, known, run)
            embedded += known.embedded
    taken = report_of(archive)
    return RestoreReport(taken.created, rows, chunks, embedded, uploads, taken.notes)


def _notes(settings: Settings) -> tuple[str, ...]:
    if settings.questions.queue is None:
        return ()
    return ("the questions are in MongoDB and not in the backup: back them up with mongodump",)


def _has_service(settings: Settings) -> bool:
    path = settings.database_url.removeprefix("sqlite:///")
    return path == settings.database_url or Path(path).is_file()


def _engine(url: str, opened: ExitStack) -> Engine:
    # One that is made here may hold password hashes.
    engine = open_database(url)
    opened.callback(engine.dispose)
    return engine


def _temporary_file(opened: ExitStack) -> Any:
    return opened.enter_context(TemporaryFile(prefix="kvasir-"))


def _sorted(tables: set[Table]) -> list[Table]:
    return [table for table in metadata.sorted_tables if table in tables]


def _add_database(
    archive: ArchiveWriter, name: str, url: str, tables: set[Table]
) -> dict[str, int]:
    with ExitStack() as opened:
        engine = _engine(url, opened)
        file = _temporary_file(opened)
        # Fast: most of it is text that was compressed before.
        with (
            gzip.GzipFile(fileobj=file, mode="wb", compresslevel=1, mtime=0) as packed,
            io.TextIOWrapper(packed, "utf-8", "surrogatepass", newline="") as text,
        ):
            counts = dump(engine, _sorted(tables), text.write, archive.run)
        archive.add_file(f"databases/{name}.jsonl.gz", file)
    return counts


def _lines(stream: IO[bytes]) -> Iterator[str]:
    with gzip.open(stream, "rt", encoding="utf-8", errors="surrogatepass", newline="\n") as text:
        yield from text


def _add_uploads(archive: ArchiveWriter, spool: Spool, known: set[str]) -> set[str]:
    """Add the uploads that are not known; return them."""
    added = set()
    for digest in sorted(set(spool.digests()) - known):
        try:
            stream = spool.open(digest)
        except NotFoundError:
            # It was indexed and deleted since they were listed.
            continue
        with stream:
            size = stream.seek(0, os.SEEK_END)
            stream.seek(0)
            archive.add(f"spool/{digest[:2]}/{digest}", stream, size)
        added.add(digest)
    return added


def _restore_upload(spool: Spool, name: str, stream: IO[bytes]) -> None:
    digest, _ = spool.put(stream, max_bytes=2**63)  # type: ignore[arg-type]
    if digest != name.rpartition("/")[2]:
        spool.delete(digest)
        raise DamagedError("backup", "reading", f"spool/{name} has other bytes than its name says")


def _add_files(archive: ArchiveWriter, settings: Settings) -> None:
    if settings.file is not None and settings.file.is_file():
        archive.add_bytes(_SETTINGS, settings.file.read_bytes())
    key = settings.data_folder / _KEY
    if key.is_file():
        archive.add_bytes(f"settings/{_KEY}", key.read_bytes())


def _restore_key(settings: Settings, content: bytes, *, force: bool) -> None:
    path = settings.data_folder / _KEY
    if path.exists() and not force:
        return
    draft = path.with_name(f"{_KEY}.new")
    try:
        make_private_folder(settings.data_folder)
        draft.unlink(missing_ok=True)
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        draft.replace(path)
    except OSError as error:
        raise StorageError(f"the signing key {path} cannot be written: {error}") from error


@contextmanager
def _index(app: App, name: str) -> Iterator[Collection]:
    """Lease a collection whose store stays open meanwhile."""
    with app.collection(name) as collection, collection.index.leases.call():
        yield collection


def _collect_vectors(app: App, vectors: dict[str, VectorFile], opened: ExitStack, run: Run) -> None:
    for record in app.collections():
        with _index(app, record.name) as collection:
            index = collection.index.opened()
            file = _vector_file(index.record or record, vectors, opened)
            for batch in index.store.scroll(batch_size=_SLICE):
                run.check()
                hashes = [passage_hash(chunk.passage) for chunk, _ in batch]
                file.add(hashes, [vector for _, vector in batch])


def _complete_vectors(
    app: App, vectors: dict[str, VectorFile], opened: ExitStack, run: Run
) -> None:
    for record in app.collections():
        file = _vector_file(record, vectors, opened)
        wanted = {
            chunk.id: chunk.passage_hash
            for chunk in app.catalog.every_chunk(record.name)
            if chunk.passage_hash not in file
        }
        if not wanted:
            continue
        with _index(app, record.name) as collection:
            index = collection.index.opened()
            if not index.is_of(record):
                continue  # It was embedded again meanwhile; a restore embeds what is missing.
            for part in batches(list(wanted), _SLICE):
                run.check()
                found = index.store.fetch(part)
                file.add([wanted[c.id] for c, _ in found], [vector for _, vector in found])


def _vector_file(
    record: CollectionRecord, vectors: dict[str, VectorFile], opened: ExitStack
) -> VectorFile:
    known = vectors.get(record.name)
    if known is None or known.fingerprint != record.fingerprint:
        # A collection that was made again by another model meanwhile has other vectors.
        file = _temporary_file(opened)
        known = vectors[record.name] = VectorFile(record, file)
    return known


def _read_vectors(
    facts: dict[str, Any], stream: IO[bytes], opened: ExitStack
) -> tuple[list[str], Matrix]:
    file = _temporary_file(opened)
    shutil.copyfileobj(stream, file)
    file.flush()
    passages: list[str] = facts["passages"]
    shape = len(passages), facts["dimension"]
    if file.tell() != 4 * shape[0] * shape[1]:
        raise DamagedError("backup", "reading", "vectors are missing: take another backup")
    if not passages:
        return [], np.empty(shape, np.float32)
    return passages, np.memmap(file, dtype="<f4", mode="r", shape=shape)


def _checked(app: App, record: CollectionRecord) -> Callable[[], Embedder]:
    """Return a function that returns the embedder, and refuses another one than the record's."""

    def embedder() -> Embedder:
        made = app.embedder_of(record)
        check_embedder(record, made)
        return made

    return embedder


def _restore_index(app: App, record: CollectionRecord, known: KeptVectors, run: Run) -> int:
    with _index(app, record.name) as collection:
        index, catalog = collection.index, app.catalog
        index.forget_record()
        with index.writing:
            repair(catalog, index.store, known, record.name, run=run)
        found = examine(catalog, index.store, record.name, run=run)
        if not found.clean:
            raise DamagedError(
                "index", "restoring", f"collection '{record.name}' differs from the catalog"
            )
        return found.expected
