"""Search engines of the web: SearXNG's JSON API, and ddgs with its own library."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

import pytest
from web_site import Searxng, serving_searxng

from kvasir.components.web_search.searxng import SearxngSearch
from kvasir.core import registry
from kvasir.core.errors import ComponentError, SettingsError
from kvasir.core.types import WebResult


@pytest.fixture(scope="module")
def server() -> Iterator[Searxng]:
    with serving_searxng() as server:
        yield server


@pytest.fixture
def searxng(server: Searxng) -> Searxng:
    server.results, server.unresponsive, server.reply = [], [], None
    server.asked.clear()
    return server


def test_the_engines_are_plug_ins() -> None:
    assert registry.names("search_engines") == ["ddgs", "searxng"]
    assert registry.load("search_engines", "searxng") is SearxngSearch


def test_results_have_address_title_and_date(searxng: Searxng) -> None:
    searxng.results = [
        {"url": "https://a.example/", "title": "  Green\n tea ", "publishedDate": "2024-03-15"},
        {"url": "https://b.example/", "title": None, "publishedDate": "2024-03-15T08:30:00+01:00"},
        {"url": "https://c.example/", "publishedDate": "yesterday"},
        {"title": "an answer without a page"},
    ]
    found = SearxngSearch(searxng.url, language="es").search("té verde", 10)
    assert found == [
        WebResult("https://a.example/", "Green tea", "2024-03-15"),
        WebResult("https://b.example/", "", "2024-03-15T07:30:00Z"),
        WebResult("https://c.example/"),
    ]
    asked = searxng.asked[0]
    assert (asked["q"], asked["format"], asked["language"]) == (["té verde"], ["json"], ["es"])


def test_as_many_pages_of_results_are_read_as_are_needed(searxng: Searxng) -> None:
    searxng.finds(*(f"https://example.org/{number}" for number in range(25)))
    engine = SearxngSearch(f"{searxng.url}/search")
    assert len(engine.search("tea", 5)) == 5
    assert len(searxng.asked) == 1
    found = engine.search("tea", 100)
    assert [each.url for each in found] == [each["url"] for each in searxng.results]
    assert [each["pageno"] for each in searxng.asked[1:]] == [["1"], ["2"], ["3"], ["4"]]


@pytest.mark.parametrize(
    ("status", "headers", "body", "kind", "message"),
    [
        (403, {}, b"", "failed", r"add json to search\.formats"),
        (429, {"Retry-After": "7"}, b"", "busy", "too many requests .*try again later"),
        (500, {}, b"", "busy", "look at its log"),
        (404, {}, b"", "failed", r"404; check rag\.web_search\.base_url"),
        (200, {}, b"<html>", "failed", r"not JSON; is rag\.web_search\.base_url the address"),
        (200, {}, b"[]", "failed", "no list of results"),
    ],
)
def test_a_server_that_fails_is_one_sentence_that_says_what_to_do(
    searxng: Searxng, status: int, headers: dict[str, str], body: bytes, kind: str, message: str
) -> None:
    searxng.reply = status, headers, body
    with pytest.raises(ComponentError, match=message) as failed:
        SearxngSearch(searxng.url).search("tea", 3)
    assert failed.value.kind == kind
    assert failed.value.retry_after == (7 if headers else None)


def test_nothing_found_is_no_failure_unless_an_engine_failed(searxng: Searxng) -> None:
    engine = SearxngSearch(searxng.url)
    assert engine.search("tea", 3) == []
    searxng.unresponsive = [["brave", "too many requests"], ["google", "timeout"]]
    with pytest.raises(ComponentError, match=r"nothing was found, and these of its") as failed:
        engine.search("tea", 3)
    assert failed.value.kind == "busy"
    assert "failed: brave too many requests, google timeout" in str(failed.value)


def test_an_address_on_two_pages_is_one_result(searxng: Searxng) -> None:
    urls = [f"https://example.org/{number}" for number in range(10)]
    searxng.finds(*urls, urls[0], "https://example.org/last")
    searxng.results[10]["title"] = "again"
    found = SearxngSearch(searxng.url).search("tea", 100)
    assert [each.url for each in found] == [*urls, "https://example.org/last"]
    assert found[0].title == f"About {urls[0]}"


def test_a_server_that_is_not_there_or_no_address() -> None:
    with pytest.raises(ComponentError, match=r"cannot be reached .*start it") as failed:
        SearxngSearch("http://127.0.0.1:9").search("tea", 3)
    assert failed.value.kind == "unreachable"
    for address in ("", "localhost:8888", "http://[", "http://[a]/"):
        with pytest.raises(SettingsError, match=r"needs rag\.web_search\.base_url"):
            SearxngSearch(address)


_RESULT = """<div class="result results_links"><div class="links_main result__body">
<h2 class="result__title"><a class="result__a" href="{0}">About {0}</a></h2>
<a class="result__snippet" href="{0}">A text about {0}.</a></div></div>"""


class _DuckDuckGo(BaseHTTPRequestHandler):
    """Answers as DuckDuckGo's page without scripts does."""

    found: tuple[str, ...] = ()
    status = 200
    waits = threading.Event()
    hangs = False

    def do_POST(self) -> None:
        asked = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        if type(self).hangs:
            type(self).waits.wait(10)
            return
        shown = self.found if "s" not in asked else ()
        results = "".join(map(_RESULT.format, shown))
        self.send_response(self.status)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.end_headers()
        self.wfile.write(f"<html><body>{results}</body></html>".encode())

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture
def duckduckgo(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Point the library's engine at a server of this machine."""
    ddgs = pytest.importorskip("ddgs.engines", reason="the extra 'web' is not installed")
    handler = type("Handler", (_DuckDuckGo,), {"waits": threading.Event()})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    engine = ddgs.ENGINES["text"]["duckduckgo"]
    monkeypatch.setattr(engine, "search_url", f"http://127.0.0.1:{server.server_port}/html/")
    yield handler
    handler.waits.set()
    server.shutdown()
    thread.join()
    server.server_close()


def _ddgs(**options: Any) -> Any:
    return registry.build("search_engines", "ddgs", {"backend": "duckduckgo", **options})


def test_ddgs_reads_the_page_of_an_engine(duckduckgo: Any) -> None:
    duckduckgo.found = ("https://a.example/tea", "https://b.example/")
    found = _ddgs().search("a text about tea", 10)
    assert sorted(found, key=lambda each: each.url) == [
        WebResult("https://a.example/tea", "About https://a.example/tea"),
        WebResult("https://b.example/", "About https://b.example/"),
    ]
    assert len(_ddgs().search("a text about tea", 1)) == 1


def test_ddgs_takes_an_engine_that_refuses_as_one_that_finds_nothing(duckduckgo: Any) -> None:
    assert _ddgs().search("tea", 3) == []
    duckduckgo.status = 429
    assert _ddgs().search("tea", 3) == []


def test_ddgs_says_what_to_do_when_no_engine_answers(
    duckduckgo: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    duckduckgo.hangs = True
    with pytest.raises(ComponentError, match="no engine answered in time; try again later") as late:
        _ddgs(timeout=1).search("tea", 3)
    assert late.value.kind == "timeout"
    engines = pytest.importorskip("ddgs.engines").ENGINES
    monkeypatch.setattr(engines["text"]["duckduckgo"], "search_url", "http://127.0.0.1:9/")
    with pytest.raises(ComponentError, match=r"no engine answered .*check the network") as lost:
        _ddgs().search("tea", 3)
    assert lost.value.kind == "unreachable"


def test_ddgs_reports_too_many_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    exceptions = pytest.importorskip("ddgs.exceptions", reason="the extra 'web' is not installed")
    library = pytest.importorskip("ddgs.ddgs").DDGS

    def refuse(*_: object, **__: object) -> None:
        raise exceptions.RatelimitException("202")

    monkeypatch.setattr(library, "text", refuse)
    with pytest.raises(ComponentError, match="too many requests; try again later") as refused:
        _ddgs().search("tea", 3)
    assert refused.value.kind == "busy"
