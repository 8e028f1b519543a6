"""The embedding model that was chosen for a collection, and its indexes by other models."""

from __future__ import annotations

import sqlalchemy as sa

from kvasir.database.dialects import exact
from kvasir.database.migrations.columns import add_column, drop_column

revision = "0008"
down_revision = "0007"

_COLUMNS = ("model", "index_name", "other_indexes", "revision")


def upgrade() -> None:
    """Add the columns; without a value a collection has the model of the settings."""
    add_column("collections", sa.Column("model", sa.JSON(), nullable=True))
    add_column("collections", sa.Column("index_name", exact(128), nullable=True))
    add_column("collections", sa.Column("other_indexes", sa.JSON(), nullable=True))
    add_column(
        "collections", sa.Column("revision", sa.Integer(), nullable=False, server_default="0")
    )


def downgrade() -> None:
    """Drop the columns; a collection with a model of its own must be ingested again."""
    for name in _COLUMNS:
        drop_column("collections", name)
