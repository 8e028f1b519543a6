"""Pages that a web search finds: fetched side by side, each host in turn, each page for itself."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from web_site import Page, Site, serving_site

from kvasir.core.errors import ComponentError, RequestError
from kvasir.core.run import Progress, Run, StopToken
from kvasir.core.types import WebResult
from kvasir.ingesting import fetching, web_pages
from kvasir.ingesting.web_pages import WebPages, is_current
from kvasir.testing.fake_collection import FakeCollection, FakeCollections


@pytest.fixture(scope="module")
def sites() -> Iterator[tuple[Site, Site]]:
    with serving_site("127.0.0.1") as one, serving_site("127.0.0.2") as other:
        yield one, other


@pytest.fixture
def site(sites: tuple[Site, Site]) -> Site:
    for each in sites:
        each.clear()
    sites[0].pages["/tea"] = Page(b"Green tea is steeped for two minutes.", "text/plain")
    return sites[0]


@pytest.fixture
def other(sites: tuple[Site, Site], site: Site) -> Site:
    return sites[1]


@pytest.fixture
def shared() -> FakeCollections:
    return FakeCollections()


@pytest.fixture
def collection(shared: FakeCollections) -> Iterator[FakeCollection]:
    with shared.lease() as lease:
        yield lease


@pytest.fixture
def finds(shared: FakeCollections) -> Callable[..., None]:
    def finds(*urls: str) -> None:
        shared.web_search.results = [WebResult(url, f"About {url}") for url in urls]

    return finds


def test_a_page_that_hangs_holds_back_nothing_and_fails_by_itself(
    collection: FakeCollection,
    shared: FakeCollections,
    finds: Callable[..., None],
    site: Site,
    other: Site,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    other.pages["/hangs"] = Page(waits=True)
    finds(f"{other.url}/hangs", f"{site.url}/tea")
    monkeypatch.setattr(shared, "page_fetcher", replace(shared.page_fetcher, timeout=2.0))
    seen: list[Progress] = []

    report = collection.ingest_web("tea", run=Run(progress=seen.append))

    fetched = [each for each in seen if each.stage == "pages"]
    assert [each.item for each in fetched] == ["", f"{site.url}/tea", f"{other.url}/hangs"]
    assert (fetched[-1].outcome, fetched[-1].done, fetched[-1].total) == ("failed", 2, 2)
    assert report.added == [f"{site.url}/tea"]
    assert [page.outcome for page in report.pages] == ["failed", "added"]
    assert report.failed[0].source_uri == f"{other.url}/hangs"
    assert "within 2 s" in report.pages[0].message


def test_a_host_gets_one_request_at_a_time_also_by_redirects(
    collection: FakeCollection, finds: Callable[..., None], site: Site, other: Site
) -> None:
    for name in ("a", "b", "c"):
        site.pages[f"/{name}"] = Page(name.encode() * 30, "text/plain", lasts=0.05)
        to = {"Location": f"{site.url}/{name}"}
        other.pages[f"/to-{name}"] = Page(status=302, headers=to)
    finds(*(f"{site.url}/{name}" for name in "ab"), f"{other.url}/to-c", f"{other.url}/to-a")

    report = collection.ingest_web("letters")

    assert sorted(report.added) == [f"{site.url}/{name}" for name in "abc"]
    assert report.pages[3].outcome == "repeated"
    assert report.pages[3].source_uri == f"{site.url}/a"
    assert (site.most_at_once, other.most_at_once) == (1, 1)


def test_the_pages_of_a_search_have_a_total_size(
    collection: FakeCollection,
    shared: FakeCollections,
    finds: Callable[..., None],
    site: Site,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    site.pages["/large"] = Page(b"word " * 500_000, "text/plain")
    finds(f"{site.url}/tea", f"{site.url}/large", f"{site.url}/tea?2")
    site.pages["/tea?2"] = Page(b"Black tea takes four minutes.", "text/plain")
    made = replace(shared.page_fetcher, max_bytes=4 << 20, max_total=2 << 20)
    monkeypatch.setattr(shared, "page_fetcher", made)

    report = collection.ingest_web("tea")

    assert report.added == [f"{site.url}/tea", f"{site.url}/tea?2"]
    assert [each.source_uri for each in report.failed] == [f"{site.url}/large"]
    assert "more than 2 MB together; ingest this address by itself" in report.failed[0].message


def test_bodies_are_written_as_they_arrive(
    shared: FakeCollections, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.pages["/large"] = Page(b"word " * 150_000, "text/plain")
    pieces: list[int] = []
    monkeypatch.setattr(web_pages._Room, "take", lambda _, size: pieces.append(size))
    found = [WebResult(f"{site.url}/large")]

    with shared.page_fetcher.fetch(found, lambda _: {}, Run()) as fetched:
        assert fetched.uploads[0][1].read() == site.pages["/large"].body
    assert sum(pieces) == 750_000
    assert max(pieces) < 250_000


def test_a_redirect_to_a_private_address_is_refused(
    finds: Callable[..., None],
    shared: FakeCollections,
    site: Site,
    other: Site,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    other.pages["/secret"] = Page(b"The secret of the own network.", "text/plain")
    site.pages["/to"] = Page(status=302, headers={"Location": f"{other.url}/secret"})
    finds(f"{site.url}/to", f"{site.url}/tea")
    real = fetching.is_public
    monkeypatch.setattr(fetching, "is_public", lambda each: str(each) == site.host or real(each))
    fetcher = replace(shared.page_fetcher, allow_private=False)
    found = shared.make_web_pages().search("tea", 9, Run())

    with fetcher.fetch(found, lambda _: {}, Run()) as fetched:
        (source, data) = fetched.uploads[0]
        assert (source.uri, len(fetched.uploads)) == (f"{site.url}/tea", 1)
        assert data.read() == site.pages["/tea"].body
    assert fetched.pages[0].outcome == "failed"
    assert "not a public address" in fetched.pages[0].message
    assert other.asked == []


def test_a_stop_while_pages_are_fetched_writes_nothing_and_names_what_is_left(
    collection: FakeCollection, finds: Callable[..., None], site: Site, other: Site
) -> None:
    other.pages["/hangs"] = Page(waits=True)
    finds(f"{site.url}/tea", f"{other.url}/hangs")
    stop = StopToken()

    def stop_after_the_first(event: Progress) -> None:
        if event.done:
            threading.Thread(target=stop.set).start()

    report = collection.ingest_web("tea", run=Run(stop, stop_after_the_first))

    assert report.interrupted
    assert report.left == [f"{site.url}/tea", f"{other.url}/hangs"]
    assert [page.outcome for page in report.pages] == ["left", "left"]
    again = collection.ingest_web("tea", max_results=1)
    assert again.added == [f"{site.url}/tea"]


def test_a_page_that_did_not_change_is_not_sent_again(
    collection: FakeCollection, finds: Callable[..., None], site: Site
) -> None:
    dated = {"Last-Modified": "Fri, 15 Mar 2024 08:30:00 GMT"}
    site.pages["/dated"] = Page(b"A page with a date.", "text/plain", headers=dated)
    site.pages["/tagged"] = Page(b"A page with a tag.", "text/plain", headers={"ETag": '"1"'})
    site.pages["/from"] = Page(status=301, headers={"Location": "/tagged"})
    finds(*(f"{site.url}/{name}" for name in ("dated", "from", "tea")))
    first = collection.ingest_web("pages")
    assert len(first.added) == 3
    site.asked.clear()

    second = collection.ingest_web("pages")

    assert sorted(second.unchanged) == sorted(first.added)
    assert [page.outcome for page in second.pages] == ["unchanged"] * 3
    assert dict(site.asked) == {"/dated": 304, "/from": 301, "/tagged": 304, "/tea": 200}
    assert second.bytes_read == len(site.pages["/tea"].body)

    site.pages["/tagged"] = Page(b"Another text.", "text/plain", headers={"ETag": '"2"'})
    assert collection.ingest_web("pages").replaced == [f"{site.url}/tagged"]


def test_new_metadata_reach_pages_that_did_not_change(
    collection: FakeCollection, finds: Callable[..., None], site: Site
) -> None:
    site.pages["/tagged"] = Page(b"A page with a tag.", "text/plain", headers={"ETag": '"1"'})
    finds(uri := f"{site.url}/tagged")
    collection.ingest_web("pages")
    fetched = collection.document(uri).metadata["fetched"]
    assert collection.ingest_web("pages", metadata={"topic": "tea"}).relabelled == [uri]
    metadata = collection.document(uri).metadata
    assert (metadata["topic"], metadata["fetched"]) == ("tea", fetched)
    site.asked.clear()
    assert collection.ingest_web("pages", metadata={"topic": "tea"}).unchanged == [uri]
    assert site.asked == [("/tagged", 304)]


def test_a_page_that_is_gone_leaves_its_document(
    collection: FakeCollection, finds: Callable[..., None], site: Site
) -> None:
    finds(uri := f"{site.url}/tea")
    collection.ingest_web("tea")
    del site.pages["/tea"]
    report = collection.ingest_web("tea")
    assert report.failed[0].message == report.pages[0].message
    assert "404" in report.pages[0].message
    assert "steeped" in collection.text(uri)


def test_the_date_of_the_engine_is_kept_where_a_page_has_none(
    site: Site, shared: FakeCollections, collection: FakeCollection
) -> None:
    shared.web_search.results = [WebResult(f"{site.url}/tea", "", "2023-05-04")]
    collection.ingest_web("tea")
    assert collection.document(f"{site.url}/tea").metadata["published"] == "2023-05-04"


def test_addresses_that_are_none_fail_and_others_go_on(
    collection: FakeCollection, finds: Callable[..., None], site: Site
) -> None:
    finds("ftp://a.example/x", "http://[", "", f"{site.url}/tea", f"{site.url}/tea#part")
    report = collection.ingest_web("tea")
    assert [page.outcome for page in report.pages] == ["failed"] * 3 + ["added"]


def test_an_engine_that_fails_fetches_nothing(
    collection: FakeCollection, shared: FakeCollections, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(query: str, most: int) -> list[WebResult]:
        raise ComponentError("fake", "searching the web", "no answer; try later", kind="busy")

    monkeypatch.setattr(shared.web_search, "search", fail)
    with pytest.raises(ComponentError, match="no answer; try later"):
        collection.ingest_web("tea")
    for query, most, message in (("  ", 3, "query is empty"), ("tea", 0, "at least 1")):
        with pytest.raises(RequestError, match=message):
            collection.ingest_web(query, max_results=most)


def test_a_document_that_needs_another_look_is_not_asked_for_conditionally(
    collection: FakeCollection, finds: Callable[..., None], site: Site
) -> None:
    finds(f"{site.url}/tea")
    collection.ingest_web("tea", metadata={"topic": "tea"})
    record = collection.document(f"{site.url}/tea")
    shape = record.state.settings_hash
    assert is_current(record, shape, None)
    assert is_current(record, shape, {"topic": "tea"})
    assert not is_current(record, shape, {"topic": "drinks"})
    assert not is_current(record, "other settings", None)
    assert not is_current(replace(record, error_reason="malformed"), shape, None)
    assert isinstance(collection.index.components.make_web_pages(), WebPages)
