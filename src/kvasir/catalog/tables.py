"""The catalog's tables, and the queries that several parts of it use.

    collections 1-n sources 1-n versions 1-n chunks
                                versions 1-1 texts
    collections 1-n writers
    collections 1-n kept_vectors

Times are in UTC without a zone, because SQLite has no zones. A change here needs a migration in
``kvasir.database.migrations``; a test compares the two.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from kvasir.core.ledger import VersionStatus
from kvasir.database.dialects import big_integer, double, exact, large_binary, long_text
from kvasir.database.metadata import metadata


def _now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)


collections = sa.Table(
    "collections",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("name", exact(64), nullable=False, unique=True),
    sa.Column("embedder", long_text(sa.String(255)), nullable=False),
    sa.Column("dimension", sa.Integer, nullable=False),
    sa.Column("fingerprint", long_text(sa.String(255)), nullable=False),
    sa.Column("languages", sa.JSON, nullable=False, default=list),
    sa.Column("calibration", sa.JSON),
    sa.Column("splitting", sa.JSON),
    # The embedding model that was chosen for it; null for that of the settings.
    sa.Column("model", sa.JSON),
    # In the store; null for the collection's name.
    sa.Column("index_name", exact(128)),
    # Indexes that are being built or are not used any more: by name, what made them.
    sa.Column("other_indexes", sa.JSON),
    # Grows with each change of live documents.
    sa.Column("revision", sa.Integer, nullable=False, default=0, server_default="0"),
    sa.Column("created", sa.DateTime, nullable=False, default=_now),
)

sources = sa.Table(
    "sources",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("collection_id", sa.ForeignKey("collections.id", ondelete="CASCADE"), nullable=False),
    sa.Column("document_id", sa.String(36), nullable=False),
    sa.Column("uri", long_text(sa.String(4096)), nullable=False),
    # The identity is the hash of the URI, not the URI: indexes on long texts are limited.
    sa.UniqueConstraint("collection_id", "document_id"),
    sa.Index(None, "collection_id"),
)

versions = sa.Table(
    "versions",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("source_id", sa.ForeignKey("sources.id", ondelete="CASCADE"), nullable=False),
    sa.Column("status", sa.String(8), nullable=False),
    sa.Column("media_type", long_text(sa.String(255)), nullable=False),
    sa.Column("content_hash", sa.String(64), nullable=False, index=True),
    sa.Column("size", big_integer(), nullable=False),
    sa.Column("modified", double()),
    sa.Column("recipe", sa.String(64), key="settings_hash", nullable=False),
    sa.Column("title", long_text(sa.Text()), nullable=False, default=""),
    sa.Column("language", sa.String(16), nullable=False, default=""),
    sa.Column("chunk_count", sa.Integer, nullable=False, default=0),
    sa.Column("own", sa.JSON, nullable=False, default=dict),
    sa.Column("given", sa.JSON, nullable=False, default=dict),
    sa.Column("metadata", sa.JSON, nullable=False, default=dict),
    sa.Column("stamped", sa.Boolean, key="metadata_applied", nullable=False, default=True),
    sa.Column("error_reason", sa.String(32)),
    sa.Column("error_message", long_text(sa.Text())),
    sa.Column("recorded", sa.DateTime, nullable=False, default=_now),
    # The owner of an unfinished version. No foreign key: a writer's row is deleted before it.
    sa.Column("writer_id", exact(36)),
    sa.Index(None, "source_id", "status"),
    sa.Index(None, "status"),
)

texts = sa.Table(
    "texts",
    metadata,
    sa.Column("version_id", sa.ForeignKey("versions.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("compressed", large_binary(), nullable=False),
    # Boxes of text that was recognized in pictures, as compressed JSON.
    sa.Column("recognized", large_binary()),
    # Where its pages begin, as compressed JSON.
    sa.Column("pages", large_binary()),
)

chunks = sa.Table(
    "chunks",
    metadata,
    sa.Column("version_id", sa.ForeignKey("versions.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("position", sa.Integer, primary_key=True),
    sa.Column("chunk_id", sa.String(36), nullable=False),
    sa.Column("passage_hash", sa.String(32), nullable=False, index=True),
    sa.Column("start", sa.Integer, nullable=False),
    sa.Column("end", sa.Integer, nullable=False),
    sa.Column("page", sa.Integer),
    sa.Column("headings", sa.JSON, nullable=False),
)

writers = sa.Table(
    "writers",
    metadata,
    sa.Column("id", exact(36), primary_key=True),
    sa.Column("collection_id", sa.ForeignKey("collections.id", ondelete="CASCADE"), nullable=False),
    sa.Column("exclusive", sa.Boolean, nullable=False),
    # Seconds since 1970 by the database's clock.
    sa.Column("heartbeat", double(), nullable=False),
    sa.Column("lease_seconds", double(), nullable=False),
    sa.Column("host", sa.String(255), nullable=False),
    # The machine's boot id and process namespace; empty if unknown.
    sa.Column("machine", sa.String(255), nullable=False),
    sa.Column("pid", big_integer(), nullable=False),
    sa.Column("process_start", sa.String(32), nullable=False),
)

# Of documents that are not complete yet.
kept_vectors = sa.Table(
    "kept_vectors",
    metadata,
    sa.Column(
        "collection_id", sa.ForeignKey("collections.id", ondelete="CASCADE"), primary_key=True
    ),
    sa.Column("passage_hash", sa.String(32), primary_key=True),
    # Little-endian float32.
    sa.Column("vector", large_binary(), nullable=False),
)


def of_collection(collection: str | sa.BindParameter[str], *columns: Any) -> sa.Select[Any]:
    """Select from all versions of a collection."""
    return (
        sa.select(*columns)
        .select_from(versions)
        .join(sources, sources.c.id == versions.c.source_id)
        .join(collections, collections.c.id == sources.c.collection_id)
        .where(collections.c.name == collection)
    )


def live(collection: str | sa.BindParameter[str], *columns: Any) -> sa.Select[Any]:
    """Select from the live versions."""
    return of_collection(collection, *columns).where(versions.c.status == VersionStatus.LIVE)


def live_chunks(collection: str) -> sa.Select[Any]:
    """Select the chunks of the live versions, each with its document's id."""
    return live(collection, chunks, sources.c.document_id).join(
        chunks, chunks.c.version_id == versions.c.id
    )


LIVE_TEXT = (
    live(sa.bindparam("collection"), *texts.c, versions.c.content_hash)
    .join(texts, texts.c.version_id == versions.c.id)
    .where(sources.c.document_id == sa.bindparam("document"))
)
"""Made once, because an answer needs it for every citation."""
