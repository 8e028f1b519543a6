"""The records of the catalog: collections, documents, versions, chunks and writers.

A version of a document has one of these states:

    pending   its chunk ids are recorded; the store may have some, all or none of them
    live      the store has all of its chunks; searches use this version
    deleted   not used any more; the store may still have its chunks
    failed    it could not be read; the reason is recorded, an older live version stays

A document has at most one live version. Pending and deleted versions exist for a short time, or
after a crash: then the next run cleans them up.

A writer has a lease on a collection while it works, and owns the pending and deleted versions that
it makes. Only one writer at a time owns such versions of a document. When a lease has ended, the
next writer takes over the versions of its writer.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

from kvasir.core.collection_records import CollectionRecord as CollectionRecord
from kvasir.core.collection_records import EmbeddingModel as EmbeddingModel
from kvasir.core.collection_records import Splitting as Splitting
from kvasir.core.collection_records import check_embedder as check_embedder
from kvasir.core.document_metadata import FILE_TYPE, chunk_metadata
from kvasir.core.errors import CollectionNotFoundError
from kvasir.core.types import (
    Chunk,
    Document,
    Metadata,
    MetadataValue,
    PageStart,
    RecognizedSpan,
)

if TYPE_CHECKING:
    from kvasir.core.vectors import Matrix


class VersionStatus(StrEnum):
    """The state of one version of a document."""

    PENDING = "pending"
    LIVE = "live"
    DELETED = "deleted"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class SourceState:
    """The state of a source when it was read."""

    uri: str
    media_type: str  # Empty if unknown.
    content_hash: str  # SHA-256 of its bytes, hexadecimal; empty if they could not be read.
    size: int  # Number of its bytes.
    modified: float | None  # Modification time, seconds since 1970.
    settings_hash: str  # Of the settings that shape the chunks: extraction, splitting, language.


@dataclass(frozen=True, slots=True)
class DocumentVersion:
    """The text and content hash of one version of a document."""

    text: str  # The whole text; the offsets of its chunks refer to it.
    content_hash: str = ""  # ``SourceState.content_hash``; empty if unknown.
    recognized: tuple[RecognizedSpan, ...] = ()  # As of ``Document``.
    pages: tuple[PageStart, ...] = ()  # Where its pages begin, in order; empty if unknown.


@dataclass(frozen=True, slots=True)
class VersionDraft:
    """A version of a document before it is recorded as pending."""

    state: SourceState  # When the document was extracted.
    document: Document
    language: str
    given: Metadata  # From the caller.
    chunks: tuple[Chunk, ...]  # All of its chunks, in order; each has ``metadata``.
    moved_from: str = ""  # Id of the document whose file was moved here; it takes its place.

    def with_metadata(self, given: Metadata) -> VersionDraft:
        """Return the draft with other metadata from the caller, in the chunks, too."""
        draft = replace(self, given=given)
        metadata = draft.metadata
        chunks = tuple(replace(chunk, metadata=metadata) for chunk in self.chunks)
        return replace(draft, chunks=chunks)

    @property
    def metadata(self) -> dict[str, MetadataValue]:
        """The metadata of every chunk."""
        return chunk_metadata(
            self.document.metadata,
            self.given,
            source_uri=self.state.uri,
            title=self.document.title,
            language=self.language,
            media_type=self.state.media_type,
            modified=self.state.modified,
        )


@dataclass(frozen=True, slots=True)
class DocumentRecord:
    """One document of a collection in the catalog."""

    id: str
    source_uri: str
    status: VersionStatus  # ``live``, or ``failed`` if no version of it could be read.
    # When the live version was read; if no version is live, when reading failed.
    state: SourceState
    title: str
    language: str
    chunk_count: int
    given: Metadata  # From the caller.
    metadata: Metadata  # Of its chunks.
    indexed: datetime  # Time when the version was recorded, in UTC.
    error_reason: str | None = None  # The stable reason if the latest attempt failed.
    error_message: str | None = None

    @property
    def is_outdated(self) -> bool:
        """True if an earlier version indexed it, whose metadata lack what filters need."""
        is_live = self.status is VersionStatus.LIVE
        return is_live and bool(self.state.media_type) and FILE_TYPE not in self.metadata


@dataclass(frozen=True, slots=True)
class ChunkRecord:
    """One chunk of a live version, without its text and metadata."""

    id: str
    document_id: str
    start: int  # Offset of its first character in the document's text.
    end: int  # Offset after its last character.
    page: int | None
    headings: tuple[str, ...] = ()  # The path of headings above it.
    passage_hash: str = ""  # ``passage_hash`` of its passage.


@dataclass(frozen=True, slots=True)
class MetadataUpdate:
    """New metadata of a document's chunks that the store may not have yet."""

    document_id: str
    chunk_ids: tuple[str, ...]
    metadata: Metadata = field(default_factory=dict)


def passage_hash(passage: str) -> str:
    """Return the hash of a passage: 128 bits, hexadecimal."""
    return hashlib.blake2b(passage.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def require_collection(catalog: Catalog, name: str) -> CollectionRecord:
    """Return a collection's record; raise CollectionNotFoundError if there is none."""
    record = catalog.collection(name)
    if record is None:
        raise CollectionNotFoundError(name, [each.name for each in catalog.collections()])
    return record


class Catalog(Protocol):
    """Records which version of which document has which chunks in the store.

    Every method is one transaction, durable when it returns. ``collection`` is a name, ``writer``
    an id from ``start_writer``. Methods that write versions raise ``WriterConflictError`` if the
    writer's lease was taken, and ``DocumentBusyError``, changing nothing, while another writer has
    pending or deleted versions of one of the documents. Those with a parameter ``index`` raise
    ``IndexReplacedError`` if the collection has another one; None is not compared.
    """

    def collection(self, name: str) -> CollectionRecord | None:
        """Return a collection, or None if it is unknown."""

    def collections(self) -> list[CollectionRecord]:
        """Return every collection, by name."""

    def create_collection(
        self, name: str, *, embedder: str, dimension: int, fingerprint: str
    ) -> CollectionRecord:
        """Make a collection; raise NameTakenError if the name is taken."""

    def delete_collection(self, name: str, writer: str | None = None) -> None:
        """Delete a collection with all its records; an unknown name is no error.

        Raises:
            WriterConflictError: Writers other than ``writer`` are at work in it.
        """

    def copy_collection(self, name: str, to: str) -> None:
        """Copy a collection's records to a new name."""

    def set_calibration(
        self,
        collection: str,
        calibration: Mapping[str, float] | None,
        *,
        index: str | None = None,
    ) -> None:
        """Store the parameters of the decision to refuse a question, fitted to an index.

        None deletes them.
        """

    def set_splitting(self, collection: str, splitting: Splitting) -> None:
        """Store how the documents of a collection are split from now on."""

    def set_model(self, collection: str, model: EmbeddingModel | None) -> None:
        """Store which model a collection uses; None for that of the settings."""

    def begin_model_change(self, target: CollectionRecord, writer: str) -> None:
        """Record that a writer builds the index that a collection is to have.

        Raises:
            ConflictError: Another writer builds one.
        """

    def complete_model_change(self, target: CollectionRecord, writer: str, revision: int) -> bool:
        """Make an index that was begun the collection's, with its model; the old one is unused.

        The decision to refuse is forgotten, as are kept vectors: they belong to the old model.

        Returns:
            False, changing nothing, if documents were changed since ``revision`` or a writer has
            unfinished versions.
        """

    def unused_indexes(self, collection: str, *, begun: bool = True) -> list[CollectionRecord]:
        """Return the indexes, as records, that were replaced, or ``begun`` by ended writers."""

    def forget_index(self, collection: str, index: str) -> None:
        """Record that an unused index was deleted from the store."""

    def revision(self, collection: str) -> int:
        """Return a number that grows with each change of live documents."""

    def document(self, collection: str, document_id: str) -> DocumentRecord | None:
        """Return a document, or None if it is unknown."""

    def documents(
        self, collection: str, *, prefix: str = "", after: str = "", limit: int | None = None
    ) -> Iterator[DocumentRecord]:
        """Yield at most ``limit`` documents, ordered by source URI.

        Only those whose source URI begins with ``prefix`` and is greater than ``after``.
        """

    def live_contents(
        self, collection: str, document_ids: Collection[str]
    ) -> Mapping[str, tuple[str, Metadata]]:
        """Return content hash and metadata of live versions, by document id.

        Documents without one are left out.
        """

    def source_uris(self, collection: str) -> Mapping[str, str]:
        """Return the source URI of every document by its id."""

    def metadata_fields(self, collection: str, wanted: Collection[str] = ()) -> set[str]:
        """Return the names of the metadata fields of all live versions.

        If fields are ``wanted``, the search ends as soon as it has found them.
        """

    def live_source_uris(self, collection: str, prefix: str = "") -> list[str]:
        """Return the source URIs of the live versions that begin with ``prefix``, sorted."""

    def text(self, collection: str, document_id: str) -> str | None:
        """Return the text of the live version, or None."""

    def live_version(self, collection: str, document_id: str) -> DocumentVersion | None:
        """Return text and content hash of the live version, or None."""

    def recognized(
        self, collection: str, document_ids: Collection[str]
    ) -> Mapping[str, tuple[RecognizedSpan, ...]]:
        """Return the spans of live versions that were recognized in pictures, by document id.

        Documents without such text are left out.
        """

    def has_content(self, content_hash: str) -> bool:
        """Return True if a document of any collection was made of bytes with this hash."""

    def chunks(self, collection: str, document_id: str) -> list[ChunkRecord]:
        """Return the chunks of the live version, in order."""

    def chunk_count(self, collection: str) -> int:
        """Return the number of chunks of all live versions."""

    def every_chunk(self, collection: str) -> Iterator[ChunkRecord]:
        """Yield the chunks of all live versions, read a page at a time."""

    def unfinished(self, collection: str) -> int:
        """Return the number of pending and deleted versions."""

    def reusable(self, collection: str, passage_hashes: Collection[str]) -> Mapping[str, str]:
        """Map the hashes of passages that have a live chunk to its id: its vector can be reused."""

    def documents_sharing(
        self, collection: str, passage_hashes: Collection[str]
    ) -> Mapping[str, int]:
        """Count, by document id, the live chunks that have one of some passages."""

    def keep_vectors(
        self, collection: str, vectors: Mapping[str, Matrix], fingerprint: str | None = None
    ) -> None:
        """Store vectors, by passage hash, of documents that are not complete yet.

        Nothing is stored if the collection has another fingerprint; None is not compared.
        """

    def kept_vectors(
        self, collection: str, passage_hashes: Collection[str]
    ) -> Mapping[str, Matrix]:
        """Return the kept vectors among those of some passages."""

    def drop_vectors(self, collection: str, passage_hashes: Collection[str] | None = None) -> None:
        """Delete the kept vectors of some passages, or all of a collection."""

    def start_writer(
        self, collection: str, *, lease_seconds: float, exclusive: bool = False
    ) -> str:
        """Begin a writer's lease and return the writer's id.

        The lease lasts ``lease_seconds`` after its start and after each ``renew_writer``, by the
        database's clock; it ends earlier if the writer's process ran on this machine and has ended.
        During an exclusive one there is no other writer.

        Raises:
            CollectionNotFoundError: There is no such collection.
            WriterConflictError: Another writer is active, and one of the two is exclusive.
        """

    def renew_writer(self, writer: str) -> bool:
        """Renew a lease; return False if it was taken or the collection was deleted."""

    def end_writer(self, writer: str) -> None:
        """End a lease; other writers may take over the unfinished versions."""

    def other_writers(self, collection: str, writer: str | None = None) -> list[str]:
        """Return descriptions of the other writers whose lease has not ended."""

    def begin(
        self,
        collection: str,
        drafts: Sequence[VersionDraft],
        writer: str,
        *,
        index: str | None = None,
    ) -> None:
        """Record versions as pending, with all their chunks.

        The documents that they were moved from are reserved, too.
        Unfinished versions of these documents by this writer or by ended writers are taken over.
        """

    def publish(
        self,
        collection: str,
        document_ids: Sequence[str],
        writer: str,
        replaced: Sequence[str] = (),
    ) -> None:
        """Make the writer's pending versions live and mark those they replace as deleted.

        The documents ``replaced`` were moved: all their versions are marked as deleted.
        """

    def discard_pending(self, collection: str, writer: str, *, index: str | None = None) -> int:
        """Mark pending versions of the writer and of ended writers as deleted; return their number.

        The writer takes over all unfinished versions of ended writers. The live versions of the
        same documents get a metadata update, because a pending version may have overwritten the
        chunks that it shares with the live one.
        """

    def mark_deleted(
        self,
        collection: str,
        document_ids: Sequence[str],
        writer: str,
        *,
        index: str | None = None,
    ) -> None:
        """Mark every version of documents as deleted; unknown ids are no error."""

    def stale_chunks(self, collection: str, writer: str) -> list[str]:
        """Return the chunk ids of the writer's deleted versions that no other version has."""

    def purge(self, collection: str, writer: str) -> None:
        """Delete the records of the writer's deleted versions, and sources without any version."""

    def fail(self, collection: str, state: SourceState, reason: str, message: str) -> None:
        """Record that a source could not be read; a live version stays as it is."""

    def set_metadata(
        self,
        collection: str,
        given: Mapping[str, Metadata],
        writer: str,
        *,
        index: str | None = None,
    ) -> None:
        """Replace the caller's metadata of live documents, by document id.

        The store has the old metadata until ``pending_metadata_updates`` are applied to it.

        Raises:
            DocumentNotFoundError: There is no such document; nothing was changed.
        """

    def pending_metadata_updates(
        self, collection: str, writer: str | None = None
    ) -> list[MetadataUpdate]:
        """Return the updates that the store may not have yet; all, or those of a writer."""

    def mark_metadata_applied(
        self, collection: str, document_ids: Sequence[str], writer: str
    ) -> None:
        """Record that the store has the writer's metadata updates of these documents."""
