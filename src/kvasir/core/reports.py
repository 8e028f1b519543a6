"""Reports of long work: ingesting, converting, copying, inspecting and repairing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import ClassVar

from kvasir.core.text import shown


class Outcome(StrEnum):
    """What became of a source."""

    ADDED = "added"
    REPLACED = "replaced"
    UNCHANGED = "unchanged"
    RELABELLED = "relabelled"
    SKIPPED = "skipped"
    REMOVED = "removed"


@dataclass(frozen=True, slots=True)
class Finished:
    """A source is done."""

    source_uri: str
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Failed:
    """A source could not be ingested.

    Attributes:
        source_uri: The source.
        reason: A short stable word: those of ``ExtractionError``, ``missing``, ``fetch``,
            ``conflict``, ``split``.
        message: One line that says what to do, without the source's name.
    """

    source_uri: str
    reason: str
    message: str

    @property
    def line(self) -> str:
        """Source and message, in one line whatever the file's name."""
        return f"{shown(self.source_uri)}: {shown(self.message)}"


@dataclass(slots=True)
class IngestReport:
    """What an ingest did. Sources are given by URI, in the order in which they were done.

    Every chunk of a new version, and every one that was restored, counts once in
    ``chunks_embedded``, ``chunks_reused`` or ``chunks_repeated``. Where the run was interrupted,
    some may have been embedded and not written.

    Attributes:
        added: New documents.
        replaced: Documents whose source or settings changed.
        unchanged: Documents that were left as they are; nothing of them was embedded.
        relabelled: Unchanged documents that were given other metadata.
        skipped: Changed documents that were left alone because of ``on_conflict="skip"``.
        removed: Documents whose file is gone, with ``prune=True``.
        failed: What could not be ingested, and why, sorted by source; the rest went on.
        without_files: Folders that were given and have no file that counts.
        left: Sources that were not come to, because the run was interrupted.
        interrupted: The run was stopped; what was finished is kept.
        recovered: Half-written versions of an earlier run that were cleaned up.
        chunks_embedded: Passages that went through the model.
        chunks_reused: Chunks whose passage was in the collection already, with its vector.
        chunks_repeated: Chunks whose passage was embedded just before, for another chunk.
        chunks_restored: Those of ``chunks_embedded`` that the store had lost.
        chunks_unknown: Chunks in the store that no document has; ``kvasir doctor`` lists them.
        bytes_read: Bytes of all sources that were read.
        seconds: Seconds by stage: ``read`` (hashing, fetching), ``extract`` (waiting for it),
            ``split``, ``embed``, ``store``, ``total``. Reading goes on while embedding does.
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
        """Enters a source in its list."""
        if isinstance(event, Failed):
            self.failed.append(event)
        else:
            lists: Mapping[Outcome, list[str]] = {
                outcome: getattr(self, outcome.value) for outcome in Outcome
            }
            lists[event.outcome].append(event.source_uri)

    def spend(self, stage: str, seconds: float) -> None:
        """Add time to a stage."""
        self.seconds[stage] = self.seconds.get(stage, 0.0) + seconds


@dataclass(frozen=True, slots=True)
class Converted:
    """A document that was converted.

    Attributes:
        source_uri: The document.
        path: The file of docling JSON.
        warnings: What could not be converted of it; empty where all was.
    """

    source_uri: str
    path: Path
    warnings: tuple[str, ...]


@dataclass(slots=True)
class ConversionReport:
    """What a conversion did, in the order in which it was done.

    Attributes:
        converted: What was written.
        failed: What could not be converted, and why; the rest went on.
        left: Sources that were not come to, because the run was interrupted.
        interrupted: The run was stopped; what was finished is kept.
    """

    converted: list[Converted] = field(default_factory=list)
    failed: list[Failed] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    interrupted: bool = False


@dataclass(frozen=True, slots=True)
class CopyReport:
    """What a copy did. Chunks are given by id, sorted.

    Attributes:
        chunks: How many chunks the source has.
        written: How many of them were written now.
        kept: How many were in the target already, the same in every respect.
        extra: Chunks in the target that the source does not have.
        removed: How many of those were deleted.
        faulty: Chunks that are missing from the target, differ there, or are there twice.
        counted: How many chunks the target says it has.
        changed: Whether the source was written to during the copy.
        checksum: Of the source: the sum of all digests, hexadecimal; in whatever order the
            chunks come, it is the same.
        target_checksum: The same of the target, without extra chunks.
        seconds: How long it took.
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
        """Whether the target has every chunk of the source, each the same."""
        return (
            not self.faulty
            and not self.changed
            and self.counted == self.chunks + len(self.extra) - self.removed
            and self.checksum == self.target_checksum
        )


@dataclass(frozen=True, slots=True)
class Findings:
    """What does not agree in a collection. Chunks are given by id, sorted.

    Attributes:
        collection: The collection's name.
        unfinished: Versions that are half-written or half-deleted.
        pending_metadata_updates: Documents whose new metadata is not in the store yet.
        orphans: Chunks in the store that no live document has.
        missing: Chunks of live documents that are not in the store.
        altered: Chunks whose text, span or headings differ, or that are there twice.
        mislabelled: Chunks whose metadata differs.
        bad_vectors: Chunks whose vector is not finite or not of unit length.
        expected: How many chunks the catalog has.
        counted: How many chunks the store says it has.
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
    """What was repaired.

    Attributes:
        found: What did not agree before.
        recovered: Half-written versions that were taken back.
        removed: Chunks that were deleted from the store.
        rewritten: Chunks that were embedded again and written.
        relabelled: Chunks that were given their metadata.
        left: Chunks that are still to be repaired, because the run was stopped.
        interrupted: The run was stopped; what was repaired is kept.
    """

    found: Findings
    recovered: int = 0
    removed: int = 0
    rewritten: int = 0
    relabelled: int = 0
    left: int = 0
    interrupted: bool = False
