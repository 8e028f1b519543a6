"""Rate limits by the library ``limits``: in memory, or in Redis for several servers.

The window moves: of ``10/minute``, ten are allowed in any sixty seconds.

Source: https://limits.readthedocs.io
"""

from __future__ import annotations

import time
from collections.abc import Mapping

from limits import RateLimitItem, parse_many
from limits.errors import ConfigurationError, StorageError
from limits.storage import MemoryStorage, RedisStorage
from limits.strategies import MovingWindowRateLimiter

from kvasir.accounts.secret_text import digest
from kvasir.core.errors import ComponentError, MissingExtraError, RateLimitedError, SettingsError
from kvasir.core.services.rate_limits import LimitedAction

_TIMEOUT = 2.0
"""Seconds to wait for Redis."""


class WindowRateLimits:
    """Counts actions in moving windows. See ``RateLimits``."""

    def __init__(self, limits: Mapping[LimitedAction, str], storage: str = "memory://") -> None:
        """Parse the limits; Redis is asked at the first action.

        Args:
            limits: Limits such as ``10/minute; 100/day`` by action; an empty text is no limit.
            storage: ``memory://`` or ``redis://HOST:PORT``.

        Raises:
            SettingsError: A limit is malformed, or there is no such storage.
            MissingExtraError: Redis's client is not installed.
        """
        self._limits = {action: _parse(action, limits.get(action, "")) for action in LimitedAction}
        self._windows = MovingWindowRateLimiter(_open(storage))

    def hit(self, action: LimitedAction, key: str, *, times: int = 1) -> None:
        # The storage may be shared, and need not know who tried.
        names = (action, digest(key))
        try:
            for limit in self._limits[action]:
                allowed = type(limit)(limit.amount * times, limit.multiples)
                if not self._windows.hit(allowed, *names):
                    free = self._windows.get_window_stats(allowed, *names).reset_time
                    wait = max(1.0, free - time.time())
                    raise RateLimitedError(f"too many attempts: wait {wait:.0f} seconds", wait)
        except StorageError as error:
            raise ComponentError(
                "rate limits", "counting", error.storage_error, kind="unreachable"
            ) from error


def _parse(action: LimitedAction, text: str) -> list[RateLimitItem]:
    try:
        return parse_many(text) if text.strip() else []
    except ValueError as error:
        raise SettingsError(
            f"accounts.rate_limits.{action} is '{text}': write it like 10/minute"
        ) from error


def _open(storage: str) -> MemoryStorage | RedisStorage:
    scheme = storage.partition("://")[0]
    if scheme == "memory":
        return MemoryStorage(wrap_exceptions=True)
    if scheme not in ("redis", "rediss"):
        raise SettingsError(
            "accounts.rate_limits.storage must be memory:// or begin with redis:// or rediss://"
        )
    try:
        return RedisStorage(
            storage,
            wrap_exceptions=True,
            socket_timeout=_TIMEOUT,
            socket_connect_timeout=_TIMEOUT,
        )
    except ConfigurationError as error:
        raise MissingExtraError("accounts.rate_limits.storage", "redis") from error
    except ValueError as error:
        raise SettingsError(f"accounts.rate_limits.storage is unusable: {error}") from error
