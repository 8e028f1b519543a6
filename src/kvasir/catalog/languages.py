"""Updates a collection's languages in the transaction that changes its live versions.

They are stored in the collection's row, because every query needs them, and reading them from the
versions would take longer than searching.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from sqlalchemy import Connection, select, update

from kvasir.catalog.queries import live
from kvasir.catalog.tables import collections, versions
from kvasir.language.detect import UNKNOWN

_NONE = {"", UNKNOWN}


def add(connection: Connection, collection: str, languages: Collection[str]) -> None:
    """Add languages of versions that became live."""
    row = _locked(connection, collection)
    if row is not None:
        _keep(connection, row, {*row.languages, *languages} - _NONE)


def drop_unused(connection: Connection, collection: str, languages: Collection[str]) -> None:
    """Remove those of the languages (of deleted versions) that no live version has."""
    row = _locked(connection, collection)
    if row is None:
        return
    query = live(collection, versions.c.id).limit(1)
    unused = {
        language
        for language in {*languages} & {*row.languages}
        if connection.execute(query.where(versions.c.language == language)).first() is None
    }
    _keep(connection, row, {*row.languages} - unused)


def _locked(connection: Connection, collection: str) -> Any:
    query = select(collections.c.id, collections.c.languages).filter_by(name=collection)
    return connection.execute(query.with_for_update()).one_or_none()


def _keep(connection: Connection, row: Any, languages: set[str]) -> None:
    if languages != {*row.languages}:
        changed = update(collections).filter_by(id=row.id).values(languages=sorted(languages))
        connection.execute(changed)
