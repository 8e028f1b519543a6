"""Local stand-ins of the web: pages as sites have them, and a server with SearXNG's JSON API."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

_NAVIGATION = """<nav><ul><li><a href="/">Home</a></li><li><a href="/shop">Shop</a></li>
<li><a href="/account">My account</a></li></ul></nav>"""
_FOOTER = """<footer><p>Copyright 2024 Tea World. <a href="/privacy">Privacy policy</a>
<a href="/terms">Terms of use</a></p></footer>"""
_COOKIES = """<div role="dialog" id="cookie-banner"><p>We value privacy: accept all cookies?</p>
<button>Accept all</button></div>"""
BOILERPLATE = ("My account", "Privacy policy", "accept all cookies", "Subscribe to our newsletter")
_ASIDE = "<aside><h2>Subscribe to our newsletter</h2><p>Offers every week.</p></aside>"


def article(title: str, *paragraphs: str, published: str = "") -> bytes:
    """Return a page with what sites put around their text."""
    dated = published and f'<meta property="article:published_time" content="{published}">'
    text = "".join(f"<p>{each}</p>" for each in paragraphs)
    return (
        f"<!DOCTYPE html><html lang=en><head><title>{title}</title>{dated}</head><body>"
        f"<header>{_NAVIGATION}</header>{_COOKIES}<main><article><h1>{title}</h1>{text}"
        f"</article></main>{_ASIDE}{_FOOTER}</body></html>"
    ).encode()


@dataclass
class Page:
    """What a site answers to one path.

    Attributes:
        waits: Do not answer until the site is closed.
        lasts: Seconds that an answer takes.
    """

    body: bytes = b""
    media_type: str = "text/html; charset=utf-8"
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    waits: bool = False
    lasts: float = 0.0


@dataclass
class Site:
    """A site on one address of this machine.

    Attributes:
        pages: By path.
        asked: Path and status of every request, in order.
        most_at_once: Most requests that were answered at the same time.
    """

    host: str
    port: int = 0
    pages: dict[str, Page] = field(default_factory=dict)
    asked: list[tuple[str, int]] = field(default_factory=list)
    agents: set[str] = field(default_factory=set)
    most_at_once: int = 0
    at_once: int = 0
    closing: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    def clear(self) -> None:
        """Forget pages and requests; end those that wait."""
        self.pages.clear()
        self.closing.set()
        while self.at_once:
            time.sleep(0.01)
        self.closing.clear()
        self.asked.clear()
        self.most_at_once = 0


@contextmanager
def serving_site(host: str = "127.0.0.1") -> Iterator[Site]:
    """Serve a site."""
    site = Site(host)

    def answer(handler: BaseHTTPRequestHandler) -> None:
        page = site.pages.get(handler.path, Page(status=404))
        with site.lock:
            site.agents.add(handler.headers.get("User-Agent", ""))
            site.at_once += 1
            site.most_at_once = max(site.most_at_once, site.at_once)
        try:
            _send(site, handler, page)
        finally:
            with site.lock:
                site.at_once -= 1

    with _server(host, answer) as site.port:
        try:
            yield site
        finally:
            site.closing.set()


def _send(site: Site, handler: BaseHTTPRequestHandler, page: Page) -> None:
    if page.waits:
        site.asked.append((handler.path, 0))
        site.closing.wait(30)
        return
    time.sleep(page.lasts)
    same = {"If-None-Match": "ETag", "If-Modified-Since": "Last-Modified"}
    is_same = any(
        name in handler.headers and handler.headers[name] == page.headers.get(answer)
        for name, answer in same.items()
    )
    status = 304 if is_same else page.status
    site.asked.append((handler.path, status))
    handler.send_response(status)
    for name, value in page.headers.items():
        handler.send_header(name, value)
    if status == 200:
        handler.send_header("Content-Type", page.media_type)
    handler.end_headers()
    if status == 200:
        handler.wfile.write(page.body)


@dataclass
class Searxng:
    """A server with SearXNG's API.

    Attributes:
        results: What it finds, ten on a page.
        reply: Another answer: status, headers and body.
    """

    url: str = ""
    results: list[dict[str, Any]] = field(default_factory=list)
    unresponsive: list[list[str]] = field(default_factory=list)
    reply: tuple[int, dict[str, str], bytes] | None = None
    asked: list[dict[str, list[str]]] = field(default_factory=list)

    def finds(self, *urls: str) -> None:
        self.results = [{"url": url, "title": f"About {url}"} for url in urls]


@contextmanager
def serving_searxng() -> Iterator[Searxng]:
    """Serve SearXNG's API."""
    server = Searxng()

    def answer(handler: BaseHTTPRequestHandler) -> None:
        asked = parse_qs(urlsplit(handler.path).query)
        server.asked.append(asked)
        first = 10 * (int(asked["pageno"][0]) - 1)
        content = {
            "query": asked["q"][0],
            "results": server.results[first : first + 10],
            "unresponsive_engines": server.unresponsive,
        }
        status, headers, body = server.reply or (200, {}, json.dumps(content).encode())
        handler.send_response(status)
        for name, value in {"Content-Type": "application/json", **headers}.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(body)

    with _server("127.0.0.1", answer) as port:
        server.url = f"http://127.0.0.1:{port}"
        yield server


@contextmanager
def _server(host: str, answer: Callable[[BaseHTTPRequestHandler], None]) -> Iterator[int]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer(self)

        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer((host, 0), Handler)
    server.daemon_threads = True
    server.handle_error = lambda *_: None  # type: ignore[method-assign]  # a client that left
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
