"""Leases on rows of a queue: each row is worked on by one worker at a time.

A table of a queue has the columns ``number`` (its order), ``id``, ``due``, ``attempts``,
``lease_token`` and ``lease_until``. A worker claims the first row that is due, and proves by the
token that it still holds the lease; the lease of a worker that died ends by the database's clock.
A new row is ``AT_ONCE``, which no clock that is set back can postpone.

A claim reads the first row without a lock, locks it, and takes it by an update with the same
conditions; if another worker was faster, it looks again. ``SKIP LOCKED`` would pass over a row that
another transaction holds for a moment, and MariaDB may lock every row that it sorts.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from sqlalchemy import ColumnElement, Connection, Table, or_, select, update

from kvasir.database.dialects import epoch_seconds
from kvasir.database.processes import is_abandoned, token_prefix

AT_ONCE = 0.0
"""The value of ``due`` of a row that waits for nothing."""


def claim(
    connection: Connection,
    table: Table,
    ready: ColumnElement[bool],
    *,
    lease_seconds: float,
    token: str = "",
    **values: Any,
) -> Any | None:
    """Take the lease of the first row that is ready, due and not held; return the row, or None.

    Args:
        connection: Within a writing transaction, in which every statement sees what others
            committed before it.
        table: The table of the queue.
        ready: Which rows may be claimed.
        lease_seconds: Length of the lease.
        token: Proves the lease; a random one by default.
        values: Further columns to set.
    """
    now = epoch_seconds()
    free = or_(table.c.lease_until.is_(None), table.c.lease_until < now)
    open_ = (ready, table.c.due <= now, free)
    first = select(table.c.number).where(*open_).order_by(table.c.number).limit(1)
    taken = {
        "lease_token": token or str(uuid4()),
        "lease_until": now + lease_seconds,
        "attempts": table.c.attempts + 1,
    }
    while (number := connection.execute(first).scalar()) is not None:
        same = (table.c.number == number, *open_)
        lock(connection, table, table.c.number == number)
        if connection.execute(update(table).where(*same).values(taken | values)).rowcount:
            return connection.execute(select(table).where(table.c.number == number)).one()
    return None


def lock(connection: Connection, table: Table, which: ColumnElement[bool]) -> None:
    """Lock a row by its number or id, before an update that has further conditions.

    MariaDB may look for these in another index, and would then lock that before the row, which ends
    in a deadlock with whoever locks the row first.
    """
    connection.execute(select(table.c.number).where(which).with_for_update())


def abandoned(connection: Connection, table: Table, ready: ColumnElement[bool]) -> list[Any]:
    """Return the leased rows whose token is of a process of this machine that has ended."""
    prefix = token_prefix()
    if not prefix:
        return []
    ours = (ready, table.c.lease_token.startswith(prefix, autoescape=True))
    rows = connection.execute(select(table).where(*ours)).all()
    return [row for row in rows if is_abandoned(row.lease_token)]


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
