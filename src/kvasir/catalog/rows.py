"""Converts rows of the catalog's tables to records; inserts those of a version, copies all."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from datetime import UTC
from functools import lru_cache
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, Table, insert, literal, select

from kvasir.catalog.tables import chunks, collections, sources, texts, versions
from kvasir.core.document_metadata import chunk_metadata
from kvasir.core.errors import CollectionNotFoundError
from kvasir.core.ledger import (
    ChunkRecord,
    CollectionRecord,
    DocumentRecord,
    EmbeddingModel,
    SourceState,
    Splitting,
    VersionDraft,
    VersionStatus,
    passage_hash,
)
from kvasir.core.places import page_starts
from kvasir.core.types import (
    Metadata,
    MetadataValue,
    PageStart,
    RecognizedSpan,
    document_id,
    metadata_of,
)
from kvasir.core.wire import dumps, from_json, loads

_KEPT = (VersionStatus.LIVE, VersionStatus.FAILED)
"""Copied versions; a document has at most one of each. The others are unfinished work."""

_MOST_REMEMBERED = 32
"""Unpacked texts that are remembered: those of a few answers."""
_LONGEST_REMEMBERED = 250_000
"""Most bytes of such a text, so that they take 32 MB at most, also with four bytes a character."""

_old, _new = sources.alias("old"), sources.alias("new")
_old_version, _new_version = versions.alias("old_version"), versions.alias("new_version")


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
        splitting=from_json(Splitting, row.splitting) if row.splitting else None,
        index=row.index_name or "",
        model=from_json(EmbeddingModel, row.model) if row.model else None,
    )


def find_collection(connection: Connection, name: str, *, lock: bool = False) -> Any:
    """Return the row of a collection; raise CollectionNotFoundError if there is none."""
    query = select(collections).filter_by(name=name)
    row = connection.execute(query.with_for_update() if lock else query).one_or_none()
    if row is None:
        known = connection.execute(select(collections.c.name).order_by(collections.c.name))
        raise CollectionNotFoundError(name, list(known.scalars()))
    return row


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
        given=metadata_of(row.given),
        metadata=metadata_of(row.metadata),
        indexed=row.recorded.replace(tzinfo=UTC),
        error_reason=failed.error_reason if failed else None,
        error_message=failed.error_message if failed else None,
    )


def merged_metadata(row: Row[Any], given: Metadata) -> dict[str, MetadataValue]:
    """Return the metadata of the chunks of a live version, with other ones from the caller."""
    return chunk_metadata(
        metadata_of(row.own),
        given,
        source_uri=row.uri,
        title=row.title,
        language=row.language,
        media_type=row.media_type,
        modified=row.modified,
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
    text_row = {
        "version_id": version_id,
        "compressed": compressed,
        "recognized": _compress(draft.document.recognized),
        "pages": _compress(page_starts(draft.document.blocks)),
    }
    connection.execute(insert(texts), text_row)
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
    """Return the text of a row of ``texts``; an answer reads the same few texts several times."""
    text = _expand_short(compressed) if len(compressed) <= _LONGEST_REMEMBERED else None
    return _decode(zlib.decompress(compressed)) if text is None else text


@lru_cache(_MOST_REMEMBERED)
def _expand_short(compressed: bytes) -> str | None:
    """Return the text; None if it is too long to be remembered."""
    unpacking = zlib.decompressobj()
    data = unpacking.decompress(compressed, _LONGEST_REMEMBERED)
    return _decode(data) if unpacking.eof else None


def _decode(text: bytes) -> str:
    return text.decode("utf-8", "surrogatepass")


def _compress(places: Sequence[RecognizedSpan | PageStart]) -> bytes | None:
    """Return the content of ``texts.recognized`` or ``texts.pages``; None if there are none."""
    return zlib.compress(dumps(places).encode()) if places else None


def expand_spans(compressed: bytes | None) -> tuple[RecognizedSpan, ...]:
    """Return the recognized spans of a row of ``texts``."""
    if compressed is None:
        return ()
    return tuple(loads(tuple[RecognizedSpan, ...], zlib.decompress(compressed)))


def expand_pages(compressed: bytes | None) -> tuple[PageStart, ...]:
    """Return where the pages of a row of ``texts`` begin."""
    if compressed is None:
        return ()
    return tuple(loads(tuple[PageStart, ...], zlib.decompress(compressed)))


def copy_records(connection: Connection, collection_id: int, name: str) -> None:
    """Copy all rows of a collection to a new name, within a writing transaction.

    A copy in another store needs its own records only if it has another name, because the catalog
    does not record where the store is. In the store it has its own name.
    """
    changed = {"id": None, "name": literal(name), "index_name": None, "other_indexes": None}
    renamed = select(*_columns(collections, **changed))
    _fill(connection, collections, renamed.where(collections.c.id == collection_id))
    copied = connection.execute(select(collections.c.id).filter_by(name=name)).scalar_one()
    moved = select(*_columns(_old, id=None, collection_id=literal(copied)))
    _fill(connection, sources, moved.where(_old.c.collection_id == collection_id))
    both = (_new.c.document_id == _old.c.document_id) & (_new.c.collection_id == copied)
    _fill(
        connection,
        versions,
        select(*_columns(_old_version, id=None, source_id=_new.c.id, writer_id=None))
        .join(_old, _old.c.id == _old_version.c.source_id)
        .join(_new, both)
        .where(_old.c.collection_id == collection_id, _old_version.c.status.in_(_KEPT)),
    )
    same = (_new_version.c.source_id == _new.c.id) & (
        _new_version.c.status == _old_version.c.status
    )
    for table in (texts, chunks):
        _fill(
            connection,
            table,
            select(*_columns(table, version_id=_new_version.c.id))
            .join(_old_version, _old_version.c.id == table.c.version_id)
            .join(_old, _old.c.id == _old_version.c.source_id)
            .join(_new, both)
            .join(_new_version, same)
            .where(_old.c.collection_id == collection_id),
        )


def _columns(table: Any, **instead: ColumnElement[Any] | None) -> list[ColumnElement[Any]]:
    """Return a table's columns, some replaced; None leaves a column out."""
    chosen = {column.key: instead.get(column.key, column) for column in table.c}
    return [column.label(name) for name, column in chosen.items() if column is not None]


def _fill(connection: Connection, table: Table, rows: Select[Any]) -> None:
    connection.execute(insert(table).from_select([c.name for c in rows.selected_columns], rows))
