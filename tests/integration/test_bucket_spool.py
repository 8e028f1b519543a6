"""Uploads in a bucket of S3-compatible storage: the contract of spools, locks, and faults."""

import time
from io import BytesIO

import pytest
from celery_stack import CeleryStack
from chroma_server import chroma_server
from databases import database
from own_brokers import own_broker
from s3_server import s3_bucket

from kvasir.core.errors import ComponentError, MissingExtraError, SettingsError
from kvasir.jobs import bucket_spool
from kvasir.jobs.bucket_spool import BucketSpool
from kvasir.services import make_spool
from kvasir.settings.loading import load_settings
from kvasir.testing.jobs import SpoolContract


@pytest.fixture(scope="module")
def bucket():
    with s3_bucket("uploads") as address:
        yield address


@pytest.fixture
def address(bucket, request):
    return f"{bucket}/{abs(hash(request.node.nodeid))}"


class TestBucketSpool(SpoolContract):
    @pytest.fixture
    def spool(self, address):
        return BucketSpool(address)


def test_large_bytes_are_written_in_parts_and_read_from_any_place(address):
    spool = BucketSpool(address)
    data = bytes(range(256)) * (80 << 10)
    digest, size = spool.put(BytesIO(data), max_bytes=1 << 30)
    assert size == len(data) == 20 << 20
    with spool.open(digest) as stream:
        assert stream.seek(0, 2) == size
        stream.seek(size - 300)
        assert stream.read() == data[-300:]


def test_two_processes_wait_for_one_lock_and_an_abandoned_one_is_taken(address, monkeypatch):
    first, second = BucketSpool(address), BucketSpool(address)
    with first.lock():
        assert not second._create_lock(b"mine")
    monkeypatch.setattr(bucket_spool, "_LOCK_SECONDS", 3.0)  # Times are full seconds.
    assert first._create_lock(b"of a process that died")
    begun = time.monotonic()
    with second.lock():
        assert time.monotonic() - begun > 1.5


def test_a_storage_that_does_not_answer_is_a_fault_of_the_spool(monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with pytest.raises(ComponentError, match="spool") as raised:
        BucketSpool("s3://uploads").has("a" * 64)
    assert raised.value.kind == "unreachable"


def test_other_addresses_and_a_missing_library_are_said_in_one_sentence(monkeypatch, tmp_path):
    def settings(spool):
        return load_settings({}, {"data_dir": tmp_path, "server.spool": spool}, {})

    with pytest.raises(SettingsError, match="must be a folder or s3://BUCKET/FOLDER, not 'ftp:'"):
        make_spool(settings("ftp://host/uploads"))
    monkeypatch.setitem(__import__("sys").modules, "kvasir.jobs.bucket_spool", None)
    with pytest.raises(MissingExtraError, match="the extra 's3'"):
        make_spool(settings("s3://uploads"))


def test_a_worker_without_a_shared_disk_indexes_an_upload(bucket, tmp_path):
    """The server and each worker have a data folder of their own."""
    folders = [tmp_path / name for name in ("server", "extraction", "embedding", "chroma")]
    for folder in folders:
        folder.mkdir()
    with (
        database("postgresql", tmp_path) as url,
        own_broker("redis") as broker,
        chroma_server(folders[3]) as store,
    ):
        shared = {"database": {"url": url}, "catalog": {"url": url}}
        spool = {"server": {"spool": f"{bucket}/shared"}}
        with CeleryStack(folders[0], broker.url, store, **shared, **spool) as stack:
            workers = [
                stack.worker("--queues", queue, KVASIR__DATA_DIR=str(folder))
                for queue, folder in (("ingest", folders[1]), ("embed", folders[2]))
            ]
            text = "# Tea\n\nGreen tea is brewed at 80 degrees Celsius.\n"
            assert stack.job(stack.upload("tea.md", text), 60)["state"] == "done"
            assert "80 degrees" in stack.ask("How hot is green tea?")
            assert [worker.end() for worker in workers] == [0, 0]
            spool = BucketSpool(f"{bucket}/shared")
            assert len(list(spool.digests())) == 1, "the original alone is kept"
    for folder in folders[:3]:
        assert not list(folder.rglob("spool"))
