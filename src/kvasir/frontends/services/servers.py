"""The processes beside the workers: brokers, and servers that are started if none answers."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from typing import Any

import httpx

from kvasir.core.errors import KvasirError, SettingsError, StorageError
from kvasir.core.private_files import make_private_folder
from kvasir.frontends.services.parts import Part
from kvasir.frontends.services.plans import BrokerPlan, ServerPlan
from kvasir.remote.zeromq.client import Client
from kvasir.remote.zeromq.curve_keys import load_keys

logger = logging.getLogger(__name__)

QUEUE_SECONDS = 0.5
"""Between two looks at the queue of a broker."""
_ANSWER_SECONDS = 2.0
_LOG = "server.log"


class BrokerPart(Part):
    """A broker and its statistics."""

    def __init__(self, plan: BrokerPlan) -> None:
        """Start nothing yet."""
        super().__init__(f"{plan.name} broker", plan.command)
        self.plan = plan
        self._statistics: Mapping[str, Any] | None = None
        self._over = threading.Event()
        self._reader: threading.Thread | None = None

    def start(self) -> None:
        """Start the process, and to read its queue."""
        super().start()
        is_reading = self._reader is not None and self._reader.is_alive()
        if not is_reading and not self._over.is_set():
            name = f"{self.plan.name} queue"
            self._reader = threading.Thread(target=self._read, name=name, daemon=True)
            self._reader.start()

    def forget(self) -> None:
        """Stop reading its queue."""
        self._over.set()

    def statistics(self) -> Mapping[str, Any] | None:
        """Return what it has said last; None if it does not answer."""
        return self._statistics if self.is_alive else None

    def _read(self) -> None:
        try:
            keys = load_keys(self.plan.keys, "client") if self.plan.keys else None
        except SettingsError as error:
            logger.error("the queue of %s cannot be read: %s", self.plan.name, error)
            return
        with Client(self.plan.front_end, keys=keys, patience=_ANSWER_SECONDS) as client:
            while not self._over.wait(QUEUE_SECONDS):
                try:
                    self._statistics = client.statistics()
                except KvasirError:
                    self._statistics = None


class ServerPart(Part):
    """A server that is started if none answers at its address."""

    def __init__(self, plan: ServerPlan) -> None:
        """Start nothing yet."""
        super().__init__(plan.name, plan.command)
        self.plan = plan
        self.is_of_others = False

    def make_folder(self) -> None:
        """Make its folder, in which its log is.

        Raises:
            StorageError: It cannot be made or written.
        """
        folder = self.plan.folder
        try:
            make_private_folder(folder)
            (folder / _LOG).open("ab").close()
        except OSError as error:
            raise StorageError(f"'{folder}' cannot be written: {error.strerror}") from error

    def start(self) -> None:
        """Start the process, which writes its log into its folder."""
        with (self.plan.folder / _LOG).open("wb") as self.output:
            super().start()

    def answers(self) -> bool:
        """Return True if a server answers."""
        try:
            reply = httpx.get(
                f"{self.plan.address}/api/v2/heartbeat", timeout=_ANSWER_SECONDS, trust_env=False
            )
        except httpx.HTTPError:
            return False
        return reply.is_success
