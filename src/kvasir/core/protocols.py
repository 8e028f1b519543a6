"""Every role that a component can play: small, synchronous, batch first.

A capability that some implementations lack is a protocol of its own (``LexicalSearch``,
``TokenCounter``), never a method that raises ``NotImplementedError``. Threads and worker
processes give the concurrency; every method may be called from several threads at once.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple, Protocol, runtime_checkable

from kvasir.core.filters import Filter
from kvasir.core.run import StopToken
from kvasir.core.types import (
    Chunk,
    Conversion,
    Document,
    Hit,
    Matrix,
    Metadata,
    Prompt,
    Source,
    SparseVector,
)


class Extractor(Protocol):
    """Turns the bytes of one media type into a document.

    The name of an extractor's entry point is the media type that it reads.
    """

    def extract(self, source: Source, data: bytes) -> Document:
        """Extract text and blocks.

        Raises:
            ExtractionError: The bytes hold no usable text; says why and what to do.
        """


class Converter(Protocol):
    """Turns a source's bytes into docling JSON, which an ``Extractor`` reads."""

    def convert(self, source: Source, data: bytes) -> Conversion:
        """Convert a document, or as much of it as can be.

        Raises:
            ExtractionError: Nothing of it can be converted; says why.
        """


class Splitter(Protocol):
    """Cuts documents into chunks."""

    def split(self, document: Document) -> list[Chunk]:
        """Return the document's chunks in order; none for a document without text."""


class Embedder(Protocol):
    """Turns texts into vectors."""

    name: str
    dimension: int
    fingerprint: str
    """Changes whenever the same text could get another vector: weights, pooling, prefixes."""
    languages: Collection[str]
    """ISO 639-1 codes that the model was trained for; empty when it does not say."""

    def embed_documents(self, texts: Sequence[str]) -> Matrix:
        """Return float32 [n, dimension], unit length, in the order of the texts."""

    def embed_queries(self, texts: Sequence[str]) -> Matrix:
        """Embed queries, which some models treat differently from documents."""


class PendingVectors(Protocol):
    """Vectors that are still being computed; a ``concurrent.futures.Future`` is one."""

    def result(self) -> Matrix:
        """Return float32 [n, dimension] of unit length, when they are there.

        Nobody need call it, and it may be called again.

        Raises:
            ComponentError: Computing failed.
        """


@runtime_checkable
class BackgroundEmbedder(Protocol):
    """An embedder that computes while its caller does something else."""

    def start_queries(self, texts: Sequence[str]) -> PendingVectors:
        """Start what ``embed_queries`` does; several may be started before one is awaited.

        Raises:
            ComponentError: Computing could not be started.
        """


@runtime_checkable
class TokenCounter(Protocol):
    """Counts as a model counts, so that nothing is cut off unseen."""

    max_tokens: int

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Return the number of tokens of each text, special tokens included."""


class TextAnalyzer(Protocol):
    """Turns text into weighted terms, by the rules of its language."""

    def document_terms(self, texts: Sequence[str], languages: Sequence[str]) -> list[SparseVector]:
        """Return BM25 term weights of each document text (without the IDF factor)."""

    def query_terms(self, texts: Sequence[str], languages: Sequence[str]) -> list[SparseVector]:
        """Return the distinct terms of each query, each of weight 1."""


class Candidate(NamedTuple):
    """A chunk that a search found, by its id: the chunks of the best are read afterwards.

    Attributes:
        chunk_id: The chunk.
        dense_score: (1 + cosine) / 2 of query and chunk.
        lexical_score: BM25 of query and chunk, above 0; None where the keyword index did not
            find it.
    """

    chunk_id: str
    dense_score: float
    lexical_score: float | None = None


class VectorStore(Protocol):
    """Keeps the chunks and vectors of one collection.

    After ``close`` or ``drop`` every other method raises ``ComponentError``.
    """

    dimension: int

    def upsert(self, chunks: Sequence[Chunk], vectors: Matrix) -> None:
        """Write chunks, replacing those of the same id; they outlive the process then."""

    def delete(self, ids: Sequence[str]) -> None:
        """Delete chunks by id; unknown ids are no error. They stay deleted after a crash."""

    def count(self, filters: Filter | None = None) -> int:
        """Return how many chunks there are."""

    def fetch(self, ids: Sequence[str]) -> list[tuple[Chunk, Matrix]]:
        """Return chunks and their vectors [dimension]; unknown ids are left out."""

    def fetch_chunks(self, ids: Sequence[str]) -> list[Chunk]:
        """Return chunks without their vectors; unknown ids are left out."""

    def scroll(
        self, filters: Filter | None = None, batch_size: int = 1000
    ) -> Iterator[list[tuple[Chunk, Matrix]]]:
        """Yield every chunk with its vector [dimension], in batches, in no special order."""

    def search(
        self, vectors: Matrix, top_k: int, filters: Filter | None = None
    ) -> list[list[Candidate]]:
        """Return for each query vector its nearest chunks, best first."""

    def set_metadata(self, ids: Sequence[str], metadata: Metadata) -> None:
        """Replace the metadata of chunks without touching text or vectors."""

    def flush(self) -> None:
        """Return when everything written so far outlives a power cut."""

    def drop(self) -> None:
        """Delete the collection with everything in it, and close the store."""

    def close(self) -> None:
        """Release files and connections; a second call does nothing."""


@runtime_checkable
class LexicalSearch(Protocol):
    """A store that has a keyword index, and searches it and the vectors in one call."""

    def search_hybrid(
        self,
        vectors: Matrix | PendingVectors,
        queries: Sequence[str],
        languages: Sequence[str],
        top_k: int,
        filters: Filter | None = None,
    ) -> list[list[Candidate]]:
        """Return for each query the chunks that either leg finds, in no special order.

        Args:
            vectors: The vectors of the queries [n, dimension]. A store whose legs are separate
                calls searches the keyword index before it waits for them.
            queries: The texts of the queries.
            languages: ISO 639-1 code of each.
            top_k: Chunks that each leg gives: the nearest, and the best by BM25.
            filters: Chunks must fulfil it in both legs.
        """


@runtime_checkable
class Optimizable(Protocol):
    """A store that builds its search graph apart from writing."""

    def optimize(self, *, wait: bool = False, stop: StopToken | None = None) -> None:
        """Start building the graph if it is due; searches and writes go on meanwhile.

        Args:
            wait: Return only when the graph is in use.
            stop: Ends the waiting, and the building that this call started.

        Raises:
            StoppedError: ``stop`` was set.
        """


class Reranker(Protocol):
    """Orders hits anew by reading query and chunk together."""

    def rerank(self, query: str, hits: Sequence[Hit], top_k: int) -> list[Hit]:
        """Return the best hits, best first, with ``score`` replaced (0..1)."""


class Generator(Protocol):
    """Writes an answer."""

    def generate(self, prompt: Prompt) -> Iterator[str]:
        """Yield the answer's text in pieces; statements end in markers ``[n]``.

        Raises:
            ComponentError: The model cannot be reached or failed.
        """


@runtime_checkable
class BoundedContext(Protocol):
    """A generator whose model reads only so much, prompt and answer together."""

    answer_tokens: int
    """Most tokens of an answer; they are kept free when a prompt is built."""

    def context_tokens(self) -> int | None:
        """Return the model's context length in tokens, or None when it is not known."""


@runtime_checkable
class QuotesOnly(Protocol):
    """A generator without a language model: it reads a prompt's hits, never its messages."""

    quotes_only: bool
