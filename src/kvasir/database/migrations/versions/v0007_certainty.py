"""How sure a logged answer was."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from kvasir.database.dialects import exact
from kvasir.database.migrations.columns import add_column, drop_column

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Add the column; of the answers before, only the refused ones are known."""
    add_column("answer_log", sa.Column("certainty", exact(16), nullable=True))
    log = sa.table("answer_log", sa.column("certainty"), sa.column("refused", sa.Boolean))
    op.execute(sa.update(log).where(log.c.refused).values(certainty="no"))


def downgrade() -> None:
    """Drop the column; whether an answer was refused stays."""
    drop_column("answer_log", "certainty")
