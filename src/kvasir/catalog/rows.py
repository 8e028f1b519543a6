"""Converts rows of the catalog's tables to records, and inserts those of a version."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from datetime import UTC
from typing import Any

from sqlalchemy import Connection, Row, Table, insert, select

from kvasir.catalog.tables import chunks, sources, texts, versions
from kvasir.core.ledger import (
    ChunkRecord,
    CollectionRecord,
    DocumentRecord,
    SourceState,
    VersionDraft,
    VersionStatus,
    passage_hash,
)
from kvasir.core.types import document_id


def collection_record(row: Row[Any]) -> CollectionRecord:
    """Convert a row of ``collections``."""
    return CollectionRecord(
        name=row.name,
        embedder=row.embedder,
        dimension=row.dimension,
        fingerprint=row.fingerprint,
        languages=tuple(row.languages),
        calibration=row.calibration,
        created=row.created.replace(tzinfo=UTC),
    )


def document_record(rows: Sequence[Row[Any]]) -> DocumentRecord:
    """Convert the live and the failed version of one source, joined with ``sources``."""
    by_status = {row.status: row for row in rows}
    failed = by_status.get(VersionStatus.FAILED)
    row = by_status.get(VersionStatus.LIVE, rows[0])
    return DocumentRecord(
        id=row.document_id,
        source_uri=row.uri,
        status=VersionStatus(row.status),
        state=SourceState(
            uri=row.uri,
            media_type=row.media_type,
            content_hash=row.content_hash,
            size=row.size,
            modified=row.modified,
            settings_hash=row.settings_hash,
        ),
        title=row.title,
        language=row.language,
        chunk_count=row.chunk_count,
        given=row.given,
        metadata=row.metadata,
        indexed=row.recorded.replace(tzinfo=UTC),
        error_reason=failed.error_reason if failed else None,
        error_message=failed.error_message if failed else None,
    )


def chunk_record(row: Row[Any]) -> ChunkRecord:
    """Convert a row of ``chunks``, joined with ``sources``."""
    return ChunkRecord(
        id=row.chunk_id,
        document_id=row.document_id,
        start=row.start,
        end=row.end,
        page=row.page,
        headings=tuple(row.headings),
        passage_hash=row.passage_hash,
    )


def version_row(source_id: int, state: SourceState, status: VersionStatus) -> dict[str, Any]:
    """Return a row of ``versions`` for a source; columns of the document have their defaults."""
    return {
        "source_id": source_id,
        "status": status,
        "media_type": state.media_type,
        "content_hash": state.content_hash,
        "size": state.size,
        "modified": state.modified,
        "settings_hash": state.settings_hash,
    }


def insert_version(
    connection: Connection, collection_id: int, draft: VersionDraft, writer: str
) -> None:
    """Insert a pending version with its text and chunks, and its source if it is new."""
    source_id = find_source(connection, collection_id, draft.state.uri)
    row = version_row(source_id, draft.state, VersionStatus.PENDING) | {
        "title": draft.document.title,
        "language": draft.language,
        "chunk_count": len(draft.chunks),
        "own": dict(draft.document.metadata),
        "given": dict(draft.given),
        "metadata": draft.metadata,
        "writer_id": writer,
    }
    version_id = _insert(connection, versions, row)
    compressed = zlib.compress(draft.document.text.encode("utf-8", "surrogatepass"), level=6)
    connection.execute(insert(texts), {"version_id": version_id, "compressed": compressed})
    chunk_rows = [
        {
            "version_id": version_id,
            "position": position,
            "chunk_id": chunk.id,
            "passage_hash": passage_hash(chunk.passage),
            "start": chunk.start,
            "end": chunk.end,
            "page": chunk.page,
            "headings": list(chunk.headings),
        }
        for position, chunk in enumerate(draft.chunks)
    ]
    if chunk_rows:
        connection.execute(insert(chunks), chunk_rows)


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


def expand(compressed: bytes) -> str:
    """Return the text of a row of ``texts``."""
    return zlib.decompress(compressed).decode("utf-8", "surrogatepass")
