"""The state that all leases of one collection share: its store, retriever and pipeline.

The store is opened when it is first needed and closed after the last lease and the last call.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

from kvasir.collection_components import Components
from kvasir.core.document_names import matching, nearest
from kvasir.core.errors import (
    CollectionNotFoundError,
    ComponentError,
    DocumentNotFoundError,
    StoreIncompleteError,
)
from kvasir.core.filters import Filter, Logical, all_of, to_mapping
from kvasir.core.leases import Leases, SoleWork
from kvasir.core.ledger import CollectionRecord, DocumentRecord, require_collection
from kvasir.core.places import box_of
from kvasir.core.protocols import Embedder, Generator, UsesEmbedder, VectorStore
from kvasir.core.templates import DEFAULT_PROMPT
from kvasir.core.text import replace_surrogates, spellings
from kvasir.core.types import ExplainedSearch, Hit, SearchRequest, document_id
from kvasir.core.wire import to_json
from kvasir.open_index import OpenIndex

if TYPE_CHECKING:
    from kvasir.answering.answers import Answerer
    from kvasir.answering.citations import FindVersion
    from kvasir.answering.refusal import Calibration
    from kvasir.answering.retrieval import Languages, Retriever, Searches
    from kvasir.core.ledger import DocumentVersion
    from kvasir.ingesting.pipeline import IngestPipeline
    from kvasir.ingesting.preparing import OnConflict
    from kvasir.ingesting.publishing import CurrentIndex, Publisher

T = TypeVar("T")

_COUNTS = 3
"""How often chunks are counted before a store is called incomplete."""
_FEW = 50
"""Most documents that are read one by one."""
RECORD_SECONDS = 2.0
"""Seconds after which a collection's record is read again."""


@dataclass(frozen=True, slots=True)
class CollectionOptions:
    """The operator's settings for every collection.

    Attributes:
        top_k, min_score_threshold: As of ``SearchRequest``, if the caller gives none.
        filters: Limits every search; a caller's filter is ANDed with it.
        language: ISO 639-1 code of all documents and questions, or None to detect it.
        alpha, candidates, rerank_candidates: As of ``Retriever``.
        prompt, refuse, check_sentences: Attributes of ``Answerer``; the prompt is its template.
        on_conflict: What to do with a source that changed: replace, skip or error.
        max_web_results: Most pages of a search of the web, if the caller does not say.
    """

    top_k: int = 10
    min_score_threshold: float = 0.0
    filters: Filter | None = None
    language: str | None = None
    alpha: float | None = None
    candidates: int = 50
    rerank_candidates: int = 30
    prompt: str = DEFAULT_PROMPT
    refuse: bool = True
    check_sentences: bool = True
    on_conflict: OnConflict = "replace"
    max_web_results: int = 10

    def request(
        self,
        query: str = "",
        top_k: int | None = None,
        min_score_threshold: float | None = None,
        filters: Filter | None = None,
    ) -> SearchRequest:
        """Return a caller's request, within the operator's limits."""
        threshold = self.min_score_threshold if min_score_threshold is None else min_score_threshold
        most = self.top_k if top_k is None else top_k
        allowed = all_of(self.filters, filters)
        return SearchRequest(replace_surrogates(query), most, threshold, allowed)

    def given_filters(self, filters: Filter | None) -> Filter | None:
        """Return the caller's part of the filters of a ``request``."""
        if self.filters is None or filters is None:
            return filters
        if isinstance(filters, Logical) and filters.conditions[0] == self.filters:
            return filters.conditions[1]
        return None


class Index:
    """The shared state of one collection's leases; nothing is opened before it is needed."""

    def __init__(self, name: str, components: Components, options: CollectionOptions) -> None:
        self.name = name
        self.components = components
        self.options = options
        self.leases = Leases(self._close)
        self.writing = threading.Lock()
        self.changing_model = SoleWork()
        self.deleting_unused = threading.Lock()
        self._opening = threading.Lock()
        self._opened: OpenIndex | None = None
        self._known: tuple[float, CollectionRecord | None] = (0.0, None)
        # A field of few documents is far to find, and one that is gone finds nothing anyway.
        self._fields = set[str]()

    def _close(self) -> None:
        self.forget_record()
        with self._opening:
            opened, self._opened = self._opened, None
        if opened is not None:
            opened.close()

    def record(self) -> CollectionRecord:
        """Return the record, at most ``RECORD_SECONDS`` old, or raise CollectionNotFoundError."""
        known = self.find_record()
        if known is None:
            if not self.components.has_catalog:
                raise CollectionNotFoundError(self.name)
            known = require_collection(self.components.catalog, self.name)
        return known

    def find_record(self) -> CollectionRecord | None:
        """Return the record as ``record`` does, or None if there is no collection."""
        read, known = self._known
        now = time.monotonic()
        if known is None or now - read > RECORD_SECONDS:
            if not self.components.has_catalog:
                return None
            known = self.components.catalog.collection(self.name)
            self._known = (now, known)
        return known

    def forget_record(self) -> None:
        """Read the collection's record again at its next use."""
        self._known = (0.0, None)

    @property
    def is_open(self) -> bool:
        """True if the store is open."""
        opened = self._opened
        return opened is not None and opened.is_open

    def opened(self) -> OpenIndex:
        """Return the collection's index of now; one that was replaced is closed after its calls."""
        opened, record, former = self._opened, self.find_record(), None
        if opened is None or not opened.is_of(record):
            with self._opening:
                # Another thread may have opened it.
                opened, record = self._opened, self.find_record()
                if opened is None or not opened.is_of(record):
                    former, self._opened = opened, self._open(record)
                    opened = self._opened
        if former is not None:
            self.leases.after_calls(former.close)
        if opened.record is None:
            opened.record = record
        return opened

    def adopt(self, record: CollectionRecord, store: VectorStore) -> OpenIndex | None:
        """Use the open store of an index that has replaced the collection's.

        Returns the former index, which the caller closes when no call uses it any more.
        """
        opened = self._open(record, store)
        _ = opened.store  # It is open, and closed with the rest.
        with self._opening:
            self.forget_record()
            former, self._opened = self._opened, opened
        return former

    @property
    def store(self) -> VectorStore:
        """The collection's store, opened at its first use."""
        return self.opened().store

    @property
    def retriever(self) -> Retriever:
        """The collection's retriever; another embedder and a lost store are refused."""
        self.record()
        return self.opened().retriever

    @property
    def embedder(self) -> Embedder:
        """The collection's embedder; that of new collections if it does not exist yet."""
        return self.components.embedder_of(self.find_record())

    def current(self) -> CurrentIndex:
        """Return the index of now with what an ingest needs of it."""
        from kvasir.ingesting.publishing import CurrentIndex

        # Who asks was told that its index was replaced, perhaps in another process.
        self.forget_record()
        opened = self.opened()
        return CurrentIndex(opened.name, opened.embedder, opened.store)

    def retrieve(self, request: SearchRequest) -> list[Hit]:
        """Return the hits of a search, best first; the store stays open meanwhile.

        Raises:
            FilterError: The filter names a field that no document has, or too many documents.
        """
        with self.leases.call():
            resolved = self._resolved(request)
            return self._with_boxes(self._search(lambda each: each.retrieve(resolved)))

    def explain(self, request: SearchRequest) -> ExplainedSearch:
        """Return the hits as ``retrieve`` does, and how they were found."""
        with self.leases.call():
            resolved = self._resolved(request)
            found = self._search(lambda each: each.explain(resolved))
            hits = tuple(self._with_boxes(list(found.hits)))
        # The resolved filter lists every source that a pattern fits.
        given, own = self.options.given_filters(request.filters), self.options.filters
        explanation = replace(
            found.explanation,
            filters=None if given is None else to_mapping(given),
            operator_filters=None if own is None else to_mapping(own),
        )
        return ExplainedSearch(hits, explanation)

    def searches(self, retriever: Retriever) -> Searches:
        """Return a retriever of this index whose hits take in their neighbours."""
        from kvasir.answering.joining import JoinedSearches, Joining

        splitting = self.record().splitting
        # The window splitter gives passages of the length that is asked for.
        if splitting is None or splitting.splitter == "window":
            return retriever
        return JoinedSearches(retriever, Joining(self._live_version, self.options.candidates))

    def _live_version(self, document: str) -> DocumentVersion | None:
        return self.components.catalog.live_version(self.name, document)

    def _resolved(self, request: SearchRequest) -> SearchRequest:
        from kvasir.answering.search_filters import resolve_filter

        if request.filters is None:
            return request
        catalog = self.components.catalog
        filters = resolve_filter(request.filters, catalog, self.name, self._fields)
        return replace(request, filters=filters)

    def _search(self, search: Callable[[Searches], T]) -> T:
        retriever = self.retriever
        try:
            return search(self.searches(retriever))
        except ComponentError:
            # Another process may have replaced the index, and deleted the old one.
            self.forget_record()
            if self.retriever is retriever:
                raise
            return search(self.searches(self.retriever))

    def _with_boxes(self, hits: list[Hit]) -> list[Hit]:
        """Return hits with the boxes of recognized text, as citations have them."""
        # Recognized text is on a page; most collections have none, and need no query.
        ids = {hit.chunk.document_id for hit in hits if hit.chunk.page is not None}
        spans = self.components.catalog.recognized(self.name, ids) if ids else {}
        located = []
        for hit in hits:
            chunk = hit.chunk
            if chunk.document_id in spans:
                box = box_of(spans[chunk.document_id], chunk.start, chunk.end)
                located.append(replace(hit, box=box))
            else:
                located.append(hit)
        return located

    def answerer(self, generator: Generator | None = None) -> Answerer:
        """Return an answerer with the stored decision to refuse and, by default, our generator."""
        from kvasir.answering.refusal import Calibration

        with self.leases.call():
            _ = self.retriever  # Refuse another embedder and a lost store at once.
            stored, embedder = self.record().calibration, self.embedder
        return make_answerer(
            self.components,
            self.options,
            self,
            self._live_version,
            embedder,
            Calibration.from_stored(stored) if stored else None,
            generator=generator,
            languages=self.languages,
            has_documents=self.has_documents,
        )

    def has_documents(self) -> bool:
        """Return True if a document of the collection can be found."""
        return self.components.catalog.chunk_count(self.name) > 0

    def languages(self) -> Collection[str]:
        """Return the languages of the collection's documents."""
        return self.record().languages

    def keep_calibration(
        self, calibration: Calibration | None, *, fitted_to: str | None = None
    ) -> None:
        """Store a decision to refuse with the collection; None restores the shipped one.

        Raises:
            IndexReplacedError: The collection has another index than it was fitted to.
        """
        self.record()
        stored = to_json(calibration) if calibration else None
        self.components.catalog.set_calibration(self.name, stored, index=fitted_to)
        self.forget_record()

    def document(self, source: str) -> DocumentRecord:
        """Return a document by its id or source URI; raise DocumentNotFoundError if unknown."""
        self.record()
        source = replace_surrogates(source)
        names = spellings(source)
        for candidate in (*names, *map(document_id, names)):
            record = self.components.catalog.document(self.name, candidate)
            if record is not None:
                return record
        raise DocumentNotFoundError(source, self.name)

    def match(self, typed: Sequence[str]) -> list[DocumentRecord]:
        """Return documents by what was typed of their name, as ``Collection.match``."""
        names = [replace_surrogates(each) for each in typed]
        for each in names:
            with suppress(DocumentNotFoundError):
                return [self.document(each)]
        catalog = self.components.catalog
        uris = catalog.source_uris(self.name)
        found = matching(uris, names)
        if not found:
            near = nearest(uris, names[0])
            raise DocumentNotFoundError(names[0], self.name, near)
        if len(found) > _FEW:
            wanted = set(found)
            return [each for each in catalog.documents(self.name) if each.id in wanted]
        records = (catalog.document(self.name, each) for each in found)
        return [each for each in records if each is not None]

    @property
    def publisher(self) -> Publisher:
        """A publisher that deletes and relabels documents; needs no model."""
        from kvasir.ingesting.publishing import Publisher

        opened = self.opened()
        return Publisher(
            opened.store,
            self.components.catalog,
            self.name,
            self.writing,
            index=opened.name,
            current=self.current,
        )

    def _open(self, record: CollectionRecord | None, store: VectorStore | None = None) -> OpenIndex:
        return OpenIndex(
            record,
            lambda: self._open_store(record) if store is None else store,
            lambda: self.components.embedder_of(record),
            self._make_retriever,
        )

    def _open_store(self, record: CollectionRecord | None) -> VectorStore:
        # The catalog's record describes the embedder: copying needs no model.
        name = record.store_name if record else self.name
        return self.components.open_store(name, record or self.components.embedder)

    def make_pipeline(self, *, re_split: bool = False) -> IngestPipeline:
        """Make the pipeline of an ingest: how documents are split may have changed."""
        opened = self.opened()
        return self.components.make_pipeline(
            opened.store,
            self.name,
            opened.embedder,
            re_split=re_split,
            writing=self.writing,
            index=opened.name,
            current=self.current,
        )

    def _make_retriever(self, opened: OpenIndex) -> Retriever:
        from kvasir.answering.retrieval import Retriever

        options = self.options
        self._check_complete(opened.store)
        return Retriever(
            opened.embedder,
            opened.store,
            self.components.reranker,
            languages=self.languages,
            language=options.language,
            alpha=options.alpha,
            candidates=options.candidates,
            rerank_candidates=options.rerank_candidates,
        )

    def _check_complete(self, store: VectorStore) -> None:
        """Raise StoreIncompleteError if the store lacks chunks that the catalog knows.

        Writers add to the store first and delete from the catalog first, so it lacks none while
        they work. Only the two counts are not taken at one moment: so they are taken again.
        """
        for _ in range(_COUNTS):
            expected, counted = self.components.catalog.chunk_count(self.name), store.count()
            if counted >= expected:
                return
        raise StoreIncompleteError(self.name, expected, counted)


def make_answerer(
    components: Components,
    options: CollectionOptions,
    retriever: Searches,
    find_version: FindVersion,
    embedder: Embedder,
    calibration: Calibration | None = None,
    *,
    generator: Generator | None = None,
    languages: Languages = (),
    has_documents: Callable[[], bool] = lambda: True,
) -> Answerer:
    """Put a generator, by default the chosen one, behind a retriever."""
    from kvasir.answering.answers import Answerer

    generator = generator or components.generator
    return Answerer(
        retriever,
        generator.using(embedder) if isinstance(generator, UsesEmbedder) else generator,
        languages=languages,
        analyzer=components.analyzer,
        embedder=embedder,
        template=options.prompt,
        calibration=calibration,
        refuse=options.refuse,
        check_sentences=options.check_sentences,
        find_version=find_version,
        has_documents=has_documents,
    )
