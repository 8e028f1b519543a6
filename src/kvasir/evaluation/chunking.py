"""Measure how well a splitter's chunks fit the passages that answer questions.

A data set is a folder with ``questions.jsonl`` (``corpus_id``, ``question``, ``references``
with ``start_index`` and ``end_index``) and one ``CORPUS_ID.md`` for each corpus; the indices
count characters of the unchanged file.

All corpora go into one collection, and each question retrieves its best chunks. With R the
reference spans, C the retrieved chunks and X the union of their overlaps (chunks of another
corpus overlap nothing):

    recall           = |X| / sum |R|
    precision        = |X| / sum |C|
    IoU              = |X| / (sum |C| + |union R - X|)
    precision-omega  = |X'| / (|union C'| + |union R - X'|)

where C' are all chunks of the collection that overlap a reference, and X' their overlaps: the
precision of a perfect retriever. ``sum |C|`` counts shared text of two chunks twice, so overlap
costs. Each figure is the mean over the questions.

Source: https://github.com/brandonstarxel/chunking_evaluation (base_evaluation.py), described
in Smith and Troynikov, Evaluating Chunking Strategies for Retrieval, Chroma 2024. The paper
calls the metrics token-level; its code counts characters, and so does this module.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from kvasir.core.errors import RequestError
from kvasir.core.protocols import Embedder, Splitter, VectorStore
from kvasir.core.run import Run
from kvasir.core.types import Chunk, Document, document_id
from kvasir.core.wire import OMITTED
from kvasir.evaluation.json_lines import malformed, read_json_lines
from kvasir.evaluation.retrieval import RetrievalOptions, make_retriever
from kvasir.language.detect import UNKNOWN, detect

METRICS = ("recall", "precision", "iou", "precision_omega")
TOP_K = 5

Span = tuple[int, int]
Retrieve = Callable[[Sequence[Chunk], Sequence[str], int], Sequence[Sequence[Chunk]]]
"""Called with all chunks, the questions and top_k; returns each question's chunks."""

_TEXTS_AT_ONCE = 512
_LANGUAGE_SAMPLE = 5000


@dataclass(frozen=True, slots=True)
class ChunkingQuestion:
    """A question, the document that answers it, and spans of its text, in characters."""

    text: str
    document_id: str
    references: tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class ChunkingDataset:
    """Corpora, each a document with its name as ``title``, and questions, in the file's order."""

    name: str
    documents: tuple[Document, ...]
    questions: tuple[ChunkingQuestion, ...]


@dataclass(frozen=True, slots=True)
class ChunkingResult:
    """The figures of one splitter.

    Attributes:
        metrics: The mean over all questions of each of ``METRICS``, 0..1.
        corpora: The same by corpus.
        questions: Number of questions.
        chunks: Number of chunks.
        characters: Mean length of a chunk.
        seconds: Time by stage: ``split``, and ``retrieve`` with the embedding.
        per_question: Metric -> float64 [questions]; not in the JSON form.
    """

    metrics: Mapping[str, float]
    corpora: Mapping[str, Mapping[str, float]]
    questions: int
    chunks: int
    characters: float
    seconds: Mapping[str, float] = field(default_factory=dict)
    per_question: Mapping[str, NDArray[np.float64]] = field(default_factory=dict, metadata=OMITTED)


def load_chunking_dataset(folder: str | Path, *, language: str | None = None) -> ChunkingDataset:
    """Read a folder in the module's layout; ``language`` None detects each corpus' language.

    Raises:
        RequestError: A file is missing or a line is malformed; names the file and the line.
    """
    root = Path(folder)
    path = root / "questions.jsonl"
    if not path.is_file():
        raise RequestError(
            f"{path} is missing; give a folder with questions.jsonl and CORPUS_ID.md"
        )
    documents: dict[str, Document] = {}
    questions: list[ChunkingQuestion] = []
    for number, row in read_json_lines(path):
        try:
            name, text = str(row["corpus_id"]), str(row["question"])
            spans = tuple((int(r["start_index"]), int(r["end_index"])) for r in row["references"])
        except (ValueError, KeyError, TypeError) as error:
            raise malformed(path, number, f"{type(error).__name__}: {error}") from error
        if name not in documents:
            documents[name] = _read_corpus(root, name, language)
        length = len(documents[name].text)
        if not spans or not all(0 <= start < end <= length for start, end in spans):
            raise malformed(path, number, f"a reference lies outside of {name}.md")
        questions.append(ChunkingQuestion(text, documents[name].id, spans))
    if not questions:
        raise RequestError(f"{path} holds no questions")
    return ChunkingDataset(root.name, tuple(documents.values()), tuple(questions))


def evaluate_chunking(
    dataset: ChunkingDataset,
    splitter: Splitter,
    retrieve: Retrieve,
    *,
    top_k: int = TOP_K,
    run: Run | None = None,
) -> ChunkingResult:
    """Split the corpora, ask the questions and compare spans.

    ``retrieve`` is ``DenseSearch`` as the data set's authors, ``StoreSearch`` as our searches, or
    another function; it finds ``top_k`` chunks for each question.

    Raises:
        StoppedError: The run was stopped.
        RequestError: ``top_k`` is less than 1.
    """
    if top_k < 1:
        raise RequestError(f"top_k must be at least 1, not {top_k}")
    run = run or Run()
    started = perf_counter()
    chunks: list[Chunk] = []
    for done, document in enumerate(dataset.documents, 1):
        chunks += splitter.split(document)
        run.step("split", done, len(dataset.documents), "documents")
    split = perf_counter()
    texts = [question.text for question in dataset.questions]
    found = retrieve(chunks, texts, top_k)
    retrieved = perf_counter()
    by_document: dict[str, list[Chunk]] = {}
    for chunk in chunks:
        by_document.setdefault(chunk.document_id, []).append(chunk)
    rows = [
        (*_scores(question, hits), _omega(question, by_document.get(question.document_id, [])))
        for question, hits in zip(dataset.questions, found, strict=True)
    ]
    scores = np.array(rows, dtype=np.float64)
    owners = np.array([question.document_id for question in dataset.questions])
    return ChunkingResult(
        metrics=_means(scores),
        corpora={
            document.title: _means(scores[owners == document.id]) for document in dataset.documents
        },
        per_question={name: scores[:, column] for column, name in enumerate(METRICS)},
        questions=len(dataset.questions),
        chunks=len(chunks),
        characters=float(np.mean([len(chunk.text) for chunk in chunks])) if chunks else 0.0,
        seconds={"split": split - started, "retrieve": retrieved - split},
    )


class DenseSearch:
    """Retrieves by cosine, comparing every question with every chunk."""

    def __init__(self, embedder: Embedder, run: Run | None = None) -> None:
        self._embedder = embedder
        self._run = run or Run()

    def __call__(
        self, chunks: Sequence[Chunk], questions: Sequence[str], top_k: int
    ) -> list[list[Chunk]]:
        """Return the nearest chunks of each question, best first."""
        if not chunks:
            return [[] for _ in questions]
        vectors = np.concatenate([part for _, part in _embed(chunks, self._embedder, self._run)])
        scores = self._embedder.embed_queries(questions) @ vectors.T
        order = np.argsort(-scores, axis=1, kind="stable")[:, :top_k]
        return [[chunks[index] for index in row] for row in order]


class StoreSearch:
    """Retrieves as a search does, in a temporary collection with both legs."""

    def __init__(
        self,
        embedder: Embedder,
        make_store: Callable[[], VectorStore],
        *,
        options: RetrievalOptions | None = None,
        run: Run | None = None,
    ) -> None:
        """Keep the components; each run closes its store, and ignores ``top_k`` of the options."""
        self._embedder = embedder
        self._make_store = make_store
        self._options = options or RetrievalOptions()
        self._run = run or Run()

    def __call__(
        self, chunks: Sequence[Chunk], questions: Sequence[str], top_k: int
    ) -> list[list[Chunk]]:
        """Return the best chunks of each question, best first."""
        store = self._make_store()
        try:
            for batch, vectors in _embed(chunks, self._embedder, self._run):
                store.upsert(batch, vectors)
            languages = {str(chunk.metadata.get("language", UNKNOWN)) for chunk in chunks}
            retriever = make_retriever(self._embedder, store, languages - {UNKNOWN}, self._options)
            search = replace(self._options.search, top_k=top_k)
            found = self._run.call(partial(retriever.retrieve_many, questions, search))
        finally:
            store.close()
        return [[hit.chunk for hit in hits] for hits in found]


def _embed(
    chunks: Sequence[Chunk], embedder: Embedder, run: Run
) -> Iterator[tuple[Sequence[Chunk], NDArray[np.float32]]]:
    for first in range(0, len(chunks), _TEXTS_AT_ONCE):
        batch = chunks[first : first + _TEXTS_AT_ONCE]
        passages = [chunk.passage for chunk in batch]
        yield batch, run.call(partial(embedder.embed_documents, passages))
        run.step("embed", first + len(batch), len(chunks), "chunks")


def _read_corpus(root: Path, name: str, language: str | None) -> Document:
    path = root / f"{name}.md"
    if path.parent != root or not path.is_file():
        raise RequestError(f"{path} is missing, but questions.jsonl asks about it")
    # newline="" keeps the characters that the indices count.
    with path.open(encoding="utf-8", newline="") as file:
        text = file.read()
    metadata = {"language": language or detect(text[:_LANGUAGE_SAMPLE])}
    return Document(document_id(path.name), path.name, name, text, metadata=metadata)


def _scores(question: ChunkingQuestion, hits: Iterable[Chunk]) -> tuple[float, float, float]:
    """Return recall, precision and IoU."""
    hits = list(hits)
    own = [chunk for chunk in hits if chunk.document_id == question.document_id]
    overlaps = [span for chunk in own for span in _overlaps(question, chunk)]
    shared = _length(_union(overlaps))
    relevant = _length(question.references)
    retrieved = sum(chunk.end - chunk.start for chunk in hits)
    missed = _length(_union(question.references)) - shared
    return (
        shared / relevant,
        shared / retrieved if retrieved else 0.0,
        shared / (retrieved + missed),
    )


def _omega(question: ChunkingQuestion, chunks: Iterable[Chunk]) -> float:
    """Return the precision of a retriever that finds exactly the chunks with references."""
    overlaps: list[Span] = []
    touched: list[Span] = []
    for chunk in chunks:
        if spans := _overlaps(question, chunk):
            overlaps += spans
            touched.append((chunk.start, chunk.end))
    shared = _length(_union(overlaps))
    missed = _length(_union(question.references)) - shared
    return shared / (_length(_union(touched)) + missed)


def _overlaps(question: ChunkingQuestion, chunk: Chunk) -> list[Span]:
    spans = ((max(start, chunk.start), min(end, chunk.end)) for start, end in question.references)
    return [(start, end) for start, end in spans if start < end]


def _union(spans: Iterable[Span]) -> list[Span]:
    united: list[Span] = []
    for start, end in sorted(spans):
        if united and start <= united[-1][1]:
            united[-1] = (united[-1][0], max(end, united[-1][1]))
        else:
            united.append((start, end))
    return united


def _length(spans: Iterable[Span]) -> int:
    return sum(end - start for start, end in spans)


def _means(scores: NDArray[np.float64]) -> dict[str, float]:
    return dict(zip(METRICS, (float(value) for value in scores.mean(axis=0)), strict=True))
