"""Asks a running starter of services: what runs, and to change it.

Its connections have CURVE keys of their own, so that who may call a service cannot end it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kvasir.core.wire import from_json
from kvasir.remote.zeromq.client import Client
from kvasir.remote.zeromq.curve_keys import load_keys

SERVICE = "starter"
CONTROL_KEYS = "control"
"""The folder of its keys, beside its record."""
_PATIENCE_SECONDS = 3.0
_CALL_SECONDS = 30.0


class StarterClient:
    """A connection to a starter; close it, or use it in a ``with``."""

    def __init__(self, address: str, folder: Path, *, patience: float = _PATIENCE_SECONDS) -> None:
        """Connect in the background.

        Args:
            address: Of the starter, as its record says.
            folder: Where its record is.
            patience: Seconds to wait for it.

        Raises:
            SettingsError: Its keys cannot be read.
        """
        keys = load_keys(folder / CONTROL_KEYS, "client")
        self._client = Client(address, keys=keys, patience=patience)

    def __enter__(self) -> StarterClient:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """End the connection."""
        self._client.close()

    def status(self) -> dict[str, Any]:
        """Return the state of all services, workers and queues, as plain data."""
        found: dict[str, Any] = from_json(dict[str, Any], self._ask("status", {}))
        return found

    def scale(self, service: str, workers: int) -> None:
        """Set how many workers a service has.

        Raises:
            NotFoundError: There is no such service.
            RequestError: It cannot have so many.
        """
        self._ask("scale", {"service": service, "workers": workers})

    def restart(self, services: Sequence[str]) -> None:
        """Replace the workers of services one after the other, by default of all."""
        self._ask("restart", {"services": list(services)})

    def stop(self, services: Sequence[str]) -> None:
        """End the workers of services; by default end everything."""
        self._ask("stop", {"services": list(services)})

    def _ask(self, operation: str, arguments: Mapping[str, Any]) -> Any:
        return self._client.call(
            SERVICE, operation, arguments, idempotent=False, timeout=_CALL_SECONDS
        )
