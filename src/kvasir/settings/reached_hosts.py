"""Where a process of this machine reaches what listens at a host."""

from __future__ import annotations

_ANY = {"0.0.0.0": "127.0.0.1", "::": "::1"}


def reached_host(host: str) -> str:
    """Return the loopback address for one that stands for all addresses, and others as they are."""
    return _ANY.get(host, host)


def http_address(host: str, port: int) -> str:
    """Return the address at which a process of this machine reaches a server by HTTP."""
    reached = reached_host(host)
    return f"http://{f'[{reached}]' if ':' in reached else reached}:{port}"
