"""Searches the web and fetches the pages that are found, several at once, each within a deadline.

A host gets one request at a time, redirects to it included, so a page that hangs holds back only
other pages of its host. Bodies wait in files for the ingest, which may be slower than the network.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from email.utils import formatdate
from functools import partial
from io import BytesIO
from pathlib import Path
from queue import SimpleQueue
from tempfile import TemporaryDirectory
from typing import BinaryIO
from urllib.parse import urlsplit

from kvasir.core import dates
from kvasir.core.daemon_threads import start_daemon
from kvasir.core.errors import FetchError, RequestError, describe_unexpected
from kvasir.core.ledger import DocumentRecord, VersionStatus
from kvasir.core.protocols import WebSearch
from kvasir.core.reports import Failed, IngestReport, Outcome, WebIngestReport, WebPage
from kvasir.core.run import Run
from kvasir.core.types import Metadata, MetadataValue, Source, WebResult
from kvasir.ingesting.fetching import FetchedPage, fetch_page
from kvasir.ingesting.sources import KeptBytes, Upload

_MOST_AT_ONCE = 16
_STAGE = "pages"
ETAG = "etag"
"""Metadata field of a page with its server's tag of the version."""

_OUTCOMES = tuple(set(Outcome) - {Outcome.MOVED})

Conditions = Callable[[str], Mapping[str, str]]
"""Returns the headers that ask for an address only if it was modified."""


@dataclass(frozen=True, slots=True)
class PageFetcher:
    """Fetches pages.

    Attributes:
        allow_private, max_bytes: As of ``fetch_page``.
        timeout: Seconds for one page, redirects included.
        max_total: Most bytes of all pages that are fetched together.
    """

    allow_private: bool
    max_bytes: int
    timeout: float
    max_total: int = 1 << 30

    @contextmanager
    def fetch(
        self, found: Sequence[WebResult], conditions: Conditions, run: Run
    ) -> Iterator[WebFetch]:
        """Fetch pages; give them while their bytes are kept.

        After a stop those that have not arrived are missing.
        """
        with TemporaryDirectory(prefix="kvasir-web-", ignore_cleanup_errors=True) as folder:
            work = WebFetch(self, found, conditions, run, Path(folder))
            work.fetch_all()
            yield work

    def read(self, url: str) -> bytes:
        """Return the bytes of one address.

        Raises:
            FetchError: It cannot or may not be fetched.
        """
        body = BytesIO()
        fetch_page(
            url,
            body,
            allow_private=self.allow_private,
            max_bytes=self.max_bytes,
            timeout=self.timeout,
        )
        return body.getvalue()


@dataclass(frozen=True, slots=True)
class WebPages:
    """Finds pages, and fetches them.

    Attributes:
        engine: The search engine.
        fetcher: Fetches what it finds.
    """

    engine: WebSearch
    fetcher: PageFetcher

    def search(self, query: str, max_results: int, run: Run) -> list[WebResult]:
        """Return what the engine finds, best first, each address once.

        Raises:
            ComponentError: The engine failed; the message says what to do.
            RequestError: The query is empty or ``max_results`` below 1.
            StoppedError: The run was stopped.
        """
        if not query.strip():
            raise RequestError("the query is empty: type one")
        if max_results < 1:
            raise RequestError(f"max_results must be at least 1, not {max_results}")
        found = run.call(partial(self.engine.search, query, max_results))
        unique = {each.url.partition("#")[0]: each for each in reversed(found)}
        return [each for each in found if unique[each.url.partition("#")[0]] is each]


class WebFetch:
    """Pages that are fetched together.

    Attributes:
        pages: Every page, in the order given. Those of ``uploads`` have no outcome yet.
        uploads: The pages to ingest.
        gone: Addresses of which the server says that there is no such page.
    """

    def __init__(
        self,
        web: PageFetcher,
        found: Sequence[WebResult],
        conditions: Conditions,
        run: Run,
        folder: Path,
    ) -> None:
        self.pages = [WebPage(each.url, each.title) for each in found]
        self.uploads: list[Upload] = []
        self.gone: set[str] = set()
        self._web, self._found, self._conditions = web, found, conditions
        self._run, self._folder = run, folder
        self._turns = _Turns()
        self._room = _Room(web.max_total)
        self._arrived: SimpleQueue[tuple[int, _Arrival] | None] = SimpleQueue()
        self._hosts: deque[list[int]] = deque()

    def fetch_all(self) -> None:
        """Fetch the pages of different hosts at the same time; return early after a stop."""
        by_host: dict[str, list[int]] = {}
        for index, each in enumerate(self._found):
            by_host.setdefault(_host(each.url), []).append(index)
        self._hosts.extend(by_host.values())
        for _ in range(min(_MOST_AT_ONCE, len(self._hosts))):
            start_daemon(self._work)
        arrived: dict[int, _Arrival] = {}
        total = len(self._found)
        self._run.report(_STAGE, 0, total, _STAGE)
        with self._run.stop.calling(partial(self._arrived.put, None)):
            while len(arrived) < total and (item := self._arrived.get()) is not None:
                index, arrival = item
                arrived[index] = arrival
                self._report(len(arrived), self._found[index].url, arrival)
        self._sort(arrived)

    def _report(self, done: int, url: str, arrival: _Arrival) -> None:
        details = _details(arrival) if isinstance(arrival, Failed) else {}
        total = len(self._found)
        self._run.report(_STAGE, done, total, _STAGE, remaining=None, item=url, **details)

    def _sort(self, arrived: Mapping[int, _Arrival]) -> None:
        """Put arrived pages in the order of the results; the first of an address is taken."""
        seen: dict[str, str] = {}
        for index in sorted(arrived):
            arrival, page = arrived[index], self.pages[index]
            if isinstance(arrival, Failed):
                page = replace(
                    page, outcome="failed", reason=arrival.reason, message=arrival.message
                )
            elif (uri := arrival.source.uri) in seen:
                message = f"it leads to the same page as {seen[uri]}"
                page = replace(page, source_uri=uri, outcome="repeated", message=message)
            else:
                seen[uri] = page.url
                page = replace(page, source_uri=uri)
                if arrival.path is None:
                    page = replace(page, outcome=Outcome.UNCHANGED.value)
                else:
                    kept = KeptBytes(arrival.path.stat().st_size, arrival.path.read_bytes)
                    self.uploads.append((arrival.source, kept))
            self.pages[index] = page

    def _work(self) -> None:
        while not self._run.stop.is_set():
            try:
                indexes = self._hosts.popleft()
            except IndexError:
                return
            for index in indexes:
                if self._run.stop.is_set():
                    return
                self._arrived.put((index, self._fetch(index)))

    def _fetch(self, index: int) -> _Arrival:
        """Fetch a page into a file; whatever is wrong with it, it is one page."""
        found, web = self._found[index], self._web
        visit = _Visit(self._turns, self._conditions, web.timeout)
        path = self._folder / str(index)
        try:
            with path.open("wb") as file:
                body = _FileBody(file, path, self._room)
                try:
                    page = fetch_page(
                        found.url,
                        body,
                        allow_private=web.allow_private,
                        max_bytes=web.max_bytes,
                        timeout=web.timeout,
                        before=visit,
                    )
                except BaseException:
                    body.discard()
                    raise
            return self._kept(index, page, path)
        except FetchError as error:
            if error.is_gone:
                self.gone.add(found.url)
            return Failed(found.url, "fetch", str(error))
        except Exception as error:  # noqa: BLE001 - the others go on
            message = f"it could not be fetched ({describe_unexpected(error)})"
            return Failed(found.url, "fetch", message)
        finally:
            visit.leave()

    def _kept(self, index: int, page: FetchedPage, path: Path) -> _Kept:
        if not page.modified:
            return _Kept(page.source, None)
        known: dict[str, MetadataValue] = {"fetched": dates.from_timestamp(time.time())}
        if published := self._found[index].published:
            known["published"] = published
        if page.etag:
            known[ETAG] = page.etag
        return _Kept(replace(page.source, known=known), path)


@dataclass(frozen=True, slots=True)
class _Kept:
    """A page that arrived; ``path`` has its body, and is None if it was not modified."""

    source: Source
    path: Path | None


_Arrival = _Kept | Failed


def conditions_of(record: DocumentRecord) -> dict[str, str]:
    """Return the headers that ask for a page only if it is another one than its document's.

    Source: RFC 9110, section 13.1.
    """
    headers = {}
    if etag := record.metadata.get(ETAG):
        headers["If-None-Match"] = str(etag)
    if record.state.modified is not None:
        headers["If-Modified-Since"] = formatdate(record.state.modified, usegmt=True)
    return headers


def is_current(record: DocumentRecord, settings_hash: str, metadata: Metadata | None) -> bool:
    """Return True if a page that was not modified needs nothing."""
    return is_live_with(record, metadata) and record.state.settings_hash == settings_hash


def is_live_with(record: DocumentRecord, metadata: Metadata | None) -> bool:
    """Return True if a document was read well, and has the given metadata; None is any."""
    is_good = record.status is VersionStatus.LIVE and record.error_reason is None
    return is_good and (metadata is None or dict(metadata) == dict(record.given))


def web_report(
    report: IngestReport, query: str, engine: str, pages: Sequence[WebPage]
) -> WebIngestReport:
    """Return the report on a search, from that on the ingest of the pages that were fetched."""
    made = WebIngestReport(query=query, engine=engine)
    made.add(report)
    made.left = []
    ends = {uri: {"outcome": name.value} for name in _OUTCOMES for uri in getattr(report, name)}
    ends |= {moved.source_uri: {"outcome": Outcome.MOVED.value} for moved in report.moved}
    ends |= {failed.source_uri: _details(failed) for failed in report.failed}
    for page in pages:
        if page.outcome == "failed":
            made.failed.append(Failed(page.url, page.reason, page.message))
        elif page.outcome == Outcome.UNCHANGED:
            made.unchanged.append(page.source_uri)
        elif page.outcome == "left" and page.source_uri in ends:
            page = replace(page, **ends[page.source_uri])
        elif page.outcome == "left":
            made.left.append(page.source_uri or page.url)
        made.pages.append(page)
    made.sort()
    return made


def _details(failed: Failed) -> dict[str, str]:
    return {"outcome": "failed", "reason": failed.reason, "message": failed.message}


def _host(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


class _Room:
    """Counts the bytes of all pages of a search."""

    def __init__(self, most: int) -> None:
        self._most, self._left, self._lock = most, most, threading.Lock()

    def take(self, size: int) -> None:
        """Take room for a piece of a page.

        Raises:
            FetchError: There is not as much left.
        """
        with self._lock:
            if size > self._left:
                raise FetchError(
                    f"the pages of this search have more than {self._most >> 20} MB together; "
                    "ingest this address by itself"
                )
            self._left -= size


class _FileBody:
    """A body in a file, within the room of its search."""

    def __init__(self, file: BinaryIO, path: Path, room: _Room) -> None:
        self._file, self._path, self._room, self._size = file, path, room, 0

    def write(self, piece: bytes) -> None:
        self._room.take(len(piece))
        self._size += len(piece)
        try:
            self._file.write(piece)
        except OSError as error:
            raise FetchError(f"it cannot be kept on the disk: {error.strerror or error}") from error

    def discard(self) -> None:
        """Delete the file, and give its room back."""
        self._path.unlink(missing_ok=True)
        self._room.take(-self._size)

    def getvalue(self) -> bytes:
        self._file.flush()
        return self._path.read_bytes()


class _Turns:
    """One lock for each host."""

    def __init__(self) -> None:
        self._hosts: dict[str, threading.Lock] = {}

    def of(self, host: str) -> threading.Lock:
        # ``setdefault`` of a dictionary is one step for all threads.
        return self._hosts.setdefault(host, threading.Lock())


class _Visit:
    """One fetch: it has the turn at one host after the other, as redirects lead it."""

    def __init__(self, turns: _Turns, conditions: Conditions, seconds: float) -> None:
        self._turns, self._conditions = turns, conditions
        self._end = time.monotonic() + seconds
        self._turn: threading.Lock | None = None

    def __call__(self, address: str) -> Mapping[str, str]:
        """Wait for the turn at the host of a request; return its conditions."""
        self.leave()
        host = _host(address)
        lock = self._turns.of(host)
        if not lock.acquire(timeout=max(0.0, self._end - time.monotonic())):
            raise FetchError(f"{host} was busy with another page all the time; try again later")
        self._turn = lock
        return self._conditions(address)

    def leave(self) -> None:
        """End the turn; a second call does nothing."""
        turn, self._turn = self._turn, None
        if turn is not None:
            turn.release()
