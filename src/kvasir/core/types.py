"""The data types of all stages.

    ingest   Source -> Document -> Chunk -> (Chunk, vector) -> VectorStore
    answer   question -> Hit... -> Prompt -> Answer with Citations

Every type is frozen and slotted. All character offsets (blocks, chunks, citations) count Python
characters of ``Document.text``.
"""

from __future__ import annotations

import importlib
import uuid
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, field
from datetime import date, time
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from kvasir.core.explanations import AnswerExplanation, SearchExplanation
from kvasir.core.text import passage

if TYPE_CHECKING:
    from kvasir.core.vectors import Matrix as Matrix
    from kvasir.core.vectors import SparseVector as SparseVector

MetadataScalar = str | int | float | bool
MetadataValue = MetadataScalar | tuple[MetadataScalar, ...]
"""One value or a list; a date is text in ISO 8601, see ``core.dates``."""
Metadata = Mapping[str, MetadataValue]

_NAMESPACE = uuid.UUID("6f1c6a86-8f0c-5a43-9d1e-0f6b1f3f5a11")


class BlockKind(StrEnum):
    """The kind of a block of a document."""

    HEADING = "heading"
    PARAGRAPH = "paragraph"
    LIST = "list"
    TABLE = "table"
    CODE = "code"
    CAPTION = "caption"
    # A term whose description follows: a heading that also stays in the text.
    TERM = "term"
    # Navigation, page heads and the like: part of the text, but in no chunk.
    FURNITURE = "furniture"


@dataclass(frozen=True, slots=True)
class Source:
    """The origin of bytes."""

    uri: str  # A file's absolute path, or an ``http(s)://`` address; the identity of the source.
    media_type: str  # Its media type, such as ``application/pdf``.
    _: KW_ONLY
    charset: str = ""  # The label of its encoding, if a server or a mail declares one.
    in_folder: bool = False  # Found in a folder, not named: its kind need not be one that is read.
    modified: float | None = None  # Time of its last change, seconds since 1970; None if unknown.
    # Metadata from elsewhere than its bytes, such as ``published``; the document's own override it.
    known: Metadata = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True)
class Listing:
    """Documents that are listed elsewhere: those of a bucket's folder, or of a sitemap."""

    path: str  # ``s3://BUCKET/FOLDER``, or the address or absolute path of a sitemap.


@dataclass(frozen=True, slots=True)
class WebResult:
    """A page that a search engine found."""

    url: str
    title: str = ""
    published: str = ""  # A date in ISO 8601; empty if the engine does not say it.


@dataclass(frozen=True, slots=True)
class LocalFile:
    """A file or folder of this machine; made only by front doors that act for a local user.

    The patterns of ``include`` and ``exclude`` are those of ``.gitignore`` files, relative to the
    folder. A file that ``include`` matches is read even if its name is hidden or ignored.
    """

    path: str  # Its absolute path, which is also the source URI.
    include: tuple[str, ...] = ()  # Of a folder: read matching files only.
    exclude: tuple[str, ...] = ()  # Of a folder: leave out matching files and folders.
    ignore_files: bool = True  # Of a folder: honour ``.gitignore`` and ``.kvasirignore``.


@dataclass(frozen=True, slots=True)
class Block:
    """A span of a document's text, such as a paragraph."""

    kind: BlockKind
    start: int  # Offset of its first character in ``Document.text``.
    end: int  # Offset after its last character.
    page: int | None = None  # Page number from 1, or None if the format has no pages.
    # Depth of a heading or term from 1. For another kind, deeper headings and terms end before
    # it; None if all hold on.
    level: int | None = None


@dataclass(frozen=True, slots=True)
class PageBox:
    """An area of a page as it is displayed.

    The edges are shares of the page's width and height, 0..1, from its upper left corner.
    """

    page: int  # Page number from 1.
    left: float
    top: float
    right: float
    bottom: float
    confidence: float = 1.0  # Of the text recognition, 0..1; the lowest of several lines.


@dataclass(frozen=True, slots=True)
class RecognizedSpan:
    """A span of a document's text that was recognized in a picture, such as a line."""

    start: int  # Offset of its first character in ``Document.text``.
    end: int  # Offset after its last character.
    box: PageBox


@dataclass(frozen=True, slots=True)
class PageStart:
    """The beginning of a page in a document's text."""

    start: int  # Offset of its first character in ``Document.text``.
    page: int  # Page number from 1.


@dataclass(frozen=True, slots=True)
class Document:
    """The extracted text of one source."""

    id: str  # ``document_id(source_uri)``: the same source has the same id in every version.
    source_uri: str
    title: str  # The document's own title, or its file name.
    text: str  # The whole text; all offsets refer to it.
    # Spans of ``text`` in reading order, not overlapping, with only separators between them.
    blocks: tuple[Block, ...] = ()
    metadata: Metadata = field(default_factory=dict)  # In the file: author, language, ...
    # Sentences for the report of an ingest, such as what of the file was not read.
    warnings: tuple[str, ...] = ()
    recognized: tuple[RecognizedSpan, ...] = ()  # Where text of scanned pages stands.


@dataclass(frozen=True, slots=True)
class Conversion:
    """A document in docling's JSON."""

    json: str  # The JSON text of a DoclingDocument.
    warnings: tuple[str, ...] = ()  # Parts that could not be converted.


@dataclass(frozen=True, slots=True)
class Chunk:
    """A span of a document that is embedded and retrieved as a unit.

    ``text == document.text[start:end]`` always holds.
    """

    id: str  # ``chunk_id(...)``: the same input always gives the same id.
    document_id: str
    text: str
    start: int  # Offset of its first character in the document's text.
    end: int  # Offset after its last character.
    page: int | None = None  # Page on which it starts, from 1, or None.
    headings: tuple[str, ...] = ()  # The path of headings above it, outermost first.
    # The document's metadata and ``source_uri``, ``title`` and ``language``; filters use them.
    metadata: Metadata = field(default_factory=dict)

    @property
    def passage(self) -> str:
        """The text that is embedded and indexed: the heading path, then the text."""
        return passage(self.headings, self.text)


@dataclass(frozen=True, slots=True)
class Comparison:
    """``field operator value``; value is a tuple of scalars for ``in`` and ``not in``."""

    field: str
    operator: str
    value: MetadataValue


@dataclass(frozen=True, slots=True)
class Logical:
    """AND, OR or NOT of conditions; NOT is true if any condition is false."""

    operator: str
    conditions: tuple[Filter, ...]


Filter = Comparison | Logical
"""Selects chunks by metadata; ``core.filters`` parses and evaluates it."""


@dataclass(frozen=True, slots=True)
class SearchRequest:
    """A search query with its limits."""

    query: str
    top_k: int = 10  # Maximum number of hits.
    min_score_threshold: float = 0.0  # Leave out hits with a lower ``dense_score``, 0..1.
    filters: Filter | None = None  # Search only chunks whose metadata match; None searches all.
    explain: bool = False  # Answers say how they were made: ``Answer.explanation``.


@dataclass(frozen=True, slots=True)
class Hit:
    """A chunk found for a query."""

    chunk: Chunk
    score: float  # The score by which hits are sorted, 0..1, higher is better.
    dense_score: float | None = None  # (1 + cosine) / 2 of query and chunk; None if not computed.
    # BM25 of query and chunk, at least 0; None without a shared term or a keyword search.
    lexical_score: float | None = None
    box: PageBox | None = None  # The chunk's place, if its text was recognized in a picture.
    # Line of the source's file on which the chunk begins, from 1; None if unknown. Front doors of
    # a local user find it.
    line: int | None = None
    copies: tuple[str, ...] = ()  # Source URIs of other documents with the same passage, sorted.


@dataclass(frozen=True, slots=True)
class ExplainedSearch:
    """The hits of a search, and how they were found."""

    hits: tuple[Hit, ...]  # Best first, as a search without the explanation gives them.
    explanation: SearchExplanation


@dataclass(frozen=True, slots=True)
class Message:
    """One message for a chat model; role is system, user or assistant."""

    role: str
    content: str


@dataclass(frozen=True, slots=True)
class Prompt:
    """The input of a generator."""

    question: str  # The user's question, as typed.
    # The retrieved chunks; marker ``[n]`` in an answer means ``hits[n - 1]``.
    hits: tuple[Hit, ...]
    messages: tuple[Message, ...]  # Question and context rendered for a chat model.


@dataclass(frozen=True, slots=True)
class Citation:
    """The passage of a document that supports a statement of an answer.

    ``document.text[start:end] == quote`` has been checked.
    """

    marker: int  # The number in the answer's text, ``1`` for ``[1]``.
    document_id: str
    source_uri: str
    page: int | None
    quote: str  # The exact text of the passage.
    start: int  # Offset of the quote in the document's text.
    end: int  # Offset after it.
    # SHA-256, hexadecimal, of the version that the offsets refer to; empty if unknown.
    content_hash: str = ""
    box: PageBox | None = None  # The quote's place, if its text was recognized in a picture.
    headings: tuple[str, ...] = ()  # The path of headings above it, outermost first.
    line: int | None = None  # As of ``Hit``, where the quote begins.


NEAREST = 3
"""Passages that are named where the documents may not hold the answer."""


KNOWS_ENGLISH_ONLY = "the embedding model knows English only"
"""Part of the note that question and documents are in languages that cannot be compared."""

ASKED_BEFORE = "before, to the same question"
"""End of the note that an answer is given again."""


class Certainty(StrEnum):
    """Whether the documents hold the answer to a question."""

    SURE = "sure"
    NOT_SURE = "not sure"
    NO = "no"


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to a question."""

    text: str  # The text, with markers such as ``[1]`` after statements.
    citations: tuple[Citation, ...] = ()  # One for each checked marker and quote, in order.
    hits: tuple[Hit, ...] = ()
    refused: bool = False  # True if the documents do not have the answer; ``text`` then says so.
    confidence: float = 1.0  # Probability, 0..1, that the documents have the answer.
    certainty: Certainty = Certainty.SURE  # ``no`` exactly if it is refused.
    removed_citations: int = 0  # Number of invalid markers that were removed from ``text``.
    checked_sentences: int = 0  # Number of a language model's sentences held against the sources.
    unsupported_sentences: int = 0  # Those of them that are marked in ``text`` as not found there.
    # Seconds by stage: ``retrieve``, ``generate``, ``total``.
    timings: Mapping[str, float] = field(default_factory=dict)
    searched: str = ""  # The search query, if it is not the question as typed.
    notes: tuple[str, ...] = ()  # Sentences for the user about how the answer was made.
    incomplete: str = ""  # Why ``text`` is not whole, a ``CutReason``; empty if it is.
    doubt: str = ""  # Why it is not sure, where the reason is not ``confidence``.
    explanation: AnswerExplanation | None = None  # How it was made, if the request asks for it.

    def __post_init__(self) -> None:
        if self.refused:
            object.__setattr__(self, "certainty", Certainty.NO)

    @property
    def nearest(self) -> tuple[Hit, ...]:
        """The nearest passages, best first, at most three; none where the answer is sure."""
        return () if self.certainty is Certainty.SURE else self.hits[:NEAREST]


@dataclass(frozen=True, slots=True)
class Stage:
    """The stage before the hits are found: ``refining`` or ``searching``."""

    name: str


@dataclass(frozen=True, slots=True)
class Retrieved:
    """The hits for the answer."""

    hits: tuple[Hit, ...]


@dataclass(frozen=True, slots=True)
class Text:
    """The next piece of the answer's text; its markers are checked."""

    text: str


@dataclass(frozen=True, slots=True)
class Finished:
    """The whole answer; the last event of a stream."""

    answer: Answer


AnswerEvent = Stage | Retrieved | Text | Finished
"""``Stage`` if a chat refines the question, ``Retrieved``, ``Text`` pieces, then ``Finished``."""


@dataclass(frozen=True, slots=True)
class StoreAddress:
    """The address and credentials of a store."""

    type: str  # The kind of store, as in ``rag.vectordb.type``.
    uri: str  # Its folder, file or URL.
    token: str | None = field(default=None, repr=False)  # Of a server, as the next two.
    username: str | None = None
    password: str | None = field(default=None, repr=False)


def metadata_of(plain: Mapping[str, Any]) -> dict[str, MetadataValue]:
    """Return metadata from plain data: lists become tuples, dates and times their ISO text."""
    return {name: _metadata_value(value) for name, value in plain.items()}


def _metadata_value(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return tuple(map(_metadata_value, value))
    return value.isoformat() if isinstance(value, (date, time)) else value


def document_id(source_uri: str) -> str:
    """Return the id of the document at a source: a UUID made from the URI alone."""
    return str(uuid.uuid5(_NAMESPACE, source_uri))


def chunk_id(document_id: str, passage: str, start: int, end: int) -> str:
    """Return a chunk's id: a UUID made from its document, its content and its span."""
    return str(uuid.uuid5(uuid.UUID(document_id), f"{start}:{end}:{passage}"))


def __getattr__(name: str) -> Any:
    """Import the types of arrays when they are first needed: commands start without numpy."""
    if name not in ("Matrix", "SparseVector"):
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    return getattr(importlib.import_module("kvasir.core.vectors"), name)
