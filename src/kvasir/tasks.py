"""What jobs do: functions of ids and short values, over the process's ``App``.

A job names one of them in ``task``. Bytes wait in the spool; a job has their digest.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from kvasir.app import App
from kvasir.collection import Collection
from kvasir.core.answer_stream import AnswerStream
from kvasir.core.deadline import stopping
from kvasir.core.errors import (
    ClosedError,
    CollectionNotFoundError,
    ConflictError,
    DocumentNotFoundError,
    ExtractionError,
    FetchError,
    ForbiddenError,
    KvasirError,
    NotFoundError,
    RequestError,
    StorageError,
    WrongEmbedderError,
)
from kvasir.core.media_types import PDF
from kvasir.core.reports import IngestReport
from kvasir.core.run import Run, StopToken
from kvasir.core.services.accounts import Caller, Role, Scope
from kvasir.core.services.answer_log import LoggedAnswer
from kvasir.core.services.jobs import Job, JobState, Spool, digests_of
from kvasir.core.services.questions import Question
from kvasir.core.types import Answer, LocalFile, Source
from kvasir.core.wire import to_json
from kvasir.derived_app import with_settings
from kvasir.ingesting.page_picture import page_picture
from kvasir.ingesting.sources import KeptBytes
from kvasir.jobs.chunk_embedding import EMBED_TASK, read_texts, write_vectors

logger = logging.getLogger(__name__)

_FORMER = 20
"""Jobs of a folder that are looked through for former folders."""

_CONTEXT = 60
"""Characters before a passage that tell it apart from equal ones on its page."""
_LONGEST_RETENTION_DAYS = 365_000
"""What reaches back behind it is kept: dates begin with the year 1."""


def perform(app: App, job: Job, run: Run) -> Any:
    """Do a job; return its result as plain data.

    Raises:
        RequestError: The job cannot succeed, however often it is tried.
        StoppedError: The run was stopped.
    """
    task = TASKS.get(job.task)
    if task is None:
        raise RequestError(f"there is no task '{job.task}'")
    _check_rights(app, job)
    return task(app, job, run)


def ingest_upload(app: App, job: Job, run: Run) -> Any:
    """Index an upload: ``uri``, ``media_type``, ``digest``, ``metadata`` and ``on_conflict``."""
    given = job.arguments
    with app.collection(job.collection) as collection:
        before = _content_hash(collection, given["uri"])
        try:
            with app.services.spool.open(given["digest"]) as stream:
                data = stream.read()
        except NotFoundError:
            # Originals are not kept, and the job was interrupted after its work was done.
            if before != given["digest"]:
                raise
            return to_json(IngestReport(unchanged=[given["uri"]]))
        source = Source(given["uri"], given.get("media_type", ""))
        report = collection.ingest(
            (source, data),
            on_conflict=given.get("on_conflict"),
            metadata=given.get("metadata"),
            run=run,
        )
    check_report(report)
    if not report.interrupted:
        for digest in {before, given["digest"]} - {""}:
            release(app, digest, besides=job.id)
    return to_json(report)


def ingest_address(app: App, job: Job, run: Run) -> Any:
    """Fetch and index an address: ``url``, ``metadata`` and ``on_conflict``."""
    given = job.arguments
    with app.collection(job.collection) as collection:
        report = collection.ingest(
            given["url"],
            on_conflict=given.get("on_conflict"),
            metadata=given.get("metadata"),
            run=run,
        )
    check_report(report)
    return to_json(report)


def ingest_batch(app: App, job: Job, run: Run) -> Any:
    """Index several sources: ``sources``, each with ``url`` or ``uri`` and ``digest``.

    A source that fails is part of the report. ``settings`` are those of the administrator who
    added the job, by dotted key.
    """
    given = job.arguments
    with (
        with_settings(app, given.get("settings", {})) as chosen,
        chosen.collection(job.collection) as collection,
    ):
        inputs, done = [], []
        for source in given["sources"]:
            found = _input(app.services.spool, collection, source)
            if found is None:
                done.append(source["uri"])
            else:
                inputs.append(found)
        report = collection.ingest(
            *inputs,
            on_conflict=given.get("on_conflict"),
            metadata=given.get("metadata"),
            metadata_of_new=given.get("metadata_of_new"),
            gone=given.get("gone", []),
            re_split=given.get("re_split", False),
            run=run,
            build_graph=given.get("build_graph", True),
        )
    report.unchanged += done
    if not report.interrupted and not app.settings.server.keep_originals:
        for digest in digests_of(given):
            release(app, digest, besides=job.id)
    return to_json(report)


def ingest_web(app: App, job: Job, run: Run) -> Any:
    """Search the web and index the pages: ``query``, and arguments of ``Collection.ingest_web``.

    A page that fails is part of the report. ``settings`` as of ``ingest_batch``.
    """
    given = job.arguments
    with (
        with_settings(app, given.get("settings", {})) as chosen,
        chosen.collection(job.collection) as collection,
    ):
        report = collection.ingest_web(
            given["query"],
            max_results=given.get("max_results"),
            on_conflict=given.get("on_conflict"),
            metadata=given.get("metadata"),
            run=run,
            build_graph=given.get("build_graph", True),
        )
    return to_json(report)


def embed_chunks(app: App, job: Job, run: Run) -> Any:
    """Embed the chunks of another job: ``texts`` and ``fingerprint``; see ``chunk_embedding``."""
    given, spool = job.arguments, app.services.spool
    embedder = app.embedder_of(app.catalog.collection(job.collection))
    if embedder.fingerprint != given["fingerprint"]:
        raise WrongEmbedderError(f"this worker has another model for '{job.collection}'")
    with spool.open(given["texts"]) as stream:
        texts = read_texts(stream)
    vectors = run.call(lambda: embedder.embed_documents(texts))
    return {"vectors": write_vectors(spool, job.id, vectors)}


def _input(
    spool: Spool, collection: Collection, source: Mapping[str, Any]
) -> str | tuple[Source, KeptBytes] | None:
    """Return a source of a batch; None if an earlier attempt has indexed it and left no bytes.

    Its bytes are read when it is its turn: a batch may be larger than the memory.
    """
    if "url" in source:
        return str(source["url"])
    uri, digest = source["uri"], source["digest"]
    try:
        with spool.open(digest) as stream:
            size = stream.seek(0, os.SEEK_END)
    except NotFoundError:
        if _content_hash(collection, uri) != digest:
            raise
        return None

    def read() -> bytes:
        with spool.open(digest) as stream:
            return stream.read()

    given = {name: source[name] for name in ("in_folder", "modified", "known") if name in source}
    return Source(uri, source["media_type"], **given), KeptBytes(size, read)


def ingest_folder(app: App, job: Job, run: Run) -> Any:
    """Make the collection equal to a folder of this machine: ``folder``, which settings name.

    Files that cannot be read are in the report and do not fail the job. The documents of a folder
    that was indexed before, and that the settings do not name any more, are removed afterwards:
    those that moved keep their vectors.
    """
    folder = app.settings.folder
    if folder is None or str(folder) != job.arguments["folder"]:
        # A job must not open a path that the settings do not name.
        raise RequestError(f"server.folder is not '{job.arguments['folder']}' any more")
    with app.collection(job.collection) as collection:
        report = collection.ingest(LocalFile(str(folder)), prune=True, run=run)
        if not report.interrupted:
            report.removed += _remove_former_folders(app, job, collection)
    for failed in report.failed:
        logger.warning("the folder's %s", failed.line)
    return to_json(report)


def _remove_former_folders(app: App, job: Job, collection: Collection) -> list[str]:
    done = app.services.jobs.jobs(
        collection=job.collection, task=job.task, states=[JobState.DONE], limit=_FORMER
    )
    present = job.arguments["folder"] + os.sep
    gone = {
        record.source_uri
        for former in {each.arguments["folder"] + os.sep for each in done} - {present}
        for record in collection.documents(former)
        if not record.source_uri.startswith(present)
    }
    if gone:
        collection.delete(*gone)
    return sorted(gone)


def answer_question(
    app: App,
    question: Question,
    stop: StopToken,
    *,
    admit: Callable[[AnswerStream], AnswerStream] = lambda stream: stream,
    open_collection: Callable[[str], Collection] | None = None,
) -> Answer:
    """Answer a question of the queue, with the rights that its asker has now.

    Args:
        app: The process.
        question: The question.
        stop: Ends it soon.
        admit: Lets the answer wait for its turn.
        open_collection: Gives the collection of a name; by default the process's own.

    Raises:
        CollectionNotFoundError: The asker may not read the collection, or there is none.
        ForbiddenError: The asker is disabled.
        StoppedError: The token was set.
    """
    name = question.collection or app.settings.question_collection
    if question.user_id:
        user = app.services.accounts.user(question.user_id)
        if user.disabled:
            raise ForbiddenError("the user is disabled")
        scopes = {Scope.READ, Scope.ADMIN} if user.role is Role.ADMIN else {Scope.READ}
        if not app.services.accounts.may_read(Caller(user, frozenset(scopes)), name):
            raise CollectionNotFoundError(name)
    with (
        stopping(stop),
        (open_collection or app.collection)(name) as collection,
        admit(collection.stream(question.input)) as stream,
        # Closing it ends the generator after its present step.
        stop.calling(stream.close),
    ):
        try:
            return stream.answer
        except ClosedError:
            stop.raise_if_set()
            raise


def log_queued_answer(app: App, question: Question, answer: Answer) -> None:
    """Add the answer to a question of the queue to the log of answers, under the question's id."""
    name = question.collection or app.settings.question_collection
    log_answer(app, question.id, question.user_id, name, question.input, answer)


def log_answer(
    app: App,
    answer_id: str,
    user_id: int,
    collection: str,
    question: str,
    answer: Answer,
    *,
    request_id: str = "",
) -> None:
    """Add an answer to the log, if the settings keep one.

    A log that cannot be written must not take an answer away from the one who waits for it.
    """
    settings = app.settings
    if not settings.answer_log.enabled:
        return
    record = LoggedAnswer(
        id=answer_id,
        user_id=user_id,
        collection=collection,
        question=question,
        answer=answer.text,
        refused=answer.refused,
        sources=tuple(dict.fromkeys(each.source_uri for each in answer.citations)),
        model=settings.generator.model or settings.generator.type,
        seconds=answer.timings.get("total", 0.0),
        date=datetime.now(UTC),
        request_id=request_id,
        certainty=answer.certainty,
    )
    try:
        app.services.answer_log.record(record)
    except KvasirError as error:
        logger.error("an answer could not be logged: %s", error)


def document_page(
    app: App, collection: Collection, document_id: str, page: int, **options: Any
) -> bytes:
    """Return a page of a PDF document that was uploaded, as a picture.

    Args:
        app: Its spool has the bytes.
        collection: Has the document.
        document_id: The document.
        page: The page's number, from 1.
        options: ``width`` in pixels; ``start`` and ``end`` of the passage to mark, 0 for none;
            ``box``, the area to mark in place of a passage.

    Raises:
        NotFoundError: The bytes are not kept, or it is no PDF document.
        ExtractionError: The page cannot be drawn.
    """
    record = collection.document(document_id)
    if record.state.media_type != PDF or not record.state.content_hash:
        raise NotFoundError("this document has no pages to show")
    with app.services.spool.open(record.state.content_hash) as stream:
        data = stream.read()
    start, end = options.pop("start"), options.pop("end")
    text = collection.text(record.id) if end else ""
    quote, before = text[start:end], text[max(0, start - _CONTEXT) : start]
    return page_picture(data, page, quote=quote, before=before, **options)


def release(app: App, digest: str, *, besides: str = "") -> None:
    """Delete bytes of the spool that neither a document nor a job, other than one, needs."""
    spool = app.services.spool
    if not spool.has(digest):
        return
    with spool.lock():
        if not _is_needed(app, digest, besides):
            spool.delete(digest)


def tidy(app: App, run: Run) -> None:
    """Forget old jobs and answers, and delete the bytes of uploads that nothing needs.

    Raises:
        StoppedError: The run was stopped.
    """
    if (days := app.settings.answer_log.retention_days) is not None:
        old = datetime.now(UTC) - timedelta(days=min(days, _LONGEST_RETENTION_DAYS))
        app.services.answer_log.delete_before(old)
    if app.settings.answer.cache.enabled:
        age = min(app.settings.answer.cache.max_age_days, _LONGEST_RETENTION_DAYS)
        app.services.answer_cache.delete_before(datetime.now(UTC) - timedelta(days=age))
    kept = timedelta(days=app.settings.server.keep_jobs_days)
    app.services.jobs.delete_before(datetime.now(UTC) - kept)
    for digest in app.services.spool.digests():
        run.check()
        try:
            # Asked again under the lock, which most do not need.
            if not _is_needed(app, digest):
                release(app, digest)
        except StorageError as error:
            # The others are deleted all the same.
            logger.error("tidying up goes on without one upload: %s", error)


def _is_needed(app: App, digest: str, besides: str = "") -> bool:
    if app.services.jobs.needs(digest, besides=besides):
        return True
    keeps = app.settings.server.keep_originals and app.has_catalog
    return keeps and app.catalog.has_content(digest)


def _check_rights(app: App, job: Job) -> None:
    """Refuse a job whose user may not change its collection any more.

    Since it was added, the collection may have been deleted and made by someone else.
    """
    if not job.user_id or not job.collection:
        return
    accounts = app.services.accounts
    try:
        user = accounts.user(job.user_id)
    except NotFoundError:
        user = None
    caller = Caller(user, frozenset({Scope.READ, Scope.WRITE}))
    if user is None or user.disabled or not accounts.may_write(caller, job.collection):
        raise ForbiddenError(f"its user may not change collection '{job.collection}' any more")


def _content_hash(collection: Collection, uri: str) -> str:
    """Return the hash of a document's bytes; empty if there is no such document."""
    try:
        return collection.document(uri).state.content_hash
    except (CollectionNotFoundError, DocumentNotFoundError):
        return ""


def check_report(report: IngestReport) -> None:
    """Raise the error of the one source that failed."""
    for failed in report.failed:
        raise _error_of(failed.reason, failed.message)


def _error_of(reason: str, message: str) -> KvasirError:
    if reason == "fetch":
        return FetchError(message)
    if reason == "conflict":
        return ConflictError(message)
    return ExtractionError(reason, message)


TASKS: Mapping[str, Callable[[App, Job, Run], Any]] = {
    "ingest_upload": ingest_upload,
    "ingest_address": ingest_address,
    "ingest_batch": ingest_batch,
    "ingest_folder": ingest_folder,
    "ingest_web": ingest_web,
    EMBED_TASK: embed_chunks,
}
"""Every task by name."""
