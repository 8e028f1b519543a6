"""The boxes of text that was recognized in pictures."""

from __future__ import annotations

import sqlalchemy as sa

from kvasir.database.dialects import large_binary
from kvasir.database.migrations.columns import add_column, drop_column

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Add the column."""
    add_column("texts", sa.Column("recognized", large_binary(), nullable=True))


def downgrade() -> None:
    """Drop the column; the boxes are made again when the sources are ingested again."""
    drop_column("texts", "recognized")
