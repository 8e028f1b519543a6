"""Compares catalog and store, chunk by chunk, and repairs the store from the catalog.

Where they differ, the catalog counts as correct. It has the text of every document and the span of
every chunk, so missing chunks are written again without the source file. Chunks that the catalog
does not know are deleted. No other process may write to the collection meanwhile.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from kvasir.core.batches import batches
from kvasir.core.errors import DamagedError, StoppedError
from kvasir.core.ledger import (
    Catalog,
    ChunkRecord,
    VersionStatus,
    check_embedder,
    passage_hash,
    require_collection,
)
from kvasir.core.protocols import Embedder, VectorStore
from kvasir.core.reports import Findings, Repairs
from kvasir.core.run import Run
from kvasir.core.types import Chunk, Matrix, Metadata
from kvasir.ingesting.embedding import CallSize
from kvasir.ingesting.publishing import Publisher
from kvasir.maintenance.rewriting import MOST_PASSAGES, rewrite

COMPARING = "comparing"
REMOVING, REWRITING, RELABELLING = "removing", "writing again", "new metadata"
"""Stages of the progress: of ``examine``, then of ``repair``."""

_CHECK_INTERVAL = 1000
_LENGTH_TOLERANCE = 0.01
"""Largest difference of a vector's length from 1; half precision stays within it."""
_SLICE = 256
"""Chunks in one call to the store."""


def examine(
    catalog: Catalog, store: VectorStore, collection: str, *, run: Run | None = None
) -> Findings:
    """Compare every chunk of a collection; change nothing.

    Raises:
        StoppedError: The run was stopped.
        CollectionNotFoundError: There is no such collection.
    """
    run = run or Run()
    require_collection(catalog, collection)
    expected: dict[str, ChunkRecord] = {}
    for record in catalog.every_chunk(collection):
        expected[record.id] = record
        if len(expected) % _CHECK_INTERVAL == 0:
            run.check()
    metadata: dict[str, Metadata] = {}
    outdated = 0
    for document in catalog.documents(collection):
        if document.status is VersionStatus.LIVE:
            metadata[document.id] = dict(document.metadata)
            outdated += document.is_outdated
    seen: set[str] = set()
    orphans, altered, mislabelled, bad_vectors = set[str](), set[str](), set[str](), set[str]()
    done, counted = 0, store.count()
    run.step(COMPARING, done, counted, "chunks")
    for batch in store.scroll():
        for chunk, vector in batch:
            known = expected.get(chunk.id)
            if known is None:
                orphans.add(chunk.id)
                continue
            if chunk.id in seen or not is_same(chunk, known):
                altered.add(chunk.id)
            elif dict(chunk.metadata) != metadata.get(known.document_id):
                mislabelled.add(chunk.id)
            if not is_unit_vector(vector, store.dimension):
                bad_vectors.add(chunk.id)
            seen.add(chunk.id)
        done += len(batch)
        run.step(COMPARING, done, max(done, counted), "chunks")
    return Findings(
        collection=collection,
        unfinished=catalog.unfinished(collection),
        pending_metadata_updates=len(catalog.pending_metadata_updates(collection)) + outdated,
        orphans=tuple(sorted(orphans)),
        missing=tuple(sorted(expected.keys() - seen)),
        altered=tuple(sorted(altered)),
        mislabelled=tuple(sorted(mislabelled)),
        bad_vectors=tuple(sorted(bad_vectors)),
        expected=len(expected),
        counted=counted,
    )


def is_same(chunk: Chunk, record: ChunkRecord) -> bool:
    """Return True if a chunk of the store is as its record says, besides its metadata."""
    return (
        chunk.document_id == record.document_id
        and (chunk.start, chunk.end, chunk.page) == (record.start, record.end, record.page)
        and tuple(chunk.headings) == record.headings
        and passage_hash(chunk.passage) == record.passage_hash
    )


def is_unit_vector(vector: Matrix, dimension: int) -> bool:
    """Return True if a vector of the store is finite and of length 1."""
    if vector.shape != (dimension,) or not np.isfinite(vector).all():
        return False
    return abs(float(np.linalg.norm(vector)) - 1.0) <= _LENGTH_TOLERANCE


def rebuild(record: ChunkRecord, text: str, metadata: Metadata) -> Chunk | None:
    """Cut a chunk from the text of its document; None if the text does not agree with it."""
    chunk = Chunk(
        id=record.id,
        document_id=record.document_id,
        text=text[record.start : record.end],
        start=record.start,
        end=record.end,
        page=record.page,
        headings=record.headings,
        metadata=metadata,
    )
    return chunk if passage_hash(chunk.passage) == record.passage_hash else None


def disagreement(source_uri: str) -> DamagedError:
    """Return the error for a text of the catalog that does not agree with its chunks."""
    return DamagedError(
        "catalog",
        "repairing",
        f"its text of {source_uri} does not agree with its chunks: delete this document and "
        "ingest it again",
    )


def repair(
    catalog: Catalog,
    store: VectorStore,
    embedder: Embedder,
    collection: str,
    *,
    index: str | None = None,
    run: Run | None = None,
) -> Repairs:
    """Make the store agree with the catalog; a second run changes nothing.

    ``index`` is that of the store, as of ``Publisher``.

    Raises:
        CollectionNotFoundError: There is no such collection.
        WrongEmbedderError: Another embedder made it.
        WriterConflictError: Another writer is at work in the collection.
        DamagedError: The catalog has no chunks and the store has some, so the catalog was probably
            lost; or a text in the catalog does not agree with its chunks.
        StoppedError: The run was stopped while the chunks were being compared.
    """
    check_embedder(require_collection(catalog, collection), embedder)
    publisher = Publisher(store, catalog, collection, index=index)
    with publisher.session(exclusive=True):
        return _Repair(catalog, store, embedder, collection, run or Run()).repair(publisher)


def restore(
    catalog: Catalog,
    store: VectorStore,
    embedder: Embedder,
    collection: str,
    *,
    index: str | None = None,
    run: Run | None = None,
) -> int:
    """Write the chunks that the store lacks; return how many. Other faults are left as they are.

    ``index`` is that of the store, as of ``Publisher``.

    Raises:
        CollectionNotFoundError: There is no such collection.
        WriterConflictError: Another writer is at work in the collection.
        DamagedError: A text in the catalog does not agree with its chunks.
        StoppedError: The run was stopped; written chunks are kept.
    """
    require_collection(catalog, collection)
    work = _Repair(catalog, store, embedder, collection, run or Run())
    publisher = Publisher(store, catalog, collection, index=index)
    with publisher.session(exclusive=True):
        publisher.check_index()
        missing = examine(catalog, store, collection, run=work.run).missing
        try:
            work.rewrite(set(missing))
        finally:
            store.flush()
    return work.rewritten


@dataclass(slots=True)
class _Repair:
    """One repair; counts the chunks that are done after each batch, for the case of a stop."""

    catalog: Catalog
    store: VectorStore
    embedder: Embedder
    collection: str
    run: Run
    removed: int = 0
    rewritten: int = 0
    relabelled: int = 0

    def repair(self, publisher: Publisher) -> Repairs:
        catalog, store, collection = self.catalog, self.store, self.collection
        unfinished = catalog.unfinished(collection)
        if not unfinished and catalog.chunk_count(collection) == 0:
            self._check_store_is_empty()
        updates = len(catalog.pending_metadata_updates(collection))
        recovered = publisher.recover()
        updates += publisher.renew_metadata()
        findings = examine(catalog, store, collection, run=self.run)
        # ``recover`` has cleaned these up: report the numbers from before it.
        findings = replace(findings, unfinished=unfinished, pending_metadata_updates=updates)
        wrong = {*findings.altered, *findings.bad_vectors}
        rewriting, relabelling = {*findings.missing, *wrong}, set(findings.mislabelled)
        interrupted = False
        try:
            self._remove(findings.orphans)
            self.rewrite(rewriting, wrong)
            self._relabel(relabelling)
        except StoppedError:
            interrupted = True
        store.flush()
        done = self.removed, self.rewritten, self.relabelled
        left = len(findings.orphans) + len(rewriting) + len(relabelling) - sum(done)
        return Repairs(findings, recovered, *done, left, interrupted)

    def rewrite(self, ids: set[str], wrong: Collection[str] = ()) -> None:
        """Embed and write chunks from the text in the catalog; ``wrong`` as of ``rewriting``."""
        if not ids:
            return

        def written(count: int) -> None:
            self.rewritten += count
            self.run.step(REWRITING, self.rewritten, len(ids), "chunks")

        self.run.step(REWRITING, 0, len(ids), "chunks")
        size = CallSize(MOST_PASSAGES)
        chunks = self._rebuild(ids)
        rewrite(chunks, self.store, self.embedder, self.run, size, written, wrong=wrong)

    def _check_store_is_empty(self) -> None:
        count = self.store.count()
        if count:
            raise DamagedError(
                "catalog",
                "repairing",
                f"it has no document in collection '{self.collection}', but the store has {count} "
                "chunks: bring the catalog's database back from a backup, or ingest the documents "
                "again and repair then; repairing now would delete all chunks",
            )

    def _remove(self, ids: Sequence[str]) -> None:
        for part in batches(ids, _SLICE):
            self.run.step(REMOVING, self.removed, len(ids), "chunks")
            self.store.delete(part)
            self.removed += len(part)

    def _rebuild(self, ids: set[str]) -> Iterator[Chunk]:
        """Yield chunks, cut from the texts in the catalog."""
        for document_id, records in self._by_document(ids).items():
            text = self.catalog.text(self.collection, document_id) or ""
            metadata = self._metadata(document_id)
            for record in records:
                chunk = rebuild(record, text, metadata)
                if chunk is None:
                    raise disagreement(str(metadata.get("source_uri", document_id)))
                yield chunk

    def _relabel(self, ids: set[str]) -> None:
        for document_id, records in self._by_document(ids).items():
            metadata = self._metadata(document_id)
            for part in batches([record.id for record in records], _SLICE):
                self.run.step(RELABELLING, self.relabelled, len(ids), "chunks")
                self.store.set_metadata(part, metadata)
                self.relabelled += len(part)

    def _by_document(self, ids: set[str]) -> dict[str, list[ChunkRecord]]:
        wanted: defaultdict[str, list[ChunkRecord]] = defaultdict(list)
        for record in self.catalog.every_chunk(self.collection):
            if record.id in ids:
                wanted[record.document_id].append(record)
        return wanted

    def _metadata(self, document_id: str) -> Metadata:
        record = self.catalog.document(self.collection, document_id)
        return record.metadata if record else {}
