"""The catalog on an SQL database: which version of which document has which chunks.

Implements ``core.protocols.Catalog``, and what the front doors ask besides. The order in which
a pipeline calls these methods, and why no crash between two of them does harm, is described
in ``ingesting.publishing``.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import groupby, islice
from typing import Any

from sqlalchemy import Connection, Engine, Table, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from kvasir.catalog import languages
from kvasir.catalog.copying import copy_records
from kvasir.catalog.queries import live, live_chunks, of_collection, shown
from kvasir.catalog.rows import (
    chunk_record,
    chunk_rows,
    collection_record,
    compress,
    document_record,
    expand,
    now,
    version_row,
)
from kvasir.catalog.tables import chunks, collections, sources, texts, versions
from kvasir.core.batches import batches
from kvasir.core.errors import CollectionError
from kvasir.core.ledger import (
    ChunkRecord,
    CollectionRecord,
    DocumentRecord,
    DocumentVersion,
    SourceState,
    Stamp,
    VersionDraft,
    VersionStatus,
    chunk_metadata,
)
from kvasir.core.types import Metadata, document_id
from kvasir.database import open_database, reading, writing

_LANGUAGES_SECONDS = 2.0

_SLICE = 500
"""Values in one ``IN (...)``; databases limit the parameters of a statement."""

_PAGE = 2000
"""Chunks that are read in one transaction."""

_LIVE, _PENDING = VersionStatus.LIVE, VersionStatus.PENDING
_DELETED, _FAILED = VersionStatus.DELETED, VersionStatus.FAILED


class SqlCatalog:
    """The ledger of every collection in one database; safe to use from several threads."""

    def __init__(self, url: str) -> None:
        """Opens the database, and migrates it where that is due.

        Args:
            url: An SQLAlchemy URL, such as ``sqlite:///kvasir-data/catalog.db``.

        Raises:
            UserError: The database cannot be opened, or a newer Kvasir made it.
        """
        self._engine: Engine = open_database(url)
        self._languages: dict[str, tuple[float, tuple[str, ...]]] = {}

    def close(self) -> None:
        """Closes the database's connections; a second call does nothing."""
        self._engine.dispose()

    # Collections

    def collection(self, name: str) -> CollectionRecord | None:
        """Returns a collection, or None where there is none of this name."""
        with reading(self._engine) as connection:
            row = connection.execute(select(collections).filter_by(name=name)).one_or_none()
        return collection_record(row) if row else None

    def collections(self) -> list[CollectionRecord]:
        """Returns every collection, by name."""
        with reading(self._engine) as connection:
            rows = connection.execute(select(collections).order_by(collections.c.name)).all()
        return [collection_record(row) for row in rows]

    def create_collection(
        self, name: str, *, embedder: str, dimension: int, fingerprint: str
    ) -> CollectionRecord:
        """Makes a collection; raises CollectionError where there is one of this name."""
        row = {
            "name": name,
            "embedder": embedder,
            "dimension": dimension,
            "fingerprint": fingerprint,
            "languages": [],
            "created": now(),
        }
        try:
            with writing(self._engine) as connection:
                connection.execute(insert(collections), row)
                made = self._collection(connection, name)
        except IntegrityError as error:
            raise CollectionError(
                f"there is a collection '{name}' already: use it, or take another name"
            ) from error
        return collection_record(made)

    def delete_collection(self, name: str) -> None:
        """Forgets a collection and all that is recorded of it; unknown names are no error."""
        with writing(self._engine) as connection:
            connection.execute(delete(collections).where(collections.c.name == name))
        self._languages.pop(name, None)

    def copy_collection(self, name: str, to: str) -> None:
        """Records a collection once more, under a name that no collection has yet."""
        with writing(self._engine) as connection:
            copy_records(connection, self._collection(connection, name).id, to)

    def languages(self, collection: str) -> tuple[str, ...]:
        """Returns the languages of a collection's documents; none of an unknown collection.

        For every query: what another process changed is seen within two seconds.
        """
        read, found = self._languages.get(collection, (-_LANGUAGES_SECONDS, ()))
        if time.monotonic() - read >= _LANGUAGES_SECONDS:
            record = self.collection(collection)
            found = record.languages if record else ()
            self._languages[collection] = (time.monotonic(), found)
        return found

    def set_calibration(self, collection: str, calibration: Mapping[str, float] | None) -> None:
        """Keeps the fitted parameters of the decision to refuse, or forgets them."""
        kept = dict(calibration) if calibration is not None else None
        with writing(self._engine) as connection:
            row = self._collection(connection, collection)
            connection.execute(update(collections).filter_by(id=row.id).values(calibration=kept))

    # Reading

    def document(self, collection: str, document_id: str) -> DocumentRecord | None:
        """Returns a document, or None where it is unknown."""
        query = shown(collection).where(sources.c.document_id == document_id)
        with reading(self._engine) as connection:
            rows = connection.execute(query).all()
        return document_record(rows) if rows else None

    def documents(
        self, collection: str, *, prefix: str = "", after: str = "", limit: int | None = None
    ) -> Iterator[DocumentRecord]:
        """Yield documents, ordered by source URI; see ``Catalog.documents``."""
        # Not LIKE, because SQLite's ignores case. The length is compared as well, because MariaDB
        # ignores spaces at the end of a text.
        length = func.char_length(sources.c.uri)
        begins = (func.substr(sources.c.uri, 1, len(prefix)) == prefix) & (length >= len(prefix))
        query = shown(collection).where(begins).order_by(sources.c.uri, length, sources.c.id)
        if after:
            query = query.where(sources.c.uri > after)
        with reading(self._engine) as connection:
            rows = connection.execute(query).all()
        for _, group in islice(groupby(rows, key=lambda row: row.source_id), limit):
            yield document_record(list(group))

    def text(self, collection: str, document_id: str) -> str | None:
        """Return the text of the live version, or None."""
        version = self.live_version(collection, document_id)
        return version.text if version else None

    def live_version(self, collection: str, document_id: str) -> DocumentVersion | None:
        """Return the text and content hash of the live version, or None."""
        query = (
            live(collection, texts.c.compressed, versions.c.content_hash)
            .join(texts, texts.c.version_id == versions.c.id)
            .where(sources.c.document_id == document_id)
        )
        with reading(self._engine) as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else DocumentVersion(expand(row.compressed), row.content_hash)

    def chunks(self, collection: str, document_id: str) -> list[ChunkRecord]:
        """Returns the chunks of the live version, in order."""
        query = live_chunks(collection).where(sources.c.document_id == document_id)
        with reading(self._engine) as connection:
            rows = connection.execute(query.order_by(chunks.c.position)).all()
        return [chunk_record(row) for row in rows]

    def chunk_count(self, collection: str) -> int:
        """Returns how many chunks the live versions have in all."""
        query = live(collection, func.sum(versions.c.chunk_count))
        with reading(self._engine) as connection:
            return int(connection.execute(query).scalar() or 0)

    def every_chunk(self, collection: str) -> Iterator[ChunkRecord]:
        """Yields the chunks of all live versions, read a page at a time: the caller may be slow."""
        order = (chunks.c.version_id, chunks.c.position)
        page = live_chunks(collection).order_by(*order).limit(_PAGE)
        rows: Sequence[Any] = ()
        while not rows or len(rows) == _PAGE:
            after = page
            if rows:
                last = rows[-1]
                later = (order[0] == last.version_id) & (order[1] > last.position)
                after = page.where((order[0] > last.version_id) | later)
            with reading(self._engine) as connection:
                rows = connection.execute(after).all()
            if not rows:
                return
            yield from map(chunk_record, rows)

    def unfinished(self, collection: str) -> int:
        """Returns how many versions are half-written or half-deleted."""
        query = of_collection(collection, func.count()).where(
            versions.c.status.in_([_PENDING, _DELETED])
        )
        with reading(self._engine) as connection:
            return int(connection.execute(query).scalar() or 0)

    def reusable(self, collection: str, passage_hashes: Collection[str]) -> Mapping[str, str]:
        """Returns for passage hashes the id of a live chunk of that passage, where there is one."""
        found: dict[str, str] = {}
        query = live(collection, chunks.c.passage_hash, chunks.c.chunk_id).join(
            chunks, chunks.c.version_id == versions.c.id
        )
        with reading(self._engine) as connection:
            for part in batches(sorted(passage_hashes), _SLICE):
                rows = connection.execute(query.where(chunks.c.passage_hash.in_(part)))
                found.update((row.passage_hash, row.chunk_id) for row in rows)
        return found

    # Publishing

    def begin(self, collection: str, drafts: Sequence[VersionDraft]) -> None:
        """Records versions as pending, with all their chunks."""
        with writing(self._engine) as connection:
            collection_id = self._collection(connection, collection).id
            for draft in drafts:
                source_id = _source(connection, collection_id, draft.state.uri)
                version_id = _insert(
                    connection,
                    versions,
                    {
                        **version_row(source_id, draft.state, _PENDING),
                        "title": draft.document.title,
                        "language": draft.language,
                        "chunk_count": len(draft.chunks),
                        "own": dict(draft.document.metadata),
                        "given": dict(draft.given),
                        "metadata": draft.metadata,
                    },
                )
                connection.execute(
                    insert(texts),
                    {"version_id": version_id, "compressed": compress(draft.document.text)},
                )
                if draft.chunks:
                    connection.execute(insert(chunks), chunk_rows(version_id, draft))

    def publish(self, collection: str, document_ids: Sequence[str]) -> None:
        """Makes pending versions live and marks the versions they replace as deleted.

        The collection's languages are those of its live versions from here on.

        Raises:
            CollectionError: One of them is not pending any more: another process took it for
                a version that an interrupted run left.
        """
        with writing(self._engine) as connection:
            for part in batches(document_ids, _SLICE):
                pending = of_collection(collection, versions.c.source_id).where(
                    versions.c.status == _PENDING, sources.c.document_id.in_(part)
                )
                ready = list(connection.execute(pending).scalars())
                if len(ready) != len(set(part)):
                    raise CollectionError(
                        f"another process began to write to collection '{collection}' meanwhile: "
                        "ingest again when it has ended"
                    )
                mine = versions.c.source_id.in_(ready)
                connection.execute(
                    update(versions)
                    .where(mine, versions.c.status.in_([_LIVE, _FAILED]))
                    .values(status=_DELETED)
                )
                connection.execute(
                    update(versions).where(mine, versions.c.status == _PENDING).values(status=_LIVE)
                )
                spoken = select(versions.c.language).where(mine, versions.c.status == _LIVE)
                found = connection.execute(spoken.distinct()).scalars().all()
                languages.add(connection, collection, found)
        self._languages.pop(collection, None)

    def abandon(self, collection: str) -> int:
        """Marks every pending version as deleted and the live one beside it for stamping.

        Returns:
            How many there were: a run was interrupted when it is not 0.
        """
        query = of_collection(collection, versions.c.id, versions.c.source_id).where(
            versions.c.status == _PENDING
        )
        with writing(self._engine) as connection:
            rows = connection.execute(query).all()
            for part in batches(rows, _SLICE):
                connection.execute(
                    update(versions)
                    .where(versions.c.id.in_([row.id for row in part]))
                    .values(status=_DELETED)
                )
                beside = versions.c.source_id.in_([row.source_id for row in part])
                connection.execute(
                    update(versions).where(beside, versions.c.status == _LIVE).values(stamped=False)
                )
        return len(rows)

    def retire(self, collection: str, document_ids: Sequence[str]) -> None:
        """Marks every version of documents as deleted; unknown ids are no error."""
        with writing(self._engine) as connection:
            for part in batches(document_ids, _SLICE):
                ids = of_collection(collection, versions.c.id).where(
                    sources.c.document_id.in_(part)
                )
                connection.execute(
                    update(versions)
                    .where(versions.c.id.in_(list(connection.execute(ids).scalars())))
                    .values(status=_DELETED)
                )

    def stale_chunks(self, collection: str) -> list[str]:
        """Returns the chunk ids of deleted versions that the live version does not have."""
        deleted = of_collection(collection, versions.c.source_id).where(
            versions.c.status == _DELETED
        )
        stale: list[str] = []
        with reading(self._engine) as connection:
            for source_id in sorted(set(connection.execute(deleted).scalars())):
                rows = connection.execute(
                    select(versions.c.status, chunks.c.chunk_id)
                    .join(chunks, chunks.c.version_id == versions.c.id)
                    .where(versions.c.source_id == source_id)
                ).all()
                kept = {row.chunk_id for row in rows if row.status != _DELETED}
                gone = {row.chunk_id for row in rows if row.status == _DELETED}
                stale.extend(sorted(gone - kept))
        return stale

    def sweep(self, collection: str) -> None:
        """Forgets deleted versions, and sources without any version."""
        columns = (versions.c.id, versions.c.source_id, versions.c.language)
        query = of_collection(collection, *columns).where(versions.c.status == _DELETED)
        with writing(self._engine) as connection:
            rows = connection.execute(query).all()
            for part in batches(rows, _SLICE):
                ids = [row.id for row in part]
                connection.execute(delete(versions).where(versions.c.id.in_(ids)))
                bare = sources.c.id.in_({row.source_id for row in part}) & ~(
                    select(versions.c.id).where(versions.c.source_id == sources.c.id).exists()
                )
                connection.execute(delete(sources).where(bare))
            languages.drop_unused(connection, collection, {row.language for row in rows})
        self._languages.pop(collection, None)

    def fail(self, collection: str, state: SourceState, reason: str, message: str) -> None:
        """Records that a source could not be read; a live version stays as it is."""
        with writing(self._engine) as connection:
            collection_id = self._collection(connection, collection).id
            source_id = _source(connection, collection_id, state.uri)
            connection.execute(
                delete(versions).where(
                    versions.c.source_id == source_id, versions.c.status == _FAILED
                )
            )
            row = version_row(source_id, state, _FAILED)
            connection.execute(
                insert(versions), {**row, "error_reason": reason, "error_message": message}
            )

    # Metadata

    def set_metadata(self, collection: str, given: Mapping[str, Metadata]) -> None:
        """Replaces the metadata given for live documents, by id, and marks them for stamping."""
        columns = (versions.c.id, versions.c.own, versions.c.title, versions.c.language)
        query = live(collection, *columns, sources.c.uri)
        with writing(self._engine) as connection:
            for name, wanted in given.items():
                row = connection.execute(query.where(sources.c.document_id == name)).one_or_none()
                if row is None:
                    raise CollectionError(
                        f"collection '{collection}' has no document {name}: "
                        "see which it has with 'kvasir documents list'"
                    )
                merged = chunk_metadata(
                    row.own, wanted, source_uri=row.uri, title=row.title, language=row.language
                )
                connection.execute(
                    update(versions)
                    .where(versions.c.id == row.id)
                    .values(given=dict(wanted), metadata=merged, stamped=False)
                )

    def unstamped(self, collection: str) -> list[Stamp]:
        """Returns the live documents whose metadata the store may not have yet."""
        query = live(collection, sources.c.document_id, versions.c.id, versions.c.metadata)
        stamps = []
        with reading(self._engine) as connection:
            for row in connection.execute(query.where(~versions.c.stamped)).all():
                ids = connection.execute(
                    select(chunks.c.chunk_id).where(chunks.c.version_id == row.id)
                ).scalars()
                stamps.append(Stamp(row.document_id, tuple(ids), row.metadata))
        return stamps

    def stamped(self, collection: str, document_ids: Sequence[str]) -> None:
        """Notes that the store has the metadata of these documents."""
        with writing(self._engine) as connection:
            for part in batches(document_ids, _SLICE):
                ids = live(collection, versions.c.id).where(sources.c.document_id.in_(part))
                connection.execute(
                    update(versions)
                    .where(versions.c.id.in_(list(connection.execute(ids).scalars())))
                    .values(stamped=True)
                )

    def _collection(self, connection: Connection, name: str) -> Any:
        row = connection.execute(select(collections).filter_by(name=name)).one_or_none()
        if row is None:
            raise CollectionError(
                f"there is no collection '{name}': ingest something into it first"
            )
        return row


def _source(connection: Connection, collection_id: int, uri: str) -> int:
    identity = {"collection_id": collection_id, "document_id": document_id(uri)}
    found = connection.execute(select(sources.c.id).filter_by(**identity)).scalar_one_or_none()
    if found is not None:
        return int(found)
    return _insert(connection, sources, {**identity, "uri": uri})


def _insert(connection: Connection, table: Table, row: Mapping[str, Any]) -> int:
    """Insert one row and return its id, without ``RETURNING`` where the engine has none."""
    key: Any = connection.execute(insert(table).values(**row)).inserted_primary_key
    return int(key[0])
