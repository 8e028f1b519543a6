"""Reports of long work: ingesting, converting, copying, inspecting and repairing."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import ClassVar

from kvasir.core.text import shown


class Outcome(StrEnum):
    """The result of ingesting a source."""

    ADDED = "added"
    REPLACED = "replaced"
    UNCHANGED = "unchanged"
    RELABELLED = "relabelled"
    SKIPPED = "skipped"
    REMOVED = "removed"


@dataclass(frozen=True, slots=True)
class Finished:
    """A source was ingested, or left unchanged."""

    source_uri: str
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Failed:
    """A source could not be ingested.

    Attributes:
        reason: A short stable word: those of ``ExtractionError``, ``missing``, ``fetch``,
            ``conflict``, ``split``.
        message: One line that says what to do, without the name of the source.
    """

    source_uri: str
    reason: str
    message: str

    @property
    def line(self) -> str:
        """Source and message in one line, with control characters escaped."""
        return f"{shown(self.source_uri)}: {shown(self.message)}"


@dataclass(slots=True)
class IngestReport:
    """The result of an ingest. Sources are URIs, in the order in which they were finished.

    Every chunk of a new version, and every restored one, counts once in ``chunks_embedded``,
    ``chunks_reused`` or ``chunks_repeated``. After an interruption some may not be written.

    Attributes:
        added: New documents.
        replaced: Documents whose source or settings changed.
        unchanged: Documents that did not change; nothing was embedded.
        relabelled: Unchanged documents that got other metadata.
        skipped: Changed documents that were not ingested because of ``on_conflict="skip"``.
        removed: Documents whose file does not exist any more, with ``prune=True``.
        failed: Sources that could not be ingested, sorted.
        without_files: Given folders without a file to ingest.
        left: Sources that an interrupted run did not reach.
        interrupted: True if the run was stopped; finished sources are kept.
        recovered: Half-written versions of an earlier run that were cleaned up.
        chunks_embedded: Passages that were embedded.
        chunks_reused: Chunks whose vector was already in the collection.
        chunks_repeated: Chunks with the passage of another chunk embedded in this run.
        chunks_restored: Those of ``chunks_embedded`` that were missing from the store.
        chunks_unknown: Chunks in the store that no document has; ``kvasir doctor`` lists them.
        bytes_read: Bytes of all sources that were read.
        seconds: Seconds by stage: ``read`` (hashing, fetching), ``extract`` (waiting for it),
            ``split``, ``embed``, ``store``, ``total``. Reading and embedding overlap.
    """

    added: list[str] = field(default_factory=list)
    replaced: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    relabelled: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    failed: list[Failed] = field(default_factory=list)
    without_files: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    interrupted: bool = False
    recovered: int = 0
    chunks_embedded: int = 0
    chunks_reused: int = 0
    chunks_repeated: int = 0
    chunks_restored: int = 0
    chunks_unknown: int = 0
    bytes_read: int = 0
    seconds: dict[str, float] = field(default_factory=dict)

    def note(self, event: Finished | Failed) -> None:
        """Add a source to its list."""
        if isinstance(event, Failed):
            self.failed.append(event)
        else:
            sources: list[str] = getattr(self, event.outcome.value)
            sources.append(event.source_uri)

    def spend(self, stage: str, seconds: float) -> None:
        """Add time to a stage."""
        self.seconds[stage] = self.seconds.get(stage, 0.0) + seconds


@dataclass(frozen=True, slots=True)
class Converted:
    """A document that was converted.

    Attributes:
        path: The file of docling JSON.
        warnings: Parts that could not be converted.
    """

    source_uri: str
    path: Path
    warnings: tuple[str, ...]


@dataclass(slots=True)
class ConversionReport:
    """The result of a conversion, in the order of the sources.

    Attributes:
        converted: Documents that were converted.
        failed: Sources that could not be converted.
        left: Sources that an interrupted run did not reach.
        interrupted: True if the run was stopped; finished documents are kept.
    """

    converted: list[Converted] = field(default_factory=list)
    failed: list[Failed] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    interrupted: bool = False


@dataclass(frozen=True, slots=True)
class CopyReport:
    """The result of a copy. Lists of chunks are ids, sorted.

    Attributes:
        chunks: Number of chunks in the source.
        written: Number of chunks written by this copy.
        kept: Number of chunks that the target already had unchanged.
        extra: Chunks in the target that the source does not have.
        removed: Number of extra chunks that were deleted.
        faulty: Chunks that are missing from the target, differ there, or are there twice.
        counted: Number of chunks that the target reports.
        changed: True if the number of chunks in the source changed during the copy.
        checksum: Sum of the digests of the source, hexadecimal; independent of the order.
        target_checksum: The same for the target, without extra chunks.
    """

    computed: ClassVar[tuple[str, ...]] = ("verified",)
    chunks: int
    written: int
    kept: int
    extra: tuple[str, ...]
    removed: int
    faulty: tuple[str, ...]
    counted: int
    changed: bool
    checksum: str
    target_checksum: str
    seconds: float

    @property
    def verified(self) -> bool:
        """True if the target has all chunks of the source unchanged."""
        return (
            not self.faulty
            and not self.changed
            and self.counted == self.chunks + len(self.extra) - self.removed
            and self.checksum == self.target_checksum
        )


@dataclass(frozen=True, slots=True)
class Findings:
    """Differences between catalog and store of a collection. Lists of chunks are ids, sorted.

    Attributes:
        unfinished: Number of half-written or half-deleted versions.
        pending_metadata_updates: Number of documents whose new metadata is not in the store yet.
        orphans: Chunks in the store that no live document has.
        missing: Chunks of live documents that are not in the store.
        altered: Chunks whose text, span or headings differ, or that are there twice.
        mislabelled: Chunks whose metadata differs.
        bad_vectors: Chunks whose vector is not finite or not of unit length.
        expected: Number of chunks in the catalog.
        counted: Number of chunks that the store reports.
    """

    collection: str
    unfinished: int
    pending_metadata_updates: int
    orphans: tuple[str, ...]
    missing: tuple[str, ...]
    altered: tuple[str, ...]
    mislabelled: tuple[str, ...]
    bad_vectors: tuple[str, ...]
    expected: int
    counted: int

    @property
    def clean(self) -> bool:
        """True if everything agrees."""
        return not (
            self.unfinished
            or self.pending_metadata_updates
            or self.orphans
            or self.missing
            or self.altered
            or self.mislabelled
            or self.bad_vectors
            or self.expected != self.counted
        )


@dataclass(frozen=True, slots=True)
class Repairs:
    """The result of a repair. All numbers except ``recovered`` count chunks.

    Attributes:
        recovered: Half-written versions that were discarded.
        removed: Chunks that were deleted from the store.
        rewritten: Chunks that were embedded again and written.
        relabelled: Chunks whose metadata were corrected.
        left: Chunks that a stopped run did not repair.
        interrupted: True if the run was stopped; repaired chunks are kept.
    """

    found: Findings
    recovered: int = 0
    removed: int = 0
    rewritten: int = 0
    relabelled: int = 0
    left: int = 0
    interrupted: bool = False
