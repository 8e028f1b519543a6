"""The boxes of text that was recognized in pictures."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from kvasir.database.dialects import large_binary

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Add the column; it may be there, because MariaDB cannot roll back."""
    if not _has_column():
        op.add_column("texts", sa.Column("recognized", large_binary(), nullable=True))


def downgrade() -> None:
    """Drop the column; the boxes are made again when the sources are ingested again."""
    if _has_column():
        # Not as a batch, which makes the table anew on SQLite: its rows' parts would be deleted.
        op.drop_column("texts", "recognized")


def _has_column() -> bool:
    columns = sa.inspect(op.get_bind()).get_columns("texts")
    return "recognized" in {column["name"] for column in columns}
