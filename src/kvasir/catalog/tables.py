"""The catalog's tables.

    collections 1-n sources 1-n versions 1-n chunks
                                versions 1-1 texts
    collections 1-n writers

Times are in UTC without a zone, because SQLite has no zones.
"""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from kvasir.database.metadata import metadata
from kvasir.database.types import big_integer, double, exact, large_binary, long_text

collections = Table(
    "collections",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", exact(64), nullable=False, unique=True),
    Column("embedder", long_text(String(255)), nullable=False),
    Column("dimension", Integer, nullable=False),
    Column("fingerprint", long_text(String(255)), nullable=False),
    Column("languages", JSON, nullable=False),
    Column("calibration", JSON),
    Column("created", DateTime, nullable=False),
)

sources = Table(
    "sources",
    metadata,
    Column("id", Integer, primary_key=True),
    Column(
        "collection_id",
        ForeignKey("collections.id", ondelete="CASCADE"),
        nullable=False,
        index=True,
    ),
    Column("document_id", String(36), nullable=False),
    Column("uri", long_text(String(4096)), nullable=False),
    # The identity is the hash of the URI, not the URI: indexes on long texts are limited.
    UniqueConstraint("collection_id", "document_id"),
)

versions = Table(
    "versions",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("source_id", ForeignKey("sources.id", ondelete="CASCADE"), nullable=False),
    Column("status", String(8), nullable=False),
    Column("media_type", long_text(String(255)), nullable=False),
    Column("content_hash", String(64), nullable=False),
    Column("size", big_integer(), nullable=False),
    Column("modified", double()),
    Column("recipe", String(64), key="settings_hash", nullable=False),
    Column("title", long_text(Text()), nullable=False),
    Column("language", String(16), nullable=False),
    Column("chunk_count", Integer, nullable=False),
    Column("own", JSON, nullable=False),
    Column("given", JSON, nullable=False),
    Column("metadata", JSON, nullable=False),
    Column("stamped", Boolean, key="metadata_applied", nullable=False),
    Column("error_reason", String(32)),
    Column("error_message", long_text(Text())),
    Column("recorded", DateTime, nullable=False),
    # The owner of an unfinished version. No foreign key: a writer's row is deleted before it.
    Column("writer_id", exact(36)),
    Index(None, "source_id", "status"),
    Index(None, "status"),
)

texts = Table(
    "texts",
    metadata,
    Column("version_id", ForeignKey("versions.id", ondelete="CASCADE"), primary_key=True),
    Column("compressed", large_binary(), nullable=False),
)

chunks = Table(
    "chunks",
    metadata,
    Column("version_id", ForeignKey("versions.id", ondelete="CASCADE"), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("chunk_id", String(36), nullable=False),
    Column("passage_hash", String(32), nullable=False, index=True),
    Column("start", Integer, nullable=False),
    Column("end", Integer, nullable=False),
    Column("page", Integer),
    Column("headings", JSON, nullable=False),
)

writers = Table(
    "writers",
    metadata,
    Column("id", exact(36), primary_key=True),
    Column("collection_id", ForeignKey("collections.id", ondelete="CASCADE"), nullable=False),
    Column("exclusive", Boolean, nullable=False),
    # Seconds since 1970 by the database's clock.
    Column("heartbeat", double(), nullable=False),
    Column("lease_seconds", double(), nullable=False),
    Column("host", String(255), nullable=False),
    # The machine's boot id and process namespace; empty if unknown.
    Column("machine", String(255), nullable=False),
    Column("pid", big_integer(), nullable=False),
    Column("process_start", String(32), nullable=False),
)
