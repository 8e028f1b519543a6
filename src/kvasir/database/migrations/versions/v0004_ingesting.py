"""Ingesting: vectors of documents that are not complete yet; how collections are split."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from kvasir.database.dialects import large_binary
from kvasir.database.migrations.columns import add_column, drop_column

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make table and column; they may be there, because MariaDB cannot roll back."""
    op.create_table(
        "kept_vectors",
        sa.Column("collection_id", sa.Integer(), nullable=False),
        sa.Column("passage_hash", sa.String(32), nullable=False),
        sa.Column("vector", large_binary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["collection_id"],
            ["collections.id"],
            name=op.f("fk_kept_vectors_collection_id_collections"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("collection_id", "passage_hash", name=op.f("pk_kept_vectors")),
        if_not_exists=True,
    )
    add_column("collections", sa.Column("splitting", sa.JSON(), nullable=True))


def downgrade() -> None:
    """Drop table and column; the vectors can be made again."""
    op.drop_table("kept_vectors", if_exists=True)
    drop_column("collections", "splitting")
