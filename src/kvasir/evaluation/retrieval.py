"""Measure retrieval on data sets, with the code that every search uses.

The documents are split, embedded and written to a new collection, and a ``Retriever`` searches
it. A document's title becomes a heading above its text. A document's rank is that of its best
chunk.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial
from time import perf_counter
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from kvasir.answering.retrieval import CANDIDATES, RERANK_CANDIDATES, Retriever
from kvasir.core.batches import batches
from kvasir.core.deadline import check
from kvasir.core.errors import ConflictError, RequestError
from kvasir.core.protocols import Embedder, Optimizable, Reranker, Splitter, VectorStore
from kvasir.core.run import Run
from kvasir.core.types import Block, BlockKind, Chunk, Document, Hit, SearchRequest, document_id
from kvasir.core.wire import OMITTED
from kvasir.evaluation.datasets import Passage, RetrievalDataset
from kvasir.evaluation.metrics import DEPTH, METRICS, confidence_intervals, mean, per_query
from kvasir.language.detect import UNKNOWN, detect

_DOCUMENTS_AT_ONCE = 256
_QUERIES_AT_ONCE = 64


@dataclass(frozen=True, slots=True)
class RetrievalOptions:
    """Options of the searches; the defaults are those of a search.

    Attributes:
        language: ISO 639-1 code of all documents and questions; detected when None.
        alpha: Weight of the dense scores in the fusion, 0..1; chosen by language when None.
        candidates: Hits of the dense and of the keyword search before fusion.
        reranker: Reorders the best hits; None leaves the order of the fusion.
        rerank_candidates: Maximum number of hits to rerank.
        search: Limits and filters of a search; its ``query`` is not used.
    """

    language: str | None = None
    alpha: float | None = None
    candidates: int = CANDIDATES
    reranker: Reranker | None = None
    rerank_candidates: int = RERANK_CANDIDATES
    search: SearchRequest = field(default_factory=lambda: SearchRequest(""))


@dataclass(frozen=True, slots=True)
class DatasetResult:
    """The metrics of one data set.

    Attributes:
        metrics: The mean over its questions of each metric, 0..1.
        intervals: The 95 % bootstrap interval of each mean, as (low, high).
        per_query: Metric -> float64 [queries], in the order of ``query_ids``.
    """

    name: str
    documents: int
    metrics: Mapping[str, float]
    intervals: Mapping[str, tuple[float, float]]
    queries: int
    per_query: Mapping[str, NDArray[np.float64]] = field(default_factory=dict, metadata=OMITTED)
    query_ids: tuple[str, ...] = field(default=(), metadata=OMITTED)


@dataclass(frozen=True, slots=True)
class RetrievalResult:
    """The metrics of all data sets of one run.

    Attributes:
        metrics: The mean of each metric over the questions of all data sets, 0..1.
        datasets: One result for each data set, in the order given.
        seconds: Seconds by stage: ``ingest`` and ``search``.
    """

    computed: ClassVar[tuple[str, ...]] = ("queries", "documents")
    metrics: Mapping[str, float]
    datasets: tuple[DatasetResult, ...]
    chunks: int
    seconds: Mapping[str, float] = field(default_factory=dict)

    @property
    def queries(self) -> int:
        """Number of questions of all data sets."""
        return sum(part.queries for part in self.datasets)

    @property
    def documents(self) -> int:
        """Number of documents of all data sets."""
        return sum(part.documents for part in self.datasets)


def evaluate_retrieval(
    datasets: Sequence[RetrievalDataset],
    embedder: Embedder,
    make_store: Callable[[], VectorStore],
    splitter: Splitter,
    *,
    options: RetrievalOptions | None = None,
    run: Run | None = None,
) -> RetrievalResult:
    """Ingest data sets into one new collection and search it for all of their questions.

    The data sets share the collection, so each search also finds documents of the others. Each
    data set has its own result. ``make_store`` opens an empty collection, which is closed at the
    end, not deleted.

    Raises:
        StoppedError: The run was stopped.
        RequestError: There is no data set.
        ConflictError: The collection is not empty.
    """
    if not datasets:
        raise RequestError("give at least one folder with corpus.jsonl, queries.jsonl and qrels/")
    run = run or Run()
    options = options or RetrievalOptions()
    with closing(make_store()) as store:
        started = perf_counter()
        retriever, owners = ingest_datasets(datasets, embedder, store, splitter, options, run)
        ingested = perf_counter()
        rankings = _search(datasets, retriever, owners, options, run)
        searched = perf_counter()
        chunks = store.count()
    seconds = {"ingest": ingested - started, "search": searched - ingested}
    results = tuple(_score(*pair) for pair in zip(datasets, rankings, strict=True))
    pooled = {name: np.concatenate([part.per_query[name] for part in results]) for name in METRICS}
    return RetrievalResult(mean(pooled), results, chunks, seconds)


def to_document(passage: Passage, uri: str, language: str | None = None) -> Document:
    """Return a passage as a document, like an extractor; ``language`` None detects it."""
    title = passage.title.strip()
    text = f"{title}\n\n{passage.text}" if title else passage.text
    start = len(text) - len(passage.text)
    heading = (Block(BlockKind.HEADING, 0, len(title), level=1),) if title else ()
    body = (Block(BlockKind.PARAGRAPH, start, len(text)),) if passage.text.strip() else ()
    metadata = {"language": detect(passage.text) if language is None else language}
    return Document(document_id(uri), uri, title or passage.id, text, heading + body, metadata)


def ingest_datasets(
    datasets: Sequence[RetrievalDataset],
    embedder: Embedder,
    store: VectorStore,
    splitter: Splitter,
    options: RetrievalOptions,
    run: Run,
) -> tuple[Retriever, dict[str, tuple[int, str]]]:
    """Write the documents of data sets to an empty store, and return its retriever.

    The second part is document id -> (index of the data set, the document's id in it).

    Raises:
        ConflictError: The store is not empty.
    """
    if store.count():
        raise ConflictError("the collection for an evaluation must be empty")
    owners: dict[str, tuple[int, str]] = {}
    languages: set[str] = set()
    everything = [(n, passage) for n, data in enumerate(datasets) for passage in data.passages]
    done = 0
    for batch in batches(everything, _DOCUMENTS_AT_ONCE):
        check("evaluating")
        chunks: list[Chunk] = []
        for number, passage in batch:
            uri = f"{number}/{datasets[number].name}/{passage.id}"
            document = to_document(passage, uri, options.language)
            owners[document.id] = number, passage.id
            languages.add(str(document.metadata["language"]))
            chunks += splitter.split(document)
        if chunks:
            passages = [chunk.passage for chunk in chunks]
            store.upsert(chunks, run.call(partial(embedder.embed_documents, passages)))
        done += len(batch)
        run.step("ingest", done, len(everything), "documents")
    if isinstance(store, Optimizable):
        store.optimize(wait=True, stop=run.stop)
    return make_retriever(embedder, store, languages, options), owners


def make_retriever(
    embedder: Embedder, store: VectorStore, languages: set[str], options: RetrievalOptions
) -> Retriever:
    """Return the retriever of a collection with documents in these languages."""
    return Retriever(
        embedder,
        store,
        options.reranker,
        languages=sorted(languages - {UNKNOWN}),
        language=options.language,
        alpha=options.alpha,
        candidates=options.candidates,
        rerank_candidates=options.rerank_candidates,
    )


def _search(
    datasets: Sequence[RetrievalDataset],
    retriever: Retriever,
    owners: Mapping[str, tuple[int, str]],
    options: RetrievalOptions,
    run: Run,
) -> list[dict[str, dict[str, float]]]:
    """Return the ranking of each data set: query id -> document id -> score."""
    total, done = sum(len(dataset.queries) for dataset in datasets), 0
    rankings = []
    # All candidates: the metrics need ten documents, and several chunks may be of one document.
    search = replace(options.search, top_k=max(options.candidates, options.search.top_k, DEPTH))
    for number, dataset in enumerate(datasets):
        ranked: dict[str, dict[str, float]] = {}
        for queries in batches(dataset.queries, _QUERIES_AT_ONCE):
            texts = [query.text for query in queries]
            found = run.call(partial(retriever.retrieve_many, texts, search))
            for query, hits in zip(queries, found, strict=True):
                ranked[query.id] = _by_document(hits, number, owners)
            done += len(queries)
            run.step("search", done, total, "questions")
        rankings.append(ranked)
    return rankings


def _by_document(
    hits: Sequence[Hit], number: int, owners: Mapping[str, tuple[int, str]]
) -> dict[str, float]:
    """Return a score for each of a query's best documents.

    Documents of other data sets are never relevant, but they take ranks. Their ids get a prefix,
    because two data sets may use the same id.
    """
    keys = []
    for hit in hits:
        owner, own_id = owners[hit.chunk.document_id]
        keys.append(own_id if owner == number else f"\0{owner}\0{own_id}")
    ranked = list(dict.fromkeys(keys))[:DEPTH]
    # The metrics order equal scores by id; scores from the rank keep the order of the hits.
    return {key: 1.0 / rank for rank, key in enumerate(ranked, 1)}


def _score(dataset: RetrievalDataset, ranking: Mapping[str, Mapping[str, float]]) -> DatasetResult:
    values = per_query(dataset.qrels, ranking)
    return DatasetResult(
        name=dataset.name,
        documents=len(dataset.passages),
        metrics=mean(values),
        intervals=confidence_intervals(values),
        per_query=values,
        queries=len(dataset.qrels),
        query_ids=tuple(dataset.qrels),
    )
