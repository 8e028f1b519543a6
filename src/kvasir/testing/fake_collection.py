"""A collection in memory, for tests of its users: no model, no files, no server.

It is a ``Collection`` with the fakes as its components and a catalog in memory, and passes
``CollectionContract``. A chunk is a paragraph; searches compare the words of query and chunk, and
an answer is the first sentence of the best chunk. Sources are plain text in UTF-8.
"""

from __future__ import annotations

import re
import uuid
import weakref
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from kvasir.answering.chat import Conversation
from kvasir.catalog.sql import SqlCatalog
from kvasir.collection import Collection, FilterLike
from kvasir.collection_index import CollectionOptions, Index
from kvasir.core.errors import ExtractionError, NameTakenError
from kvasir.core.filters import Filter, all_of, parse_filter
from kvasir.core.ledger import CollectionRecord, EmbeddingModel
from kvasir.core.protocols import Embedder, Generator, VectorStore
from kvasir.core.run import Run, StopToken
from kvasir.core.types import (
    Chunk,
    Document,
    SearchRequest,
    Source,
    StoreAddress,
    chunk_id,
    document_id,
)
from kvasir.ingesting.extraction import ExtractionPool, OnPage
from kvasir.ingesting.pipeline import IngestPipeline
from kvasir.ingesting.web_pages import PageFetcher, WebPages
from kvasir.testing.fakes import (
    FakeAnalyzer,
    FakeEmbedder,
    FakeGenerator,
    FakeWebSearch,
    MemoryStore,
    NamedEmbedder,
)

_LANGUAGE = "en"
_PARAGRAPH = re.compile(r"\S(?:.|\n(?!\s*\n))*")


class FakeCollections:
    """All collections of a test and the fakes that they share.

    ``lease`` gives a collection, as ``App.collection`` does.
    """

    has_catalog = True
    shares_stores = False
    reranker = None

    def __init__(self) -> None:
        self.catalog = SqlCatalog("sqlite://")
        self.embedder = FakeEmbedder()
        self.analyzer = FakeAnalyzer()
        self.generator = FakeGenerator()
        self.web_search = FakeWebSearch()
        self.page_fetcher = PageFetcher(allow_private=True, max_bytes=1 << 20, timeout=5.0)
        self._uri = f"fake-{uuid.uuid4()}"
        self._indexes: dict[str, Index] = {}
        weakref.finalize(self, self.catalog.close)
        weakref.finalize(self, MemoryStore.forget, self._uri)

    def lease(self, name: str = "default", filters: Filter | None = None) -> FakeCollection:
        """Lease a collection, which need not exist yet; ``filters`` limit its searches."""
        new = Index(name, self, CollectionOptions(language=_LANGUAGE, refuse=False))
        return FakeCollection(self._indexes.setdefault(name, new), filters)

    def open_store(self, collection: str, embedded_by: Embedder | CollectionRecord) -> VectorStore:
        made_by = embedded_by.dimension, self.analyzer, embedded_by.fingerprint
        return MemoryStore(self._uri, collection, *made_by)

    def open_copy(self, to: StoreAddress, name: str, record: CollectionRecord) -> VectorStore:
        """Open the store of another name here, wherever ``to`` is."""
        if name == record.name:
            raise NameTakenError(name, " in that store")
        return self.open_store(name, record)

    def embedder_of(self, record: CollectionRecord | None) -> Embedder:
        chosen = record.model if record else None
        return self.embedder if chosen is None else self.load_model(chosen, Run())

    def choose_model(self, name: str, kind: str | None) -> EmbeddingModel:
        return EmbeddingModel(kind or "fake", name)

    def load_model(self, model: EmbeddingModel, run: Run) -> Embedder:
        """Return a fake embedder whose vectors depend on the model's name."""
        return NamedEmbedder(model.name)

    def conversation(
        self, lease: Callable[[], Collection], *, generator: Generator | None = None
    ) -> Conversation:
        shared = generator or self.generator
        return Conversation(shared, lambda: lease().index.answerer(shared))

    def make_pipeline(
        self,
        store: VectorStore,
        collection: str,
        embedder: Embedder,
        *,
        re_split: bool = False,
        **options: Any,
    ) -> IngestPipeline:
        fixed = (embedder, store, self.catalog, collection)
        return IngestPipeline(_Texts(), _Paragraphs(), *fixed, language=_LANGUAGE, **options)

    def make_web_pages(self) -> WebPages:
        """Fetch what ``web_search`` finds, also from this machine."""
        return WebPages(self.web_search, self.page_fetcher)


class FakeCollection(Collection):
    """A lease on a collection in memory."""

    def __init__(self, index: Index, filters: Filter | None) -> None:
        super().__init__(index)
        self._filters = filters

    def _request(
        self, query: str, top_k: int | None, threshold: float | None, filters: FilterLike
    ) -> SearchRequest:
        allowed = all_of(self._filters, parse_filter(filters))
        return super()._request(query, top_k, threshold, allowed)


class _Texts(ExtractionPool):
    """Decodes uploads; there is nothing else to extract."""

    def map(
        self,
        items: Iterable[Any],
        *,
        ordered: bool = True,
        stop: StopToken | None = None,
        on_page: OnPage | None = None,
    ) -> Iterator[tuple[Source, Document | ExtractionError]]:
        for source, data in items:
            title = source.uri.rsplit("/", 1)[-1]
            try:
                text = data.decode()
            except UnicodeDecodeError:
                yield source, ExtractionError("malformed", "it is not text")
            else:
                yield source, Document(document_id(source.uri), source.uri, title, text)


class _Paragraphs:
    """Makes a chunk of each paragraph."""

    def split(self, document: Document) -> list[Chunk]:
        return [
            Chunk(chunk_id(document.id, *span), document.id, *span)
            for found in _PARAGRAPH.finditer(document.text)
            for span in [(found.group(), *found.span())]
        ]
