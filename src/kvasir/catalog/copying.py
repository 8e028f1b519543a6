"""Copies the records of a collection to another name: its documents, texts and chunks.

The catalog does not record where the store is, so a copy of a collection in another store needs its
own records only if it has another name.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, Table, insert, literal, select

from kvasir.catalog.tables import chunks, collections, sources, texts, versions
from kvasir.core.ledger import VersionStatus

_KEPT = (VersionStatus.LIVE, VersionStatus.FAILED)
"""Copied versions; a document has at most one of each. The others are unfinished work."""

_old, _new = sources.alias("old"), sources.alias("new")
_old_version, _new_version = versions.alias("old_version"), versions.alias("new_version")


def copy_records(connection: Connection, collection_id: int, name: str) -> None:
    """Copy all rows of a collection to a new name, within a writing transaction."""
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
    """Return a table's columns, some replaced; None leaves a column out."""
    chosen = {column.key: instead.get(column.key, column) for column in table.c}
    return [column.label(name) for name, column in chosen.items() if column is not None]


def _fill(connection: Connection, table: Table, rows: Select[Any]) -> None:
    connection.execute(insert(table).from_select([c.name for c in rows.selected_columns], rows))
