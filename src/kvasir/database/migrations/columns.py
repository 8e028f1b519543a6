"""Adds and drops columns where an interrupted migration may have done so already.

MariaDB and MySQL cannot roll back. A column is not dropped as a batch, for which Alembic would make
the table again on SQLite: rows that belong to its rows would be deleted.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op


def add_column(table: str, column: sa.Column[object]) -> None:
    """Add a column unless it is there."""
    if column.name not in _names(table):
        op.add_column(table, column)


def drop_column(table: str, name: str) -> None:
    """Drop a column if it is there."""
    if name in _names(table):
        op.drop_column(table, name)


def _names(table: str) -> set[str]:
    return {column["name"] for column in sa.inspect(op.get_bind()).get_columns(table)}
