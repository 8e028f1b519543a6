"""Embeds the chunks of a job by jobs of their own, which other processes do.

A job of ``EMBED_TASK`` has the digest of at most ``MOST_TEXTS`` texts in the spool, and returns the
digest of their vectors there. Its key is made of the job that waits for it and of the texts: a job
that is done again, because its worker died, finds what was embedded before.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from io import BytesIO
from typing import BinaryIO, cast

import numpy as np

from kvasir.core.batches import batches
from kvasir.core.errors import ComponentError, NotFoundError, RequestError, StoppedError
from kvasir.core.protocols import Embedder, TokenCounter
from kvasir.core.run import StopToken
from kvasir.core.services.jobs import Job, JobQueue, JobState, NewJob, Spool
from kvasir.core.types import Matrix

logger = logging.getLogger(__name__)

EMBED_TASK = "embed_chunks"
MOST_TEXTS = 256
_AT_ONCE = 2
"""Jobs of one call, which two processes may do at the same time."""
_KEPT = 16
"""Jobs whose bytes are kept until their vectors are written: a killed worker may need them."""
_FIRST_LOOK, _LONGEST_LOOK = 0.01, 0.2
_ALONE_SECONDS = 60.0
"""Time between two looks whether a worker embeds; it is logged if none does."""
_UNREAD_SECONDS = 300.0
"""Time without a worker that embeds, after which none reads the queue."""
_MOST_BYTES = 1 << 30


class _Owner:
    """The job that waits, its jobs that are not read yet, and the bytes that it still needs.

    A thread that embeds may go on for a moment after its job has been stopped.
    """

    def __init__(self, job_id: str) -> None:
        self.job_id = job_id
        self._lock = threading.Lock()
        self._unread: dict[str, str] | None = {}
        """The digest of the texts of each job, by its id; None when the attempt is over."""
        self.digests: deque[tuple[str, ...]] = deque()

    def check(self) -> None:
        """Raise ``StoppedError`` if the attempt is over."""
        if self._unread is None:
            raise StoppedError

    def add(self, job_id: str, texts: str) -> None:
        """Take note of an embedding job.

        Raises:
            StoppedError: The attempt is over.
        """
        with self._lock:
            self.check()
            cast(dict[str, str], self._unread)[job_id] = texts

    def has_read(self, job_id: str, *digests: str) -> None:
        """Take note that the vectors of a job were read; its bytes are needed for a while."""
        with self._lock:
            self.digests.append(digests)
            if self._unread is not None:
                # Two parts of the same texts are one job.
                self._unread.pop(job_id, None)

    def close(self) -> dict[str, str]:
        """Return the jobs that are not read; no more are taken."""
        with self._lock:
            unread, self._unread = self._unread or {}, None
            return unread


_owner: ContextVar[_Owner] = ContextVar("owner")


@contextmanager
def embedding_for(job: Job, jobs: JobQueue, spool: Spool, stop: StopToken) -> Iterator[None]:
    """Let the chunks that are embedded inside belong to a job.

    When it has ended, its open embedding jobs are cancelled and all their bytes deleted. If it is
    tried again, both are kept for the next attempt.

    Args:
        job: The job, as it was claimed.
        jobs: Has it, and its embedding jobs.
        spool: Has texts and vectors.
        stop: That of the attempt.
    """
    owner = _Owner(job.id)
    token = _owner.set(owner)
    error: Exception | None = None
    try:
        yield
    except Exception as raised:
        error = raised
        raise
    finally:
        _owner.reset(token)
        unread = owner.close()
        if _has_ended(job, jobs, stop, error):
            for job_id, texts in unread.items():
                _give_up(jobs, spool, job_id, texts)
            _delete(owner, spool, 0)


def _give_up(jobs: JobQueue, spool: Spool, job_id: str, texts: str) -> None:
    """Cancel an embedding job, and delete its texts and the vectors that nobody reads."""
    job = jobs.cancel(job_id)
    spool.delete(texts)
    if job.state is JobState.DONE:
        spool.delete(job.result["vectors"])


def _has_ended(job: Job, jobs: JobQueue, stop: StopToken, error: Exception | None) -> bool:
    """Return True if an attempt was the last one of its job."""
    if stop.is_set():
        # Otherwise this worker ends, or has lost the job to another one.
        return jobs.job(job.id).state is JobState.CANCELLED
    return error is None or isinstance(error, RequestError) or job.attempts >= jobs.max_attempts


def _delete(owner: _Owner, spool: Spool, kept: int) -> None:
    while len(owner.digests) > kept:
        for digest in owner.digests.popleft():
            spool.delete(digest)


class QueuedEmbedder:
    """An embedder whose documents are embedded by jobs of ``EMBED_TASK``.

    Used inside of ``embedding_for``.
    """

    passages_of_call = _AT_ONCE * MOST_TEXTS

    def __init__(
        self,
        embedder: Embedder,
        collection: str,
        jobs: JobQueue,
        spool: Spool,
        *,
        queue: str,
        stop: StopToken,
        wake: Callable[[], None],
    ) -> None:
        """Embed for a collection.

        Args:
            embedder: The collection's, which computes queries.
            collection: Its name.
            jobs: Has the jobs.
            spool: Has texts and vectors.
            queue: The name of the queue whose workers embed.
            stop: Ends waiting.
            wake: Called when jobs were added.
        """
        self._embedder = embedder
        self._collection = collection
        self._jobs = jobs
        self._spool = spool
        self._queue = queue
        self._stop = stop
        self._wake = wake
        self.name, self.dimension = embedder.name, embedder.dimension
        self.fingerprint, self.languages = embedder.fingerprint, embedder.languages

    def embed_queries(self, texts: Sequence[str]) -> Matrix:
        """Return vectors of queries, which this process computes."""
        return self._embedder.embed_queries(texts)

    def embed_documents(self, texts: Sequence[str]) -> Matrix:
        """Return float32 [n, dimension], unit length, which other processes compute.

        Raises:
            RequestError: The texts cannot be embedded; the message says why.
            ComponentError: No worker embeds.
            StoppedError: The process ends.
        """
        owner = _owner.get()
        parts = [list(part) for part in batches(texts, MOST_TEXTS)]
        vectors = [np.empty((0, self.dimension), np.float32)]
        added = [self._add(owner, part) for part in parts]
        self._wake()
        for part, (digest, job) in zip(parts, added, strict=True):
            vectors.append(self._vectors(owner, part, digest, job))
        _delete(owner, self._spool, _KEPT)
        return np.concatenate(vectors)

    def _vectors(self, owner: _Owner, texts: list[str], digest: str, job: Job) -> Matrix:
        number = 0
        while True:
            made = self._wait(job)
            if made.state is not JobState.DONE:
                reason = made.message or made.state
                raise RequestError(f"its chunks could not be embedded: {reason}")
            try:
                with self._spool.open(made.result["vectors"]) as stream:
                    vectors = read_vectors(stream)
            except NotFoundError:
                # They were deleted in time; an earlier attempt had them.
                number += 1
                digest, job = self._add(owner, texts, number)
                self._wake()
                continue
            if vectors.shape != (len(texts), self.dimension):
                raise ComponentError(
                    "embedding", "reading", f"{vectors.shape} is not the shape of the vectors"
                )
            owner.has_read(made.id, digest, made.result["vectors"])
            return vectors

    def _add(self, owner: _Owner, texts: list[str], number: int = 0) -> tuple[str, Job]:
        data = json.dumps({"for": owner.job_id, "texts": texts}).encode()
        while True:
            owner.check()
            digest, _ = self._spool.put(BytesIO(data), max_bytes=_MOST_BYTES)
            with self._spool.lock():
                if self._spool.has(digest):
                    job = self._jobs.add(
                        NewJob(
                            EMBED_TASK,
                            {
                                "texts": digest,
                                "count": len(texts),
                                "fingerprint": self.fingerprint,
                                "for": owner.job_id,
                            },
                            collection=self._collection,
                            key=f"{owner.job_id}:{digest}:{number}",
                            digest=digest,
                        )
                    )
                    break
        if job.state in (JobState.FAILED, JobState.CANCELLED):
            job = self._jobs.retry(job.id)
        owner.add(job.id, digest)
        return digest, job

    def _wait(self, job: Job) -> Job:
        """Return a job that has ended.

        Raises:
            ComponentError: No worker embeds; the job that waits is tried again later.
            StoppedError: The process ends.
        """
        pause, seen = _FIRST_LOOK, self._taken()
        looked = alive = time.monotonic()
        while job.state in (JobState.WAITING, JobState.RUNNING):
            now = time.monotonic()
            if now - looked >= _ALONE_SECONDS:
                before, seen, looked = seen, self._taken(), now
                if seen != before or self._jobs.is_held(EMBED_TASK):
                    alive = now
                else:
                    self._check_alone(now - alive)
            if self._stop.wait(pause):
                raise StoppedError
            pause = min(1.5 * pause, _LONGEST_LOOK)
            job = self._jobs.job(job.id)
        return job

    def _check_alone(self, seconds: float) -> None:
        """Log that no worker embeds, or raise ComponentError if it has lasted too long."""
        if seconds >= _UNREAD_SECONDS:
            cause = f"no worker reads the queue '{self._queue}'"
            raise ComponentError("embedding", "waiting", cause, kind="unreachable")
        logger.warning("chunks wait for %d s for a worker of the queue '%s'", seconds, self._queue)

    def _taken(self) -> set[tuple[str, int, JobState]]:
        """Return the last jobs that workers took; it changes when a worker begins or ends one."""
        found = self._jobs.jobs(task=EMBED_TASK, states=set(JobState) - {JobState.WAITING})
        return {(each.id, each.attempts, each.state) for each in found}


class CountingQueuedEmbedder(QueuedEmbedder):
    """That of an embedder that counts tokens, as this process does as well."""

    @property
    def max_tokens(self) -> int:
        """Longer texts are truncated."""
        return cast(TokenCounter, self._embedder).max_tokens

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Return the number of tokens of each text, special tokens included."""
        return cast(TokenCounter, self._embedder).count_tokens(texts)


def queued(
    embedder: Embedder,
    collection: str,
    jobs: JobQueue,
    spool: Spool,
    *,
    queue: str,
    stop: StopToken,
    wake: Callable[[], None],
) -> QueuedEmbedder:
    """Return an embedder as ``QueuedEmbedder``; it counts tokens if the other one does."""
    kind = CountingQueuedEmbedder if isinstance(embedder, TokenCounter) else QueuedEmbedder
    return kind(embedder, collection, jobs, spool, queue=queue, stop=stop, wake=wake)


def read_texts(stream: BinaryIO) -> list[str]:
    """Return the texts of a job."""
    texts: list[str] = json.loads(stream.read())["texts"]
    return texts


def write_vectors(spool: Spool, job_id: str, vectors: Matrix) -> str:
    """Keep the vectors of a job in the spool; return their digest, which no other job has."""
    data = BytesIO()
    data.write(job_id.encode().ljust(64))
    np.save(data, vectors, allow_pickle=False)
    data.seek(0)
    return spool.put(data, max_bytes=_MOST_BYTES)[0]


def read_vectors(stream: BinaryIO) -> Matrix:
    """Return vectors that ``write_vectors`` has kept."""
    data = BytesIO(stream.read())
    data.seek(64)
    vectors: Matrix = np.load(data, allow_pickle=False)
    return vectors
