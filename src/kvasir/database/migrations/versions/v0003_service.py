"""The service: accounts, rights on collections, jobs, questions, mails and the log of answers."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from kvasir.database.dialects import double, exact, long_text

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_TABLES = (
    "users",
    "api_keys",
    "recoveries",
    "invitations",
    "collection_access",
    "collection_members",
    "jobs",
    "questions",
    "mails",
    "answer_log",
)


def upgrade() -> None:
    """Make the tables; a part of them may be there, because MariaDB cannot roll back."""
    op.create_table(
        "users",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("email", sa.String(254), nullable=False),
        sa.Column("username", sa.String(50), nullable=False),
        sa.Column("password", sa.String(255), nullable=False),
        sa.Column("email_key", exact(254), nullable=False),
        sa.Column("username_key", exact(200), nullable=False),
        sa.Column("role", exact(16), nullable=False),
        sa.Column("language", exact(8), nullable=False),
        sa.Column("disabled", sa.Boolean(), nullable=False),
        sa.Column("token_version", sa.Integer(), nullable=False),
        sa.Column("created", double(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_users")),
        sa.UniqueConstraint("email_key", name=op.f("uq_users_email_key")),
        sa.UniqueConstraint("username_key", name=op.f("uq_users_username_key")),
        if_not_exists=True,
    )
    op.create_table(
        "api_keys",
        sa.Column("id", exact(36), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("secret_hash", exact(64), nullable=False),
        sa.Column("scopes", sa.JSON(), nullable=False),
        sa.Column("created", double(), nullable=False),
        sa.Column("expires", double(), nullable=True),
        sa.Column("last_used", double(), nullable=True),
        sa.ForeignKeyConstraint(
            ["user_id"],
            ["users.id"],
            name=op.f("fk_api_keys_user_id_users"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_keys")),
        sa.UniqueConstraint("secret_hash", name=op.f("uq_api_keys_secret_hash")),
        if_not_exists=True,
    )
    op.create_index(op.f("ix_api_keys_user_id"), "api_keys", ["user_id"], if_not_exists=True)
    op.create_table(
        "recoveries",
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("password", sa.String(255), nullable=False),
        sa.Column("expires", double(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("used", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["user_id"],
            ["users.id"],
            name=op.f("fk_recoveries_user_id_users"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_recoveries")),
        if_not_exists=True,
    )
    op.create_table(
        "invitations",
        sa.Column("token_hash", exact(64), nullable=False),
        sa.Column("role", exact(16), nullable=False),
        sa.Column("expires", double(), nullable=False),
        sa.PrimaryKeyConstraint("token_hash", name=op.f("pk_invitations")),
        if_not_exists=True,
    )
    op.create_table(
        "collection_access",
        sa.Column("collection", exact(64), nullable=False),
        sa.Column("owner_id", sa.Integer(), nullable=False),
        sa.Column("visibility", exact(16), nullable=False),
        sa.PrimaryKeyConstraint("collection", name=op.f("pk_collection_access")),
        if_not_exists=True,
    )
    op.create_table(
        "collection_members",
        sa.Column("collection", exact(64), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("may_write", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["collection"],
            ["collection_access.collection"],
            name=op.f("fk_collection_members_collection_collection_access"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["user_id"],
            ["users.id"],
            name=op.f("fk_collection_members_user_id_users"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("collection", "user_id", name=op.f("pk_collection_members")),
        if_not_exists=True,
    )
    op.create_table(
        "jobs",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("id", exact(36), nullable=False),
        sa.Column("task", exact(64), nullable=False),
        sa.Column("arguments", sa.JSON(), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("collection", exact(64), nullable=False),
        sa.Column("key", exact(255), nullable=True),
        sa.Column("digest", exact(64), nullable=True),
        sa.Column("state", exact(16), nullable=False),
        sa.Column("created", double(), nullable=False),
        sa.Column("due", double(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("started", double(), nullable=True),
        sa.Column("finished", double(), nullable=True),
        sa.Column("lease_token", exact(36), nullable=True),
        sa.Column("lease_until", double(), nullable=True),
        sa.Column("progress", sa.JSON(), nullable=True),
        sa.Column("result", sa.JSON(), nullable=True),
        sa.Column("code", sa.String(64), nullable=True),
        sa.Column("message", long_text(sa.Text()), nullable=True),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_jobs")),
        sa.UniqueConstraint("id", name=op.f("uq_jobs_id")),
        sa.UniqueConstraint("user_id", "key", name=op.f("uq_jobs_user_id_key")),
        if_not_exists=True,
    )
    op.create_index(op.f("ix_jobs_digest"), "jobs", ["digest"], if_not_exists=True)
    op.create_index(op.f("ix_jobs_state_number"), "jobs", ["state", "number"], if_not_exists=True)
    op.create_table(
        "questions",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("id", exact(36), nullable=False),
        sa.Column("input", long_text(sa.Text()), nullable=False),
        sa.Column("date", double(), nullable=False),
        sa.Column("output", long_text(sa.Text()), nullable=True),
        sa.Column("email", sa.String(254), nullable=False),
        sa.Column("status", exact(16), nullable=True),
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("collection", exact(64), nullable=False),
        sa.Column("language", exact(8), nullable=False),
        sa.Column("state", exact(16), nullable=False),
        sa.Column("answer", sa.JSON(), nullable=True),
        sa.Column("key", exact(255), nullable=True),
        sa.Column("reply_to", sa.String(998), nullable=False),
        sa.Column("subject", sa.String(255), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("due", double(), nullable=False),
        sa.Column("lease_token", exact(36), nullable=True),
        sa.Column("lease_until", double(), nullable=True),
        sa.Column("reason", long_text(sa.Text()), nullable=True),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_questions")),
        sa.UniqueConstraint("id", name=op.f("uq_questions_id")),
        sa.UniqueConstraint("user_id", "key", name=op.f("uq_questions_user_id_key")),
        if_not_exists=True,
    )
    op.create_index(
        op.f("ix_questions_state_number"), "questions", ["state", "number"], if_not_exists=True
    )
    op.create_index(
        op.f("ix_questions_status_state_number"),
        "questions",
        ["status", "state", "number"],
        if_not_exists=True,
    )
    op.create_table(
        "mails",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("id", exact(36), nullable=False),
        sa.Column("kind", exact(16), nullable=False),
        sa.Column("recipient", sa.String(254), nullable=False),
        sa.Column("language", exact(8), nullable=False),
        sa.Column("content", sa.JSON(), nullable=False),
        sa.Column("status", exact(16), nullable=True),
        sa.Column("created", double(), nullable=False),
        sa.Column("due", double(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("lease_token", exact(36), nullable=True),
        sa.Column("lease_until", double(), nullable=True),
        sa.Column("reason", long_text(sa.Text()), nullable=True),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_mails")),
        sa.UniqueConstraint("id", name=op.f("uq_mails_id")),
        if_not_exists=True,
    )
    op.create_index(
        op.f("ix_mails_status_number"), "mails", ["status", "number"], if_not_exists=True
    )
    op.create_table(
        "answer_log",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("id", exact(36), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("collection", exact(64), nullable=False),
        sa.Column("question", long_text(sa.Text()), nullable=False),
        sa.Column("answer", long_text(sa.Text()), nullable=False),
        sa.Column("refused", sa.Boolean(), nullable=False),
        sa.Column("sources", sa.JSON(), nullable=False),
        sa.Column("model", sa.String(255), nullable=False),
        sa.Column("seconds", double(), nullable=False),
        sa.Column("date", double(), nullable=False),
        sa.Column("request_id", exact(64), nullable=False),
        sa.Column("rating", sa.Integer(), nullable=True),
        sa.Column("comment", long_text(sa.Text()), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_answer_log")),
        sa.UniqueConstraint("id", name=op.f("uq_answer_log_id")),
        if_not_exists=True,
    )
    op.create_index(op.f("ix_answer_log_date"), "answer_log", ["date"], if_not_exists=True)
    op.create_index(
        op.f("ix_answer_log_user_id_number"),
        "answer_log",
        ["user_id", "number"],
        if_not_exists=True,
    )
    op.create_index(
        op.f("ix_versions_content_hash"), "versions", ["content_hash"], if_not_exists=True
    )


def downgrade() -> None:
    """Drop the tables with what they hold."""
    op.drop_index(op.f("ix_versions_content_hash"), "versions", if_exists=True)
    for table in reversed(_TABLES):
        op.drop_table(table)
