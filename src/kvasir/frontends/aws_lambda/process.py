"""One instance of the function: requests of API Gateway, function URLs and ALB, and events.

Mangum translates HTTP events into calls of the application of ``frontends.api``. Events of S3, SQS
and EventBridge index what they name; a message of SQS that fails is reported alone, so that the
others of its batch are not done again.

An instance is frozen between two events, so nothing runs in the background: the jobs of a request
are done before its answer is returned. Before the first event the model and the code are loaded,
and nothing is connected, because SnapStart keeps the memory of that moment for all instances.

Source: https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from functools import cached_property, partial
from importlib import import_module
from typing import TYPE_CHECKING, Any

from mangum import Mangum
from mangum.adapter import DEFAULT_TEXT_MIME_TYPES

from kvasir.app import App
from kvasir.collection import Collection
from kvasir.collection_settings import make_page_fetcher
from kvasir.core import registry
from kvasir.core.deadline import deadline, remaining
from kvasir.core.errors import (
    CollectionNotFoundError,
    DocumentNotFoundError,
    KvasirError,
    RequestError,
)
from kvasir.core.run import Run, StopToken
from kvasir.core.services.jobs import Job, JobState, digests_of
from kvasir.frontends.api.application import make_application
from kvasir.frontends.aws_lambda.objects import Change, changes_of, changes_of_message
from kvasir.frontends.process import request_id, set_log_level
from kvasir.settings.loading import derive_settings, load_settings
from kvasir.settings.schema import Settings
from kvasir.sharing import has_own_spool, is_embedded
from kvasir.tasks import check_report, perform

if TYPE_CHECKING:
    from kvasir.frontends.aws_lambda.bucket import Bucket

logger = logging.getLogger(__name__)

_RESERVED_SECONDS = 1.0
"""Left for the response when the function's own time limit comes near."""
_LEAST_SECONDS = 2.0
"""With less time left, the next message of a batch is not begun."""
_OPEN = frozenset({JobState.WAITING, JobState.RUNNING})
_TASKS = frozenset({"ingest_upload", "ingest_batch", "ingest_address", "ingest_web"})
"""Those that requests add; other processes of the same database have more."""
_ON_INSTANCE = "on_instance"
"""Argument of a job whose bytes are on the disk of the instance that got them."""
_LOST_AFTER = timedelta(hours=1)
"""An instance that has not gone on with its job for that long has ended, and its disk with it."""
_WITHOUT_THREADS: Mapping[str, Any] = {
    "jobs.backend": "database",
    "server.job_workers": 0,
    "server.share_index": False,
    "questions.workers": 0,
    "mail.send": False,
}
_TEXT_TYPES = (*DEFAULT_TEXT_MIME_TYPES, "+json", "application/jsonl")
"""Parts of the media types whose bodies are sent as they are; others are sent in Base64."""
_FOR_AN_ANSWER = (
    "kvasir.accounts.sql",
    "kvasir.answering.answers",
    "kvasir.answering.search_filters",
    "kvasir.questions.answer_log",
)


def from_settings() -> LambdaProcess:
    """Return the handler of the settings in the working directory, with its model loaded."""
    settings = derive_settings(load_settings(), _WITHOUT_THREADS)
    set_log_level(debug=settings.server.debug)
    process = LambdaProcess(App(settings))
    process.load()
    return process


class LambdaProcess:
    """Handles the events of one instance, one at a time."""

    def __init__(self, app: App) -> None:
        """Make the application; nothing is connected or loaded yet.

        Raises:
            SettingsError: A setting is unusable.
        """
        self._app = app
        for sentence in unshared(app.settings):
            logger.warning("%s", sentence)
        app.keep_open()
        # A lifespan would begin and end with every event.
        api = make_application(app)
        self._http = Mangum(api, lifespan="off", text_mime_types=list(_TEXT_TYPES))
        self._has_job = threading.Event()
        api.state.wake_workers = self._has_job.set
        api.state.takes_jobs = True
        api.state.job_arguments = {_ON_INSTANCE: True} if has_own_spool(app.settings) else {}

    @cached_property
    def _bucket(self) -> Bucket:
        # Its library would take a tenth of the start of a function that only answers.
        from kvasir.frontends.aws_lambda.bucket import Bucket

        return Bucket(max_bytes=self._app.settings.rag.ingest.max_file_mb << 20)

    def load(self) -> None:
        """Load the embedding model, and the code of an answer; no connection is made.

        The model is compiled outside of the interpreter, which imports meanwhile.
        """
        with ThreadPoolExecutor(1) as thread:
            loading = thread.submit(self._app.embedder.embed_queries, ["kvasir"])
            _import_code(self._app.settings)
            loading.result()

    def close(self) -> None:
        """Close the application."""
        self._app.close()

    def __call__(self, event: Any, context: Any) -> Any:
        """Handle an event; return what its service expects.

        Raises:
            RequestError: The event is of no known kind.
            KvasirError: A file of an S3 event cannot be indexed; Lambda repeats the event.
        """
        token = request_id.set(getattr(context, "aws_request_id", ""))
        try:
            with deadline(_seconds_left(context)):
                return self._handle(event, context)
        finally:
            request_id.reset(token)

    def _handle(self, event: Any, context: Any) -> Any:
        if not isinstance(event, dict):
            raise RequestError("the event is no JSON object")
        records = event.get("Records")
        if records and records[0].get("eventSource") == "aws:sqs":
            return self._handle_messages(records)
        if (changes := changes_of(event)) is not None:
            for change in changes:
                self._apply(change)
            return {"done": len(changes)}
        if "requestContext" not in event:
            raise RequestError(
                "the event is of no known kind: it must be of API Gateway, a function URL, an "
                "application load balancer, SQS, SNS, S3 or EventBridge"
            )
        response = self._http(event, context)
        self._do_jobs()
        return response

    def _handle_messages(self, records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Do the messages of a batch; report those that are to be repeated.

        Once a message of a FIFO queue has failed, all later ones keep their order behind it.
        """
        failed: list[str] = []
        is_ordered = str(records[0].get("eventSourceARN", "")).endswith(".fifo")
        for record in records:
            left = remaining()
            is_late = left is not None and left < _LEAST_SECONDS
            if is_late or (failed and is_ordered) or not self._is_done(record):
                failed.append(record["messageId"])
        return {"batchItemFailures": [{"itemIdentifier": each} for each in failed]}

    def _is_done(self, record: Mapping[str, Any]) -> bool:
        try:
            for change in changes_of_message(record["body"]):
                self._apply(change)
        except KvasirError as error:
            logger.error("message %s failed: %s: %s", record["messageId"], error.code, error)
        except Exception:
            # The other messages of the batch are not to be done again.
            logger.exception("message %s failed", record["messageId"])
        else:
            return True
        return False

    def _apply(self, change: Change) -> None:
        """Make the collection equal to an object, or index an address.

        Events may come late, twice or in another order, so the object itself is looked at.
        """
        name = change.collection or self._app.settings.question_collection
        with self._app.collection(name) as collection:
            if change.listing:
                self._sync(collection, change.listing)
                return
            if change.url:
                check_report(collection.ingest(change.url))
                return
            found = self._bucket.read(change)
            if found is not None:
                check_report(collection.ingest((change.source, found)))
                return
            # It may be gone already, or never have been indexed.
            with suppress(CollectionNotFoundError, DocumentNotFoundError):
                collection.delete(change.source.uri)

    def _sync(self, collection: Collection, address: str) -> None:
        """Make the collection equal to a list; what is not done in time is done by the next run."""
        from kvasir.listed_sources import ListedSources

        with self._stopping_in_time() as stop:
            run = Run(stop)
            ingest = partial(collection.ingest, run=run)
            fetcher = make_page_fetcher(self._app.settings)
            work = ListedSources(collection, ingest, fetcher, run, prune=True)
            report = work.ingest_all(address)
        for failed in report.failed:
            logger.error("%s", failed.line)
        logger.info(
            "%s: %d added, %d replaced, %d unchanged, %d removed, %d failed, %d left",
            address,
            len(report.added),
            len(report.replaced),
            len(report.unchanged),
            len(report.removed),
            len(report.failed),
            len(report.left),
        )

    @contextmanager
    def _stopping_in_time(self) -> Iterator[StopToken]:
        """Give a token that is set when the time of the function is over."""
        stop, left = StopToken(), remaining()
        timer = None if left is None else threading.Timer(left, stop.set)
        if timer is not None:
            timer.daemon = True
            timer.start()
        try:
            yield stop
        finally:
            if timer is not None:
                timer.cancel()

    def _do_jobs(self) -> None:
        """Do the jobs that wait and whose bytes this instance has, such as that of an upload.

        The table of jobs is that of all instances; a folder of uploads is not. What is not done
        in time is given back, and goes on after the next request.
        """
        if not self._has_job.is_set():
            return
        self._has_job.clear()
        services = self._app.services
        with self._stopping_in_time() as stop:
            worker = services.make_job_worker(self._perform, stop)
            for job in self._open_jobs(stop):
                if stop.is_set():
                    break
                has_bytes = all(map(services.spool.has, digests_of(job.arguments)))
                # A lost one is done as well: it fails, and its user sees that.
                if (has_bytes or _is_lost(job)) and (claimed := worker.claim(job.id)) is not None:
                    worker.work_on(claimed)
            if stop.is_set():
                self._has_job.set()

    def _open_jobs(self, stop: StopToken) -> Iterator[Job]:
        """Yield the jobs of requests that are not done: the newest page first, each in its order.

        So those of this request come before a long queue of other processes.
        """
        before = ""
        while not stop.is_set() and (
            page := self._app.services.jobs.jobs(states=_OPEN, before=before)
        ):
            before = page[-1].id
            yield from (job for job in reversed(page) if job.task in _TASKS)

    def _perform(self, job: Job, run: Run) -> Any:
        with _logged_as(job.id):
            return perform(self._app, job, run)


def _is_lost(job: Job) -> bool:
    """Return True if a job's bytes, which are not here, were on an instance that has ended."""
    last_sign = job.started or job.created
    return _ON_INSTANCE in job.arguments and datetime.now(UTC) - last_sign > _LOST_AFTER


def _import_code(settings: Settings) -> None:
    """Import the modules that the first request would import one by one."""
    for family, name in (
        ("analyzers", "bm25"),
        ("stores", settings.rag.vectordb.type),
        ("generators", settings.generator.type),
    ):
        registry.load(family, name)
    for module in _FOR_AN_ANSWER:
        import_module(module)


def unshared(settings: Settings) -> Iterator[str]:
    """Yield, in a sentence each, what every instance of the function would have for itself."""
    if is_embedded(settings):
        yield (
            f"each instance has an index of its own at '{settings.store_uri}': set "
            "rag.vectordb.uri to the address of a server"
        )
    if any(url.startswith("sqlite") for url in (settings.catalog_url, settings.database_url)):
        yield (
            "each instance has a catalog and accounts of its own in SQLite: set catalog.url and "
            "database.url to a PostgreSQL, MariaDB or MySQL server"
        )
    if has_own_spool(settings):
        yield (
            f"each instance keeps the bytes of uploads for itself in '{settings.spool_uri}': set "
            "server.spool to s3://BUCKET/FOLDER"
        )
    if settings.server.signing_key is None:
        yield "each instance signs logins with a key of its own: set server.signing_key"


def _seconds_left(context: Any) -> float | None:
    left = getattr(context, "get_remaining_time_in_millis", None)
    return None if left is None else max(0.1, left() / 1000 - _RESERVED_SECONDS)


@contextmanager
def _logged_as(identity: str) -> Iterator[None]:
    token = request_id.set(identity)
    try:
        yield
    finally:
        request_id.reset(token)
