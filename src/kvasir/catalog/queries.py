"""The queries that several parts of the catalog use."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Select, select

from kvasir.catalog.tables import chunks, collections, sources, versions
from kvasir.core.ledger import VersionStatus


def of_collection(collection: str, *columns: Any) -> Select[Any]:
    """Select from all versions of a collection."""
    return (
        select(*columns)
        .select_from(versions)
        .join(sources, sources.c.id == versions.c.source_id)
        .join(collections, collections.c.id == sources.c.collection_id)
        .where(collections.c.name == collection)
    )


def live(collection: str, *columns: Any) -> Select[Any]:
    """Select from the live versions."""
    return of_collection(collection, *columns).where(versions.c.status == VersionStatus.LIVE)


def live_chunks(collection: str) -> Select[Any]:
    """Select the chunks of the live versions, each with its document's id."""
    return live(collection, chunks, sources.c.document_id).join(
        chunks, chunks.c.version_id == versions.c.id
    )


def live_and_failed(collection: str) -> Select[Any]:
    """Select the live and failed versions, for ``rows.document_record``."""
    wanted = versions.c.status.in_([VersionStatus.LIVE, VersionStatus.FAILED])
    return of_collection(collection, versions, sources.c.document_id, sources.c.uri).where(wanted)
