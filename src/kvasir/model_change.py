"""Changes the embedding model of a collection; ``maintenance.reembedding`` has the steps.

In this process the new index is used at once. Another process, where several share the store,
reads the collection's record every two seconds; until then it searches the old index.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from time import perf_counter

from kvasir.collection_index import RECORD_SECONDS, Index
from kvasir.core.errors import ConflictError
from kvasir.core.ledger import CollectionRecord
from kvasir.core.protocols import Embedder
from kvasir.core.reports import ModelChange
from kvasir.core.run import Run, StopToken
from kvasir.ingesting.publishing import Publisher
from kvasir.maintenance.reembedding import reembed

logger = logging.getLogger(__name__)

_GRACE_SECONDS = RECORD_SECONDS + 3.0
"""Before an index that other processes may still search is deleted."""
DELETING = "deleting the old index"
"""A stage of the progress."""


def change_model(index: Index, name: str, kind: str | None, run: Run) -> ModelChange:
    """Embed a collection again; as ``Collection.use_model``."""
    started = perf_counter()
    parts, catalog = index.components, index.components.catalog
    run = replace(run, stop=StopToken(run.stop))
    with _one_at_a_time(index, run.stop):
        model = parts.choose_model(name, kind)
        embedder = run.call(lambda: parts.load_model(model, run))
        index.forget_record()
        former = index.record()
        chunks = catalog.chunk_count(index.name)
        lost = former.calibration is not None
        report = ModelChange(
            index.name, embedder.name, former.embedder, True, embedder.dimension, chunks, 0, 0.0
        )
        if embedder.fingerprint == former.fingerprint:
            catalog.set_model(index.name, model)
            index.forget_record()
            delete_unused(index)
            return replace(report, changed=False, seconds=perf_counter() - started)
        target = replace(
            former,
            embedder=embedder.name,
            dimension=embedder.dimension,
            fingerprint=embedder.fingerprint,
            index=_index_name(index.name, embedder),
            model=model,
            calibration=None,
        )
        delete_unused(index, keep=target.store_name)
        opened = index.opened()
        publisher = Publisher(opened.store, catalog, index.name, index.writing, index=opened.name)
        store, embedded = reembed(
            catalog,
            target,
            lambda: parts.open_store(target.store_name, target),
            embedder,
            publisher,
            run,
        )
        old = index.adopt(target, store)

        def delete_old() -> None:
            try:
                if old is not None:
                    old.close()
                delete_unused(index)
            except Exception as error:  # noqa: BLE001 - the change is made
                # The catalog still names it, and the next change of the model deletes it.
                logger.warning("the old index of '%s' is left behind: %s", index.name, error)

        try:
            if parts.shares_stores:
                run.report(DELETING, 0, 1)
                run.stop.wait(_GRACE_SECONDS)
        finally:
            index.leases.after_calls(delete_old, own=False)
        counted = store.count()
    return replace(
        report,
        chunks=counted,
        embedded=embedded,
        seconds=perf_counter() - started,
        calibration_lost=lost,
    )


def delete_unused(index: Index, *, begun: bool = True, keep: str = "") -> None:
    """Delete the indexes of a collection that were replaced; what a stopped run has begun, too.

    The index ``keep`` stays.
    """
    catalog = index.components.catalog
    with index.deleting_unused:
        found = catalog.unused_indexes(index.name, begun=begun)
        # As of now: one of them may have become the collection's again, or was it until now.
        index.forget_record()
        present = index.record().store_name
        for unused in found:
            if unused.store_name == keep:
                continue
            if unused.store_name != present:
                _delete(index, unused)
            catalog.forget_index(index.name, unused.store_name)


def _delete(index: Index, unused: CollectionRecord) -> None:
    store = index.components.open_store(unused.store_name, unused)
    try:
        store.drop()
    finally:
        store.close()


def _index_name(collection: str, embedder: Embedder) -> str:
    """Return the name of an index in the store, which no collection can have."""
    digest = hashlib.blake2b(embedder.fingerprint.encode(), digest_size=6).hexdigest()
    return f"{collection}@{digest}"


@contextmanager
def _one_at_a_time(index: Index, stop: StopToken) -> Iterator[None]:
    with index.changing_model.begin(stop) as is_only:
        if not is_only:
            raise ConflictError(
                f"collection '{index.name}' is being embedded again: "
                "try again when that has finished"
            )
        yield
