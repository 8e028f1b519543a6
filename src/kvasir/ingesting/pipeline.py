"""Ingests files, folders, addresses and uploads into one collection.

An unchanged source is read and hashed only. Of a changed source, only new passages are embedded,
and the old version is searched until the new one is complete. ``ingesting.publishing`` explains
the order of the steps and why a crash does no harm.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from kvasir.core import media_types
from kvasir.core.document_metadata import check_metadata
from kvasir.core.errors import RequestError
from kvasir.core.ledger import VersionStatus
from kvasir.core.reports import IngestReport
from kvasir.core.run import Run
from kvasir.core.types import Metadata
from kvasir.ingesting.ingest_parts import IngestParts
from kvasir.ingesting.ingest_run import IngestRun
from kvasir.ingesting.kinds import may_have_scans
from kvasir.ingesting.preparing import OnConflict
from kvasir.ingesting.publishing import Publisher
from kvasir.ingesting.sources import Input

SETTINGS_VERSION = 4
"""Increase it when extraction or splitting changes, so that all documents are split again."""


@dataclass
class IngestPipeline(IngestParts):
    """Writes documents into one collection; a process has one pipeline for a store."""

    def ingest(
        self,
        inputs: Iterable[Input],
        *,
        on_conflict: OnConflict = "replace",
        prune: bool = False,
        metadata: Metadata | None = None,
        metadata_of_new: Metadata | None = None,
        gone: Collection[str] = (),
        run: Run | None = None,
    ) -> IngestReport:
        """Ingest sources; one that fails is reported and does not stop the others.

        A source that has changed since it was ingested is replaced, skipped, or reported as failed
        (``error``). With ``replace``, a new one that says most of what a document said whose file
        is ``gone`` (or is a local path that does not exist) is that document, moved.
        ``prune`` removes documents under the given folders whose file is gone. Without
        ``metadata`` each document keeps what it has, and a new one gets ``metadata_of_new``. Stages
        of the run are ``documents`` (each one finished or failed is an item), ``passages`` and
        ``recognizing text`` (pages of one source). After a stop, the report has ``interrupted``,
        finished sources are kept, and ``left`` lists the rest.

        Raises:
            WrongEmbedderError: Another embedder made the collection.
            StoreIncompleteError: The store lacks chunks of earlier documents, and no other writer
                is active: restore them, then ingest again. Nothing was ingested.
            WriterConflictError: The collection is being deleted or repaired, or this writer's lease
                was taken; sources reported as finished are kept.
            RequestError: A metadata field is reserved or its value cannot be kept.
        """
        metadata = None if metadata is None else check_metadata(metadata)
        metadata_of_new = None if metadata_of_new is None else check_metadata(metadata_of_new)
        if on_conflict not in ("skip", "replace", "error"):
            raise RequestError(f"on_conflict must be skip, replace or error, not '{on_conflict}'")
        span = self.lease_seconds, self.heartbeat_seconds
        publisher = Publisher(
            self.store,
            self.catalog,
            self.collection,
            self.writing,
            *span,
            index=self.index,
            current=self.current,
        )
        publisher.open_collection(self.embedder)
        if self.splitting is not None:
            publisher.remember_splitting(self.splitting)
        with publisher.session():
            work = IngestRun(
                self,
                publisher,
                self.settings_hash,
                on_conflict,
                metadata,
                run or Run(),
                gone,
                metadata_of_new,
            )
            return work.ingest(list(inputs), prune)

    def settings_hash(self, media_type: str) -> str:
        """Return the hash of the settings that shape the chunks of a kind of source."""
        parts = [SETTINGS_VERSION, type(self.splitter).__name__, self.chunk_settings]
        parts.append(self.language or "")
        if self.recognizes_text and may_have_scans(media_type):
            parts.append("ocr")
        return hashlib.sha256("\n".join(map(str, parts)).encode()).hexdigest()

    def count_split_otherwise(self) -> int:
        """Return how many documents are split as other settings say."""
        hashes = {self.settings_hash(kind) for kind in (media_types.PDF, "")}
        return sum(
            record.status is VersionStatus.LIVE and record.state.settings_hash not in hashes
            for record in self.catalog.documents(self.collection)
        )
