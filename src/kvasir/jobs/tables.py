"""The table of jobs. Times are seconds since 1970 by the database's clock."""

from __future__ import annotations

from sqlalchemy import JSON, Column, Index, Integer, String, Table, Text, UniqueConstraint

from kvasir.database.dialects import double, exact, long_text
from kvasir.database.metadata import metadata

jobs = Table(
    "jobs",
    metadata,
    # Counts up: the order of the queue.
    Column("number", Integer, primary_key=True),
    Column("id", exact(36), nullable=False, unique=True),
    Column("task", exact(64), nullable=False),
    Column("arguments", JSON, nullable=False),
    Column("user_id", Integer, nullable=False),
    Column("collection", exact(64), nullable=False),
    # The idempotency key of the request; NULL is unique.
    Column("key", exact(255)),
    # Of the bytes in the spool that it needs.
    Column("digest", exact(64), index=True),
    Column("state", exact(16), nullable=False),
    Column("created", double(), nullable=False),
    # Earliest start of the next attempt.
    Column("due", double(), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("started", double()),
    Column("finished", double()),
    Column("lease_token", exact(36)),
    Column("lease_until", double()),
    # When its id was given to a broker, if one carries the jobs; NULL: it is to be sent.
    Column("sent", double()),
    Column("progress", JSON),
    Column("result", JSON),
    Column("code", String(64)),
    Column("message", long_text(Text())),
    UniqueConstraint("user_id", "key"),
    Index(None, "state", "number"),
)
