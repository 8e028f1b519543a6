"""Reports of long work: ingesting, converting, copying, inspecting and repairing."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
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
    MOVED = "moved"
    SKIPPED = "skipped"
    REMOVED = "removed"


@dataclass(frozen=True, slots=True)
class Finished:
    """A source was ingested, or left unchanged."""

    source_uri: str
    outcome: Outcome
    warnings: tuple[str, ...] = ()  # Sentences about how it was read.
    former_uri: str = ""  # Of one that was moved.


@dataclass(frozen=True, slots=True)
class Warned:
    """A source that was ingested, but not all of it or not for certain."""

    source_uri: str
    message: str  # One sentence without the name of the source.

    @property
    def line(self) -> str:
        """Source and message in one line, with control characters escaped."""
        return _line(self)


@dataclass(frozen=True, slots=True)
class Moved:
    """A document whose file was moved or renamed; it keeps its metadata."""

    source_uri: str
    former_uri: str


@dataclass(frozen=True, slots=True)
class Failed:
    """A source could not be ingested."""

    source_uri: str
    # A short stable word: those of ``ExtractionError``, missing, fetch, conflict, split.
    reason: str
    message: str  # One line that says what to do, without the name of the source.

    @property
    def line(self) -> str:
        """Source and message in one line, with control characters escaped."""
        return _line(self)


def _line(entry: Failed | Warned) -> str:
    return f"{shown(entry.source_uri)}: {shown(entry.message)}"


@dataclass(frozen=True, slots=True)
class NotRead:
    """A file or folder, found in a given folder, that is not meant to be read: no failure."""

    source_uri: str
    # The kind of what was left out: a file's extension (``.png``) or media type if no extractor
    # reads it, else ``hidden``, ``ignored``, ``excluded`` or ``link out of the folder``.
    kind: str


@dataclass(slots=True)
class IngestReport:
    """The result of an ingest. Sources are URIs, in the order in which they were finished.

    Every chunk of a new version, and every restored one, counts once in ``chunks_embedded``,
    ``chunks_reused`` or ``chunks_repeated``. After an interruption some may not be written.
    """

    added: list[str] = field(default_factory=list)
    replaced: list[str] = field(default_factory=list)  # Their source or settings changed.
    unchanged: list[str] = field(default_factory=list)  # Nothing was embedded.
    relabelled: list[str] = field(default_factory=list)  # Unchanged, but got other metadata.
    moved: list[Moved] = field(default_factory=list)  # Perhaps changed, too.
    skipped: list[str] = field(default_factory=list)  # Changed, with ``on_conflict="skip"``.
    removed: list[str] = field(default_factory=list)  # Files that are gone, with ``prune=True``.
    failed: list[Failed] = field(default_factory=list)  # Sorted.
    warnings: list[Warned] = field(default_factory=list)  # Sorted; their sources were ingested.
    not_read: list[NotRead] = field(default_factory=list)  # Left out of the given folders.
    without_files: list[str] = field(default_factory=list)  # Given folders without a file.
    left: list[str] = field(default_factory=list)  # An interrupted run did not reach them.
    interrupted: bool = False  # The run was stopped; finished sources are kept.
    recovered: int = 0  # Half-written versions of an earlier run that were cleaned up.
    chunks_embedded: int = 0
    chunks_reused: int = 0  # Their vector was already in the collection.
    chunks_repeated: int = 0  # They have the passage of another chunk embedded in this run.
    chunks_restored: int = 0  # Those of ``chunks_embedded`` that were missing from the store.
    chunks_unknown: int = 0  # In the store, but of no document; ``kvasir doctor`` lists them.
    # With ``re_split``: documents that were not ingested now and are split in another way.
    split_otherwise: int = 0
    bytes_read: int = 0  # Of the sources that were read and finished.
    # Seconds by stage: read (hashing, fetching), extract (waiting for it), split, embed, store,
    # total. Reading and embedding overlap.
    seconds: dict[str, float] = field(default_factory=dict)

    def note(self, event: Finished | Failed | NotRead) -> dict[str, str]:
        """Add a source to its list; return the details of its ``Progress``."""
        if isinstance(event, Failed):
            self.failed.append(event)
            return {"outcome": "failed", "reason": event.reason, "message": event.message}
        if isinstance(event, NotRead):
            self.not_read.append(event)
            return {"outcome": "not_read", "reason": event.kind}
        if event.outcome is Outcome.MOVED:
            self.moved.append(Moved(event.source_uri, event.former_uri))
        else:
            getattr(self, event.outcome.value).append(event.source_uri)
            self.warnings += (Warned(event.source_uri, message) for message in event.warnings)
        return {"outcome": event.outcome.value}

    def sort(self) -> None:
        """Sort what failed and what was warned about by source."""
        self.failed.sort(key=lambda failure: failure.source_uri)
        self.warnings.sort(key=lambda warned: warned.source_uri)

    def add(self, other: IngestReport) -> None:
        """Add the report of a later ingest into the same collection."""
        for each in fields(IngestReport):
            own, more = getattr(self, each.name), getattr(other, each.name)
            if isinstance(own, list):
                own.extend(more)
            elif isinstance(own, bool):
                setattr(self, each.name, own or more)
            elif isinstance(own, int):
                setattr(self, each.name, own + more)
        # Each report counts the whole collection.
        self.chunks_unknown = other.chunks_unknown
        self.split_otherwise = other.split_otherwise
        for stage, seconds in other.seconds.items():
            self.spend(stage, seconds)

    def spend(self, stage: str, seconds: float) -> None:
        """Add time to a stage."""
        self.seconds[stage] = self.seconds.get(stage, 0.0) + seconds


@dataclass(frozen=True, slots=True)
class WebPage:
    """A result of a web search, and what became of it."""

    url: str  # As the search engine named it.
    title: str  # As the search engine named it.
    source_uri: str = ""  # Its address after redirects, that of its document; empty if unknown.
    # That of its document (``added``, ``unchanged``, ``failed``, ...), ``repeated`` if an earlier
    # result leads to the same address, or ``left`` if an interrupted run did not reach it.
    outcome: str = "left"
    reason: str = ""  # As of ``Failed``.
    message: str = ""  # Why it was left out, one sentence.


@dataclass(slots=True)
class WebIngestReport(IngestReport):
    """The result of a web search whose pages were ingested; the sources are their addresses."""

    query: str = ""
    engine: str = ""  # Name of the search engine.
    pages: list[WebPage] = field(default_factory=list)  # Every result, best first.


@dataclass(frozen=True, slots=True)
class Converted:
    """A document that was converted."""

    source_uri: str
    path: Path  # The file of docling JSON.
    warnings: tuple[str, ...]  # Parts that could not be converted.


@dataclass(slots=True)
class ConversionReport:
    """The result of a conversion, in the order of the sources."""

    converted: list[Converted] = field(default_factory=list)
    failed: list[Failed] = field(default_factory=list)
    left: list[str] = field(default_factory=list)  # Sources that an interrupted run did not reach.
    interrupted: bool = False  # The run was stopped; finished documents are kept.


@dataclass(frozen=True, slots=True)
class CopyReport:
    """The result of a copy. Lists of chunks are ids, sorted."""

    computed: ClassVar[tuple[str, ...]] = ("verified",)
    chunks: int  # In the source.
    written: int  # By this copy.
    kept: int  # The target already had them unchanged.
    extra: tuple[str, ...]  # In the target, but not in the source.
    removed: int  # Extra chunks that were deleted.
    faulty: tuple[str, ...]  # Missing from the target, different there, or there twice.
    counted: int  # Chunks that the target reports.
    changed: bool  # The number of chunks in the source changed during the copy.
    checksum: str  # Sum of the digests of the source, hexadecimal; independent of the order.
    target_checksum: str  # The same for the target, without extra chunks.
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
class ModelChange:
    """The result of embedding a collection again by another model."""

    collection: str
    model: str  # Name of the embedding model that it has now.
    former: str  # Name of the one before.
    changed: bool  # False if it had this model already.
    dimension: int  # Length of its vectors.
    chunks: int  # In the new index.
    embedded: int  # By this run; others were embedded before an interruption.
    seconds: float
    # A decision to refuse was fitted to the former model, and the one that is shipped holds again.
    calibration_lost: bool = False


@dataclass(frozen=True, slots=True)
class Findings:
    """Differences between catalog and store of a collection. Lists of chunks are ids, sorted."""

    collection: str
    unfinished: int  # Half-written or half-deleted versions.
    # Documents whose new metadata is not in the store yet, or is that of an earlier version.
    pending_metadata_updates: int
    orphans: tuple[str, ...]  # In the store, but of no live document.
    missing: tuple[str, ...]  # Of live documents, but not in the store.
    altered: tuple[str, ...]  # Their text, span or headings differ, or they are there twice.
    mislabelled: tuple[str, ...]  # Their metadata differs.
    bad_vectors: tuple[str, ...]  # Their vector is not finite or not of unit length.
    expected: int  # Chunks in the catalog.
    counted: int  # Chunks that the store reports.

    @property
    def clean(self) -> bool:
        """True if everything agrees."""
        faulty = (self.orphans, self.missing, self.altered, self.mislabelled, self.bad_vectors)
        unfinished = self.unfinished or self.pending_metadata_updates
        return not unfinished and not any(faulty) and self.expected == self.counted


@dataclass(frozen=True, slots=True)
class Repairs:
    """The result of a repair. All numbers except ``recovered`` count chunks."""

    found: Findings
    recovered: int = 0  # Half-written versions that were discarded.
    removed: int = 0  # Deleted from the store.
    rewritten: int = 0  # Embedded again and written.
    relabelled: int = 0  # Their metadata were corrected.
    left: int = 0  # A stopped run did not repair them.
    interrupted: bool = False  # The run was stopped; repaired chunks are kept.


@dataclass(frozen=True, slots=True)
class BackupReport:
    """The contents of a backup."""

    created: str  # ISO 8601, UTC: everything committed before this time is in it.
    rows: dict[str, int]  # By table of the databases.
    vectors: dict[str, int]  # By collection.
    uploads: int
    bytes: int  # Of all parts, without the archive's own.
    notes: tuple[str, ...] = ()  # What is not in it, one line each.


@dataclass(frozen=True, slots=True)
class RestoreReport:
    """The result of a restore; every chunk was compared with the catalog afterwards."""

    created: str  # Of the backup.
    rows: dict[str, int]  # By table of the databases.
    chunks: dict[str, int]  # By collection.
    embedded: int  # Chunks without a vector in the backup: changed while it was written.
    uploads: int
    notes: tuple[str, ...] = ()  # What the backup did not have, one line each.
