"""Where a process of this machine reaches what listens at a host."""

from __future__ import annotations

_ANY = {"0.0.0.0": "127.0.0.1", "::": "::1"}


def reached_host(host: str) -> str:
    """Return the loopback address for one that stands for all addresses, and others as they are."""
    return _ANY.get(host, host)
