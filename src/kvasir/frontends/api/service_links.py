"""Connections of the API to the starter of the services, and to the services of tuning."""

from __future__ import annotations

import importlib
import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from kvasir.core.errors import ComponentError, MissingExtraError
from kvasir.settings.loading import load_settings
from kvasir.settings.reached_hosts import reached_host
from kvasir.settings.running_services import FOLDER, read_record
from kvasir.settings.schema import Settings
from kvasir.settings.zeromq_schema import TuningSettings
from kvasir.tuning_files import tuning_folder

if TYPE_CHECKING:
    from kvasir.remote.zeromq.starter import StarterClient
    from kvasir.remote.zeromq.tuning_jobs import RemoteTuningJobs

TuningPart = Literal["j2b", "ft"]
_CONNECT_SECONDS = 2.0


@contextmanager
def starter(settings: Settings) -> Iterator[StarterClient]:
    """Connect to the starter of the data folder's services.

    Raises:
        ComponentError: None runs, or it does not answer.
    """
    record = read_record(settings.data_folder)
    if record is None:
        raise _unreachable("the services", "no services run for the server's data folder")
    module = _load("starter")
    with module.StarterClient(record.address, settings.data_folder / FOLDER) as client:
        yield client


def running_settings(settings: Settings) -> Settings | None:
    """Return the settings of the services that run for the data folder; None if none do."""
    record = read_record(settings.data_folder)
    if record is None or not record.config:
        return None
    return load_settings(record.config, {"data_dir": str(settings.data_folder)})


def has_tuning(settings: Settings, part: TuningPart) -> bool:
    """Return True if the settings, or the services that run, have a service of tuning."""
    section = _tuning_section(settings)
    return section is not None and section.part(part).enabled


def _tuning_section(settings: Settings) -> TuningSettings | None:
    chosen = running_settings(settings)
    if chosen is None and settings.uses_services:
        chosen = settings
    if chosen is None or not chosen.uses("tuning"):
        return None
    return chosen.service_of(TuningSettings)


def folder_of_tuning(settings: Settings) -> Path:
    """Return the folder of the files that jobs of tuning may name."""
    section = _tuning_section(settings)
    return tuning_folder(settings.data_folder, section.folder if section else None)


@contextmanager
def tuning_jobs(settings: Settings, part: TuningPart) -> Iterator[RemoteTuningJobs]:
    """Connect to a service of tuning: that of the settings, or of the services that run.

    Raises:
        ComponentError: There is none, or it does not answer.
    """
    name = f"tuning ({part})"
    section = _tuning_section(settings)
    if section is None:
        raise _unreachable(name, "no service of tuning runs")
    if not section.part(part).enabled:
        raise _unreachable(name, "the settings have this service off")
    front, _ = section.ends(part)
    if front.protocol == "tcp":
        _check_listening(name, front.host, front.port)
    keys = section.keys_folder(settings.data_folder)
    address = front.reached(settings.data_folder.parent)
    made = _load("tuning_jobs").RemoteTuningJobs(address, part, keys=str(keys or ""))
    with closing(made) as jobs:
        yield jobs


def _check_listening(name: str, host: str, port: int) -> None:
    """Raise ComponentError if nothing listens; a call would wait for a broker that is restarted."""
    host = reached_host(host)
    try:
        socket.create_connection((host, port), _CONNECT_SECONDS).close()
    except OSError as error:
        raise _unreachable(name, f"nothing answers at port {port} of {host}") from error


def _unreachable(name: str, cause: str) -> ComponentError:
    return ComponentError(name, "connecting", cause, kind="unreachable")


def _load(module: str) -> Any:
    try:
        return importlib.import_module(f"kvasir.remote.zeromq.{module}")
    except ModuleNotFoundError as error:
        if error.name in ("zmq", "msgpack"):
            raise MissingExtraError("reaching the services", "services") from error
        raise
