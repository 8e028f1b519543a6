"""Fetches URLs, protected against server-side request forgery.

A URL may come from a user, a page or a mail, and name a machine that only the server can reach. So
only http and https are allowed; every name is resolved once, and the connection goes to the checked
address; each redirect is checked; private, loopback, link-local, multicast and other special
addresses are refused in every notation; size and time are limited. Proxies from the environment are
not used, because they would resolve the names again. A body is unpacked in pieces
(``content_coding``).

Sources: RFC 6890 (special addresses), RFC 4291 and 6052 (IPv4 inside IPv6).
"""

from __future__ import annotations

import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime
from functools import cache
from io import BytesIO
from typing import Any, Protocol

import httpcore
import httpx

from kvasir.core import media_types
from kvasir.core.errors import FetchError
from kvasir.core.types import Source
from kvasir.ingesting.content_coding import ACCEPTED, BodyTooLargeError, unpacked
from kvasir.ingesting.extraction import too_large

_detecting = threading.Lock()
_SCHEMES = ("http", "https")
_MAX_REDIRECTS = 5
_NOT_MODIFIED = 304
_GONE = (404, 410)
_CONDITIONS = ("If-None-Match", "If-Modified-Since")
_HEADERS = {
    "User-Agent": "kvasir (document indexing)",
    "Accept": "*/*",
    "Accept-Encoding": ACCEPTED,
}
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_NAT64_LOCAL = ipaddress.ip_network("64:ff9b:1::/48")

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True, slots=True)
class FetchedPage:
    """What a server gave for an address.

    Attributes:
        source: Its URI is the address after all redirects, without a fragment.
        modified: False if the server says that it was not modified; then there is no body.
        etag: The server's tag of this version; empty if it gives none.
    """

    source: Source
    modified: bool
    etag: str = ""


class Body(Protocol):
    """Where a body is put; ``io.BytesIO`` is one in memory."""

    def write(self, piece: bytes, /) -> object:
        """Add a piece."""

    def getvalue(self) -> bytes:
        """Return all pieces as one."""


BeforeRequest = Callable[[str], Mapping[str, str]]
"""Gets the address of each request before it is sent, redirects included; returns its
``If-None-Match`` and ``If-Modified-Since``."""


def fetch(
    url: str,
    *,
    allow_private: bool = False,
    max_bytes: int = 200 << 20,
    timeout: float = 60.0,
    verify: ssl.SSLContext | None = None,
) -> tuple[Source, bytes]:
    """Fetch a document; return its source, whose URI is ``url`` without a fragment, and the body.

    The operator, never a request, allows addresses of private networks, for intranets. Limits are
    ``max_bytes`` after decompression, and seconds for the whole fetch. ``verify`` has certificates
    to trust instead of the system's.

    Raises:
        FetchError: It cannot or may not be fetched; the message does not name the address.
    """
    body = BytesIO()
    page = fetch_page(
        url, body, allow_private=allow_private, max_bytes=max_bytes, timeout=timeout, verify=verify
    )
    return replace(page.source, uri=_checked_url(url)), body.getvalue()


def fetch_page(
    url: str,
    body: Body,
    *,
    allow_private: bool = False,
    max_bytes: int = 200 << 20,
    timeout: float = 60.0,
    verify: ssl.SSLContext | None = None,
    before: BeforeRequest = lambda _: {},
) -> FetchedPage:
    """Fetch a document into ``body`` unless it was not modified; the rest as of ``fetch``.

    Only one body at a time is whole in memory, while its format is detected.

    Source: RFC 9110, section 13 (conditional requests).
    """
    target = _checked_url(url)
    transport = _GuardedTransport(_Guard(allow_private, time.monotonic() + timeout), verify)

    def prepare(request: httpx.Request) -> None:
        for name in _CONDITIONS:
            # Those of the address that redirects here.
            request.headers.pop(name, None)
        request.headers.update(before(_without_fragment(request.url)))

    try:
        with (
            httpx.Client(
                transport=transport,
                follow_redirects=True,
                max_redirects=_MAX_REDIRECTS,
                timeout=timeout,
                trust_env=False,
                headers=_HEADERS,
                event_hooks={"request": [prepare]},
            ) as client,
            client.stream("GET", target) as response,
        ):
            final = _without_fragment(response.url)
            sent = response.request.headers
            if response.status_code == _NOT_MODIFIED and any(each in sent for each in _CONDITIONS):
                return FetchedPage(Source(final, ""), modified=False)
            if response.status_code >= 400:
                # Not the server's own words, which may be anything.
                known = httpx.codes.get_reason_phrase(response.status_code)
                status = f"{response.status_code} {known}".strip()
                error = FetchError(f"the server answered {status}; check the address")
                error.is_gone = response.status_code in _GONE
                raise error
            _receive(response, body, max_bytes)
            declared = response.headers.get("content-type", "").partition(";")[0].strip().lower()
            charset = response.charset_encoding or ""
            modified = _time(response.headers.get("last-modified", ""))
            etag = response.headers.get("etag", "")
    except httpx.TooManyRedirects as error:
        raise FetchError(f"more than {_MAX_REDIRECTS} redirects") from error
    except httpx.TimeoutException as error:
        raise FetchError(f"not fetched within {timeout:g} s; try again later") from error
    except (httpx.NetworkError, OSError) as error:
        raise FetchError(f"cannot connect: {error}; check the address") from error
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise FetchError(str(error) or type(error).__name__) from error
    except ValueError as error:
        # A redirect to a name that cannot be decoded, such as one with a malformed A-label.
        raise FetchError(f"a redirect to something that is no address ({error})") from error
    with _detecting:
        media_type = media_types.settle(declared, media_types.detect(target, body.getvalue()))
    source = Source(final, media_type, charset=charset, modified=modified)
    return FetchedPage(source, modified=True, etag=etag)


def _without_fragment(url: httpx.URL) -> str:
    return str(url.copy_with(fragment=None))


def _time(header: str) -> float | None:
    """Return the time of an HTTP date in seconds since 1970; None if it is none."""
    try:
        return parsedate_to_datetime(header).timestamp()
    except (ValueError, OverflowError):
        return None


def _checked_url(url: str) -> str:
    try:
        parsed = httpx.URL(url)
        host = parsed.host
    except (httpx.InvalidURL, TypeError, ValueError) as error:
        raise FetchError(f"not an address ({error})") from error
    if parsed.scheme not in _SCHEMES or not host:
        raise FetchError("only http:// and https:// addresses are fetched")
    if parsed.userinfo:
        raise FetchError("an address with a password is not fetched")
    return _without_fragment(parsed)


def _receive(response: httpx.Response, body: Body, max_bytes: int) -> None:
    announced = response.headers.get("content-length", "")
    try:
        if announced.isdecimal() and int(announced) > max_bytes:
            raise BodyTooLargeError
        coding = response.headers.get("content-encoding", "")
        for piece in unpacked(response.iter_raw(), coding, max_bytes):
            body.write(piece)
    except BodyTooLargeError:
        raise FetchError(str(too_large(max_bytes))) from None


def is_public(address: Address) -> bool:
    """Return True if an address belongs to the public Internet, IPv4 inside IPv6 included."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if inner is None and address.teredo is not None:
            inner = address.teredo[1]
        if inner is None and address in _NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if address in _NAT64_LOCAL or address.is_site_local:
            return False
        if inner is not None:
            return is_public(inner)
        # Addresses of the form ::a.b.c.d are deprecated, but some systems route them.
        if int(address) >> 32 == 0:
            return False
    return address.is_global and not address.is_multicast and not address.is_reserved


class _Guard(httpcore.NetworkBackend):
    """Resolves and checks names, and connects to the checked addresses within the deadline.

    It is below TLS, so the certificate is verified against the name in the URL.
    """

    def __init__(self, allow_private: bool, deadline: float) -> None:
        self._allow_private = allow_private
        self._deadline = deadline
        self._network = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        addresses = resolve(host, port)
        if not self._allow_private:
            for address in addresses:
                if not is_public(ipaddress.ip_address(address.partition("%")[0])):
                    # One private address among several is enough to refuse: it could be tried.
                    raise FetchError(
                        # Without the address: names of the own network are no business of whoever
                        # sent this one.
                        f"{host} is not a public address; to index an intranet, set "
                        "rag.ingest.allow_private_urls to true"
                    )
        error: Exception = httpcore.ConnectError("no address")
        for address in addresses:
            try:
                stream = self._network.connect_tcp(
                    address, port, _remaining(self._deadline), local_address, socket_options
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as failure:
                error = failure
                continue
            return _TimedStream(stream, self._deadline)
        raise error


class _TimedStream(httpcore.NetworkStream):
    """A connection whose reads and writes end at the deadline of the whole fetch."""

    def __init__(self, stream: httpcore.NetworkStream, deadline: float) -> None:
        self._stream = stream
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, _remaining(self._deadline))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, _remaining(self._deadline))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        stream = self._stream.start_tls(ssl_context, server_hostname, _remaining(self._deadline))
        return _TimedStream(stream, self._deadline)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


def resolve(host: str, port: int) -> list[str]:
    """Return the addresses of a host from the system's resolver."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (socket.gaierror, UnicodeError) as error:
        raise FetchError(f"{host}: no such host; check the address") from error
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def _remaining(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise httpcore.ReadTimeout("the time for the whole fetch is over")
    return left


@cache
def _certificates() -> ssl.SSLContext:
    # Reading the trusted certificate authorities takes 50 ms.
    return httpx.create_ssl_context(trust_env=False)


class _GuardedTransport(httpx.HTTPTransport):
    """A transport for httpx whose connection pool connects through the guard."""

    def __init__(self, guard: _Guard, verify: ssl.SSLContext | None) -> None:
        context = verify or _certificates()
        super().__init__(verify=context, trust_env=False)
        # httpx has no parameter for the network backend.
        self._pool = httpcore.ConnectionPool(
            ssl_context=context, network_backend=guard, max_connections=1
        )

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if request.url.scheme not in _SCHEMES:
            raise FetchError(f"{request.url}: a redirect to something that is not http or https")
        return super().handle_request(request)
