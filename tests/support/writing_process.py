"""A process that ingests into a collection that others write to at the same time."""

import time
from contextlib import closing
from pathlib import Path

from kvasir.catalog.sql import SqlCatalog
from kvasir.components.splitters.window import WindowSplitter
from kvasir.core.registry import load
from kvasir.core.types import Document, LocalFile, Source, document_id
from kvasir.ingesting.pipeline import IngestPipeline
from kvasir.testing.fakes import FakeAnalyzer, FakeEmbedder

LINES, DIMENSION = 4, 16
LEASE = {"lease_seconds": 3.0, "heartbeat_seconds": 0.5}


class PlainPool:
    def map(self, items, *, ordered=True, stop=None, on_page=None):
        for path in items:
            text = Path(path).read_text("utf-8")
            yield (
                Source(path, "text/plain"),
                Document(document_id(path), path, Path(path).name, text),
            )


class SlowStore:
    """Tells each write, and takes its time for it, as a store across a network does."""

    def __init__(self, store, told):
        self._store, self._told = store, told

    def __getattr__(self, name):
        return getattr(self._store, name)

    def upsert(self, chunks, vectors):
        self._told.send("writing")
        time.sleep(0.05)
        self._store.upsert(chunks, vectors)


def open_both(catalog_url, store_url):
    store = load("stores", "chroma")(store_url, "three", DIMENSION, FakeAnalyzer())
    return SqlCatalog(catalog_url), store


def ingest(catalog, store, folder):
    pipeline = IngestPipeline(
        PlainPool(),
        WindowSplitter(split_by="line", split_length=1),
        FakeEmbedder(DIMENSION),
        store,
        catalog,
        "three",
        language="en",
        batch_chunks=3 * LINES,
        hold_seconds=0,
        **LEASE,
    )
    return pipeline.ingest([LocalFile(str(folder))])


def run(catalog_url, store_url, folder, told):
    """What one of the processes does: it sends its counts at the end."""
    catalog, store = open_both(catalog_url, store_url)
    with closing(catalog), closing(store):
        report = ingest(catalog, SlowStore(store, told), folder)
    told.send([len(report.added), len(report.failed), report.recovered])
