"""Queues, outbox and log of answers keep their contracts on every database."""

import os
from io import BytesIO
from pathlib import Path
from time import sleep

import pytest
from databases import ENGINES
from filelock import FileLock
from sqlalchemy import delete, select, update

from kvasir.core.errors import StorageError
from kvasir.core.services.jobs import JobState
from kvasir.database import open_database, processes, reading, writing
from kvasir.jobs.spool import FolderSpool
from kvasir.jobs.sql import SqlJobQueue
from kvasir.jobs.tables import jobs
from kvasir.questions.answer_log import SqlAnswerLog
from kvasir.questions.outbox import SqlOutbox
from kvasir.questions.sql import SqlQuestionQueue
from kvasir.questions.tables import answer_log, mails, questions
from kvasir.testing.jobs import (
    JobQueueContract,
    SpoolContract,
    UnsentJobsContract,
    claimed,
    new_job,
)
from kvasir.testing.mail import AnswerLogContract, OutboxContract
from kvasir.testing.questions import QuestionQueueContract


@pytest.fixture(scope="module", params=ENGINES)
def shared(request, database_urls):
    engine = open_database(database_urls(request.param))
    yield engine
    engine.dispose()


@pytest.fixture
def engine(shared):
    """A database without questions, jobs and mails."""
    with writing(shared) as connection:
        for table in (questions, jobs, mails, answer_log):
            connection.execute(delete(table))
    return shared


class TestSqlQuestionQueue(QuestionQueueContract):
    @pytest.fixture
    def make_queue(self, engine):
        return lambda **options: SqlQuestionQueue(engine, **options)


class TestUnsentSqlJobs(UnsentJobsContract):
    @pytest.fixture
    def make_queue(self, engine):
        return lambda **options: SqlJobQueue(engine, **options)


class TestSqlJobQueue(JobQueueContract):
    @pytest.fixture
    def make_queue(self, engine):
        return lambda **options: SqlJobQueue(engine, **options)

    def test_a_clock_that_is_set_back_holds_up_no_job_that_was_never_tried(self, queue, engine):
        job = queue.add(new_job())
        with writing(engine) as connection:
            connection.execute(update(jobs).values(due=jobs.c.due + 3600.0))
        taken = claimed(queue)
        assert taken.job.id == job.id
        assert queue.fail(taken, "component_busy", "busy", retry_after=3600.0)
        assert queue.claim(lease_seconds=1.0) is None

    @pytest.mark.skipif(not processes.this_machine(), reason="processes cannot be told apart here")
    def test_the_job_of_a_process_that_died_here_waits_for_no_lease(self, queue, engine):
        job = queue.add(new_job())
        own = claimed(queue, 600.0)
        assert queue.claim(lease_seconds=600.0) is None
        machine, pid, started, rest = own.token.split(".")
        for token in (f"{machine}.{2**22 + 1:x}.{started}.{rest}", f"{machine}.{pid}.1.{rest}"):
            with writing(engine) as connection:
                connection.execute(update(jobs).values(state="running", lease_token=token[:36]))
            # Like one that failed, it lets others go before it for a moment.
            assert queue.claim(lease_seconds=600.0) is None
            found = queue.job(job.id)
            assert (found.state, found.attempts) == (JobState.WAITING, 1)
        with writing(engine) as connection:
            connection.execute(update(jobs).values(due=0.0))
        assert claimed(queue, 600.0).job.attempts == 2
        other = token.replace(machine, "0" * len(machine))
        with writing(engine) as connection:
            connection.execute(update(jobs).values(lease_token=other))
        assert queue.claim(lease_seconds=600.0) is None
        assert queue.job(job.id).state is JobState.RUNNING


class TestSqlOutbox(OutboxContract):
    @pytest.fixture
    def outbox(self, engine):
        return SqlOutbox(engine)

    def test_nothing_is_kept_of_a_mail_that_is_given_up(self, outbox, engine):
        outbox.add("recovery", "ana@example.org", "es", {"password": "p", "minutes": "0"})
        sleep(0.05)
        assert outbox.claim(lease_seconds=1.0) is None
        for _ in range(2):
            outbox.add("recovery", "ana@example.org", "es", {"password": "q"})
        with reading(engine) as connection:
            rows = connection.execute(select(mails.c.content).order_by(mails.c.number)).scalars()
            assert list(rows) == [{}, {}, {"password": "q"}]


class TestSqlAnswerLog(AnswerLogContract):
    @pytest.fixture
    def log(self, engine):
        return SqlAnswerLog(engine, page=3)


class TestFolderSpool(SpoolContract):
    @pytest.fixture
    def spool(self, tmp_path):
        return FolderSpool(tmp_path / "spool")

    def test_a_file_that_cannot_be_reached_is_a_fault_of_the_storage(
        self, spool, tmp_path, monkeypatch
    ):
        digest, _ = spool.put(BytesIO(b"tea"), max_bytes=10)
        left = tmp_path / "spool" / "incoming-1"
        left.touch()
        os.utime(left, (0, 0))

        def refuse(*_, **__):
            raise PermissionError(13, "Permission denied")

        for name in ("unlink", "open", "is_file"):
            monkeypatch.setattr(Path, name, refuse)
        for call in (spool.delete, spool.open, spool.has):
            with pytest.raises(StorageError, match="Permission denied"):
                call(digest)
        assert list(spool.digests()) == [digest]
        monkeypatch.setattr(FileLock, "acquire", refuse)
        with pytest.raises(StorageError, match="Permission denied"), spool.lock():
            pass

    def test_only_its_user_may_read_what_it_keeps(self, spool, tmp_path):
        digest, _ = spool.put(BytesIO(b"tea"), max_bytes=10)
        kept = tmp_path / "spool" / digest[:2] / digest
        assert kept.stat().st_mode & 0o077 == 0
        assert kept.parent.stat().st_mode & 0o077 == 0
        assert list((tmp_path / "spool").glob("incoming-*")) == []
