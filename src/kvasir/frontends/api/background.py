"""The threads of the server: they index uploads, answer and mail questions, and tidy up.

Where Celery brings the work to worker processes, one thread sends it to the broker instead.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from kvasir.app import App
from kvasir.celery_jobs import make_sender
from kvasir.core.errors import KvasirError, StoppedError
from kvasir.core.queue_workers import Worker
from kvasir.core.run import Run, StopToken
from kvasir.core.services.jobs import Job
from kvasir.core.services.questions import Question
from kvasir.core.types import Answer
from kvasir.course_folder import FolderWatch, wait_for_folder
from kvasir.frontends.api.admission import Admission
from kvasir.frontends.api.generation import admitted
from kvasir.frontends.api.metrics import Metrics
from kvasir.frontends.api.tracing import Tracing
from kvasir.frontends.process import request_id
from kvasir.generator_start import GeneratorStart, prepare_generator
from kvasir.tasks import TASKS, answer_question, log_queued_answer, perform, tidy

logger = logging.getLogger(__name__)

_TIDY_SECONDS = 3600.0
_OUTCOMES = ("added", "replaced", "unchanged", "relabelled", "skipped")


class Background:
    """The server's own workers; start them once, and stop them before the ``App`` closes."""

    def __init__(
        self,
        app: App,
        *,
        metrics: Metrics,
        tracing: Tracing,
        admission: Admission,
        on_demand: bool = False,
    ) -> None:
        """Start nothing yet.

        Args:
            app: What they work with.
            metrics: Counts what is done.
            tracing: Traces it.
            admission: What requests and queued questions share.
            on_demand: Index uploads alone, from the first one on, and tidy up after a deletion: a
                command that only shares its index needs no database until then.
        """
        self._app = app
        self._metrics = metrics
        self._tracing = tracing
        self._admission = admission
        self._stop = StopToken()
        self._untidy = threading.Event()
        self._generator = GeneratorStart(partial(prepare_generator, app), self._stop)
        self._threads: list[threading.Thread] = []
        self._on_demand = on_demand
        self._starting = threading.Lock()
        self._is_tidying = False
        self._workers: list[Worker] = []
        self._answering: list[Worker] = []
        if on_demand:
            return
        if app.settings.jobs.backend == "celery":
            self._workers.append(make_sender(app, TASKS, self._stop))
            return
        self._workers += self._make_job_workers()
        self._answering += [
            app.services.make_answering_worker(
                self._answer, self._stop, on_answered=self._log_answer
            )
            for _ in range(app.settings.questions.workers)
        ]
        if app.settings.mail.send:
            self._workers += app.services.make_mail_workers(self._stop)

    def start(self) -> None:
        """Start the threads, unless they wait for the first upload."""
        if self._on_demand:
            return
        for worker in self._workers:
            self._begin(type(worker).__name__, worker.run)
        for worker in self._answering:
            self._begin(type(worker).__name__, partial(self._answer_when_ready, worker))
        self._begin("generator", self._prepare_generator)
        self._begin("tidy", self._tidy)
        if self._app.settings.folder is not None:
            self._begin("folder", FolderWatch(self._app, self._stop, self.wake).run)

    def wake(self) -> None:
        """Look for new work now."""
        with self._starting:
            if self._on_demand and not self._workers and not self._stop.is_set():
                self._workers += self._make_job_workers()
                for worker in self._workers:
                    self._begin(type(worker).__name__, worker.run)
        for worker in (*self._workers, *self._answering):
            worker.wake()

    def _make_job_workers(self) -> list[Worker]:
        return [
            self._app.services.make_job_worker(self._perform, self._stop)
            for _ in range(self._app.settings.server.job_workers)
        ]

    def tidy_up(self) -> None:
        """Delete what nothing needs soon."""
        self._untidy.set()
        with self._starting:
            if self._on_demand and not self._is_tidying and not self._stop.is_set():
                self._is_tidying = True
                self._begin("tidy", self._tidy)

    @property
    def generator_state(self) -> str:
        """``ok`` when answers can be generated, otherwise why not in a few words."""
        return self._generator.state

    def is_alive(self) -> bool:
        """Return True if every thread that was started is at work."""
        return self._stop.is_set() or all(thread.is_alive() for thread in self._threads)

    def stop(self, seconds: float) -> None:
        """Stop the threads, within some seconds; unfinished work goes back to its queue."""
        self._stop.set()
        end = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, end - time.monotonic()))

    def _begin(self, name: str, work: Callable[[], None]) -> None:
        thread = threading.Thread(target=work, name=name, daemon=True)
        thread.start()
        self._threads.append(thread)

    def _prepare_generator(self) -> None:
        self._generator.run()
        # The thread is alive as long as the server, as the others are.
        self._stop.wait()

    def _answer_when_ready(self, worker: Worker) -> None:
        if self._generator.wait() and wait_for_folder(self._app, self._stop):
            worker.run()

    def _perform(self, job: Job, run: Run) -> Any:
        token = request_id.set(job.id)
        try:
            with self._tracing.job(job.task, collection=job.collection):
                result = perform(self._app, job, run)
            self._count(job, result)
            return result
        except StoppedError:
            raise
        except Exception:
            if job.task.startswith("ingest"):
                self._metrics.documents.labels("failed").inc()
            raise
        finally:
            request_id.reset(token)

    def _answer(self, question: Question, stop: StopToken) -> Answer:
        token = request_id.set(question.id)
        try:
            return answer_question(
                self._app,
                question,
                stop,
                admit=lambda stream: admitted(
                    stream, self._admission, self._metrics, self._tracing
                ),
            )
        finally:
            request_id.reset(token)

    def _log_answer(self, question: Question, answer: Answer) -> None:
        log_queued_answer(self._app, question, answer)

    def _count(self, job: Job, result: Any) -> None:
        if not isinstance(result, Mapping):
            return
        for outcome in _OUTCOMES:
            self._metrics.documents.labels(outcome).inc(len(result.get(outcome, ())))
        if result.get("added") or result.get("replaced"):
            self._metrics.ingested_bytes.inc(job.arguments.get("size", 0))

    def _tidy(self) -> None:
        with self._stop.calling(self._untidy.set):
            while not self._stop.is_set():
                self._untidy.wait(_TIDY_SECONDS)
                self._untidy.clear()
                try:
                    tidy(self._app, Run(self._stop))
                except StoppedError:
                    return
                except KvasirError as error:
                    logger.error("tidying up failed, and is tried again later: %s", error)
                except Exception:
                    # The thread goes on, as the others do.
                    logger.exception("tidying up failed, and is tried again later")
