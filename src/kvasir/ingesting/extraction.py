"""Extracts files in child processes, with limits of memory, time and size for each file.

A parser of untrusted documents may hang, crash or use all memory. A child that breaks a limit is
killed and replaced; only its file fails.
"""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from pathlib import Path
from queue import LifoQueue
from typing import Self

from kvasir.core import media_types
from kvasir.core.environment import environment, module_command
from kvasir.core.errors import ExtractionError, WireError
from kvasir.core.run import StopToken
from kvasir.core.types import Document, Source
from kvasir.core.wire import loads
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
_LARGEST_ANSWER = 1 << 30


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
    ) -> None:
        """Make a pool; no process is started yet.

        By default there is a child for each core, at most 4. The limits are for each file: seconds,
        MiB of memory (enforced on Linux), and MiB of its size.
        """
        self.workers = workers or min(4, os.cpu_count() or 1)
        self._timeout = timeout
        self._memory_mb = memory_mb
        self._max_bytes = max_file_mb << 20
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
        self, items: Iterable[Item], *, ordered: bool = True, stop: StopToken | None = None
    ) -> Iterator[tuple[Source, Outcome]]:
        """Yield each item's source and outcome; read ahead by a few files only.

        Without ``ordered``, results are yielded as they are finished. Setting ``stop`` ends the
        children that extract these items, and raises StoppedError.
        """
        pending: deque[Future[tuple[Source, Outcome]]] = deque()
        try:
            for item in items:
                pending.append(self._threads.submit(self.extract, item, stop))
                if len(pending) >= self.workers * 3:
                    yield _next(pending, ordered)
            while pending:
                yield _next(pending, ordered)
        finally:
            for future in pending:
                future.cancel()

    def extract(self, item: Item, stop: StopToken | None = None) -> tuple[Source, Outcome]:
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
                    media_type, outcome = child.extract(source, data)
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
            fresh = _Child(self._memory_mb, self._timeout)
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


class _Child:
    """One child process and the exchange of messages with it."""

    def __init__(self, memory_mb: int, timeout: float) -> None:
        # Its temporary files go with it, also when it is killed.
        self._folder = tempfile.TemporaryDirectory(
            prefix="kvasir-extraction-", ignore_cleanup_errors=True
        )
        threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
        self._process = subprocess.Popen(
            module_command("kvasir.ingesting.extraction_child", memory_mb, timeout),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment({**threads, "TMPDIR": self._folder.name}),
            # Ctrl-C goes to the parent only, which ends its children.
            process_group=0 if os.name == "posix" else None,
        )
        self._memory_mb = memory_mb
        self._timeout = timeout
        self._files = 0
        self._broken = False

    @property
    def is_usable(self) -> bool:
        is_alive = not self._broken and self._process.poll() is None
        return is_alive and self._files < _FILES_PER_CHILD

    @property
    def is_fresh(self) -> bool:
        return self._files <= 1

    def extract(self, source: Source, data: bytes | None) -> tuple[str, Outcome]:
        """Return media type and outcome; kill the child if it broke a limit."""
        self._files += 1
        late = threading.Event()
        timer = threading.Timer(self._timeout, self._expire, (late,))
        timer.daemon = True
        timer.start()
        started = time.monotonic()
        try:
            answer = self._ask(source, data)
        finally:
            timer.cancel()
            self._broken = late.is_set()
        if answer is None:
            self._broken = True
            self.kill()
            return "", self._death(late.is_set(), time.monotonic() - started)
        try:
            return self._read(answer)
        except WireError as error:
            # Only a compromised parser or a bug of Kvasir writes such an answer.
            self._broken = True
            self.kill()
            fact = f"what the parser returned cannot be read ({error})"
            return "", ExtractionError(_CRASHED, f"{fact}; open it and save it again")

    def _read(self, answer: bytes) -> tuple[str, Outcome]:
        reply = loads(ExtractionReply, answer)
        if reply.document is not None:
            return reply.media_type, reply.document
        needed = f"reading it needs more than {self._memory_mb} MiB of memory"
        message = reply.message or f"{needed}; raise the limit or split the file"
        return reply.media_type, ExtractionError(reply.reason, message)

    def _ask(self, source: Source, data: bytes | None) -> bytes | None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            write_frame(self._process.stdin, encode(ExtractionRequest(source, data is not None)))
            if data is not None:
                write_frame(self._process.stdin, data)
            return read_frame(self._process.stdout, _LARGEST_ANSWER)
        except (OSError, ValueError):
            # The child died, or the pool is being closed.
            return None

    def _expire(self, late: threading.Event) -> None:
        late.set()
        self.kill()

    def _death(self, late: bool, seconds: float) -> ExtractionError:
        if late:
            slow = f"reading it took longer than {self._timeout:g} s"
            return ExtractionError("timeout", f"{slow}; raise the limit or split the file")
        crash = f"the parser crashed on it (exit {self._process.wait()} after {seconds:.1f} s)"
        return ExtractionError(_CRASHED, f"{crash}; open it and save it again")

    def kill(self) -> None:
        """Kill the process and its children; a thread that reads from it sees the end."""
        if self._process.poll() is not None:
            return
        if os.name == "posix":
            # A program that it started, such as LibreOffice, is of its group.
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
        else:
            self._process.kill()

    def close(self) -> None:
        """End the process, wait for it and close its pipes."""
        self.kill()
        self._process.wait()
        self._folder.cleanup()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with suppress(BrokenPipeError):  # Data for a dead child can be dropped.
                    stream.close()
