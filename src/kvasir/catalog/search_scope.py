"""What a search may name: the metadata fields and the sources of a collection's live versions."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import ColumnElement, Connection, func

from kvasir.catalog.tables import live, sources, versions
from kvasir.core.batches import batches
from kvasir.core.types import Metadata, metadata_of

_PAGE = 500
"""Documents whose fields are read at once; the first usually have all that are wanted."""
_SLICE = 500
"""Values in one ``IN (...)``; databases limit the parameters of a statement."""


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


def live_contents(
    connection: Connection, collection: str, document_ids: Collection[str]
) -> dict[str, tuple[str, Metadata]]:
    """Map the ids of documents to content hash and metadata; those that are gone are left out."""
    found: dict[str, tuple[str, Metadata]] = {}
    query = live(collection, sources.c.document_id, versions.c.content_hash, versions.c.metadata)
    for part in batches(sorted(document_ids), _SLICE):
        for row in connection.execute(query.where(sources.c.document_id.in_(part))):
            found[row.document_id] = row.content_hash, metadata_of(row.metadata)
    return found


def begins_with(prefix: str) -> ColumnElement[bool]:
    """Return the condition that a source URI begins with a text."""
    # Not LIKE, because SQLite's ignores case. The length is compared as well, because MariaDB
    # ignores spaces at the end of a text.
    length = func.char_length(sources.c.uri)
    return (func.substr(sources.c.uri, 1, len(prefix)) == prefix) & (length >= len(prefix))
