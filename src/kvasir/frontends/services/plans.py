"""What the settings ask the starter for: a Chroma server, brokers, and workers.

A plan has keys that change with what a process would do otherwise, so that a change to the settings
file starts again what it concerns, and nothing else.
"""

from __future__ import annotations

import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from kvasir.frontends.locality import is_loopback
from kvasir.settings.schema import Settings
from kvasir.settings.serving import (
    INDEX,
    LLM,
    chroma_folder,
    shares_index,
    worker_settings,
)
from kvasir.settings.zeromq_schema import (
    BrokeredSection,
    EndSettings,
    IndexSettings,
    LlmSettings,
    TuningSettings,
    WorkerRange,
)

ANSWER_SECONDS = 600
"""How long a worker that ends may go on with the answers that it has begun."""
JOB_SECONDS = 30
"""A job that is stopped goes on in another worker."""
PARTS = ("j2b", "ft")
"""The services of tuning."""
_CHROMA = "import sys, chromadb_rust_bindings as chroma; chroma.cli(sys.argv)"
"""What the program ``chroma`` calls, without the seconds that importing its package takes."""
_NOT_OF_INDEX = ("llm", "index", "tuning", "ui")
"""Sections that the workers of index do not read; where the service llm is counts apart."""


@dataclass(frozen=True, slots=True)
class BrokerPlan:
    """A broker of a service.

    Attributes:
        name: Of the service.
        command: Starts it.
        front_end: Where clients on this machine find it.
        front_ends: Where it listens to clients.
        back_ends: Where it listens to workers.
        keys: Folder with CURVE keys.
    """

    name: str
    command: tuple[str, ...]
    front_end: str
    front_ends: tuple[str, ...]
    back_ends: tuple[str, ...]
    keys: Path | None


@dataclass(frozen=True, slots=True)
class GroupPlan:
    """The workers of a service.

    Attributes:
        name: Of the service.
        broker: Name of the broker.
        command: Starts a worker.
        key: Changes if its workers must be started again.
        workers: How many there may be.
        served: Names of the services that clients call.
        is_alone: There can be one worker only.
    """

    name: str
    broker: str
    command: tuple[str, ...]
    key: object
    workers: WorkerRange
    served: tuple[str, ...]
    is_alone: bool = False


@dataclass(frozen=True, slots=True)
class ServerPlan:
    """A server that is started if none answers: that of Chroma."""

    name: str
    command: tuple[str, ...]
    address: str
    folder: Path


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that the starter runs, in the order in which it is started."""

    servers: tuple[ServerPlan, ...]
    brokers: tuple[BrokerPlan, ...]
    groups: tuple[GroupPlan, ...]
    notes: tuple[str, ...] = ()


def make_plan(settings: Settings, arguments: Sequence[str]) -> Plan:
    """Return the plan of settings.

    Args:
        settings: Of the starter.
        arguments: Options that give a command the same settings.

    Raises:
        SettingsError: A model or an address cannot be used.
    """
    kvasir = (sys.executable, "-m", "kvasir", "services")
    brokers, groups, servers, notes = [], [], [], []
    base = settings.data_folder.parent
    for name in (LLM, INDEX):
        section: BrokeredSection = settings.service_of(_SECTIONS[name])
        if not section.enabled:
            notes.append(f"{name} is off")
            continue
        keys = section.keys_folder(settings.data_folder)
        broker = _broker(name, [(section.front_end, section.back_end)], keys, base, kvasir)
        brokers.append(broker)
        command = (*kvasir, "run", name, "--drain", str(ANSWER_SECONDS), *arguments)
        key = (_KEYS[name](settings), broker.command)
        workers = _range(settings.service_of(_SECTIONS[name]).num_workers)
        is_alone = name == INDEX and not shares_index(settings)
        if is_alone and workers.max > 1:
            notes.append(
                "index has one worker, which opens the folder of its store: more need a server, "
                "such as that of index.chroma_host and index.chroma_port"
            )
            workers = WorkerRange(min=1, max=1)
        groups.append(
            GroupPlan(name, name, command, key, workers, _SERVED[name](settings), is_alone)
        )
    tuning = _tuning(settings, kvasir, arguments)
    if tuning is None:
        notes.append("tuning is off")
    else:
        brokers.append(tuning[0])
        groups += tuning[1]
    index = settings.service_of(IndexSettings)
    if index.enabled and index.vectordb is None and index.chroma_address is not None:
        servers += _chroma(index.chroma_address, chroma_folder(settings), notes)
    return Plan(tuple(servers), tuple(brokers), tuple(groups), tuple(notes))


def worker_name(pid: int) -> str:
    """Return the name by which a broker knows a worker of this machine."""
    return f"{platform.node()}:{pid}"


def _broker(
    name: str,
    ends: Sequence[tuple[EndSettings, EndSettings]],
    keys: Path | None,
    base: Path,
    kvasir: tuple[str, ...],
) -> BrokerPlan:
    fronts = tuple(dict.fromkeys(front.bound(base) for front, _ in ends))
    backs = tuple(dict.fromkeys(back.bound(base) for _, back in ends))
    command = [*kvasir, "broker"]
    for option, addresses in (("--front-end", fronts), ("--back-end", backs)):
        command += [part for address in addresses for part in (option, address)]
    if keys is not None:
        command += ["--keys", str(keys)]
    return BrokerPlan(name, tuple(command), ends[0][0].reached(base), fronts, backs, keys)


def _tuning(
    settings: Settings, kvasir: tuple[str, ...], arguments: Sequence[str]
) -> tuple[BrokerPlan, list[GroupPlan]] | None:
    """Return the broker and the workers of J2B and FT; None if both are off."""
    section = settings.service_of(TuningSettings)
    parts = [name for name in PARTS if section.enabled and section.part(name).enabled]
    if not parts:
        return None
    base = settings.data_folder.parent
    ends = [section.ends(name) for name in parts]
    broker = _broker("tuning", ends, section.keys_folder(settings.data_folder), base, kvasir)
    groups = []
    for name in parts:
        own = section.part(name)
        groups.append(
            GroupPlan(
                name,
                "tuning",
                (*kvasir, "run", name, "--drain", str(JOB_SECONDS), *arguments),
                (own.runners, broker.command, settings.data_folder),
                _range(own.num_workers),
                (name, f"{name}-events"),
            )
        )
    return broker, groups


def _range(workers: int | WorkerRange) -> WorkerRange:
    if isinstance(workers, int):
        return WorkerRange(min=workers, max=workers)
    return workers


def _chroma(address: str, folder: Path, notes: list[str]) -> list[ServerPlan]:
    parts = urlsplit(address)
    host, port = parts.hostname or "", parts.port or 8000
    if not is_loopback(host):
        notes.append(f"Chroma at {address} is not started here: it is none of this machine's own")
        return []
    arguments = ["run", "--path", str(folder), "--host", host, "--port", str(port)]
    command = (sys.executable, "-c", _CHROMA, *arguments)
    return [ServerPlan("Chroma", command, address, folder)]


def _key_of_llm(settings: Settings) -> Any:
    own = worker_settings(settings, LLM)
    tree = own.model_dump()
    section = settings.service_of(LlmSettings).model_dump(exclude={"num_workers", "enabled"})
    retriever = tree["chat"]["rag"]["retriever"]
    return [section, tree["rag"]["embedding_model"], retriever["reranker"], tree["generator"]]


def _key_of_index(settings: Settings) -> Any:
    tree = worker_settings(settings, INDEX).model_dump()
    section = settings.service_of(IndexSettings).model_dump(exclude={"num_workers", "enabled"})
    rest = {name: value for name, value in tree.items() if name not in _NOT_OF_INDEX}
    return [section, rest, settings.reach(LLM)]


_SECTIONS: Mapping[str, type[LlmSettings] | type[IndexSettings]] = {
    LLM: LlmSettings,
    INDEX: IndexSettings,
}
_KEYS: Mapping[str, Any] = {LLM: _key_of_llm, INDEX: _key_of_index}
_SERVED: Mapping[str, Any] = {
    LLM: lambda settings: (
        "embedder",
        *(("reranker",) if settings.service_of(LlmSettings).has_reranker else ()),
        "generator",
    ),
    INDEX: lambda _: ("index", "store"),
}
