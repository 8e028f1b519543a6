"""What an ingest reads: files, pipes, bytes and addresses, and how much of them."""

import os
import signal
import time
from dataclasses import replace
from pathlib import Path

import pytest
from ingest_world import PlainPool, names

from kvasir.core import media_types
from kvasir.core.run import Progress, Run
from kvasir.core.types import Source, document_id
from kvasir.frontends.cli.paths import files
from kvasir.ingesting.local_files import FileReader


def test_bytes_are_ingested_under_their_uri_and_replaced_when_given_again(world):
    source = Source("upload:notes.txt", "text/plain")
    assert world.ingest((source, b"one\n")).added == ["upload:notes.txt"]
    assert world.ingest((source, b"one\n")).unchanged == ["upload:notes.txt"]
    assert world.ingest((source, b"two\n")).replaced == ["upload:notes.txt"]
    assert world.texts() == ["two"]


def test_an_address_is_fetched_and_known_by_the_address_that_was_asked_for(world):
    def fetch(url):
        return Source(url + "/redirected", "text/html"), b"from the net\n"

    assert world.ingest("https://example.org/a").failed[0].reason == "fetch"
    world.pipeline = world.make(fetch=fetch)
    assert world.ingest("https://example.org/a").added == ["https://example.org/a"]
    assert world.texts() == ["from the net"]


def test_a_folder_without_files_is_named(world):
    world.write("full/a.txt", "one\n")
    world.write("empty/.hidden", "one\n")
    report = world.ingest(world.folder / "full", world.folder / "empty")
    assert names(report.without_files) == ["empty"]
    assert not report.failed


@pytest.fixture
def alarm():
    """Ends a test that waits for ever."""
    signal.signal(signal.SIGALRM, lambda *_: pytest.fail("it waits"))
    signal.alarm(20)
    yield
    signal.alarm(0)


@pytest.mark.usefixtures("alarm")
def test_pipes_devices_and_sockets_are_refused_without_waiting(world):
    pipe = world.folder / "pipe"
    os.mkfifo(pipe)
    (world.folder / "later").symlink_to(pipe)
    report = world.ingest(pipe, "/dev/zero", world.folder)
    assert [f.reason for f in report.failed] == ["unreadable", "unreadable"]
    assert all("not a regular file" in f.message for f in report.failed)


@pytest.mark.usefixtures("alarm")
def test_a_file_that_becomes_a_pipe_after_it_was_listed_is_refused_without_waiting(world):
    first = world.write("a.txt", "one\n")
    last = Path(world.write("b.txt", "two\n"))

    def replace_last(event):
        if event == Progress("documents", 0, 2, "documents"):
            last.unlink()
            os.mkfifo(last)

    report = world.ingest(run=Run(progress=replace_last))
    assert report.added == [first]
    assert [(f.source_uri, f.reason) for f in report.failed] == [(str(last), "unreadable")]


def test_a_file_that_is_not_read_in_time_fails(world):
    path = world.write("a.txt", "one\n")
    report = world.make(file_timeout=1e-9).ingest(files(path))
    assert [(f.source_uri, f.reason) for f in report.failed] == [(path, "timeout")]
    assert "rag.ingest.timeout" in report.failed[0].message


@pytest.mark.usefixtures("alarm")
@pytest.mark.parametrize("endless", ["/proc/kmsg", "/proc/self/mem"])
def test_a_regular_file_without_an_end_fails_alone(world, endless):
    if not os.access(endless, os.R_OK):
        pytest.skip(f"{endless} cannot be read here")
    fine = world.write("fine.txt", "fine\n")
    (world.folder / "log.txt").symlink_to(endless)
    report = world.ingest(world.folder, world.folder / "log.txt")
    assert report.added == [fine]
    assert [f.reason for f in report.failed] == ["missing"]


def test_a_file_that_grows_while_it_is_read_is_not_read_without_limit(world):
    path = Path(world.write("a.txt", "x" * 2_000))
    made_up = "/proc/self/status"  # Its size is 0 by ``stat``.
    with FileReader(9.0) as reader:
        assert reader.examine(str(path), 2_000).content_hash
        assert not reader.examine(str(path), 1_999).content_hash
        if Path(made_up).exists():
            assert reader.examine(made_up, 1 << 20).size > 100
            assert not reader.examine(made_up, 100).content_hash


def test_a_file_over_the_limit_is_not_even_read(world):
    path = world.folder / "big.txt"
    with path.open("wb") as file:
        file.truncate(3 << 20)
    source = Source("upload:big.txt", "text/plain")
    report = world.make(max_file_mb=1).ingest([*files(path), (source, bytes(2 << 20))])
    assert [f.reason for f in report.failed] == ["too_large", "too_large"]
    assert report.bytes_read == 0
    assert world.pool.extracted == []
    assert world.catalog.document("test", document_id(str(path))).error_reason == "too_large"


@pytest.mark.parametrize(
    "address",
    [
        "http://user:pa55word@example.org/x",
        "https://user:p/a55word@example.org/x",
        "https://pa55word@example.org/x?y=@",
        "ftp://user:pa55word@example.org/x",
    ],
)
def test_no_password_of_an_address_is_shown_or_kept(world, address):
    world.pipeline = world.make(fetch=lambda url: pytest.fail("it was fetched"))
    report = world.ingest(address)
    (failure,) = report.failed
    assert failure.reason == "fetch"
    assert failure.source_uri.partition("://")[2].startswith("example.org/x")
    assert "a55word" not in f"{report}"
    assert list(world.catalog.documents("test")) == []


def test_other_addresses_than_those_of_the_web_are_refused_as_such(world):
    (failure,) = world.ingest("ftp://example.org/x").failed
    assert (failure.source_uri, failure.reason) == ("ftp://example.org/x", "fetch")
    assert "only http and https" in failure.message


def test_an_at_sign_in_a_path_is_no_login(world):
    world.pipeline = world.make(fetch=lambda url: (Source(url, "text/html"), b"text\n"))
    address = "https://example.org:8080/@someone?to=a@b"
    assert world.ingest(address).added == [address]


def test_an_address_whose_fetch_breaks_in_any_way_fails_alone(world):
    def fetch(url):
        raise UnicodeError("malformed A-label")

    world.write("a.txt", "fine\n")
    report = world.make(fetch=fetch).ingest(["http://xn--/", *files(world.folder)])
    assert [(f.source_uri, f.reason) for f in report.failed] == [("http://xn--/", "fetch")]
    assert "malformed A-label" in report.failed[0].message
    assert world.texts() == ["fine"]


class SlowPool(PlainPool):
    """Extracts the second file when the first one is in the index."""

    def map(self, items, *, ordered=True, stop=None, on_page=None):
        results = super().map(items, ordered=ordered, stop=stop)
        yield next(results)
        deadline = time.monotonic() + 60
        while not self.is_written() and time.monotonic() < deadline:
            time.sleep(0.01)
        self.was_written = self.is_written()
        yield from results


def test_a_document_does_not_wait_for_one_that_takes_long_to_extract(world, monkeypatch):
    monkeypatch.setattr("kvasir.ingesting.preparing._IDLE_SECONDS", 0.05)
    uri = world.write("a.txt", "one\ntwo\n")
    world.write("b.txt", "three\n")
    pool = SlowPool()
    pool.is_written = lambda: world.catalog.document("test", document_id(uri)) is not None
    world.pipeline = world.make(pool=pool, hold_seconds=0.1)
    assert len(world.ingest().added) == 2
    assert pool.was_written


def test_what_may_have_scans_is_read_again_when_text_recognition_changes(world):
    class NamedPool(PlainPool):
        def map(self, items, **options):
            for source, document in super().map(items, **options):
                yield replace(source, media_type=media_types.by_name(source.uri)), document

    for name in ("a.pdf", "b.txt", "c.eml"):
        world.write(name, f"{name}\n")
    world.make(pool=NamedPool()).ingest(files(world.folder))
    for recognizes_text in (True, False):
        pipeline = world.make(pool=NamedPool(), recognizes_text=recognizes_text)
        report = pipeline.ingest(files(world.folder))
        assert (names(report.replaced), report.chunks_embedded) == (["a.pdf", "c.eml"], 0)
        assert pipeline.count_split_otherwise() == 0
        again = pipeline.ingest(files(world.folder))
        assert names(again.unchanged) == ["a.pdf", "b.txt", "c.eml"]
