"""Leases on rows of a queue: each row is worked on by one worker at a time.

A table of a queue has the columns ``number`` (its order), ``id``, ``due``, ``attempts``,
``lease_token`` and ``lease_until``. A worker claims the first row that is due, and proves by the
token that it still holds the lease; the lease of a worker that died ends by the database's clock.

Source: ``SKIP LOCKED`` is in PostgreSQL 9.5, MySQL 8.0 and MariaDB 10.6; on SQLite, a transaction
that writes has the database alone.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from sqlalchemy import ColumnElement, Connection, Table, or_, select, update

from kvasir.database.dialects import epoch_seconds


def claim(
    connection: Connection,
    table: Table,
    ready: ColumnElement[bool],
    *,
    lease_seconds: float,
    **values: Any,
) -> Any | None:
    """Take the lease of the first row that is ready, due and not held; return the row, or None.

    Args:
        connection: Within a writing transaction.
        table: The table of the queue.
        ready: Which rows may be claimed.
        lease_seconds: Length of the lease.
        values: Further columns to set.
    """
    now = epoch_seconds()
    free = or_(table.c.lease_until.is_(None), table.c.lease_until < now)
    first = select(table.c.number).where(ready, table.c.due <= now, free)
    first = first.order_by(table.c.number).limit(1).with_for_update(skip_locked=True)
    number = connection.execute(first).scalar()
    if number is None:
        return None
    taken = {
        "lease_token": str(uuid4()),
        "lease_until": now + lease_seconds,
        "attempts": table.c.attempts + 1,
    }
    connection.execute(update(table).where(table.c.number == number).values(taken | values))
    return connection.execute(select(table).where(table.c.number == number)).one()


def renew(
    connection: Connection,
    table: Table,
    row_id: Any,
    token: str,
    *,
    lease_seconds: float,
    **values: Any,
) -> bool:
    """Prolong a lease; False if it was lost. ``values`` are further columns to set."""
    held = (table.c.id == row_id, table.c.lease_token == token)
    until = epoch_seconds() + lease_seconds
    connection.execute(update(table).where(*held).values(lease_until=until, **values))
    # MariaDB counts changed rows only.
    return connection.execute(select(table.c.id).where(*held)).first() is not None


def settle(connection: Connection, table: Table, row_id: Any, token: str, **values: Any) -> bool:
    """End a lease and set columns; False, and nothing is set, if it was lost."""
    held = (table.c.id == row_id, table.c.lease_token == token)
    done = {"lease_token": None, "lease_until": None}
    return connection.execute(update(table).where(*held).values(done | values)).rowcount == 1


def to_datetime(seconds: float) -> datetime:
    """Return a time of the database."""
    return datetime.fromtimestamp(seconds, UTC)
