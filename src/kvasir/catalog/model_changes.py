"""The embedding models of collections, and the indexes that are built beside those in use.

``maintenance.reembedding`` explains the order of the calls and why a crash between two does no
harm. The methods are those of ``core.ledger.Catalog``.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, Engine, update

from kvasir.catalog import kept_vectors, writers
from kvasir.catalog.rows import collection_record, find_collection
from kvasir.catalog.tables import collections, of_collection, versions
from kvasir.core.errors import ConflictError, IndexReplacedError
from kvasir.core.ledger import CollectionRecord, EmbeddingModel, VersionStatus
from kvasir.core.wire import to_json
from kvasir.database import reading, writing


class ModelChanges:
    """The part of the catalog that changes models."""

    _engine: Engine

    def set_model(self, collection: str, model: EmbeddingModel | None) -> None:
        with writing(self._engine) as connection:
            row = find_collection(connection, collection, lock=True)
            _change(connection, row, model=None if model is None else to_json(model))

    def begin_model_change(self, target: CollectionRecord, writer: str) -> None:
        with writing(self._engine) as connection:
            row = find_collection(connection, target.name, lock=True)
            writers.require(connection, row, writer)
            active = {each.id: each for each in writers.active(connection, row.id, writer)}
            others = row.other_indexes or {}
            for other in others.values():
                if other["writer"] in active:
                    raise ConflictError(
                        f"{writers.describe(active[other['writer']])} embeds collection "
                        f"'{target.name}' again with the model '{other['embedder']}': try again "
                        "when it has finished"
                    )
            begun = {target.store_name: _made_by(target, writer)}
            _change(connection, row, other_indexes=others | begun)

    def complete_model_change(self, target: CollectionRecord, writer: str, revision: int) -> bool:
        unfinished = of_collection(target.name, versions.c.id).where(
            versions.c.status.in_([VersionStatus.PENDING, VersionStatus.DELETED])
            | ((versions.c.status == VersionStatus.LIVE) & ~versions.c.metadata_applied)
        )
        with writing(self._engine) as connection:
            row = find_collection(connection, target.name, lock=True)
            writers.require(connection, row, writer)
            others = dict(row.other_indexes or {})
            is_begun = others.pop(target.store_name, {}).get("writer") == writer
            if not is_begun or row.revision != revision:
                return False
            if connection.execute(unfinished.limit(1)).first() is not None:
                return False
            former = collection_record(row)
            others[former.store_name] = _made_by(former, "")
            kept_vectors.drop(connection, row.id, None)
            _change(
                connection,
                row,
                embedder=target.embedder,
                dimension=target.dimension,
                fingerprint=target.fingerprint,
                calibration=None,
                index_name=target.index,
                model=None if target.model is None else to_json(target.model),
                other_indexes=others,
            )
        return True

    def unused_indexes(self, collection: str, *, begun: bool = True) -> list[CollectionRecord]:
        with reading(self._engine) as connection:
            row = find_collection(connection, collection)
            working = {each.id for each in writers.active(connection, row.id)}
            record = collection_record(row)
            return [
                replace(
                    record,
                    index=name,
                    embedder=other["embedder"],
                    dimension=other["dimension"],
                    fingerprint=other["fingerprint"],
                    model=None,
                )
                for name, other in (row.other_indexes or {}).items()
                if not other["writer"] or (begun and other["writer"] not in working)
            ]

    def forget_index(self, collection: str, index: str) -> None:
        with writing(self._engine) as connection:
            row = find_collection(connection, collection, lock=True)
            others = dict(row.other_indexes or {})
            if others.pop(index, None) is not None:
                _change(connection, row, other_indexes=others)

    def revision(self, collection: str) -> int:
        with reading(self._engine) as connection:
            return int(find_collection(connection, collection).revision)


def check_index(row: Any, index: str | None) -> None:
    """Raise IndexReplacedError if the row of a collection names another index; None is any."""
    if index is not None and index != (row.index_name or ""):
        raise IndexReplacedError(row.name)


def count_change(connection: Connection, row: Any) -> None:
    """Count a change of live documents; the caller holds the lock on the collection's row."""
    _change(connection, row, revision=collections.c.revision + 1)


def _change(connection: Connection, row: Any, **values: Any) -> None:
    connection.execute(update(collections).filter_by(id=row.id).values(**values))


def _made_by(record: CollectionRecord, writer: str) -> dict[str, Any]:
    return {
        "embedder": record.embedder,
        "dimension": record.dimension,
        "fingerprint": record.fingerprint,
        "writer": writer,
    }
