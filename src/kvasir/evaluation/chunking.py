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
from contextlib import closing
from dataclasses import KW_ONLY, dataclass, field, replace
from functools import partial
from itertools import chain
from pathlib import Path
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from kvasir.core.errors import RequestError
from kvasir.core.protocols import Embedder, Splitter, VectorStore
from kvasir.core.run import Run
from kvasir.core.types import Chunk, Document, document_id
from kvasir.core.wire import OMITTED
from kvasir.evaluation.datasets import malformed, read_json_lines
from kvasir.evaluation.retrieval import RetrievalOptions, make_retriever
from kvasir.language.detect import UNKNOWN, detect

METRICS = ("recall", "precision", "iou", "precision_omega")

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
        advice = "give a folder with questions.jsonl and CORPUS_ID.md"
        raise RequestError(f"{path} is missing; {advice}")
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
    top_k: int = 5,
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
    by_document: dict[str, list[Chunk]] = {}
    for done, document in enumerate(dataset.documents, 1):
        by_document[document.id] = splitter.split(document)
        run.step("split", done, len(dataset.documents), "documents")
    split = perf_counter()
    chunks = list(chain.from_iterable(by_document.values()))
    found = retrieve(chunks, [question.text for question in dataset.questions], top_k)
    retrieved = perf_counter()
    scores = np.array(
        [
            _scores(question, hits, by_document.get(question.document_id, ()))
            for question, hits in zip(dataset.questions, found, strict=True)
        ]
    )
    owners = np.array([question.document_id for question in dataset.questions])
    return ChunkingResult(
        metrics=_means(scores),
        corpora={each.title: _means(scores[owners == each.id]) for each in dataset.documents},
        per_question={name: scores[:, column] for column, name in enumerate(METRICS)},
        questions=len(dataset.questions),
        chunks=len(chunks),
        characters=sum(len(chunk.text) for chunk in chunks) / max(len(chunks), 1),
        seconds={"split": split - started, "retrieve": retrieved - split},
    )


@dataclass(frozen=True, slots=True)
class DenseSearch:
    """Retrieves by cosine, comparing every question with every chunk."""

    embedder: Embedder
    run: Run = field(default_factory=Run)

    def __call__(
        self, chunks: Sequence[Chunk], questions: Sequence[str], top_k: int
    ) -> list[list[Chunk]]:
        """Return the nearest chunks of each question, best first."""
        if not chunks:
            return [[] for _ in questions]
        vectors = np.concatenate([part for _, part in _embed(chunks, self.embedder, self.run)])
        scores = self.embedder.embed_queries(questions) @ vectors.T
        order = np.argsort(-scores, axis=1, kind="stable")[:, :top_k]
        return [[chunks[index] for index in row] for row in order]


@dataclass(frozen=True, slots=True)
class StoreSearch:
    """Retrieves as a search does, in a temporary collection with both legs.

    Each call closes its store, and ignores ``top_k`` of the options.
    """

    embedder: Embedder
    make_store: Callable[[], VectorStore]
    _: KW_ONLY
    options: RetrievalOptions = field(default_factory=RetrievalOptions)
    run: Run = field(default_factory=Run)

    def __call__(
        self, chunks: Sequence[Chunk], questions: Sequence[str], top_k: int
    ) -> list[list[Chunk]]:
        """Return the best chunks of each question, best first."""
        with closing(self.make_store()) as store:
            for batch, vectors in _embed(chunks, self.embedder, self.run):
                store.upsert(batch, vectors)
            languages = {str(chunk.metadata.get("language", UNKNOWN)) for chunk in chunks}
            retriever = make_retriever(self.embedder, store, languages, self.options)
            search = replace(self.options.search, top_k=top_k)
            found = self.run.call(partial(retriever.retrieve_many, questions, search))
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
    # Bytes, because reading as text would change the line ends, which the indices count.
    try:
        text = path.read_bytes().decode()
    except UnicodeDecodeError as error:
        raise RequestError(f"{path} is not UTF-8 text: {error.reason}") from error
    metadata = {"language": language or detect(text[:_LANGUAGE_SAMPLE])}
    return Document(document_id(path.name), path.name, name, text, metadata=metadata)


def _scores(
    question: ChunkingQuestion, hits: Sequence[Chunk], chunks: Iterable[Chunk]
) -> tuple[float, ...]:
    """Return the ``METRICS`` of one question; ``chunks`` are all those of its document."""
    wanted = _union(question.references)
    found = _union(_span(hit) for hit in hits if hit.document_id == question.document_id)
    shared, retrieved = _shared(wanted, found), sum(hit.end - hit.start for hit in hits)
    # A perfect retriever finds exactly the chunks with references.
    perfect = _union(
        _span(chunk)
        for chunk in chunks
        if any(chunk.start < end and start < chunk.end for start, end in question.references)
    )
    return (
        shared / sum(end - start for start, end in question.references),
        shared / retrieved if retrieved else 0.0,
        shared / (retrieved + _length(wanted) - shared),
        _shared(wanted, perfect) / _length(_union([*wanted, *perfect])),
    )


def _span(chunk: Chunk) -> Span:
    return chunk.start, chunk.end


def _union(spans: Iterable[Span]) -> list[Span]:
    """Return spans that cover the same characters in order, each of them once."""
    joined: list[Span] = []
    for start, end in sorted(spans):
        if joined and start <= joined[-1][1]:
            joined[-1] = joined[-1][0], max(joined[-1][1], end)
        else:
            joined.append((start, end))
    return joined


def _length(joined: Iterable[Span]) -> int:
    return sum(end - start for start, end in joined)


def _shared(one: Sequence[Span], other: Sequence[Span]) -> int:
    """Return how many characters two unions have in common."""
    return _length(one) + _length(other) - _length(_union([*one, *other]))


def _means(scores: NDArray[np.float64]) -> dict[str, float]:
    return dict(zip(METRICS, scores.mean(axis=0).tolist(), strict=True))
