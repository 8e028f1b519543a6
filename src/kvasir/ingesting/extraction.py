"""Extracts files in child processes, with limits of memory, time and size for each file.

A parser of untrusted documents may hang, crash or use all memory. A child that breaks a limit is
killed and replaced; only its file fails.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from queue import LifoQueue
from typing import Self

from kvasir.core import media_types
from kvasir.core.environment import environment, module_command
from kvasir.core.errors import ExtractionError, WireError
from kvasir.core.operating_system import kill_group
from kvasir.core.run import StopToken
from kvasir.core.types import Document, Source
from kvasir.core.wire import loads
from kvasir.ingesting.child_ends import StandardError, describe_end, is_out_of_memory
from kvasir.ingesting.extraction_child import (
    ExtractionReply,
    ExtractionRequest,
    encode,
    read_frame,
    write_frame,
)

Item = str | Path | Source | tuple[Source, bytes]
"""A file's path, a source whose ``uri`` is one, or a source with its bytes."""
Outcome = Document | ExtractionError

_FILES_PER_CHILD = 500
"""A child is replaced after this many files, which frees memory that its libraries leaked."""
_CRASHED = "crash"
_MOST_OCR_PAGES = 5_000
_LARGEST_ANSWER = 1 << 30
_END_SECONDS = 2.0
"""Time for a child that answers no more to end by itself, so that its exit status is known."""


@dataclass(frozen=True, slots=True)
class OcrLimits:
    """What a page gets whose text is recognized, in addition to the limits of its file."""

    page_seconds: float = 60.0
    memory_mb: int = 4096


OnPage = Callable[[str, int, int], None]
"""Called before a page is recognized, with the source's URI, its number and the file's pages."""


_OCR_LIMITS = OcrLimits()


class ExtractionPool:
    """Extracts files on several child processes.

        with ExtractionPool(workers=2) as pool:
            for source, outcome in pool.map(paths):
                ...

    ``outcome`` is a ``Document`` or an ``ExtractionError``, whose message is one line without the
    file's name. Children are started when first needed.
    """

    def __init__(
        self,
        workers: int | None = None,
        timeout: float = 120.0,
        memory_mb: int = 1024,
        max_file_mb: int = 200,
        ocr: OcrLimits | None = _OCR_LIMITS,
    ) -> None:
        """Make a pool; no process is started yet.

        By default there is a child for each core, at most 4. The limits are for each file: seconds,
        MiB of memory (enforced on Linux), and MiB of its size. Without ``ocr`` no text is
        recognized in pictures.
        """
        self.workers = workers or min(4, os.cpu_count() or 1)
        self._timeout = timeout
        self._memory_mb = memory_mb
        self._max_bytes = max_file_mb << 20
        self._ocr = ocr
        self._threads = ThreadPoolExecutor(self.workers, thread_name_prefix="extraction")
        self._idle: LifoQueue[_Child | None] = LifoQueue()
        for _ in range(self.workers):
            self._idle.put(None)
        self._children: set[_Child] = set()
        self._lock = threading.Lock()
        self._closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def map(
        self,
        items: Iterable[Item],
        *,
        ordered: bool = True,
        stop: StopToken | None = None,
        on_page: OnPage | None = None,
    ) -> Iterator[tuple[Source, Outcome]]:
        """Yield each item's source and outcome; read ahead by a few files only.

        Without ``ordered``, results are yielded as they are finished. Setting ``stop`` ends the
        children that extract these items, and raises StoppedError. ``on_page`` is called in any
        thread.
        """
        pending: deque[Future[tuple[Source, Outcome]]] = deque()
        try:
            for item in items:
                pending.append(self._threads.submit(self.extract, item, stop, on_page))
                if len(pending) >= self.workers * 3:
                    yield _next(pending, ordered)
            while pending:
                yield _next(pending, ordered)
        finally:
            for future in pending:
                future.cancel()

    def extract(
        self, item: Item, stop: StopToken | None = None, on_page: OnPage | None = None
    ) -> tuple[Source, Outcome]:
        """Extract one file, in any thread, and wait for it; raise StoppedError on ``stop``."""
        stop = stop or StopToken()
        source, data = _resolve(item)
        if refusal := self._refusal(source, data):
            return source, refusal
        child = self._idle.get()
        try:
            while True:
                stop.raise_if_set()
                if child is None or not child.is_usable:
                    child = self._replace(child)
                with stop.calling(child.kill):
                    media_type, outcome = child.extract(source, data, on_page)
                stop.raise_if_set()
                # An earlier file may have caused a crash: try again in a new child.
                is_crash = isinstance(outcome, ExtractionError) and outcome.reason == _CRASHED
                if child.is_fresh or not is_crash:
                    break
        finally:
            self._idle.put(child)
        return Source(source.uri, media_type or source.media_type), outcome

    def close(self) -> None:
        """End the children; waiting files are not read. A second call does nothing."""
        with self._lock:
            self._closed = True
            children = list(self._children)
        for child in children:
            child.kill()
        self._threads.shutdown(wait=True, cancel_futures=True)
        for child in children:
            child.close()

    def _refusal(self, source: Source, data: bytes | None) -> ExtractionError | None:
        path = Path(source.uri)
        try:
            size = path.stat().st_size if data is None else len(data)
        except OSError as error:
            return ExtractionError("unreadable", f"cannot be read: {error.strerror or error}")
        if data is None and not path.is_file():
            return ExtractionError("unreadable", "it is not a regular file")
        if size > self._max_bytes:
            return too_large(self._max_bytes, size)
        return None

    def _replace(self, child: _Child | None) -> _Child:
        with self._lock:
            if child is not None:
                self._children.discard(child)
            if self._closed:
                raise RuntimeError("the extraction pool is closed")
            fresh = _Child(self._memory_mb, self._timeout, self._ocr)
            self._children.add(fresh)
        if child is not None:
            child.close()
        return fresh


def too_large(limit: int, size: int | None = None) -> ExtractionError:
    """Return the error for a source larger than ``limit`` bytes; None is an unknown size."""
    fact = f"it is larger than {limit / (1 << 20):g} MiB"
    if size is not None:
        fact = f"it has {size / (1 << 20):.1f} MiB, the limit is {limit / (1 << 20):g} MiB"
    return ExtractionError("too_large", f"{fact}; raise rag.ingest.max_file_mb or split the file")


def _next(pending: deque[Future[tuple[Source, Outcome]]], ordered: bool) -> tuple[Source, Outcome]:
    if ordered:
        return pending.popleft().result()
    done = next(iter(wait(pending, return_when=FIRST_COMPLETED).done))
    pending.remove(done)
    return done.result()


def _resolve(item: Item) -> tuple[Source, bytes | None]:
    if isinstance(item, tuple):
        return item
    if isinstance(item, Source):
        return item, None
    return Source(str(item), media_types.by_name(str(item))), None


class _TimeLimit:
    """Calls ``kill`` in another thread when a file, or a page of it, takes too long."""

    def __init__(self, seconds: float, kill: Callable[[], None]) -> None:
        self._kill = kill
        self.is_exceeded = False
        self._end = time.monotonic() + seconds
        self._start()

    def extend(self, seconds: float) -> None:
        """Give this many seconds more."""
        self.end()
        self._end += seconds
        self._start()

    def end(self) -> None:
        self._timer.cancel()

    def _start(self) -> None:
        self._timer = threading.Timer(max(0.0, self._end - time.monotonic()), self._expire)
        self._timer.daemon = True
        self._timer.start()

    def _expire(self) -> None:
        self.is_exceeded = True
        self._kill()


class _Child:
    """One child process and the exchange of messages with it."""

    def __init__(self, memory_mb: int, timeout: float, ocr: OcrLimits | None) -> None:
        # Its temporary files go with it, also when it is killed.
        self._folder = tempfile.TemporaryDirectory(
            prefix="kvasir-extraction-", ignore_cleanup_errors=True
        )
        threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
        limits = (memory_mb, timeout, ocr.memory_mb if ocr else 0, ocr.page_seconds if ocr else 0)
        self._process = subprocess.Popen(
            module_command("kvasir.ingesting.extraction_child", *limits),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment({**threads, "TMPDIR": self._folder.name}),
            # Ctrl-C goes to the parent only, which ends its children.
            process_group=0 if os.name == "posix" else None,
        )
        assert self._process.stderr is not None
        self._errors = StandardError(self._process.stderr)
        self._memory_mb = memory_mb
        self._timeout = timeout
        self._ocr = ocr
        self._files = 0
        self._broken = False
        self._is_killed = False

    @property
    def is_usable(self) -> bool:
        is_alive = not self._broken and self._process.poll() is None
        return is_alive and self._files < _FILES_PER_CHILD

    @property
    def is_fresh(self) -> bool:
        return self._files <= 1

    def extract(
        self, source: Source, data: bytes | None, on_page: OnPage | None
    ) -> tuple[str, Outcome]:
        """Return media type and outcome; kill the child if it broke a limit."""
        self._files += 1
        self._errors.clear()
        limit = _TimeLimit(self._timeout, self.kill)
        started = time.monotonic()
        pages = 0
        try:
            reply = self._ask(source, data)
            while reply is not None and reply.ocr_page and self._ocr is not None:
                pages += 1
                if pages > _MOST_OCR_PAGES:
                    # A child does not get more time without an end.
                    self._broken = True
                    self.kill()
                    fact = f"the text of more than {_MOST_OCR_PAGES} pages must be recognized"
                    return "", ExtractionError("too_large", f"{fact}; split the file")
                limit.extend(self._ocr.page_seconds)
                if on_page is not None:
                    on_page(source.uri, reply.ocr_page, reply.ocr_pages)
                reply = self._next_reply()
        except WireError as error:
            # Only a compromised parser or a bug of Kvasir writes such an answer.
            self._broken = True
            self.kill()
            fact = f"what the parser returned cannot be read ({error})"
            return "", ExtractionError(_CRASHED, f"{fact}; open it and save it again")
        finally:
            limit.end()
            self._broken = self._broken or limit.is_exceeded
        if reply is None:
            self._broken = True
            if limit.is_exceeded:
                self.kill()
                return "", self._late(pages)
            return "", self._crash(time.monotonic() - started, pages)
        return self._outcome(reply, pages)

    def _outcome(self, reply: ExtractionReply, pages: int) -> tuple[str, Outcome]:
        if reply.document is not None:
            return reply.media_type, reply.document
        message = reply.message or self._too_much_memory(pages)
        return reply.media_type, ExtractionError(reply.reason, message)

    def _too_much_memory(self, pages: int) -> str:
        limit = self._memory_mb
        setting = "rag.ingest.memory_mb"
        if pages and self._ocr is not None:
            limit, setting = self._ocr.memory_mb, "rag.ingest.ocr_memory_mb"
        needed = f"reading it needs more than {limit} MiB of memory"
        return f"{needed}; raise {setting} or split the file"

    def _ask(self, source: Source, data: bytes | None) -> ExtractionReply | None:
        assert self._process.stdin is not None
        try:
            write_frame(self._process.stdin, encode(ExtractionRequest(source, data is not None)))
            if data is not None:
                write_frame(self._process.stdin, data)
        except (OSError, ValueError):
            # The child died, or the pool is being closed.
            return None
        return self._next_reply()

    def _next_reply(self) -> ExtractionReply | None:
        assert self._process.stdout is not None
        try:
            answer = read_frame(self._process.stdout, _LARGEST_ANSWER)
        except (OSError, ValueError):
            return None
        return loads(ExtractionReply, answer) if answer is not None else None

    def _late(self, pages: int) -> ExtractionError:
        slow, setting = f"reading it took longer than {self._timeout:g} s", "rag.ingest.timeout"
        if pages and self._ocr is not None:
            more = f"{self._ocr.page_seconds:g} s for each of {pages} recognized pages"
            slow, setting = f"{slow} and {more}", "rag.ingest.ocr_page_timeout"
        return ExtractionError("timeout", f"{slow}; raise {setting} or split the file")

    def _crash(self, seconds: float, pages: int) -> ExtractionError:
        status: int | None = None
        with suppress(subprocess.TimeoutExpired):
            status = self._process.wait(_END_SECONDS)
        if self._is_killed:
            return ExtractionError(_CRASHED, "reading it was given up; ingest it again")
        self._kill()
        written = self._errors.text()
        if is_out_of_memory(written):
            return ExtractionError("memory", self._too_much_memory(pages))
        crash = f"the parser crashed on it after {seconds:.1f} s ({describe_end(status, written)})"
        return ExtractionError(_CRASHED, f"{crash}; open it and save it again")

    def kill(self) -> None:
        """Kill the process and its children; a thread that reads from it sees the end."""
        if self._process.poll() is None:
            self._is_killed = True
            self._kill()

    def _kill(self) -> None:
        # A program that it started, such as LibreOffice, is of its group.
        kill_group(self._process)

    def close(self) -> None:
        """End the process, wait for it and close its pipes."""
        self.kill()
        self._process.wait()
        self._folder.cleanup()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with suppress(BrokenPipeError):  # Data for a dead child can be dropped.
                    stream.close()
