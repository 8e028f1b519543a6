"""Inserts versions of documents, on any database engine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, Table, insert, select

from kvasir.catalog.rows import chunk_rows, compress, version_row
from kvasir.catalog.tables import chunks, sources, texts, versions
from kvasir.core.ledger import VersionDraft, VersionStatus
from kvasir.core.types import document_id


def insert_version(
    connection: Connection, collection_id: int, draft: VersionDraft, writer: str
) -> None:
    """Insert a pending version with its text and chunks, and its source if it is new."""
    source_id = find_source(connection, collection_id, draft.state.uri)
    version_id = _insert(
        connection,
        versions,
        {
            **version_row(source_id, draft.state, VersionStatus.PENDING),
            "title": draft.document.title,
            "language": draft.language,
            "chunk_count": len(draft.chunks),
            "own": dict(draft.document.metadata),
            "given": dict(draft.given),
            "metadata": draft.metadata,
            "writer_id": writer,
        },
    )
    compressed = compress(draft.document.text)
    connection.execute(insert(texts), {"version_id": version_id, "compressed": compressed})
    if draft.chunks:
        connection.execute(insert(chunks), chunk_rows(version_id, draft))


def find_source(connection: Connection, collection_id: int, uri: str) -> int:
    """Return the id of a source; insert it if it is new."""
    identity = {"collection_id": collection_id, "document_id": document_id(uri)}
    found = connection.execute(select(sources.c.id).filter_by(**identity)).scalar_one_or_none()
    if found is not None:
        return int(found)
    return _insert(connection, sources, {**identity, "uri": uri})


def _insert(connection: Connection, table: Table, row: Mapping[str, Any]) -> int:
    made: Any = connection.execute(insert(table).values(**row)).inserted_primary_key
    return int(made[0])
