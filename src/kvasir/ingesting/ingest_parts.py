"""What an ingest needs: the collection's components, and its options."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass, field

from kvasir.core.ledger import Catalog, Splitting
from kvasir.core.protocols import Embedder, Splitter, VectorStore
from kvasir.ingesting.extraction import ExtractionPool
from kvasir.ingesting.publishing import CurrentIndex, Publisher
from kvasir.ingesting.sources import Fetch


@dataclass
class IngestParts:
    """The collection of an ingest, the components for it, and its options.

    Attributes:
        collection: The collection's name; the first ingest creates it.
        chunk_settings: Names and options of extraction and splitting, as text in a fixed form:
            when it changes, unchanged sources are split again, too.
        splitting: How the documents are split, which the collection remembers.
        language: ISO 639-1 code of every document, or None to detect it.
        recognizes_text: Extraction recognizes the text of pages that are pictures.
        fetch: Gets the bytes of an address; without it addresses are refused.
        batch_chunks: Passages to embed in one call; documents are gathered until there are
            this many.
        hold_seconds: How long embedded documents wait for others, to be written with one flush
            (which takes about 0.1 s).
        left_out: Files and folders to skip inside of folders: those of Kvasir itself.
        max_file_mb: Larger sources are reported as failed, in MiB.
        file_timeout: Seconds for hashing a file, and for splitting it.
        writing: The lock of every publisher of the store.
        lease_seconds, heartbeat_seconds, index, current: As of ``Publisher``.
    """

    pool: ExtractionPool
    splitter: Splitter
    embedder: Embedder
    store: VectorStore
    catalog: Catalog
    collection: str
    _: KW_ONLY
    chunk_settings: str = ""
    splitting: Splitting | None = None
    language: str | None = None
    recognizes_text: bool = False
    fetch: Fetch | None = None
    batch_chunks: int = 256
    hold_seconds: float = 3.0
    left_out: Sequence[str] = ()
    max_file_mb: int = 200
    file_timeout: float = 120.0
    writing: threading.Lock = field(default_factory=threading.Lock)
    lease_seconds: float = Publisher.lease_seconds
    heartbeat_seconds: float = Publisher.heartbeat_seconds
    index: str | None = None
    current: Callable[[], CurrentIndex] | None = None
