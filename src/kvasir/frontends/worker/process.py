"""A worker process: one ``App``, one Celery worker in threads, and what runs beside its tasks."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

from celery import Celery, signals

from kvasir.app import App
from kvasir.celery_jobs import (
    embedding_for,
    embedding_queue,
    make_celery_worker,
    make_queued_embedder,
    make_sender,
    options_of,
)
from kvasir.core.errors import KvasirError, SettingsError
from kvasir.core.protocols import Embedder
from kvasir.core.queue_workers import Worker
from kvasir.core.run import Run, StopToken
from kvasir.core.services.jobs import Job
from kvasir.core.services.questions import Question
from kvasir.core.types import Answer
from kvasir.course_folder import wait_for_folder
from kvasir.frontends.process import request_id
from kvasir.generator_start import GeneratorStart, prepare_generator
from kvasir.settings.loading import derive_settings, load_settings
from kvasir.settings.schema import Settings
from kvasir.sharing import check_jobs
from kvasir.tasks import TASKS, answer_question, log_queued_answer, perform

logger = logging.getLogger(__name__)

_END_SECONDS = 5.0
_FAILED = 3
"""The exit code of a worker that cannot start; see ``kvasir --help``."""


def from_settings() -> Celery:
    """Return the Celery application of the settings in the working directory."""
    return WorkerProcess(App(on_device(load_settings()))).celery


def on_device(settings: Settings) -> Settings:
    """Return settings whose embedder is on the device that ``jobs.device`` names.

    Both engines make the same vectors, so workers of both kinds may fill one collection.

    Raises:
        SettingsError: The embedder is of another kind, which has no device.
    """
    device, chosen = settings.jobs.device, settings.rag.embedding_model
    if device is None or (device == "cpu" and chosen.type == "openvino"):
        return settings
    if chosen.type not in ("openvino", "sentence-transformers"):
        raise SettingsError(f"jobs.device does not go with the embedder '{chosen.type}'")
    shared = {
        key: value
        for key, value in chosen.options.items()
        if chosen.type == "sentence-transformers" or key.endswith(("prompt", "max_tokens"))
    }
    return derive_settings(
        settings,
        {
            "rag.embedding_model.type": "sentence-transformers",
            "rag.embedding_model.options": shared | {"device": device},
        },
    )


class WorkerProcess:
    """Does what the broker brings, until the Celery worker ends; then closes the ``App``."""

    def __init__(self, app: App) -> None:
        """Make the Celery application; nothing is loaded before its worker starts.

        Raises:
            SettingsError: The settings choose no Celery, or an embedded store.
            MissingExtraError: Celery is not installed.
        """
        if app.settings.jobs.backend != "celery":
            raise SettingsError("a worker needs jobs.backend 'celery'; it is 'database'")
        check_jobs(app.settings)
        app.keep_open()
        self._app = app
        self._options = options_of(app.settings)
        self._stop = StopToken()
        self._generator = GeneratorStart(partial(prepare_generator, app), self._stop)
        self._can_answer = threading.Event()
        self._threads: list[threading.Thread] = []
        self._sending: Worker | None = None
        self.celery = make_celery_worker(
            app,
            self._perform,
            self._answer,
            self._stop,
            can_answer=self._can_answer.is_set,
            on_answered=self._log_answer,
        )
        if app.settings.jobs.queues:
            self._select(app.settings.jobs.queues)
        self._hands_over = False
        signals.celeryd_after_setup.connect(self._check, weak=False)
        signals.worker_ready.connect(self._begin, weak=False)
        signals.worker_shutting_down.connect(self._end_soon, weak=False)
        signals.worker_shutdown.connect(self._end, weak=False)

    def check(self) -> None:
        """Check the settings in force and load the model, before a task does.

        Raises:
            SettingsError: A setting does not go with the broker, or there is no such device.
            KvasirError: The model cannot be loaded.
        """
        self._options.check_configuration(self.celery)
        without_model = ("ingest", "mail")
        if any(self._reads(name) for name in self._options.queues if name not in without_model):
            _ = self._app.embedder

    def _select(self, queues: tuple[str, ...]) -> None:
        known = self._options.queues
        for name in queues:
            if name not in known:
                raise SettingsError(f"there is no queue '{name}'; there are {', '.join(known)}")
        self.celery.amqp.queues.select([self._options.full_name(name) for name in queues])

    def _reads(self, queue: str) -> bool:
        return self._options.full_name(queue) in self.celery.amqp.queues.consume_from

    def _check(self, *, instance: Any, **_: Any) -> None:
        # Celery's own command line has chosen the queues by now, too.
        # A worker of a queue that ``jobs.routes`` made, such as one on a graphics card, computes.
        has_embedding = self._reads(embedding_queue(self._options))
        self._hands_over = self._reads("ingest") and not has_embedding
        if self._hands_over:
            self._app.ingest_embedder = self._queued_embedder

        def check() -> None:
            self._options.check_worker(instance.pool_cls, instance.prefetch_multiplier)
            self.check()

        _or_exit(check)

    def _begin(self, *, sender: Any, **_: Any) -> None:
        """Start what runs beside the tasks, when the worker is connected."""
        _or_exit(lambda: self._options.check_live(sender))
        self._sending = make_sender(self._app, TASKS, self._stop, celery=self.celery)
        self._start("sender", self._sending.run)
        if self._reads("answers"):
            self._start("generator", self._prepare_answers)
        if self._reads("mail") and self._app.settings.mail.send:
            intake = self._app.services.make_intake(self._stop)
            if intake is not None:
                self._start("intake", intake.run)

    def _start(self, name: str, run: Callable[[], None]) -> None:
        thread = threading.Thread(target=run, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _end_soon(self, **_: Any) -> None:
        # Within a signal handler: setting a token takes locks, which this thread may hold.
        threading.Thread(target=self._stop.set, name="stop", daemon=True).start()

    def _end(self, **_: Any) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(_END_SECONDS)
        self._app.close()

    def _prepare_answers(self) -> None:
        self._generator.run()
        if wait_for_folder(self._app, self._stop):
            self._can_answer.set()

    def _queued_embedder(self, embedder: Embedder, collection: str) -> Embedder:
        """Return an embedder that lets the workers of the queue ``embed`` do it."""
        return make_queued_embedder(
            self._app, embedder, collection, stop=self._stop, wake=self._wake
        )

    def _wake(self) -> None:
        if self._sending is not None:
            self._sending.wake()

    def _perform(self, job: Job, run: Run) -> Any:
        token = request_id.set(job.id)
        try:
            if not self._hands_over:
                return perform(self._app, job, run)
            services = self._app.services
            with embedding_for(job, services.jobs, services.spool, run.stop):
                return perform(self._app, job, run)
        finally:
            request_id.reset(token)

    def _answer(self, question: Question, stop: StopToken) -> Answer:
        token = request_id.set(question.id)
        try:
            return answer_question(self._app, question, stop)
        finally:
            request_id.reset(token)

    def _log_answer(self, question: Question, answer: Answer) -> None:
        log_queued_answer(self._app, question, answer)


def _or_exit(check: Callable[[], object]) -> None:
    """Do a check in a handler of Celery, which would log an error and go on."""
    try:
        check()
    except KvasirError as error:
        logger.error("the worker cannot start: %s", error)
        raise SystemExit(_FAILED) from error
