"""When the id of a job was given to a broker."""

from __future__ import annotations

import sqlalchemy as sa

from kvasir.database.dialects import double
from kvasir.database.migrations.columns import add_column, drop_column

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Add the column; without a value a job was not sent."""
    add_column("jobs", sa.Column("sent", double(), nullable=True))


def downgrade() -> None:
    """Drop the column."""
    drop_column("jobs", "sent")
