"""Where a starter listens to ``kvasir services status``, ``scale``, ``restart`` and ``stop``."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Protocol
from uuid import uuid4

from kvasir.core.errors import ConflictError, KvasirError, StorageError
from kvasir.remote.zeromq.broker import Broker
from kvasir.remote.zeromq.curve_keys import ROLES, load_keys, make_keys
from kvasir.remote.zeromq.starter import CONTROL_KEYS, SERVICE, StarterClient
from kvasir.remote.zeromq.worker import Arguments, Service, Worker
from kvasir.settings.running_services import (
    FOLDER,
    StarterRecord,
    read_record,
    remove_record,
    write_record,
)


class Controlled(Protocol):
    """What is controlled; every method is called in other threads."""

    def status(self) -> Mapping[str, Any]:
        """Return the state of everything."""

    def scale(self, service: str, workers: int) -> None:
        """Set how many workers a service has."""

    def restart(self, services: list[str]) -> None:
        """Replace the workers of services, by default of all."""

    def stop(self, services: list[str]) -> None:
        """End the workers of services, by default everything."""


class Control:
    """Listens on loopback with keys of its own; close it, or use it in a ``with``."""

    def __init__(self, data_folder: Path, config: str, controlled: Controlled) -> None:
        """Listen, and leave the record.

        Raises:
            ConflictError: Another starter runs with this data folder.
        """
        refuse_second(data_folder)
        keys = data_folder / FOLDER / CONTROL_KEYS
        ensure_keys(keys)
        with ExitStack() as opened:
            inner = f"inproc://starter-{uuid4().hex}"
            broker = opened.enter_context(Broker("tcp://127.0.0.1:0", inner, keys=keys))
            service = Service(SERVICE, _operations(controlled), slots=4)
            opened.enter_context(Worker(inner, [service], keys=load_keys(keys, "worker")))
            write_record(data_folder, StarterRecord(os.getpid(), broker.front_end[0], config))
            opened.callback(remove_record, data_folder)
            self._opened = opened.pop_all()

    def __enter__(self) -> Control:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Take the record away, and listen no more."""
        self._opened.close()


def ensure_keys(folder: Path) -> None:
    """Make the keys of a broker, a client and a worker, those that are missing.

    Raises:
        StorageError: The folder cannot be read or written.
    """
    for role in ROLES:
        try:
            is_made = (folder / f"{role}.key_secret").exists()
        except OSError as error:
            raise StorageError(f"'{folder}' cannot be read: {error.strerror}") from error
        if not is_made:
            make_keys(folder, role)


def refuse_second(data_folder: Path) -> None:
    """Raise ConflictError if a starter runs with this data folder."""
    record = read_record(data_folder)
    if record is None or record.pid == os.getpid():
        return
    try:
        with StarterClient(record.address, data_folder / FOLDER, patience=1.0) as client:
            client.status()
    except KvasirError:
        return  # It has ended without taking its record away.
    raise ConflictError(f"the services of {data_folder} run already (process {record.pid})")


def _operations(controlled: Controlled) -> dict[str, Callable[[Arguments], Any]]:
    return {
        "status": lambda _: controlled.status(),
        "scale": lambda given: controlled.scale(
            given.get("service", str), given.get("workers", int)
        ),
        "restart": lambda given: controlled.restart(given.get("services", list[str])),
        "stop": lambda given: controlled.stop(given.get("services", list[str])),
    }
