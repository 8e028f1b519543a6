"""Writers and their leases; on database servers, exact text and columns that are large enough."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from kvasir.database.dialects import big_integer, double, exact, large_binary, long_text
from kvasir.database.migrations.columns import add_column

revision = "0002"
down_revision = "0001"

_CHANGED = (
    # table, column, type before, type now, nullable
    ("collections", "name", sa.String(64), exact(64), False),
    ("collections", "embedder", sa.String(255), long_text(sa.String(255)), False),
    ("collections", "fingerprint", sa.String(255), long_text(sa.String(255)), False),
    ("sources", "uri", sa.String(4096), long_text(sa.String(4096)), False),
    ("versions", "media_type", sa.String(255), long_text(sa.String(255)), False),
    ("versions", "size", sa.Integer(), big_integer(), False),
    ("versions", "modified", sa.Float(), double(), True),
    ("versions", "title", sa.Text(), long_text(sa.Text()), False),
    ("versions", "error_message", sa.Text(), long_text(sa.Text()), True),
    ("texts", "compressed", sa.LargeBinary(), large_binary(), False),
)


def upgrade() -> None:
    """Make the table of writers, and change the types on servers; SQLite's stay as they are."""
    # Each step may be done already: MariaDB and MySQL cannot roll back a part of a migration.
    op.create_table(
        "writers",
        sa.Column("id", exact(36), nullable=False),
        sa.Column("collection_id", sa.Integer(), nullable=False),
        sa.Column("exclusive", sa.Boolean(), nullable=False),
        sa.Column("heartbeat", double(), nullable=False),
        sa.Column("lease_seconds", double(), nullable=False),
        sa.Column("host", sa.String(length=255), nullable=False),
        sa.Column("machine", sa.String(length=255), nullable=False),
        sa.Column("pid", big_integer(), nullable=False),
        sa.Column("process_start", sa.String(length=32), nullable=False),
        sa.ForeignKeyConstraint(
            ["collection_id"],
            ["collections.id"],
            name=op.f("fk_writers_collection_id_collections"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_writers")),
        if_not_exists=True,
    )
    add_column("versions", sa.Column("writer_id", exact(36), nullable=True))
    if op.get_bind().dialect.name == "sqlite":
        return
    for table, column, _, now, nullable in _CHANGED:
        op.alter_column(table, column, type_=now, existing_nullable=nullable)


def downgrade() -> None:
    """Undo it; fails where a value is too large for its old type."""
    op.drop_column("versions", "writer_id")
    op.drop_table("writers")
    if op.get_bind().dialect.name == "sqlite":
        return
    for table, column, before, _, nullable in _CHANGED:
        op.alter_column(table, column, type_=before, existing_nullable=nullable)
