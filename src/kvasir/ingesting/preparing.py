"""Prepares sources for embedding: hash them, extract and split those that changed.

This runs in a background thread, ahead of the embedding by a limited amount of text.
"""

from __future__ import annotations

import hashlib
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Generator, Iterator, Mapping
from contextlib import closing
from dataclasses import KW_ONLY, dataclass, replace
from functools import partial
from typing import Generic, Literal, TypeVar

from kvasir.core import media_types
from kvasir.core.deadline import deadline, run_within_deadline, stopping
from kvasir.core.errors import (
    DeadlineExceededError,
    ExtractionError,
    FetchError,
    StoppedError,
    describe_unexpected,
)
from kvasir.core.ledger import Catalog, SourceState, VersionDraft, VersionStatus
from kvasir.core.protocols import Splitter
from kvasir.core.reports import Failed, Finished, NotRead, Outcome
from kvasir.core.run import StopToken
from kvasir.core.text import replace_surrogates
from kvasir.core.types import (
    Document,
    Metadata,
    MetadataScalar,
    MetadataValue,
    Source,
    document_id,
    metadata_of,
)
from kvasir.ingesting.extraction import ExtractionPool, too_large
from kvasir.ingesting.kinds import is_named_otherwise, is_other_kind, is_read, not_read
from kvasir.ingesting.local_files import FileReader
from kvasir.ingesting.sources import Fetch, KeptBytes, Upload, fetched, is_address, with_known
from kvasir.language.detect import detect_document

_writable_text = partial(replace_surrogates, replacement="\ufffd")

T = TypeVar("T")
OnConflict = Literal["skip", "replace", "error"]

_BASE_WEIGHT = 1000
"""Added to the weight of every item, so that the number of light items is limited, too."""
_IDLE_SECONDS = 1.0
"""After this time without a new document, those gathered are not held back any longer."""
_HEAD_BYTES = 1 << 16
"""Bytes of a file that show whether it may be of a kind that is read."""
_MAX_QUEUED_CHARACTERS = 32_000_000
"""Text that is split and waits to be embedded, at most."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A new version of a document, ready to be embedded."""

    draft: VersionDraft
    outcome: Outcome
    former_uri: str = ""  # Of one that was moved.


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A source that could not be prepared; ``state`` is None if its bytes could not be read."""

    failure: Failed
    state: SourceState | None


@dataclass(frozen=True, slots=True)
class Relabelled:
    """An unchanged document that gets other metadata."""

    source_uri: str
    given: Metadata


@dataclass(frozen=True, slots=True)
class Idle:
    """Nothing was prepared for a while."""


@dataclass(frozen=True, slots=True)
class PageBegun:
    """The text of a page of a source is about to be recognized."""

    source_uri: str
    page: int
    pages: int


PreparedItem = Prepared | Unreadable | Relabelled | Finished | NotRead | PageBegun | Idle


@dataclass
class Preparer:
    """Prepares sources in a background thread; iterate over it to get the results.

    Attributes:
        items: Paths, addresses and uploads by URI.
        settings_hash: Gives the hash of the settings that shape the chunks of a media type.
        language, on_conflict, metadata, metadata_of_new, fetch: As of the pipeline and its
            ``ingest``.
        on_source: Gets the URI of each source that was looked at, with the numbers of characters
            and passages to embed.
        in_folders: URIs of items that were found in a folder, not named.
        max_bytes: Larger sources are not read, nor hashed.
        timeout: Seconds for hashing a file, and for splitting it.
        sizes: Bytes of each source that was hashed, by URI.
        seconds: Seconds by stage.
    """

    pool: ExtractionPool
    splitter: Splitter
    catalog: Catalog
    collection: str
    items: Mapping[str, str | Upload]
    _: KW_ONLY
    settings_hash: Callable[[str], str]
    language: str | None
    on_conflict: OnConflict
    metadata: Metadata | None
    metadata_of_new: Metadata | None
    fetch: Fetch | None
    in_folders: Collection[str]
    max_bytes: int
    timeout: float
    stop: StopToken
    on_source: Callable[[str, int, int], None] = lambda *_: None

    def __post_init__(self) -> None:
        self._changed: dict[str, tuple[SourceState, Metadata, Outcome]] = {}
        self._queue = _BoundedQueue[PreparedItem | BaseException | None](_MAX_QUEUED_CHARACTERS)
        self._thread = threading.Thread(target=self._run, name="preparer", daemon=True)
        self._reader = FileReader(self.timeout)
        self.sizes: dict[str, int] = {}
        self.seconds = {"read": 0.0, "extract": 0.0, "split": 0.0}

    def __iter__(self) -> Iterator[PreparedItem]:
        """Yield the prepared items, and ``Idle`` while there is none.

        Raises:
            StoppedError: The stop token was set.
        """
        self._thread.start()
        with self.stop.calling(self._queue.close):
            while (item := self._queue.get(Idle())) is not None:
                self.stop.raise_if_set()
                if isinstance(item, BaseException):
                    raise item
                yield item

    def close(self) -> None:
        """End the thread after its current step; wait for it at most a second."""
        self._queue.close()
        if self._thread.ident is not None:
            self._thread.join(timeout=1.0)

    def _run(self) -> None:
        try:
            with self._reader, closing(self._extracted()) as results:
                for source, outcome in results:
                    self._finish(source, outcome)
            self._queue.put(None)
        except StoppedError:
            return
        except BaseException as error:  # noqa: BLE001 - raised again in the iterating thread
            self._queue.put_now(error)

    def _extracted(self) -> Generator[tuple[Source, Document | ExtractionError]]:
        results = self.pool.map(
            self._to_extract(), ordered=False, stop=self.stop, on_page=self._note_page
        )
        while True:
            started, before = time.perf_counter(), self.seconds["read"]
            try:
                result = next(results)
            except StopIteration:
                return
            finally:
                waited = time.perf_counter() - started
                # During this wait the pool takes new items; their hashing counts as "read".
                self.seconds["extract"] += max(0.0, waited - (self.seconds["read"] - before))
            yield result

    def _note_page(self, uri: str, page: int, pages: int) -> None:
        self._queue.put_now(PageBegun(uri, page, pages))

    def _to_extract(self) -> Iterator[str | tuple[Source, bytes]]:
        """Yield the items to extract; put the result of every other item in the queue."""
        for uri, item in self.items.items():
            self._queue.check()
            started = time.perf_counter()
            try:
                item, state = self._read(uri, item)
            except (StoppedError, MemoryError):
                raise
            except Exception as error:  # noqa: BLE001 - whatever is wrong with it, it is one source
                self._fail(uri, *_why_unread(uri, error), None)
                continue
            if not isinstance(state, SourceState):
                self.on_source(uri, 0, 0)
                self._queue.put(state)
                continue
            changed = self._must_extract(state)
            if not changed:
                self.on_source(uri, 0, 0)
            self.seconds["read"] += time.perf_counter() - started
            if changed:
                yield item

    def _read(
        self, uri: str, item: str | Upload
    ) -> tuple[str | tuple[Source, bytes], SourceState | Unreadable | NotRead]:
        if isinstance(item, str) and is_address(item):
            item = fetched(self.fetch, item, uri)
        if isinstance(item, tuple):
            source, kept = item
            media_type, size, content_hash = source.media_type, len(kept), ""
            modified, item = source.modified, (source, b"")
            if size <= self.max_bytes:
                data = kept.read() if isinstance(kept, KeptBytes) else kept
                item, content_hash = (source, data), hashlib.sha256(data).hexdigest()
        else:
            media_type = media_types.by_name(item)
            if media_type == media_types.UNKNOWN and self._may_leave_out(uri):
                kind = media_types.of_head(self._reader.head(item, _HEAD_BYTES))
                if kind and not is_read(kind):
                    return item, not_read(uri, kind)
            facts = self._reader.examine(item, self.max_bytes)
            size, content_hash, modified = facts.size, facts.content_hash, facts.modified
        shape = self.settings_hash(media_type)
        state = SourceState(uri, media_type, content_hash, size, modified, shape)
        if not content_hash:
            if is_named_otherwise(uri) and self._may_leave_out(uri):
                return item, not_read(uri, media_type)
            refusal = too_large(self.max_bytes, size)
            return item, Unreadable(Failed(uri, refusal.reason, str(refusal)), state)
        self.sizes[uri] = size
        return item, state

    def _may_leave_out(self, uri: str) -> bool:
        """Return True if a source need not be of a kind that is read."""
        if uri not in self.in_folders:
            return False
        record = self.catalog.document(self.collection, document_id(uri))
        return record is None or record.status is not VersionStatus.LIVE

    def _must_extract(self, state: SourceState) -> bool:
        uri = state.uri
        record = self.catalog.document(self.collection, document_id(uri))
        if record is None or record.status is not VersionStatus.LIVE:
            self._changed[uri] = (state, self.metadata or self.metadata_of_new or {}, Outcome.ADDED)
            return True
        given = record.given if self.metadata is None else self.metadata
        old = record.state
        # Its kind may be another one than its name promises.
        shape = state.content_hash, self.settings_hash(old.media_type)
        same = (old.content_hash, old.settings_hash) == shape
        if not same and self.on_conflict == "skip":
            self._queue.put(Finished(uri, Outcome.SKIPPED))
        elif not same and self.on_conflict == "error":
            self._fail(uri, "conflict", _conflict(old, state), None)
        elif not same or record.error_reason is not None:
            # If the last attempt failed, publishing it again deletes the recorded failure.
            self._changed[uri] = (state, given, Outcome.REPLACED)
            return True
        elif dict(given) != dict(record.given):
            self._queue.put(Relabelled(uri, given))
        else:
            self._queue.put(Finished(uri, Outcome.UNCHANGED))
        return False

    def _finish(self, source: Source, outcome: Document | ExtractionError) -> None:
        state, given, kind = self._changed.pop(source.uri)
        kind_hash = self.settings_hash(source.media_type)
        state = replace(state, media_type=source.media_type, settings_hash=kind_hash)
        if isinstance(outcome, ExtractionError):
            if self._may_leave_out(source.uri) and is_other_kind(outcome.reason, source.media_type):
                self.on_source(source.uri, 0, 0)
                self._queue.put(not_read(source.uri, source.media_type))
            else:
                self._fail(source.uri, outcome.reason, str(outcome), state)
            return
        started = time.perf_counter()
        try:
            document = _writable(with_known(outcome, self.items[state.uri]))
            draft = self._draft_in_time(state, document, given)
        except StoppedError:
            raise
        except DeadlineExceededError:
            slow = f"cutting it into chunks took longer than {self.timeout:g} s"
            message = f"{slow}; raise rag.ingest.timeout or split the file"
            self._fail(source.uri, "timeout", message, state)
            return
        except Exception as error:  # noqa: BLE001 - a plug-in may raise anything; one file fails
            cause = describe_unexpected(error)
            message = f"it could not be cut into chunks ({cause}); try another rag.splitter"
            self._fail(source.uri, "split", message, state)
            return
        self.seconds["split"] += time.perf_counter() - started
        if draft.chunks:
            self.on_source(source.uri, characters_of(draft), len(draft.chunks))
            self._queue.put(Prepared(draft, kind), weight=len(outcome.text))
        else:
            self._fail(source.uri, "empty", "there is no text in it to index", state)

    def _draft_in_time(
        self, state: SourceState, document: Document, given: Metadata
    ) -> VersionDraft:
        """Split a document within the time that a file may take.

        Raises:
            DeadlineExceededError: It takes longer; its thread goes on until the splitter notices.
        """
        with deadline(self.timeout), stopping(self.stop):
            return run_within_deadline(lambda: self._draft(state, document, given), "splitting")

    def _draft(self, state: SourceState, document: Document, given: Metadata) -> VersionDraft:
        language = self.language or detect_document(document)
        draft = VersionDraft(state, document, language, given, ())
        metadata = draft.metadata
        labelled = replace(document, metadata=metadata)
        chunks = {chunk.id: chunk for chunk in self.splitter.split(labelled)}
        kept = tuple(replace(chunk, metadata=metadata) for chunk in chunks.values())
        return replace(draft, chunks=kept)

    def _fail(self, uri: str, reason: str, message: str, state: SourceState | None) -> None:
        self.on_source(uri, 0, 0)
        self._queue.put(Unreadable(Failed(uri, reason, message), state))


def characters_of(draft: VersionDraft) -> int:
    """Return the number of characters of all passages of a version."""
    return sum(len(chunk.passage) for chunk in draft.chunks)


class _BoundedQueue(Generic[T]):
    """A queue whose items together weigh at most ``limit``; one heavier item may be alone in it."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._items: deque[tuple[T, int]] = deque()
        self._weight = 0
        self._closed = False
        self._condition = threading.Condition()

    def put(self, item: T, weight: int = 0) -> None:
        """Append an item as soon as there is room; raise StoppedError after ``close``."""
        weight += _BASE_WEIGHT
        with self._condition:
            while self._items and self._weight + weight > self._limit and not self._closed:
                self._condition.wait()
            self.check()
            self._append(item, weight)

    def put_now(self, item: T) -> None:
        """Append an item without waiting, also after ``close``."""
        with self._condition:
            self._append(item, 0)

    def get(self, idle: T) -> T:
        """Wait for the first item and remove it; return ``idle`` if none comes soon.

        Raises:
            StoppedError: It is closed and empty.
        """
        with self._condition:
            while not self._items:
                self.check()
                if not self._condition.wait(_IDLE_SECONDS) and not self._items:
                    return idle
            item, weight = self._items.popleft()
            self._weight -= weight
            self._condition.notify_all()
        return item

    def close(self) -> None:
        with self._condition:
            self._closed = True
            self._condition.notify_all()

    def check(self) -> None:
        """Raise StoppedError after ``close``."""
        if self._closed:
            raise StoppedError

    def _append(self, item: T, weight: int) -> None:
        self._items.append((item, weight))
        self._weight += weight
        self._condition.notify_all()


def _why_unread(uri: str, error: Exception) -> tuple[str, str]:
    """Return reason and message for a source that could not be read."""
    if isinstance(error, FetchError):
        return "fetch", str(error).removeprefix(f"{uri}: ")
    if isinstance(error, ExtractionError):
        return error.reason, str(error)
    if isinstance(error, OSError):
        return "missing", f"it cannot be read: {error.strerror or error}"
    cause = str(error) if isinstance(error, ValueError) else describe_unexpected(error)
    return "unreadable", f"it cannot be read: {cause}"


def _conflict(old: SourceState, new: SourceState) -> str:
    if old.content_hash == new.content_hash:
        return "it was ingested with other settings (splitter, language or text recognition)"
    return "it changed since it was ingested"


def _writable(document: Document) -> Document:
    """Replace lone surrogates, which UTF-8 cannot encode; offsets do not change.

    Numbers that JSON or stores refuse (not finite, or integers beyond 64 bits) become text.
    """
    own = {
        _writable_text(name): _storable(value)
        for name, value in metadata_of(document.metadata).items()
    }
    text, title = _writable_text(document.text), _writable_text(document.title)
    return replace(document, text=text, title=title, metadata=own)


def _storable(value: MetadataValue) -> MetadataValue:
    return tuple(map(_storable_item, value)) if isinstance(value, tuple) else _storable_item(value)


def _storable_item(value: MetadataScalar) -> MetadataScalar:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        return str(value)
    return _writable_text(value) if isinstance(value, str) else value
