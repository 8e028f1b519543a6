"""The tables of questions, mail and the log of answers.

Times are seconds since 1970 by the database's clock.
"""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from kvasir.database.dialects import double, exact, long_text
from kvasir.database.metadata import metadata

questions = Table(
    "questions",
    metadata,
    # Counts up: the order of the queue.
    Column("number", Integer, primary_key=True),
    Column("id", exact(36), nullable=False, unique=True),
    Column("input", long_text(Text()), nullable=False),
    Column("date", double(), nullable=False),
    Column("output", long_text(Text())),
    Column("email", String(254), nullable=False),
    # NULL, sent or error_sending: of the mail with the answer.
    Column("status", exact(16)),
    Column("user_id", Integer, nullable=False),
    Column("collection", exact(64), nullable=False),
    Column("language", exact(8), nullable=False),
    Column("state", exact(16), nullable=False),
    Column("answer", JSON),
    # The idempotency key of the request; NULL is unique.
    Column("key", exact(255)),
    Column("reply_to", String(998), nullable=False),
    Column("subject", String(255), nullable=False),
    Column("attempts", Integer, nullable=False),
    # Earliest time of the next attempt, to answer or to mail.
    Column("due", double(), nullable=False),
    Column("lease_token", exact(36)),
    Column("lease_until", double()),
    Column("reason", long_text(Text())),
    UniqueConstraint("user_id", "key"),
    Index(None, "state", "number"),
    Index(None, "status", "state", "number"),
)

mails = Table(
    "mails",
    metadata,
    # Mail that answers no question, such as recoveries.
    Column("number", Integer, primary_key=True),
    Column("id", exact(36), nullable=False, unique=True),
    Column("kind", exact(16), nullable=False),
    Column("recipient", String(254), nullable=False),
    Column("language", exact(8), nullable=False),
    Column("content", JSON, nullable=False),
    Column("status", exact(16)),
    Column("created", double(), nullable=False),
    Column("due", double(), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("lease_token", exact(36)),
    Column("lease_until", double()),
    Column("reason", long_text(Text())),
    Index(None, "status", "number"),
)

answer_log = Table(
    "answer_log",
    metadata,
    Column("number", Integer, primary_key=True),
    Column("id", exact(36), nullable=False, unique=True),
    Column("user_id", Integer, nullable=False),
    Column("collection", exact(64), nullable=False),
    Column("question", long_text(Text()), nullable=False),
    Column("answer", long_text(Text()), nullable=False),
    Column("refused", Boolean, nullable=False),
    Column("certainty", exact(16)),
    Column("sources", JSON, nullable=False),
    Column("model", String(255), nullable=False),
    Column("seconds", double(), nullable=False),
    Column("date", double(), nullable=False),
    Column("request_id", exact(64), nullable=False),
    Column("rating", Integer),
    Column("comment", long_text(Text()), nullable=False),
    Index(None, "user_id", "number"),
    Index(None, "date"),
)

answer_cache = Table(
    "answer_cache",
    metadata,
    Column("number", Integer, primary_key=True),
    Column("collection", exact(64), nullable=False),
    # A hash of everything beside the question that an answer depends on.
    Column("scope", exact(64), nullable=False),
    # A hash of the question without case, punctuation and spaces.
    Column("exact_key", exact(64), nullable=False),
    Column("question", long_text(Text()), nullable=False),
    Column("vector", LargeBinary(65_535), nullable=False),
    Column("answer", long_text(Text()), nullable=False),
    # The content hash of each cited document.
    Column("sources", long_text(Text()), nullable=False),
    Column("date", double(), nullable=False),
    Index(None, "collection", "scope", "exact_key"),
    Index(None, "date"),
)
