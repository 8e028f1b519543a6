"""Records a collection once more under another name: its documents, texts and chunks.

The catalog records documents and not where the store is, so a copy of a collection in another
store needs records of its own only where it has another name.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, Table, insert, literal, select

from kvasir.catalog.tables import chunks, collections, sources, texts, versions
from kvasir.core.ledger import VersionStatus

_KEPT = (VersionStatus.LIVE, VersionStatus.FAILED)
"""A document has at most one version of each; the others are left of interrupted work."""

_old, _new = sources.alias("old"), sources.alias("new")
_old_version, _new_version = versions.alias("old_version"), versions.alias("new_version")


def copy_records(connection: Connection, collection_id: int, name: str) -> None:
    """Copy all rows of a collection.

    Args:
        connection: Within a writing transaction.
        collection_id: The collection to copy.
        name: What the copy is called; there is no collection of this name yet.
    """
    renamed = select(*_columns(collections, id=None, name=literal(name)))
    _fill(connection, collections, renamed.where(collections.c.id == collection_id))
    copied = connection.execute(select(collections.c.id).filter_by(name=name)).scalar_one()
    moved = select(*_columns(_old, id=None, collection_id=literal(copied)))
    _fill(connection, sources, moved.where(_old.c.collection_id == collection_id))
    both = (_new.c.document_id == _old.c.document_id) & (_new.c.collection_id == copied)
    _fill(
        connection,
        versions,
        select(*_columns(_old_version, id=None, source_id=_new.c.id, writer_id=None))
        .join(_old, _old.c.id == _old_version.c.source_id)
        .join(_new, both)
        .where(_old.c.collection_id == collection_id, _old_version.c.status.in_(_KEPT)),
    )
    same = (_new_version.c.source_id == _new.c.id) & (
        _new_version.c.status == _old_version.c.status
    )
    for table in (texts, chunks):
        _fill(
            connection,
            table,
            select(*_columns(table, version_id=_new_version.c.id))
            .join(_old_version, _old_version.c.id == table.c.version_id)
            .join(_old, _old.c.id == _old_version.c.source_id)
            .join(_new, both)
            .join(_new_version, same)
            .where(_old.c.collection_id == collection_id),
        )


def _columns(table: Any, **instead: ColumnElement[Any] | None) -> list[ColumnElement[Any]]:
    """Return a table's columns, some replaced, those replaced by None left out."""
    chosen = {column.key: instead.get(column.key, column) for column in table.c}
    return [column.label(name) for name, column in chosen.items() if column is not None]


def _fill(connection: Connection, table: Table, rows: Select[Any]) -> None:
    connection.execute(insert(table).from_select([c.name for c in rows.selected_columns], rows))
