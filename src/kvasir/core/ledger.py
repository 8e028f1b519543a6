"""What the catalog records: collections, documents, versions and chunks.

A version of a document goes through these states:

    pending   its chunk ids are recorded; the store may hold some, all or none of them
    live      the store holds all of its chunks; this is what answers
    deleted   no longer wanted; the store may still hold its chunks
    failed    it could not be read; the reason is recorded, an older live version stays

Only one version of a document is live. Pending and deleted versions exist for moments, or
after a crash, and tell the next run what to clean up.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from kvasir.core.types import Chunk, Document, Metadata, MetadataValue

RESERVED_METADATA = ("source_uri", "title", "language")
"""Fields of a chunk's metadata that Kvasir fills; a caller may not give them."""


class VersionStatus(StrEnum):
    """The state of one version of a document."""

    PENDING = "pending"
    LIVE = "live"
    DELETED = "deleted"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class CollectionRecord:
    """One collection: a store's worth of documents under one embedder.

    Attributes:
        name: Its name.
        embedder: Name of the embedding model that made its vectors.
        dimension: Length of those vectors.
        fingerprint: ``Embedder.fingerprint`` at the time; another one cannot search here.
        languages: ISO 639-1 codes of its live documents, sorted.
        calibration: Parameters of the decision to refuse, as fitted by calibration, or None.
        created: When it was made, in UTC.
    """

    name: str
    embedder: str
    dimension: int
    fingerprint: str
    languages: tuple[str, ...]
    calibration: Mapping[str, float] | None
    created: datetime


@dataclass(frozen=True, slots=True)
class SourceState:
    """What was seen of a source when it was read.

    Attributes:
        uri: The source's identity.
        media_type: Its media type, empty when it was not recognised.
        content_hash: SHA-256 of its bytes, hexadecimal; empty when they could not be read.
        size: Its size in bytes.
        modified: Modification time, seconds since 1970, or None where there is none.
        recipe: Hash of the settings that shape the chunks (extraction, splitting, language).
    """

    uri: str
    media_type: str
    content_hash: str
    size: int
    modified: float | None
    recipe: str


@dataclass(frozen=True, slots=True)
class DocumentVersion:
    """The text of one version of a document, and which version it is.

    Attributes:
        text: The whole text, into which offsets point.
        content_hash: ``SourceState.content_hash``; empty where it is not known.
    """

    text: str
    content_hash: str = ""


@dataclass(frozen=True, slots=True)
class VersionDraft:
    """A version of a document about to be recorded as pending.

    Attributes:
        state: The source as it was read.
        document: The extracted document.
        language: Its language.
        given: Metadata that the caller gave.
        chunks: All of its chunks, in order; each carries ``metadata``.
    """

    state: SourceState
    document: Document
    language: str
    given: Metadata
    chunks: tuple[Chunk, ...]

    @property
    def metadata(self) -> dict[str, MetadataValue]:
        """What every chunk carries."""
        return chunk_metadata(
            self.document.metadata,
            self.given,
            source_uri=self.state.uri,
            title=self.document.title,
            language=self.language,
        )


@dataclass(frozen=True, slots=True)
class DocumentRecord:
    """One document of a collection, as the catalog knows it.

    Attributes:
        id: The document's id.
        source_uri: Where it came from.
        status: ``live``, or ``failed`` when no version of it could ever be read.
        state: The source when the live version was read (of the failure, if none is live).
        title: The document's title.
        language: Its language.
        chunk_count: How many chunks it has.
        given: Metadata that the caller gave.
        metadata: What every chunk of it carries.
        indexed: When this version was recorded, in UTC.
        error_reason: The stable word for why the latest attempt failed, or None.
        error_message: The line that goes with it, or None.
    """

    id: str
    source_uri: str
    status: VersionStatus
    state: SourceState
    title: str
    language: str
    chunk_count: int
    given: Metadata
    metadata: Metadata
    indexed: datetime
    error_reason: str | None = None
    error_message: str | None = None


@dataclass(frozen=True, slots=True)
class ChunkRecord:
    """One chunk of a live version: everything but its text and metadata.

    Attributes:
        id: The chunk's id.
        document_id: Its document.
        start: Offset of its first character in the document's text.
        end: Offset after its last character.
        page: Page on which it starts, or None.
        headings: The path of headings above it.
        passage_hash: ``passage_hash`` of what was embedded.
    """

    id: str
    document_id: str
    start: int
    end: int
    page: int | None
    headings: tuple[str, ...] = ()
    passage_hash: str = ""


@dataclass(frozen=True, slots=True)
class Stamp:
    """Metadata that the chunks of a document must carry in the store."""

    document_id: str
    chunk_ids: tuple[str, ...]
    metadata: Metadata = field(default_factory=dict)


def chunk_metadata(
    own: Metadata, given: Metadata, *, source_uri: str, title: str, language: str
) -> dict[str, MetadataValue]:
    """Returns what a chunk carries: the document's own, the given over it, then the reserved."""
    reserved = dict(zip(RESERVED_METADATA, (source_uri, title, language), strict=True))
    return {**own, **given, **reserved}


def passage_hash(passage: str) -> str:
    """Returns the hash by which an unchanged passage is recognised: 128 bits, hexadecimal."""
    return hashlib.blake2b(passage.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
