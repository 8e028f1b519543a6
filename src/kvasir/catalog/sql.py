"""The catalog in an SQL database: implements ``core.ledger.Catalog``, which describes the methods.

``ingesting.publishing`` explains the order of the calls and why a crash between two does no harm.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import groupby, islice
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Engine, Row, Select, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from kvasir.catalog import kept_vectors, passages, purging, rows, search_scope, writers
from kvasir.catalog.model_changes import ModelChanges, check_index, count_change
from kvasir.catalog.rows import find_collection
from kvasir.catalog.search_scope import begins_with
from kvasir.catalog.tables import (
    LIVE_TEXT,
    chunks,
    collections,
    live,
    live_chunks,
    of_collection,
    sources,
    versions,
)
from kvasir.core.batches import batches
from kvasir.core.errors import (
    DocumentNotFoundError,
    NameTakenError,
    WriterConflictError,
)
from kvasir.core.ledger import (
    ChunkRecord,
    CollectionRecord,
    DocumentRecord,
    DocumentVersion,
    MetadataUpdate,
    SourceState,
    Splitting,
    VersionDraft,
    VersionStatus,
)
from kvasir.core.types import Metadata, RecognizedSpan, metadata_of
from kvasir.core.wire import to_json
from kvasir.database import open_database, reading, writing
from kvasir.language.detect import UNKNOWN

if TYPE_CHECKING:
    from kvasir.core.vectors import Matrix

_SLICE = 500
"""Values in one ``IN (...)``; databases limit the parameters of a statement."""
_PAGE = 2000
"""Chunks that are read in one transaction; not more, because the caller may be slow."""
_LIVE, _PENDING = VersionStatus.LIVE, VersionStatus.PENDING
_DELETED, _FAILED = VersionStatus.DELETED, VersionStatus.FAILED


class SqlCatalog(ModelChanges):
    """The ledger of every collection in one database; safe to use from several threads."""

    def __init__(self, url: str) -> None:
        """Open the database and migrate it if needed; URL and errors as for ``open_database``."""
        self._engine: Engine = open_database(url)

    def close(self) -> None:
        """Close the database's connections; a second call does nothing."""
        self._engine.dispose()

    # Collections

    def collection(self, name: str) -> CollectionRecord | None:
        found = self._read(select(collections).filter_by(name=name))
        return rows.collection_record(found[0]) if found else None

    def collections(self) -> list[CollectionRecord]:
        found = self._read(select(collections).order_by(collections.c.name))
        return [rows.collection_record(row) for row in found]

    def create_collection(
        self, name: str, *, embedder: str, dimension: int, fingerprint: str
    ) -> CollectionRecord:
        new = insert(collections).values(
            name=name, embedder=embedder, dimension=dimension, fingerprint=fingerprint
        )
        try:
            with writing(self._engine) as connection:
                connection.execute(new)
                made = find_collection(connection, name)
        except IntegrityError as error:
            raise NameTakenError(name, "") from error
        return rows.collection_record(made)

    def delete_collection(self, name: str, writer: str | None = None) -> None:
        query = select(collections).filter_by(name=name).with_for_update()
        with writing(self._engine) as connection:
            row = connection.execute(query).one_or_none()
            others = writers.active(connection, row.id, writer) if row else []
            if others:
                raise WriterConflictError(
                    f"{writers.describe(others[0])} is writing to collection '{name}': "
                    "delete it when that has finished"
                )
            connection.execute(delete(collections).where(collections.c.name == name))

    def copy_collection(self, name: str, to: str) -> None:
        with writing(self._engine) as connection:
            rows.copy_records(connection, find_collection(connection, name).id, to)

    def set_calibration(
        self,
        collection: str,
        calibration: Mapping[str, float] | None,
        *,
        index: str | None = None,
    ) -> None:
        kept = dict(calibration) if calibration is not None else None
        self._change(collection, index, calibration=kept)

    def set_splitting(self, collection: str, splitting: Splitting) -> None:
        self._change(collection, None, splitting=to_json(splitting))

    def _change(self, collection: str, index: str | None, **values: Any) -> None:
        with writing(self._engine) as connection:
            row = find_collection(connection, collection, lock=True)
            check_index(row, index)
            connection.execute(update(collections).filter_by(id=row.id).values(**values))

    # Reading

    def document(self, collection: str, document_id: str) -> DocumentRecord | None:
        query = _live_and_failed(collection).where(sources.c.document_id == document_id)
        found = self._read(query)
        return rows.document_record(found) if found else None

    def documents(
        self, collection: str, *, prefix: str = "", after: str = "", limit: int | None = None
    ) -> Iterator[DocumentRecord]:
        length = func.char_length(sources.c.uri)
        query = _live_and_failed(collection).where(begins_with(prefix))
        if after:
            query = query.where(sources.c.uri > after)
        query = query.order_by(sources.c.uri, length, sources.c.id)
        # A document has at most two rows: its live and its failed version.
        found = self._read(query.limit(None if limit is None else 2 * limit))
        for _, group in islice(groupby(found, key=lambda row: row.source_id), limit):
            yield rows.document_record(list(group))

    def live_contents(
        self, collection: str, document_ids: Collection[str]
    ) -> Mapping[str, tuple[str, Metadata]]:
        with reading(self._engine) as connection:
            return search_scope.live_contents(connection, collection, document_ids)

    def source_uris(self, collection: str) -> Mapping[str, str]:
        query = of_collection(collection, sources.c.document_id, sources.c.uri).distinct()
        found = self._read(query.where(versions.c.status.in_([_LIVE, _FAILED])))
        return {row.document_id: row.uri for row in found}

    def metadata_fields(self, collection: str, wanted: Collection[str] = ()) -> set[str]:
        with reading(self._engine) as connection:
            return search_scope.metadata_fields(connection, collection, wanted)

    def live_source_uris(self, collection: str, prefix: str = "") -> list[str]:
        with reading(self._engine) as connection:
            return search_scope.live_source_uris(connection, collection, prefix)

    def text(self, collection: str, document_id: str) -> str | None:
        version = self.live_version(collection, document_id)
        return version.text if version else None

    def live_version(self, collection: str, document_id: str) -> DocumentVersion | None:
        given = {"collection": collection, "document": document_id}
        with reading(self._engine) as connection:
            row = connection.execute(LIVE_TEXT, given).first()
            if row is None:
                return None
            return DocumentVersion(
                rows.expand(row.compressed),
                row.content_hash,
                rows.expand_spans(row.recognized),
                rows.expand_pages(row.pages),
            )

    def recognized(
        self, collection: str, document_ids: Collection[str]
    ) -> Mapping[str, tuple[RecognizedSpan, ...]]:
        with reading(self._engine) as connection:
            return passages.recognized(connection, collection, document_ids)

    def has_content(self, content_hash: str) -> bool:
        same = (versions.c.content_hash == content_hash, versions.c.status != _DELETED)
        return bool(self._read(select(versions.c.id).where(*same).limit(1)))

    def chunks(self, collection: str, document_id: str) -> list[ChunkRecord]:
        query = live_chunks(collection).where(sources.c.document_id == document_id)
        return [rows.chunk_record(row) for row in self._read(query.order_by(chunks.c.position))]

    def chunk_count(self, collection: str) -> int:
        return self._number(live(collection, func.sum(versions.c.chunk_count)))

    def every_chunk(self, collection: str) -> Iterator[ChunkRecord]:
        version, position = chunks.c.version_id, chunks.c.position
        query = page = live_chunks(collection).order_by(version, position).limit(_PAGE)
        while found := self._read(query):
            yield from map(rows.chunk_record, found)
            last = found[-1]
            later = (version == last.version_id) & (position > last.position)
            query = page.where((version > last.version_id) | later)

    def unfinished(self, collection: str) -> int:
        unfinished = versions.c.status.in_([_PENDING, _DELETED])
        return self._number(of_collection(collection, func.count()).where(unfinished))

    def reusable(self, collection: str, passage_hashes: Collection[str]) -> Mapping[str, str]:
        with reading(self._engine) as connection:
            return passages.chunk_ids(connection, collection, passage_hashes)

    def documents_sharing(
        self, collection: str, passage_hashes: Collection[str]
    ) -> Mapping[str, int]:
        with reading(self._engine) as connection:
            return passages.sharing(connection, collection, passage_hashes)

    def keep_vectors(
        self, collection: str, vectors: Mapping[str, Matrix], fingerprint: str | None = None
    ) -> None:
        with writing(self._engine) as connection:
            row = find_collection(connection, collection, lock=True)
            if fingerprint in (None, row.fingerprint):
                kept_vectors.keep(connection, row.id, vectors)

    def kept_vectors(
        self, collection: str, passage_hashes: Collection[str]
    ) -> Mapping[str, Matrix]:
        with reading(self._engine) as connection:
            row = find_collection(connection, collection)
            return kept_vectors.find(connection, row.id, passage_hashes, row.dimension)

    def drop_vectors(self, collection: str, passage_hashes: Collection[str] | None = None) -> None:
        with writing(self._engine) as connection:
            kept_vectors.drop(
                connection, find_collection(connection, collection).id, passage_hashes
            )

    # Writers

    def start_writer(
        self, collection: str, *, lease_seconds: float, exclusive: bool = False
    ) -> str:
        with writing(self._engine) as connection:
            row = find_collection(connection, collection, lock=True)
            return writers.start(connection, row, lease_seconds=lease_seconds, exclusive=exclusive)

    def renew_writer(self, writer: str) -> bool:
        with writing(self._engine) as connection:
            return writers.renew(connection, writer)

    def end_writer(self, writer: str) -> None:
        with writing(self._engine) as connection:
            writers.end(connection, writer)

    def other_writers(self, collection: str, writer: str | None = None) -> list[str]:
        with reading(self._engine) as connection:
            row = find_collection(connection, collection)
            return [writers.describe(each) for each in writers.active(connection, row.id, writer)]

    def _read(self, query: Select[Any]) -> Sequence[Row[Any]]:
        with reading(self._engine) as connection:
            return connection.execute(query).all()

    def _number(self, query: Select[Any]) -> int:
        return int(self._read(query)[0][0] or 0)

    @contextmanager
    def _writing_as(
        self, writer: str, collection: str, index: str | None = None
    ) -> Iterator[tuple[Connection, Any]]:
        """Open a transaction of a writer, which excludes those of other writers."""
        with writing(self._engine) as connection:
            row = find_collection(connection, collection, lock=True)
            writers.require(connection, row, writer)
            check_index(row, index)
            yield connection, row

    # Publishing

    def begin(
        self,
        collection: str,
        drafts: Sequence[VersionDraft],
        writer: str,
        *,
        index: str | None = None,
    ) -> None:
        with self._writing_as(writer, collection, index) as (connection, row):
            former = [draft.moved_from for draft in drafts if draft.moved_from]
            claimed = [draft.document.id for draft in drafts] + former
            writers.claim(connection, row, claimed, writer)
            for draft in drafts:
                rows.insert_version(connection, row.id, draft, writer)

    def publish(
        self,
        collection: str,
        document_ids: Sequence[str],
        writer: str,
        replaced: Sequence[str] = (),
    ) -> None:
        languages: set[str] = set()
        with self._writing_as(writer, collection) as (connection, row):
            for part in batches(document_ids, _SLICE):
                pending = of_collection(collection, versions.c.source_id).where(
                    versions.c.status == _PENDING,
                    versions.c.writer_id == writer,
                    sources.c.document_id.in_(part),
                )
                ready = list(connection.execute(pending).scalars())
                if len(ready) != len(set(part)):
                    raise WriterConflictError(
                        f"another process took back documents of collection '{collection}' that "
                        "this one was writing: ingest them again"
                    )
                mine = versions.c.source_id.in_(ready)
                connection.execute(
                    update(versions)
                    .where(mine, versions.c.status.in_([_LIVE, _FAILED]))
                    .values(status=_DELETED, writer_id=writer)
                )
                connection.execute(
                    update(versions).where(mine, versions.c.status == _PENDING).values(status=_LIVE)
                )
                published = select(versions.c.language).where(mine, versions.c.status == _LIVE)
                languages.update(connection.execute(published.distinct()).scalars())
            self._mark_deleted(connection, collection, replaced, writer)
            purging.store_languages(connection, row, {*row.languages, *languages} - {"", UNKNOWN})
            count_change(connection, row)

    def discard_pending(self, collection: str, writer: str, *, index: str | None = None) -> int:
        with self._writing_as(writer, collection, index) as (connection, row):
            return writers.take_over(connection, row.id, writer)

    def mark_deleted(
        self,
        collection: str,
        document_ids: Sequence[str],
        writer: str,
        *,
        index: str | None = None,
    ) -> None:
        with self._writing_as(writer, collection, index) as (connection, row):
            writers.claim(connection, row, document_ids, writer)
            self._mark_deleted(connection, collection, document_ids, writer)
            count_change(connection, row)

    def _mark_deleted(
        self, connection: Connection, collection: str, document_ids: Sequence[str], writer: str
    ) -> None:
        for part in batches(document_ids, _SLICE):
            ids = of_collection(collection, versions.c.id).where(sources.c.document_id.in_(part))
            _update_versions(connection, ids, status=_DELETED, writer_id=writer)

    def stale_chunks(self, collection: str, writer: str) -> list[str]:
        with reading(self._engine) as connection:
            return purging.stale_chunks(connection, collection, writer)

    def purge(self, collection: str, writer: str) -> None:
        with self._writing_as(writer, collection) as (connection, row):
            purging.purge(connection, row, writer)

    def fail(self, collection: str, state: SourceState, reason: str, message: str) -> None:
        with writing(self._engine) as connection:
            collection_id = find_collection(connection, collection, lock=True).id
            source_id = rows.find_source(connection, collection_id, state.uri)
            connection.execute(
                delete(versions).where(
                    versions.c.source_id == source_id, versions.c.status == _FAILED
                )
            )
            failed = rows.version_row(source_id, state, _FAILED)
            failed |= {"error_reason": reason, "error_message": message}
            connection.execute(insert(versions), failed)

    # Metadata

    def set_metadata(
        self,
        collection: str,
        given: Mapping[str, Metadata],
        writer: str,
        *,
        index: str | None = None,
    ) -> None:
        query = live(collection, versions, sources.c.uri)
        with self._writing_as(writer, collection, index) as (connection, claimed):
            writers.claim(connection, claimed, list(given), writer)
            count_change(connection, claimed)
            for name, wanted in given.items():
                row = connection.execute(query.where(sources.c.document_id == name)).one_or_none()
                if row is None:
                    raise DocumentNotFoundError(name, collection)
                merged = rows.merged_metadata(row, wanted)
                values = {"given": dict(wanted), "metadata": merged, "metadata_applied": False}
                changed = update(versions).where(versions.c.id == row.id)
                connection.execute(changed.values({**values, "writer_id": writer}))

    def pending_metadata_updates(
        self, collection: str, writer: str | None = None
    ) -> list[MetadataUpdate]:
        query = live(collection, sources.c.document_id, versions.c.id, versions.c.metadata)
        query = query.where(~versions.c.metadata_applied)
        if writer is not None:
            query = query.where(versions.c.writer_id == writer)
        updates = []
        with reading(self._engine) as connection:
            for row in connection.execute(query).all():
                ids = connection.execute(
                    select(chunks.c.chunk_id).where(chunks.c.version_id == row.id)
                ).scalars()
                updates.append(
                    MetadataUpdate(row.document_id, tuple(ids), metadata_of(row.metadata))
                )
        return updates

    def mark_metadata_applied(
        self, collection: str, document_ids: Sequence[str], writer: str
    ) -> None:
        with self._writing_as(writer, collection) as (connection, _):
            for part in batches(document_ids, _SLICE):
                ids = live(collection, versions.c.id).where(
                    sources.c.document_id.in_(part), versions.c.writer_id == writer
                )
                _update_versions(connection, ids, metadata_applied=True)


def _update_versions(connection: Connection, ids: Select[Any], **values: Any) -> None:
    chosen = versions.c.id.in_(list(connection.execute(ids).scalars()))
    connection.execute(update(versions).where(chosen).values(**values))


def _live_and_failed(collection: str) -> Select[Any]:
    """Select the versions for ``rows.document_record``."""
    return of_collection(collection, versions, sources.c.document_id, sources.c.uri).where(
        versions.c.status.in_([_LIVE, _FAILED])
    )
