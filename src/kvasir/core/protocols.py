"""The protocols of all components: small, synchronous, batch first.

An optional capability has its own protocol (``LexicalSearch``, ``TokenCounter``); no method raises
``NotImplementedError``. Every method may be called from several threads at once.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol, runtime_checkable

from kvasir.core.filters import Filter
from kvasir.core.run import Run, StopToken
from kvasir.core.types import (
    Chunk,
    Conversion,
    Document,
    Hit,
    Message,
    Metadata,
    Prompt,
    Source,
    WebResult,
)

if TYPE_CHECKING:
    from kvasir.core.vectors import Matrix, SparseVector


class Extractor(Protocol):
    """Turns the bytes of one media type into a document.

    The name of an extractor's entry point is the media type that it reads.
    """

    def extract(self, source: Source, data: bytes) -> Document:
        """Extract text and blocks.

        Raises:
            ExtractionError: There is no usable text; the message says why and what to do.
        """


class Converter(Protocol):
    """Turns a source's bytes into docling JSON, which an ``Extractor`` reads."""

    def convert(self, source: Source, data: bytes) -> Conversion:
        """Convert a document, or those parts of it that can be converted.

        Raises:
            ExtractionError: No part of it can be converted.
        """


class Splitter(Protocol):
    """Splits documents into chunks."""

    def split(self, document: Document) -> list[Chunk]:
        """Return the document's chunks in order; an empty list if it has no text."""


class Embedder(Protocol):
    """Turns texts into vectors."""

    name: str
    dimension: int
    fingerprint: str
    """Changes when a text could get another vector: with the weights, pooling or prefixes."""
    languages: Collection[str]
    """ISO 639-1 codes of the languages of the model; empty if unknown."""

    def embed_documents(self, texts: Sequence[str]) -> Matrix:
        """Return float32 [n, dimension], unit length, in the order of the texts."""

    def embed_queries(self, texts: Sequence[str]) -> Matrix:
        """Return vectors of queries, which some models embed differently from documents."""


class PendingVectors(Protocol):
    """Vectors that are still being computed; a ``concurrent.futures.Future`` is one."""

    def result(self) -> Matrix:
        """Wait for the vectors and return float32 [n, dimension], unit length.

        It may be called several times, or not at all.

        Raises:
            ComponentError: Computing failed.
        """


@runtime_checkable
class BackgroundEmbedder(Protocol):
    """An embedder that computes in the background."""

    def start_queries(self, texts: Sequence[str]) -> PendingVectors:
        """Start ``embed_queries`` in the background; several calls may run at the same time.

        Raises:
            ComponentError: Computing could not be started.
        """


@runtime_checkable
class FixedCalls(Protocol):
    """An embedder whose calls of documents have one size, however long they take."""

    passages_of_call: int


@runtime_checkable
class TokenCounter(Protocol):
    """Counts tokens like a model, so that text beyond its limit is noticed."""

    max_tokens: int

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Return the number of tokens of each text, special tokens included."""


class TextAnalyzer(Protocol):
    """Turns text into weighted terms, by the rules of the language."""

    def document_terms(self, texts: Sequence[str], languages: Sequence[str]) -> list[SparseVector]:
        """Return BM25 term weights of each document text (without the IDF factor)."""

    def query_terms(self, texts: Sequence[str], languages: Sequence[str]) -> list[SparseVector]:
        """Return the distinct terms of each query, each of weight 1."""


@runtime_checkable
class SearchTerms(Protocol):
    """A ``TextAnalyzer`` that searches for more terms than those of the query's words."""

    def search_terms(self, texts: Sequence[str], languages: Sequence[str]) -> list[SparseVector]:
        """Return the terms of ``query_terms``, and others of weight 1 or less."""


class Candidate(NamedTuple):
    """The id and scores of a chunk that a search found."""

    chunk_id: str
    dense_score: float  # (1 + cosine) / 2 of query and chunk.
    lexical_score: float | None = None  # BM25, above 0; None if the keyword search did not find it.


class VectorStore(Protocol):
    """Stores the chunks and vectors of one collection.

    After ``close`` or ``drop`` every other method raises ``ComponentError``.
    """

    dimension: int

    def upsert(self, chunks: Sequence[Chunk], vectors: Matrix) -> None:
        """Write chunks, replacing those of the same id; they survive the end of the process."""

    def delete(self, ids: Sequence[str]) -> None:
        """Delete chunks by id; unknown ids are no error. They stay deleted after a crash."""

    def count(self, filters: Filter | None = None) -> int:
        """Return the number of chunks."""

    def fetch(self, ids: Sequence[str]) -> list[tuple[Chunk, Matrix]]:
        """Return chunks and their vectors [dimension]; unknown ids are left out."""

    def fetch_chunks(self, ids: Sequence[str]) -> list[Chunk]:
        """Return chunks without their vectors; unknown ids are left out."""

    def scroll(
        self, filters: Filter | None = None, batch_size: int = 1000
    ) -> Iterator[list[tuple[Chunk, Matrix]]]:
        """Yield all chunks with their vectors [dimension], in batches, in any order."""

    def search(
        self, vectors: Matrix, top_k: int, filters: Filter | None = None
    ) -> list[list[Candidate]]:
        """Return the nearest chunks of each query vector, best first."""

    def set_metadata(self, ids: Sequence[str], metadata: Metadata) -> None:
        """Replace the metadata of chunks without touching text or vectors."""

    def flush(self) -> None:
        """Wait until all writes so far are durable, also after a power failure."""

    def drop(self) -> None:
        """Delete the collection with all its data, and close the store."""

    def close(self) -> None:
        """Release files and connections; a second call does nothing."""


@runtime_checkable
class LexicalSearch(Protocol):
    """A store that searches keywords and vectors in one call."""

    def search_hybrid(
        self,
        vectors: Matrix | PendingVectors,
        queries: Sequence[str],
        languages: Sequence[str],
        top_k: int,
        filters: Filter | None = None,
    ) -> list[list[Candidate]]:
        """Return for each query the chunks that either search finds, in any order.

        Each search finds at most ``top_k``. ``vectors`` are those of the queries [n, dimension],
        ``languages`` the ISO 639-1 codes of their texts. A store with two separate searches
        searches the keywords before it waits for pending vectors.
        """


@runtime_checkable
class Optimizable(Protocol):
    """A store that builds its search graph separately from writing."""

    def optimize(self, *, wait: bool = False, stop: StopToken | None = None) -> None:
        """Start building the graph if needed; ``wait`` until it is in use; the store stays usable.

        Raises:
            StoppedError: ``stop`` was set; a build that this call started is stopped as well.
        """


class Reranker(Protocol):
    """Reorders hits with a model that reads query and chunk together."""

    def rerank(self, query: str, hits: Sequence[Hit], top_k: int) -> list[Hit]:
        """Return the best hits, best first, with ``score`` replaced (0..1)."""


class Generator(Protocol):
    """Writes an answer."""

    def generate(self, prompt: Prompt) -> Iterator[str]:
        """Yield the answer's text in pieces, with markers ``[n]`` after statements.

        The last one is a ``core.pieces.Incomplete`` if the text is known not to be whole.

        Raises:
            ComponentError: The model cannot be reached or failed.
        """


@runtime_checkable
class BoundedContext(Protocol):
    """A generator whose model limits the tokens of prompt and answer together."""

    answer_tokens: int
    """Maximum tokens of an answer, reserved when a prompt is built."""

    def context_tokens(self) -> int | None:
        """Return the model's context length in tokens, or None if unknown."""


@runtime_checkable
class PromptCounter(Protocol):
    """A generator that counts the tokens of a prompt with its model's own tokenizer."""

    def count_prompt_tokens(self, messages: Sequence[Message]) -> int:
        """Return the tokens of messages as the model reads them, its chat format included."""


@runtime_checkable
class QuotesOnly(Protocol):
    """A generator without a language model: it uses a prompt's hits, not its messages."""

    quotes_only: bool


@runtime_checkable
class Approximate(Protocol):
    """A generator whose answers may be approximate, by its settings."""

    approximation: str
    """A sentence for the user that says how; empty if they are not."""


@runtime_checkable
class KeepsPrompts(Protocol):
    """A generator that may keep what it has read of prompts."""

    def prompt_tokens(self) -> Mapping[str, int]:
        """Return the tokens of prompts so far: ``kept``, which need no reading, and ``read``."""


@runtime_checkable
class UsesEmbedder(Protocol):
    """A generator that compares texts by an embedder."""

    def using(self, embedder: Embedder) -> Generator:
        """Return the generator with the embedder of a collection."""


@runtime_checkable
class Preparable(Protocol):
    """A generator that needs something fetched before its first answer, such as a model."""

    def prepare(self, run: Run) -> None:
        """Fetch what is missing; a call in another thread waits for the one that fetches.

        Raises:
            ComponentError: The server cannot be reached, or cannot fetch it.
            ModelNotFoundError: It is missing and may not be fetched.
            StoppedError: The run was stopped.
        """


@runtime_checkable
class Reloadable(Protocol):
    """A generator whose model can be replaced while it answers."""

    def reload(
        self, model: str | None = None, state: str | None = None, adapter: str | None = None
    ) -> None:
        """Load other files and use them from then on; answers in progress end with the old ones.

        Args:
            model: The base; None for the present one.
            state: A tuned state; None for the present one, empty for none.
            adapter: An adapter, likewise.

        Raises:
            ModelNotFoundError: A file is missing.
            SettingsError: A file is unusable, or they do not belong together.
            ComponentError: A file is damaged, or there is too little memory.
        """


@runtime_checkable
class IdentifiesModel(Protocol):
    """A generator whose model can change while its settings stay the same."""

    def model_fingerprint(self) -> str:
        """Return a text that differs for each model; the model may be loaded for it.

        Raises:
            ModelNotFoundError: A file is missing.
            ComponentError: The model cannot be reached or loaded.
        """


class WebSearch(Protocol):
    """A search engine of the internet."""

    name: str

    def search(self, query: str, max_results: int) -> list[WebResult]:
        """Return at most ``max_results`` pages, best first; an empty list if nothing is found.

        Raises:
            ComponentError: The engine cannot be reached, refuses, or answers something unreadable;
                the message says what to do.
        """
