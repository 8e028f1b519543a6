"""Chunks that other workers embed: what happens if there is no such worker."""

import threading

import pytest

from kvasir.core.errors import ComponentError
from kvasir.core.run import StopToken
from kvasir.core.services.jobs import JobState, NewJob
from kvasir.database import open_database
from kvasir.jobs import chunk_embedding as module
from kvasir.jobs.chunk_embedding import EMBED_TASK, embedding_for, queued, read_texts, write_vectors
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


def embed(jobs, spool, texts):
    """Embed the texts of a new job as a worker of the queue ``ingest`` does."""
    job = jobs.add(new_job())
    jobs.claim(lease_seconds=3600.0, job_id=job.id)
    embedder = queued(
        FakeEmbedder(), "tea", jobs, spool, queue="gpu", stop=StopToken(), wake=lambda: None
    )
    with embedding_for(job, spool):
        return embedder.embed_documents(texts)


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
        claimed = jobs.claim(lease_seconds=60.0)
        done.append(claimed.job.id)
        result = {}
        if "texts" in claimed.job.arguments:
            with spool.open(claimed.job.arguments["texts"]) as stream:
                made = FakeEmbedder().embed_documents(read_texts(stream))
            result = {"vectors": write_vectors(spool, claimed.job.id, made)}
        jobs.finish(claimed, result)
        return look(**which)

    monkeypatch.setattr(jobs, "jobs", look_after_work)
    assert embed(jobs, spool, ["tea"]).shape == (1, FakeEmbedder().dimension)
    assert len(done) == 5
