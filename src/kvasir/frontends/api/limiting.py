"""Limits on attempts, counted by the address of the client and by the name that it gives.

One address may be a whole school's, and one name may be tried from many addresses. So each alone is
allowed ten times as much as both together, or as the one that matters most.
"""

from __future__ import annotations

from ipaddress import IPv6Address, IPv6Network, ip_address

from fastapi import Request

from kvasir.app import App
from kvasir.core.errors import RequestError
from kvasir.core.services.rate_limits import LimitedAction
from kvasir.core.text import name_key

_ALONE = 10
_LONGEST_NAME = 254


def limit_login(kvasir: App, request: Request, name: str) -> None:
    """Count an attempt to log in.

    Raises:
        RateLimitedError: There were too many.
        RequestError: The name is longer than any user name or e-mail address.
    """
    if len(name) > _LONGEST_NAME:
        raise RequestError(f"the user name has more than {_LONGEST_NAME} characters")
    limits, address, user = kvasir.services.rate_limits, client_of(request), _user(name)
    # The narrowest first: what it refuses does not count for the user at other addresses.
    limits.hit(LimitedAction.LOGIN, f"{address} {user}")
    limits.hit(LimitedAction.LOGIN, address, times=_ALONE)
    limits.hit(LimitedAction.LOGIN, user, times=_ALONE)


def limit_registration(kvasir: App, request: Request) -> None:
    """Count a registration.

    Raises:
        RateLimitedError: There were too many.
    """
    kvasir.services.rate_limits.hit(LimitedAction.REGISTRATION, client_of(request))


def limit_recovery(kvasir: App, request: Request, name: str) -> None:
    """Count a request for a temporary password, whether or not there is such a user.

    Raises:
        RateLimitedError: There were too many.
    """
    limits = kvasir.services.rate_limits
    limits.hit(LimitedAction.RECOVERY, client_of(request), times=_ALONE)
    limits.hit(LimitedAction.RECOVERY, _user(name))


def limit_questions(kvasir: App, user_id: int) -> None:
    """Count a question of a user.

    Raises:
        RateLimitedError: There were too many.
    """
    kvasir.services.rate_limits.hit(LimitedAction.QUESTIONS, f"user {user_id}")


def client_of(request: Request) -> str:
    """Return the client's address; of IPv6 the network, since one machine has many addresses."""
    host = request.client.host if request.client else ""
    try:
        address = ip_address(host)
    except ValueError:
        return host
    if not isinstance(address, IPv6Address):
        return host
    return str(address.ipv4_mapped or IPv6Network((address, 64), strict=False))


def _user(name: str) -> str:
    return f"user {name_key(name)}"
