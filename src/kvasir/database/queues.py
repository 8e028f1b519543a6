"""What the queues in tables have in common, besides leases: keys, positions, and giving up.

A table of a queue has the columns of ``leases``, and ``state``, ``user_id`` and ``key``.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    Select,
    Table,
    case,
    func,
    insert,
    select,
)
from sqlalchemy.exc import IntegrityError

from kvasir.core.errors import NotFoundError
from kvasir.database import leases
from kvasir.database.engine import reading, writing

DIED = "the worker ended in the middle of it, {} times"
"""Why an item is given up whose workers died."""


def insert_once(engine: Engine, table: Table, row: Mapping[str, Any]) -> str:
    """Insert a row unless its user has one of the same key; return the id of the one there is."""
    same = (table.c.user_id == row["user_id"], table.c.key == row["key"])
    while True:
        try:
            with writing(engine) as connection:
                connection.execute(insert(table).values(**row))
            return str(row["id"])
        except IntegrityError:
            if row["key"] is None:
                raise
        with reading(engine) as connection:
            found = connection.execute(select(table.c.id).where(*same)).scalar()
        # Otherwise it was deleted just now.
        if found is not None:
            return str(found)


def with_positions(table: Table, waiting: str, open_: Collection[str]) -> Select[Any]:
    """Select rows with ``position``: of one that waits, how many open ones are before it."""
    others = table.alias("others")
    before = (others.c.state.in_(list(open_)), others.c.number < table.c.number)
    count = select(func.count()).select_from(others).where(*before).scalar_subquery()
    return select(table, case((table.c.state == waiting, count), else_=0).label("position"))


def find(connection: Connection, query: Select[Any], table: Table, row_id: str, kind: str) -> Any:
    """Return the row of an id.

    Raises:
        NotFoundError: There is none; ``kind`` says of what.
    """
    row = connection.execute(query.where(table.c.id == row_id)).first()
    if row is None:
        raise NotFoundError(f"there is no {kind} '{row_id}'")
    return row


def claim(
    engine: Engine,
    table: Table,
    ready: ColumnElement[bool],
    *,
    lease_seconds: float,
    max_attempts: int,
    given_up: Mapping[str, Any],
    token: str = "",
    **values: Any,
) -> Any | None:
    """Take the lease of the first row that is due, as ``leases.claim`` does.

    Args:
        engine: The database.
        table: The table of the queue.
        ready: Which rows may be claimed.
        lease_seconds: Length of the lease.
        max_attempts: A row whose workers died so often is given up.
        given_up: The columns that are set then.
        token: Proves the lease.
        values: Further columns to set.
    """
    while True:
        with writing(engine) as connection:
            row = leases.claim(
                connection, table, ready, lease_seconds=lease_seconds, token=token, **values
            )
            if row is None or row.attempts <= max_attempts:
                return row
            leases.settle(connection, table, row.id, row.lease_token, **given_up)
