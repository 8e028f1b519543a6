"""Compares catalog and store, and puts right what does not agree.

The catalog is believed: it has every document's text and the span of every chunk, so whatever
the store lacks can be made anew without the source file, and what the store has beyond it is
not wanted. Nothing else may write to the collection meanwhile.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np

from kvasir.core.batches import batches
from kvasir.core.errors import CollectionError, UserError
from kvasir.core.ledger import Catalog, ChunkRecord, VersionStatus, passage_hash
from kvasir.core.protocols import Embedder, VectorStore
from kvasir.core.types import Chunk, Matrix, Metadata, Progress
from kvasir.ingesting.publishing import Publisher

COMPARING, REWRITING = "comparing", "writing again"
"""The stages that are told."""

_SLICE = 256
_LENGTH_TOLERANCE = 0.01
"""How far a vector's length may be from 1; stores that keep half precision are within it."""


@dataclass(frozen=True, slots=True)
class Findings:
    """What does not agree in a collection. Chunks are given by id, sorted.

    Attributes:
        collection: The collection's name.
        unfinished: Versions that are half-written or half-deleted.
        unstamped: Documents whose new metadata did not reach the store.
        orphans: Chunks in the store that no live document has.
        missing: Chunks of live documents that are not in the store.
        altered: Chunks whose text, span or headings differ, or that are there twice.
        mislabelled: Chunks whose metadata differs.
        bad_vectors: Chunks whose vector is not finite or not of unit length.
        expected: How many chunks the catalog has.
        counted: How many chunks the store says it has.
    """

    collection: str
    unfinished: int
    unstamped: int
    orphans: tuple[str, ...]
    missing: tuple[str, ...]
    altered: tuple[str, ...]
    mislabelled: tuple[str, ...]
    bad_vectors: tuple[str, ...]
    expected: int
    counted: int

    @property
    def clean(self) -> bool:
        """Whether everything agrees."""
        return not any(number for _, number in self.table())

    def table(self) -> list[tuple[str, int]]:
        """Returns what was looked for, in words, and how often it was found."""
        return [
            ("half-written versions", self.unfinished),
            ("documents with outdated metadata", self.unstamped),
            ("chunks in the store that no document has", len(self.orphans)),
            ("chunks missing from the store", len(self.missing)),
            ("chunks with other text than their document", len(self.altered)),
            ("chunks with other metadata than their document", len(self.mislabelled)),
            ("chunks with a broken vector", len(self.bad_vectors)),
            ("difference of the two counts", abs(self.expected - self.counted)),
        ]


@dataclass(frozen=True, slots=True)
class Repairs:
    """What was put right.

    Attributes:
        recovered: Half-written versions that were taken back.
        removed: Chunks that were deleted from the store.
        rewritten: Chunks that were embedded again and written.
        relabelled: Chunks that were given their metadata.
    """

    recovered: int = 0
    removed: int = 0
    rewritten: int = 0
    relabelled: int = 0


def examine(
    catalog: Catalog,
    store: VectorStore,
    collection: str,
    *,
    on_progress: Progress = lambda stage, done, total: None,
) -> Findings:
    """Compares every chunk of a collection; changes nothing.

    Args:
        catalog: The ledger, which is believed.
        store: The collection's store.
        collection: The collection's name.
        on_progress: Told how many chunks of the store are compared.

    Raises:
        CollectionError: There is no such collection.
    """
    _require(catalog, collection)
    expected = {record.id: record for record in catalog.every_chunk(collection)}
    metadata = {
        record.id: dict(record.metadata)
        for record in catalog.documents(collection)
        if record.status is VersionStatus.LIVE
    }
    seen: set[str] = set()
    orphans, altered, mislabelled, broken = set[str](), set[str](), set[str](), set[str]()
    done, counted = 0, store.count()
    on_progress(COMPARING, done, counted)
    for batch in store.scroll():
        for chunk, vector in batch:
            record = expected.get(chunk.id)
            if record is None:
                orphans.add(chunk.id)
                continue
            if chunk.id in seen or not _is_same(chunk, record):
                altered.add(chunk.id)
            elif dict(chunk.metadata) != metadata.get(record.document_id):
                mislabelled.add(chunk.id)
            if not _is_sound(vector, store.dimension):
                broken.add(chunk.id)
            seen.add(chunk.id)
        done += len(batch)
        on_progress(COMPARING, done, max(done, counted))
    return Findings(
        collection=collection,
        unfinished=catalog.unfinished(collection),
        unstamped=len(catalog.pending_metadata_updates(collection)),
        orphans=tuple(sorted(orphans)),
        missing=tuple(sorted(expected.keys() - seen)),
        altered=tuple(sorted(altered)),
        mislabelled=tuple(sorted(mislabelled)),
        bad_vectors=tuple(sorted(broken)),
        expected=len(expected),
        counted=counted,
    )


def repair(
    catalog: Catalog,
    store: VectorStore,
    embedder: Embedder,
    collection: str,
    *,
    on_progress: Progress = lambda stage, done, total: None,
) -> Repairs:
    """Makes the store what the catalog says; doing it twice does nothing more.

    Args:
        catalog: The ledger, which is believed.
        store: The collection's store.
        embedder: The one that made the collection.
        collection: The collection's name.
        on_progress: Told how many chunks are compared, and how many written again.

    Raises:
        CollectionError: There is no such collection, or another embedder made it.
        WriterConflictError: Another writer is at work in the collection.
        UserError: The catalog is empty and the store is not: the catalog was probably lost.
    """
    _require(catalog, collection)
    publisher = Publisher(store, catalog, embedder, collection)
    publisher.open_collection()
    with publisher.session(exclusive=True):
        return _repair(publisher, catalog, store, embedder, collection, on_progress)


def _repair(
    publisher: Publisher,
    catalog: Catalog,
    store: VectorStore,
    embedder: Embedder,
    collection: str,
    on_progress: Progress,
) -> Repairs:
    if catalog.chunk_count(collection) == 0 and not catalog.unfinished(collection):
        _refuse_to_empty(store, collection)
    recovered = publisher.recover()
    found = examine(catalog, store, collection, on_progress=on_progress)
    wrong = sorted({*found.altered, *found.bad_vectors})
    unwanted = [*found.orphans, *wrong]
    for part in batches(unwanted, _SLICE):
        store.delete(part)
    _rewrite(catalog, store, embedder, collection, {*found.missing, *wrong}, on_progress)
    _relabel(catalog, store, collection, set(found.mislabelled))
    store.flush()
    return Repairs(
        recovered=recovered,
        removed=len(found.orphans),
        rewritten=len({*found.missing, *wrong}),
        relabelled=len(found.mislabelled),
    )


def restore(
    catalog: Catalog,
    store: VectorStore,
    embedder: Embedder,
    collection: str,
    *,
    on_progress: Progress = lambda stage, done, total: None,
) -> int:
    """Writes the chunks that the store lacks, and changes nothing else; returns how many.

    Arguments as ``repair``.

    Raises:
        CollectionError: There is no such collection.
    """
    _require(catalog, collection)
    with Publisher(store, catalog, embedder, collection).session(exclusive=True):
        missing = examine(catalog, store, collection, on_progress=on_progress).missing
        _rewrite(catalog, store, embedder, collection, set(missing), on_progress)
        store.flush()
    return len(missing)


def _require(catalog: Catalog, collection: str) -> None:
    if catalog.collection(collection) is None:
        known = ", ".join(record.name for record in catalog.collections()) or "none yet"
        raise CollectionError(f"there is no collection '{collection}'; known: {known}")


def _refuse_to_empty(store: VectorStore, collection: str) -> None:
    count = store.count()
    if count:
        raise UserError(
            f"the catalog has no document in collection '{collection}', but the store has "
            f"{count} chunks: bring the catalog's database back from a backup, or ingest the "
            "documents again and repair then; repairing now would delete all chunks"
        )


def _is_same(chunk: Chunk, record: ChunkRecord) -> bool:
    return (
        chunk.document_id == record.document_id
        and (chunk.start, chunk.end, chunk.page) == (record.start, record.end, record.page)
        and tuple(chunk.headings) == record.headings
        and passage_hash(chunk.passage) == record.passage_hash
    )


def _is_sound(vector: Matrix, dimension: int) -> bool:
    if vector.shape != (dimension,) or not np.isfinite(vector).all():
        return False
    return abs(float(np.linalg.norm(vector)) - 1.0) <= _LENGTH_TOLERANCE


def _rewrite(
    catalog: Catalog,
    store: VectorStore,
    embedder: Embedder,
    collection: str,
    ids: set[str],
    on_progress: Progress,
) -> None:
    """Makes chunks anew from the text in the catalog, embeds and writes them."""
    if not ids:
        return
    done = 0
    on_progress(REWRITING, done, len(ids))
    chunks = _rebuild(catalog, collection, ids)
    while batch := list(islice(chunks, _SLICE)):
        store.upsert(batch, embedder.embed_documents([chunk.passage for chunk in batch]))
        done += len(batch)
        on_progress(REWRITING, done, len(ids))


def _rebuild(catalog: Catalog, collection: str, ids: set[str]) -> Iterator[Chunk]:
    for document_id, records in _by_document(catalog, collection, ids).items():
        text = catalog.text(collection, document_id) or ""
        metadata = _metadata(catalog, collection, document_id)
        for record in records:
            chunk = Chunk(
                id=record.id,
                document_id=document_id,
                text=text[record.start : record.end],
                start=record.start,
                end=record.end,
                page=record.page,
                headings=record.headings,
                metadata=metadata,
            )
            if passage_hash(chunk.passage) != record.passage_hash:
                raise UserError(
                    f"the catalog's text of {metadata.get('source_uri', document_id)} does not "
                    "agree with its chunks: delete this document and ingest it again"
                )
            yield chunk


def _relabel(catalog: Catalog, store: VectorStore, collection: str, ids: set[str]) -> None:
    for document_id, records in _by_document(catalog, collection, ids).items():
        metadata = _metadata(catalog, collection, document_id)
        for part in batches([record.id for record in records], _SLICE):
            store.set_metadata(part, metadata)


def _by_document(catalog: Catalog, collection: str, ids: set[str]) -> dict[str, list[ChunkRecord]]:
    wanted: defaultdict[str, list[ChunkRecord]] = defaultdict(list)
    for record in catalog.every_chunk(collection):
        if record.id in ids:
            wanted[record.document_id].append(record)
    return wanted


def _metadata(catalog: Catalog, collection: str, document_id: str) -> Metadata:
    record = catalog.document(collection, document_id)
    return record.metadata if record else {}
