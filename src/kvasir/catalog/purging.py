"""Deletes the records of deleted versions, and says which chunks only they have."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Select, delete, select, update

from kvasir.catalog.tables import chunks, collections, live, of_collection, sources, versions
from kvasir.core.batches import batches
from kvasir.core.ledger import VersionStatus

_SLICE = 500
_DELETED = VersionStatus.DELETED


def stale_chunks(connection: Connection, collection: str, writer: str) -> list[str]:
    """Return the chunk ids of a writer's deleted versions that no other version has."""
    stale: list[str] = []
    deleted = _deleted_by(collection, writer, versions.c.source_id)
    for source_id in sorted(set(connection.execute(deleted).scalars())):
        found = connection.execute(
            select(versions.c.status, chunks.c.chunk_id)
            .join(chunks, chunks.c.version_id == versions.c.id)
            .where(versions.c.source_id == source_id)
        ).all()
        kept = {row.chunk_id for row in found if row.status != _DELETED}
        gone = {row.chunk_id for row in found if row.status == _DELETED}
        stale.extend(sorted(gone - kept))
    return stale


def purge(connection: Connection, row: Any, writer: str) -> None:
    """Delete the records of a writer's deleted versions; ``row`` is the collection's, locked."""
    columns = (versions.c.id, versions.c.source_id, versions.c.language)
    gone = connection.execute(_deleted_by(row.name, writer, *columns)).all()
    for part in batches(gone, _SLICE):
        ids = [each.id for each in part]
        connection.execute(delete(versions).where(versions.c.id.in_(ids)))
        bare = sources.c.id.in_({each.source_id for each in part}) & ~(
            select(versions.c.id).where(versions.c.source_id == sources.c.id).exists()
        )
        connection.execute(delete(sources).where(bare))
    query = live(row.name, versions.c.id).limit(1)
    unused = {
        language
        for language in {each.language for each in gone} & {*row.languages}
        if not connection.execute(query.where(versions.c.language == language)).first()
    }
    store_languages(connection, row, {*row.languages} - unused)


def store_languages(connection: Connection, row: Any, languages: set[str]) -> None:
    """Store them with the collection: reading them from its versions would slow every query."""
    if languages != {*row.languages}:
        changed = update(collections).filter_by(id=row.id).values(languages=sorted(languages))
        connection.execute(changed)


def _deleted_by(collection: str, writer: str, *columns: Any) -> Select[Any]:
    return of_collection(collection, *columns).where(
        versions.c.status == _DELETED, versions.c.writer_id == writer
    )
