"""The tables of accounts. Times are seconds since 1970 by the database's clock."""

from __future__ import annotations

from sqlalchemy import JSON, Boolean, Column, ForeignKey, Integer, String, Table

from kvasir.database.dialects import double, exact
from kvasir.database.metadata import metadata

users = Table(
    "users",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("email", String(254), nullable=False),
    Column("username", String(50), nullable=False),
    # An argon2 hash with its parameters.
    Column("password", String(255), nullable=False),
    # Both names without case, so that a login finds exactly one user.
    Column("email_key", exact(254), nullable=False, unique=True),
    Column("username_key", exact(200), nullable=False, unique=True),
    Column("role", exact(16), nullable=False),
    Column("language", exact(8), nullable=False),
    Column("disabled", Boolean, nullable=False),
    # Tokens of an older version are refused.
    Column("token_version", Integer, nullable=False),
    Column("created", double(), nullable=False),
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", exact(36), primary_key=True),
    Column("user_id", ForeignKey("users.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("name", String(100), nullable=False),
    Column("secret_hash", exact(64), nullable=False, unique=True),
    Column("scopes", JSON, nullable=False),
    Column("created", double(), nullable=False),
    Column("expires", double()),
    Column("last_used", double()),
)

recoveries = Table(
    "recoveries",
    metadata,
    Column("user_id", ForeignKey("users.id", ondelete="CASCADE"), primary_key=True),
    Column("password", String(255), nullable=False),
    Column("expires", double(), nullable=False),
    Column("attempts", Integer, nullable=False),
    # It logged in, and is needed once more to change the password.
    Column("used", Boolean, nullable=False),
)

invitations = Table(
    "invitations",
    metadata,
    Column("token_hash", exact(64), primary_key=True),
    Column("role", exact(16), nullable=False),
    Column("expires", double(), nullable=False),
)

collection_access = Table(
    "collection_access",
    metadata,
    Column("collection", exact(64), primary_key=True),
    # 0 is the owner of the data folder, who is no user.
    Column("owner_id", Integer, nullable=False),
    Column("visibility", exact(16), nullable=False),
)

collection_members = Table(
    "collection_members",
    metadata,
    Column(
        "collection",
        ForeignKey("collection_access.collection", ondelete="CASCADE"),
        primary_key=True,
    ),
    Column("user_id", ForeignKey("users.id", ondelete="CASCADE"), primary_key=True),
    Column("may_write", Boolean, nullable=False),
)
