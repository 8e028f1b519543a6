"""Embed chunks again and write them into a store, for repairs and for a change of the model."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator
from functools import partial
from itertools import islice

import numpy as np

from kvasir.core.protocols import Embedder, VectorStore
from kvasir.core.run import Run
from kvasir.core.types import Chunk
from kvasir.ingesting.embedding import CallSize

MOST_PASSAGES = 256
"""Most passages in one call to the embedder."""


def rewrite(
    chunks: Iterator[Chunk],
    store: VectorStore,
    embedder: Embedder,
    run: Run,
    size: CallSize,
    written: Callable[[int], None],
    *,
    wrong: Collection[str] = (),
) -> None:
    """Embed and write chunks, in calls as long as ``size`` allows; equal passages once.

    Args:
        chunks: From the texts in the catalog.
        store: Where they are written.
        embedder: That of the store.
        run: Stops the work between two calls.
        size: Measures the calls.
        written: Receives the number of chunks of each call that is written.
        wrong: Ids of faulty chunks in the store. It may have two chunks with one id, so these are
            deleted before they are written.

    Raises:
        StoppedError: The run was stopped; written chunks are kept.
    """
    while batch := list(islice(chunks, size.passages)):
        passages = list(dict.fromkeys(chunk.passage for chunk in batch))
        started = time.monotonic()
        made = run.call(partial(embedder.embed_documents, passages))
        size.measure(len(passages), time.monotonic() - started)
        rows = {passage: row for row, passage in enumerate(passages)}
        vectors = made[[rows[chunk.passage] for chunk in batch]]
        if replaced := [chunk.id for chunk in batch if chunk.id in wrong]:
            store.delete(replaced)
        store.upsert(batch, vectors.astype(np.float32, copy=False))
        written(len(batch))
