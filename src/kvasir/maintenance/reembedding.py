"""Embeds a collection again by another model, in a new index beside the one in use.

The steps; each is durable before the next begins:

    1. catalog: record which index is being built, and by which writer
    2. new index: make it agree with the catalog, with vectors of the new model
    3. again for what was changed meanwhile, until nothing was
    4. catalog: the new index becomes the collection's, with its model      (one transaction)
    5. store:   delete the old index; catalog: forget it

Until step 4 searches and ingests use the old index. Step 4 is refused if a document was changed
since the last comparison, or if a writer is between two of its own steps; from then on the catalog
refuses writers that still have the old index, which then follow (``ingesting.publishing``). After a
kill before step 4 the next run finds in the new index what is embedded already. After one before
step 5 the catalog names the old index as unused, and whoever changes the model next, repairs or
deletes the collection deletes it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from kvasir.core.batches import batches
from kvasir.core.filters import Comparison
from kvasir.core.ledger import (
    Catalog,
    ChunkRecord,
    CollectionRecord,
    DocumentRecord,
    VersionStatus,
)
from kvasir.core.protocols import Embedder, Optimizable, VectorStore
from kvasir.core.run import Run
from kvasir.core.types import Chunk
from kvasir.ingesting.embedding import CallSize
from kvasir.ingesting.publishing import Publisher
from kvasir.maintenance.repair import disagreement, examine, is_same, is_unit_vector, rebuild
from kvasir.maintenance.rewriting import MOST_PASSAGES, rewrite

EMBEDDING, BUILDING = "embedding again", "building the search graph"
"""Stages of the progress."""

_SLICE = 256
"""Chunks in one call to the store."""
_FEW = 100
_FEW_SHARE = 0.1
"""Changed documents that are compared one by one; the whole index is compared if there are more."""
_PAUSE_SECONDS = 0.05
"""Between two attempts while other writers are at work."""


def reembed(
    catalog: Catalog,
    target: CollectionRecord,
    open_index: Callable[[], VectorStore],
    embedder: Embedder,
    publisher: Publisher,
    run: Run,
) -> tuple[VectorStore, int]:
    """Build the index of a collection's new record, and make it the collection's.

    Args:
        catalog: Knows the documents.
        target: The record with the new model and index.
        open_index: Opens the new index in the store.
        embedder: The new model's.
        publisher: Of the present index; it cleans up after writers that were killed.
        run: Stops the work and receives its progress.

    Returns:
        The new index, which is open, and how many chunks were embedded now.

    Raises:
        StoppedError: The run was stopped; the next one goes on from there.
        ConflictError: Another writer embeds the collection again, or has just done so.
        DamagedError: A text in the catalog does not agree with its chunks.
    """
    with publisher.session():
        catalog.begin_model_change(target, publisher.writer)
        store = open_index()
        try:
            builder = _Builder(catalog, target.name, store, embedder, run)
            compared = None
            while True:
                publisher.recover()
                revision = catalog.revision(target.name)
                if revision != compared:
                    builder.catch_up()
                    compared = revision
                if catalog.complete_model_change(target, publisher.writer, revision):
                    return store, builder.embedded
                run.check()
                run.stop.wait(_PAUSE_SECONDS)
        except BaseException:
            store.close()
            raise


@dataclass(slots=True)
class _Builder:
    """Fills an index; counts what it embeds."""

    catalog: Catalog
    collection: str
    store: VectorStore
    embedder: Embedder
    run: Run
    embedded: int = 0
    _documents: Mapping[str, DocumentRecord] | None = None
    _size: CallSize = field(default_factory=lambda: CallSize(MOST_PASSAGES))
    _has_written: bool = False

    def catch_up(self) -> None:
        """Make the index agree with the catalog of now."""
        before, now = self._documents, self._live_documents()
        self._documents, self._has_written = now, before is None
        try:
            if before is None:
                self._compare_all()
            else:
                changed = [
                    before.get(name) or now[name]
                    for name in before.keys() | now.keys()
                    if before.get(name) != now.get(name)
                ]
                if len(changed) > max(_FEW, _FEW_SHARE * len(now)):
                    self._compare_all()
                else:
                    for document in changed:
                        self._compare(document)
        finally:
            if self._has_written:
                self.store.flush()
        if self._has_written and isinstance(self.store, Optimizable):
            self.run.report(BUILDING, 0, 1)
            self.store.optimize(wait=True, stop=self.run.stop)
            self.run.report(BUILDING, 1, 1)

    def _live_documents(self) -> dict[str, DocumentRecord]:
        found = self.catalog.documents(self.collection)
        return {each.id: each for each in found if each.status is VersionStatus.LIVE}

    def _compare_all(self) -> None:
        found = examine(self.catalog, self.store, self.collection, run=self.run)
        self._remove(found.orphans)
        wrong = {*found.altered, *found.bad_vectors}
        self._write(self._records({*found.missing, *wrong}), wrong, found.expected)
        for document, ids in self._by_document(found.mislabelled):
            self._relabel(document, ids)

    def _compare(self, document: DocumentRecord) -> None:
        """Make the index agree with the catalog for one document, which may be deleted."""
        records = {each.id: each for each in self.catalog.chunks(self.collection, document.id)}
        held = [
            pair
            for batch in self.store.scroll(Comparison("source_uri", "==", document.source_uri))
            for pair in batch
        ]
        self._remove([chunk.id for chunk, _ in held if chunk.id not in records])
        present = {chunk.id: chunk for chunk, _ in held if chunk.id in records}
        wrong = {
            chunk.id
            for chunk, vector in held
            if (record := records.get(chunk.id)) is not None
            and not (is_same(chunk, record) and is_unit_vector(vector, self.store.dimension))
        }
        due = [each for name, each in records.items() if name not in present or name in wrong]
        self._write({document.id: due} if due else {}, wrong, len(records))
        now = (self._documents or {}).get(document.id)
        if now is not None:
            old = [
                name
                for name, chunk in present.items()
                if name not in wrong and dict(chunk.metadata) != dict(now.metadata)
            ]
            self._relabel(now, old)

    def _records(self, ids: Collection[str]) -> dict[str, list[ChunkRecord]]:
        """Return the records of chunks by document, in the order of the catalog."""
        wanted: defaultdict[str, list[ChunkRecord]] = defaultdict(list)
        if ids:
            for record in self.catalog.every_chunk(self.collection):
                if record.id in ids:
                    wanted[record.document_id].append(record)
        return wanted

    def _by_document(self, ids: Collection[str]) -> Iterator[tuple[DocumentRecord, list[str]]]:
        for name, records in self._records(frozenset(ids)).items():
            if (document := (self._documents or {}).get(name)) is not None:
                yield document, [record.id for record in records]

    def _write(
        self, records: Mapping[str, list[ChunkRecord]], wrong: Collection[str], total: int
    ) -> None:
        """Embed and write chunks; those with a ``wrong`` id are replaced."""
        due = sum(map(len, records.values()))
        if not due:
            return
        done = total - due
        self.run.step(EMBEDDING, done, total, "chunks")

        def written(count: int) -> None:
            nonlocal done
            self._has_written = True
            self.embedded += count
            done += count
            self.run.step(EMBEDDING, done, max(total, done), "chunks")

        chunks = self._rebuilt(records)
        rewrite(chunks, self.store, self.embedder, self.run, self._size, written, wrong=wrong)

    def _rebuilt(self, records: Mapping[str, list[ChunkRecord]]) -> Iterator[Chunk]:
        """Yield chunks, cut from the texts in the catalog; not those of a changed document."""
        for name, wanted in records.items():
            document = (self._documents or {}).get(name)
            text = self.catalog.text(self.collection, name)
            if document is None or text is None:
                continue
            for record in wanted:
                chunk = rebuild(record, text, document.metadata)
                if chunk is not None:
                    yield chunk
                elif record in self.catalog.chunks(self.collection, name):
                    raise disagreement(document.source_uri)
                else:
                    break

    def _remove(self, ids: Iterable[str]) -> None:
        for part in batches(list(ids), _SLICE):
            self.store.delete(part)
            self._has_written = True

    def _relabel(self, document: DocumentRecord, ids: Iterable[str]) -> None:
        for part in batches(list(ids), _SLICE):
            self.store.set_metadata(part, document.metadata)
            self._has_written = True
