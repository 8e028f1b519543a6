"""Where the pages of a document begin in its text."""

from __future__ import annotations

import sqlalchemy as sa

from kvasir.database.dialects import large_binary
from kvasir.database.migrations.columns import add_column, drop_column

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Add the column."""
    add_column("texts", sa.Column("pages", large_binary(), nullable=True))


def downgrade() -> None:
    """Drop the column; citations then name the page on which their passage begins."""
    drop_column("texts", "pages")
