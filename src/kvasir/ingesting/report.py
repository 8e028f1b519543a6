"""What became of the sources of an ingest, and its report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

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
        """Adds time to a stage."""
        self.seconds[stage] = self.seconds.get(stage, 0.0) + seconds
