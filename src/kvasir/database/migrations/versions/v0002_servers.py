"""On database servers: text compared letter by letter, and columns that are large enough."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from kvasir.database.types import big_integer, double, exact, large_binary, long_text

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

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
    """Change the types; SQLite's stay as they are."""
    if op.get_bind().dialect.name == "sqlite":
        return
    for table, column, _, now, nullable in _CHANGED:
        op.alter_column(table, column, type_=now, existing_nullable=nullable)


def downgrade() -> None:
    """Change them back; fails where a value is too large for the old type."""
    if op.get_bind().dialect.name == "sqlite":
        return
    for table, column, before, _, nullable in _CHANGED:
        op.alter_column(table, column, type_=before, existing_nullable=nullable)
