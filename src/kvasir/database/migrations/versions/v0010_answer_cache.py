"""Answers that may be given again."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from kvasir.database.dialects import double, exact, long_text

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """Make the table; it may be there, because MariaDB cannot roll back."""
    op.create_table(
        "answer_cache",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("collection", exact(64), nullable=False),
        sa.Column("scope", exact(64), nullable=False),
        sa.Column("exact_key", exact(64), nullable=False),
        sa.Column("question", long_text(sa.Text()), nullable=False),
        sa.Column("vector", sa.LargeBinary(65_535), nullable=False),
        sa.Column("answer", long_text(sa.Text()), nullable=False),
        sa.Column("sources", long_text(sa.Text()), nullable=False),
        sa.Column("date", double(), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_answer_cache")),
        if_not_exists=True,
    )
    op.create_index(
        op.f("ix_answer_cache_collection_scope_exact_key"),
        "answer_cache",
        ["collection", "scope", "exact_key"],
        if_not_exists=True,
    )
    op.create_index(op.f("ix_answer_cache_date"), "answer_cache", ["date"], if_not_exists=True)


def downgrade() -> None:
    """Drop the table."""
    op.drop_table("answer_cache", if_exists=True)
