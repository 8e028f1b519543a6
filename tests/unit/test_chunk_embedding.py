"""Chunks that other workers embed: what happens if there is no such worker."""

import threading

import pytest

from kvasir.core.errors import ComponentError, RequestError, StoppedError
from kvasir.core.run import StopToken
from kvasir.core.services.jobs import JobState, NewJob
from kvasir.database import open_database
from kvasir.jobs import chunk_embedding as module
from kvasir.jobs.chunk_embedding import (
    EMBED_TASK,
    QueuedEmbedder,
    embedding_for,
    queued,
    read_texts,
    write_vectors,
)
from kvasir.jobs.spool import FolderSpool
from kvasir.jobs.sql import SqlJobQueue
from kvasir.testing.fakes import FakeEmbedder
from kvasir.testing.jobs import new_job


@pytest.fixture
def jobs(tmp_path):
    engine = open_database(f"sqlite:///{tmp_path}/service.db")
    yield SqlJobQueue(engine)
    engine.dispose()


@pytest.fixture
def spool(tmp_path):
    return FolderSpool(tmp_path / "spool")


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(module, "_ALONE_SECONDS", 0.1)
    monkeypatch.setattr(module, "_UNREAD_SECONDS", 0.3)


def embed(jobs, spool, texts, job=None, stop=None):
    """Embed the texts of a job, a new one by default, as a worker of the queue ``ingest`` does."""
    job = job or jobs.add(new_job())
    job = jobs.claim(lease_seconds=3600.0, job_id=job.id).job
    embedder = queued(
        FakeEmbedder(), "tea", jobs, spool, queue="gpu", stop=StopToken(), wake=lambda: None
    )
    with embedding_for(job, jobs, spool, stop or StopToken()):
        return embedder.embed_documents(texts)


def do_one_job(jobs, spool):
    """Do the next job as a worker of the queue ``embed`` does; return its id."""
    claimed = jobs.claim(lease_seconds=60.0)
    result = {}
    if "texts" in claimed.job.arguments:
        with spool.open(claimed.job.arguments["texts"]) as stream:
            made = FakeEmbedder().embed_documents(read_texts(stream))
        result = {"vectors": write_vectors(spool, claimed.job.id, made)}
    jobs.finish(claimed, result)
    return claimed.job.id


def open_embedding_jobs(jobs):
    return jobs.jobs(task=EMBED_TASK, states={JobState.WAITING, JobState.RUNNING})


def test_chunks_that_nobody_embeds_end_the_attempt_with_the_name_of_their_queue(jobs, spool):
    with pytest.raises(ComponentError, match="no worker reads the queue 'gpu'") as raised:
        embed(jobs, spool, ["tea"])
    assert raised.value.code == "component_unreachable", "tried again later"


def test_chunks_wait_for_a_worker_that_is_slow(jobs, spool, caplog):
    """It prolongs its lease, and begins and ends no job for a long time."""
    made = []
    waiting = threading.Thread(target=lambda: made.append(embed(jobs, spool, ["tea"])))
    waiting.start()
    while not (found := open_embedding_jobs(jobs)):
        assert waiting.is_alive()
    slow = jobs.claim(lease_seconds=60.0, job_id=found[0].id)
    waiting.join(4 * module._UNREAD_SECONDS)
    assert waiting.is_alive()
    vectors = FakeEmbedder().embed_documents(["tea"])
    jobs.finish(slow, {"vectors": write_vectors(spool, slow.job.id, vectors)})
    waiting.join(60)
    assert made[0].shape == (1, FakeEmbedder().dimension)
    assert "for a worker of the queue" not in caplog.text


def test_a_worker_that_died_with_the_chunks_does_not_hold_them_up_for_ever(jobs, spool, caplog):
    failed = []

    def wait():
        try:
            embed(jobs, spool, ["tea"])
        except ComponentError as error:
            failed.append(error)

    waiting = threading.Thread(target=wait)
    waiting.start()
    while not (found := open_embedding_jobs(jobs)):
        assert waiting.is_alive()
    assert jobs.claim(lease_seconds=-1.0, job_id=found[0].id)
    waiting.join(60)
    assert "no worker reads the queue 'gpu'" in str(failed[0])
    assert "s for a worker of the queue 'gpu'" in caplog.text


def test_chunks_wait_as_long_as_a_worker_embeds_others(jobs, spool, monkeypatch):
    """Between two looks at the table the worker does one job; the chunks' own is the fifth."""
    for number in range(4):
        jobs.add(NewJob(EMBED_TASK, {"number": number}))
    look, done = jobs.jobs, []

    def look_after_work(**which):
        done.append(do_one_job(jobs, spool))
        return look(**which)

    monkeypatch.setattr(jobs, "jobs", look_after_work)
    assert embed(jobs, spool, ["tea"]).shape == (1, FakeEmbedder().dimension)
    assert len(done) == 5


def test_chunks_of_a_document_that_is_tried_again_are_kept_for_it(jobs, spool):
    with pytest.raises(ComponentError):
        embed(jobs, spool, ["tea"])
    assert [each.state for each in open_embedding_jobs(jobs)] == [JobState.WAITING]
    assert list(spool.digests())


def test_chunks_of_a_document_that_has_failed_are_forgotten(tmp_path, spool):
    engine = open_database(f"sqlite:///{tmp_path}/service.db")
    jobs = SqlJobQueue(engine, max_attempts=1)
    with pytest.raises(ComponentError):
        embed(jobs, spool, ["tea", *map(str, range(300))])
    assert open_embedding_jobs(jobs) == [] == list(spool.digests())
    engine.dispose()


def test_chunks_that_are_refused_take_the_others_of_their_document_with_them(jobs, spool):
    failed = []

    def wait():
        try:
            embed(jobs, spool, ["tea", *map(str, range(300))])
        except RequestError as error:
            failed.append(error)

    waiting = threading.Thread(target=wait)
    waiting.start()
    while len(found := open_embedding_jobs(jobs)) < 2:
        assert waiting.is_alive()
    first = jobs.claim(lease_seconds=60.0, job_id=found[-1].id)
    jobs.fail(first, "unreadable_source", "no model reads it", retry_after=None)
    waiting.join(60)
    assert "could not be embedded: no model reads it" in str(failed[0])
    assert open_embedding_jobs(jobs) == [] == list(spool.digests())


@pytest.mark.parametrize("is_cancelled", [True, False])
def test_chunks_of_a_document_that_was_stopped_are_forgotten_if_it_was_cancelled(
    jobs, spool, monkeypatch, is_cancelled
):
    job, stop = jobs.add(new_job()), StopToken()

    def end(_):
        if is_cancelled:
            jobs.cancel(job.id)
        stop.set()
        raise StoppedError

    monkeypatch.setattr(QueuedEmbedder, "_wait", lambda self, waiting: end(waiting))
    with pytest.raises(StoppedError):
        embed(jobs, spool, ["tea"], job, stop)
    assert bool(open_embedding_jobs(jobs)) is bool(list(spool.digests())) is not is_cancelled


def test_vectors_that_nobody_reads_any_more_are_deleted(jobs, spool, monkeypatch):
    """Both parts are embedded, and the document is cancelled before they are read."""
    job, stop = jobs.add(new_job()), StopToken()

    def end(*_):
        while open_embedding_jobs(jobs):
            do_one_job(jobs, spool)
        jobs.cancel(job.id)
        stop.set()
        raise StoppedError

    monkeypatch.setattr(QueuedEmbedder, "_wait", end)
    with pytest.raises(StoppedError):
        embed(jobs, spool, [f"tea {n}" for n in range(300)], job, stop)
    assert not list(spool.digests())


def test_a_thread_that_goes_on_after_its_attempt_adds_no_job(jobs, spool):
    with embedding_for(jobs.add(new_job()), jobs, spool, StopToken()):
        owner = module._owner.get()
    with pytest.raises(StoppedError):
        owner.add("late", "texts")


def test_a_document_that_repeats_itself_leaves_nothing_in_the_spool(jobs, spool, monkeypatch):
    """Both parts of 256 texts are the same job."""
    look = jobs.job

    def look_after_work(job_id):
        if open_embedding_jobs(jobs):
            do_one_job(jobs, spool)
        return look(job_id)

    owner = jobs.add(new_job())
    monkeypatch.setattr(jobs, "job", look_after_work)
    assert len(embed(jobs, spool, 512 * ["tea"], owner)) == 512
    assert open_embedding_jobs(jobs) == [] == list(spool.digests())
