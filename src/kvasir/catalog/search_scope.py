"""What a search may name: the metadata fields and the sources of a collection's live versions."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import ColumnElement, Connection, func

from kvasir.catalog.tables import live, sources, versions

_PAGE = 500
"""Documents whose fields are read at once; the first usually have all that are wanted."""


def metadata_fields(
    connection: Connection, collection: str, wanted: Collection[str] = ()
) -> set[str]:
    """Return the names of the metadata fields; stop when all wanted ones are found."""
    page = live(collection, versions.c.id, versions.c.metadata).order_by(versions.c.id)
    query = page = page.limit(_PAGE)
    fields: set[str] = set()
    while found := connection.execute(query).all():
        fields.update(*(row.metadata for row in found))
        if wanted and fields.issuperset(wanted):
            break
        query = page.where(versions.c.id > found[-1].id)
    return fields


def live_source_uris(connection: Connection, collection: str, prefix: str = "") -> list[str]:
    """Return the source URIs that begin with a prefix, sorted."""
    query = live(collection, sources.c.uri).where(begins_with(prefix))
    return sorted(connection.execute(query).scalars())


def begins_with(prefix: str) -> ColumnElement[bool]:
    """Return the condition that a source URI begins with a text."""
    # Not LIKE, because SQLite's ignores case. The length is compared as well, because MariaDB
    # ignores spaces at the end of a text.
    length = func.char_length(sources.c.uri)
    return (func.substr(sources.c.uri, 1, len(prefix)) == prefix) & (length >= len(prefix))
