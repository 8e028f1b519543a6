"""Writers and their leases: who owns unfinished versions, and which may be taken over.

The caller holds the lock on the collection's row, so only one writer of a collection is in these
functions at a time. A lease ends when its heartbeat is too old by the database's clock. It also
ends when its process on this machine has ended, so a restart after a crash need not wait.
"""

from __future__ import annotations

import os
import socket
from typing import Any
from uuid import uuid4

from sqlalchemy import Connection, Select, delete, insert, or_, select, update

from kvasir.catalog.tables import sources, versions, writers
from kvasir.core.batches import batches
from kvasir.core.errors import DocumentBusyError, WriterConflictError
from kvasir.core.ledger import VersionStatus
from kvasir.database.dialects import epoch_seconds
from kvasir.database.processes import has_ended, process_start, this_machine

_SLICE = 500
_PENDING, _LIVE = VersionStatus.PENDING, VersionStatus.LIVE


def start(connection: Connection, collection: Any, *, lease_seconds: float, exclusive: bool) -> str:
    """Insert a writer and return its id; ``collection`` is its row."""
    for other in active(connection, collection.id):
        if exclusive or other.exclusive:
            raise WriterConflictError(
                f"{describe(other)} is writing to collection '{collection.name}': "
                "try again when it has finished"
            )
    row = {
        "id": str(uuid4()),
        "collection_id": collection.id,
        "exclusive": exclusive,
        "heartbeat": epoch_seconds(),
        "lease_seconds": lease_seconds,
        "host": socket.gethostname()[:255],
        "machine": this_machine(),
        "pid": os.getpid(),
        "process_start": process_start(os.getpid()) or "",
    }
    connection.execute(insert(writers).values(**row))
    return str(row["id"])


def renew(connection: Connection, writer: str) -> bool:
    """Prolong a lease; False if it was taken."""
    beat = update(writers).where(writers.c.id == writer).values(heartbeat=epoch_seconds())
    # MariaDB counts changed rows only, and a second beat may come at the same time.
    connection.execute(beat)
    return connection.execute(select(writers.c.id).filter_by(id=writer)).first() is not None


def end(connection: Connection, writer: str) -> None:
    """Delete a writer; one whose lease was taken is no error."""
    connection.execute(delete(writers).where(writers.c.id == writer))


def require(connection: Connection, collection: Any, writer: str) -> None:
    """Raise WriterConflictError if a lease was taken."""
    held = select(writers.c.id).filter_by(id=writer, collection_id=collection.id)
    if connection.execute(held).first() is None:
        raise WriterConflictError(
            f"this process's lease on collection '{collection.name}' ended, and another process "
            "took its unfinished documents back: ingest them again"
        )


def active(connection: Connection, collection_id: int, writer: str | None = None) -> list[Any]:
    """Return the rows of the other writers whose lease has not ended."""
    expired = (writers.c.heartbeat + writers.c.lease_seconds < epoch_seconds()).label("expired")
    query = select(writers, expired).where(writers.c.collection_id == collection_id)
    rows = connection.execute(query.order_by(writers.c.id)).all()
    return [row for row in rows if row.id != writer and not row.expired and not _has_ended(row)]


def take_over(connection: Connection, collection_id: int, writer: str) -> int:
    """Give a writer all unfinished versions of ended writers; return the number of pending ones."""
    kept = [writer, *(row.id for row in active(connection, collection_id, writer))]
    connection.execute(
        delete(writers).where(writers.c.collection_id == collection_id, writers.c.id.not_in(kept))
    )
    mine = or_(writers.c.id == writer, writers.c.id.is_(None))
    rows = connection.execute(_in_flight(collection_id).where(mine)).all()
    pending = [row for row in rows if row.status == _PENDING]
    _discard(connection, rows, writer)
    for part in batches(pending, _SLICE):
        beside = versions.c.source_id.in_([row.source_id for row in part])
        connection.execute(
            update(versions)
            .where(beside, versions.c.status == _LIVE)
            .values(metadata_applied=False, writer_id=writer)
        )
    return len(pending)


def claim(connection: Connection, collection: Any, document_ids: Any, writer: str) -> None:
    """Reserve documents for a writer, and take over their unfinished versions.

    Raises:
        DocumentBusyError: Another writer has versions of one of them in progress.
    """
    query = _in_flight(collection.id)
    for part in batches(list(document_ids), _SLICE):
        rows = connection.execute(query.where(sources.c.document_id.in_(part))).all()
        for row in rows:
            if row.owner not in (None, writer):
                raise DocumentBusyError(
                    f"another process is writing '{row.uri}' in collection '{collection.name}': "
                    "try again when it has finished"
                )
        _discard(connection, rows, writer)


def describe(row: Any) -> str:
    """Return a description of a writer for messages."""
    return f"process {row.pid} on {row.host}"


def _in_flight(collection_id: int) -> Select[Any]:
    """Select versions that a writer has not finished; ``owner`` is None if it has ended."""
    owner = writers.c.id.label("owner")
    return (
        select(versions.c.id, versions.c.source_id, versions.c.status, sources.c.uri, owner)
        .join(sources, sources.c.id == versions.c.source_id)
        .outerjoin(writers, writers.c.id == versions.c.writer_id)
        .where(
            sources.c.collection_id == collection_id,
            versions.c.status.in_([_PENDING, VersionStatus.DELETED])
            | ((versions.c.status == _LIVE) & ~versions.c.metadata_applied),
        )
    )


def _discard(connection: Connection, rows: Any, writer: str) -> None:
    """Give versions to a writer, and mark pending ones as deleted."""
    for part in batches(rows, _SLICE):
        chosen = versions.c.id.in_([row.id for row in part])
        connection.execute(update(versions).where(chosen).values(writer_id=writer))
        connection.execute(
            update(versions)
            .where(chosen, versions.c.status == _PENDING)
            .values(status=VersionStatus.DELETED)
        )


def _has_ended(row: Any) -> bool:
    return has_ended(row.machine, row.pid, row.process_start)
