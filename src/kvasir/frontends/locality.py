"""Whether a request comes from this machine alone: who listens, what was asked for, and by whom.

A web page may make a name of its own resolve to this machine (DNS rebinding): its requests still
say that name. A proxy on this machine passes on the requests of others: it says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address
from urllib.parse import urlsplit

_FORWARDED = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via")


def is_loopback(host: str) -> bool:
    """Return True if only this machine reaches an address; ``localhost`` is one."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def is_forwarded(headers: Mapping[str, str]) -> bool:
    """Return True if a proxy has passed a request on; names of ``headers`` match in any case."""
    return any(name in headers for name in _FORWARDED)


def is_asked_as_loopback(headers: Mapping[str, str]) -> bool:
    """Return True if a request names this machine by its loopback address, and no proxy sent it."""
    return is_loopback(_host_name(headers.get("host", ""))) and not is_forwarded(headers)


def is_own_origin(headers: Mapping[str, str]) -> bool:
    """Return True if no page of another origin has sent a request."""
    origin = headers.get("origin")
    return origin is None or urlsplit(origin).netloc == headers.get("host")


def is_own_form(headers: Mapping[str, str]) -> bool:
    """Return True if a form was sent by a page of ours; see docs/decisions/0033.

    Browsers send ``Sec-Fetch-Site`` over HTTPS and to loopback, and ``Origin`` always; other
    programs send neither.
    """
    site = headers.get("sec-fetch-site")
    return is_own_origin(headers) if site is None else site in ("same-origin", "none")


def _host_name(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""
