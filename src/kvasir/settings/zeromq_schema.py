"""The settings of the ZeroMQ services: llm, index and tuning, with the keys of document 000.

Their sections say where each service is, and how the starter runs it. Later versions of the
document's program have other names for some keys, which are read as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self, TypeVar

from pydantic import BeforeValidator, Field, model_validator

from kvasir.settings.component_schema import (
    EmbeddingModelSettings,
    GeneratorSettings,
    RerankerSettings,
    VectorDbSettings,
)
from kvasir.settings.data_folder import absolute_path
from kvasir.settings.reached_hosts import http_address, reached_host
from kvasir.settings.running_services import FOLDER
from kvasir.settings.section import Seconds, Section

REMOTE = "remote"
"""The type of a component that another process serves."""
IGNORED = ("service_module", "spawn_method")
"""Keys of the document's program that have no meaning here."""
KEYS_FOLDER = FOLDER / "keys"
"""In the data folder."""

_MOST_WORKERS = 256


class EndSettings(Section):
    """One end of a broker."""

    protocol: Literal["tcp", "ipc"] = "tcp"
    host: str = Field("127.0.0.1", min_length=1, description="of ipc: the path of a socket")
    port: int = Field(0, ge=1, le=65535)

    def bound(self, base: Path) -> str:
        """Return the address at which the broker listens; relative paths start at ``base``."""
        return self._address(self.host, base)

    def reached(self, base: Path) -> str:
        """Return the address at which a process of the broker's machine, or of another, finds it.

        0.0.0.0 stands for this machine.
        """
        return self._address(reached_host(self.host), base)

    def _address(self, host: str, base: Path) -> str:
        if self.protocol == "ipc":
            return f"ipc://{absolute_path(host, base)}"
        return f"tcp://[{host}]:{self.port}" if ":" in host else f"tcp://{host}:{self.port}"


PORTS: Mapping[str, tuple[int, int]] = {
    "llm": (7781, 7782),
    "index": (7783, 7784),
    "tuning": (7787, 7788),
}
"""Front end and back end of each service."""


class WorkerRange(Section):
    """How many workers a service has: as many as the length of its queue asks for."""

    min: int = Field(1, ge=1, le=_MOST_WORKERS)
    max: int = Field(1, ge=1, le=_MOST_WORKERS)
    idle_seconds: Seconds = Field(30.0, gt=0, description="one more than needed ends after that")


def _workers(given: Any) -> Any:
    if isinstance(given, WorkerRange):
        return given
    wanted = "must be a number of workers, or {min: ..., max: ...} with 1 <= min <= max <= 256"
    known = set(WorkerRange.model_fields)
    if isinstance(given, Mapping):
        try:
            found = WorkerRange(**given) if set(given) <= known else None
        except (TypeError, ValueError):
            found = None
        if found is None or found.min > found.max:
            raise ValueError(wanted)
        return found
    try:
        number = int(given) if not isinstance(given, (bool, float)) else 0
    except (TypeError, ValueError):
        number = 0
    if not 1 <= number <= _MOST_WORKERS:
        raise ValueError(wanted)
    return number


Workers = Annotated[int | WorkerRange, BeforeValidator(_workers)]


def _with_ports(given: Any, service: str) -> Any:
    """Give ends that name no port the ports of their service."""
    if not isinstance(given, Mapping):
        return given
    ports = dict(zip(("front_end", "back_end"), PORTS[service], strict=True))
    return {
        name: {"port": ports[name], **value}
        if name in ports and isinstance(value, Mapping)
        else value
        for name, value in given.items()
    }


class ServiceSection(Section):
    """What the sections of all services have."""

    later_names: ClassVar[Mapping[str, str]] = {}
    """Names of keys in later versions of the document's program, and ours."""

    @model_validator(mode="before")
    @classmethod
    def _read_other_names(cls, given: Any) -> Any:
        if not isinstance(given, Mapping):
            return given
        read = {}
        for name, value in given.items():
            if name in IGNORED:
                continue
            own = cls.later_names.get(name, name)
            if own in read or (own != name and own in given):
                raise ValueError(f"{name} and {own} are two names of one key")
            read[own] = value
        return read


class BrokeredSection(ServiceSection):
    """A service behind a broker of its own."""

    enabled: bool = True
    front_end: EndSettings = EndSettings()
    back_end: EndSettings = EndSettings()
    keys: Path | None = Field(
        None, description="folder with CURVE keys; with tcp, by default made in data_dir"
    )

    def keys_folder(self, data_folder: Path) -> Path | None:
        """Return the absolute path of the folder of CURVE keys; None if connections have none."""
        if self.keys is not None:
            return absolute_path(self.keys, data_folder.parent)
        has_tcp = "tcp" in (self.front_end.protocol, self.back_end.protocol)
        return data_folder / KEYS_FOLDER if has_tcp else None

    @property
    def paths(self) -> Mapping[str, str | Path | None]:
        """The keys that name files and folders."""
        ends = {"front_end": self.front_end, "back_end": self.back_end}
        sockets = {f"{key}.host": end.host for key, end in ends.items() if end.protocol == "ipc"}
        return {"keys": self.keys, **sockets}


class LlmSettings(BrokeredSection):
    """Embeddings, scores of query and passage, and generated text."""

    later_names: ClassVar[Mapping[str, str]] = {
        "base_model_path": "base_model_file",
        "embedding_path": "bgem3_path",
        "reranker_path": "rerank_path",
    }

    front_end: EndSettings = EndSettings(port=PORTS["llm"][0])
    back_end: EndSettings = EndSettings(port=PORTS["llm"][1])
    num_workers: Workers = Field(1, description="or {min: 1, max: 4}, by the queue's length")
    base_model_file: str | None = Field(
        None,
        description="a GGUF file, or one of RWKV (.pth); by default answers quote the documents",
    )
    bgem3_path: str | None = Field(
        None, description="folder of the embedding model; default: all-MiniLM-L6-v2"
    )
    rerank_path: str | None = Field(None, description="folder of the reranker; none by default")
    state_path: str | None = Field(None, description="state of an RWKV model")
    adapter_path: str | None = Field(None, description="LoRA or PiSSA adapter of an RWKV model")
    reloadable: tuple[str, ...] = Field(
        (), description="RWKV bases, states and adapters that 'services reload llm' may load"
    )
    device: str | None = Field(None, description="cpu, or cuda:0 with PyTorch")
    embedding_model: EmbeddingModelSettings | None = Field(
        None, description="any embedder, in place of bgem3_path; as rag.embedding_model"
    )
    reranker: RerankerSettings | None = Field(
        None, description="any reranker, in place of rerank_path"
    )
    generator: GeneratorSettings | None = Field(
        None, description="any generator, in place of base_model_file; as generator"
    )

    @model_validator(mode="before")
    @classmethod
    def _read_ends(cls, given: Any) -> Any:
        return _with_ports(given, "llm")

    @property
    def paths(self) -> Mapping[str, str | Path | None]:
        """The keys that name files and folders, those of models only if they do not name a hub's.

        A name on the hub has one slash, as a relative path may.
        """
        files = {
            "base_model_file": self.base_model_file,
            "bgem3_path": self.bgem3_path,
            "rerank_path": self.rerank_path,
            "state_path": self.state_path,
            "adapter_path": self.adapter_path,
        }
        marked = {
            name: file
            for name, file in files.items()
            if file is not None and file.startswith(("./", "../", "/", "~"))
        }
        return {**super().paths, **marked}

    @property
    def has_reranker(self) -> bool:
        """True if the service scores pairs of query and passage."""
        return bool(self.rerank_path or (self.reranker and self.reranker.type))


class IndexSettings(BrokeredSection):
    """Collections: indexing, searching, files."""

    later_names: ClassVar[Mapping[str, str]] = {"chroma_path": "chroma_db_path"}

    front_end: EndSettings = EndSettings(port=PORTS["index"][0])
    back_end: EndSettings = EndSettings(port=PORTS["index"][1])
    num_workers: Workers = Field(1, description="more than one needs a server of Chroma")
    chroma_db_path: str | None = Field(None, description="folder of Chroma; default: in data_dir")
    chroma_host: str | None = Field(
        None, description="a server of Chroma; one of this machine is started if none answers"
    )
    chroma_port: int | None = Field(None, ge=1, le=65535)
    sqlite_db_path: str | None = Field(
        None, description="SQLite file of the records of documents; default: in data_dir"
    )
    llm_front_end_url: str | None = Field(
        None, description="address of the service llm; default: llm.front_end"
    )
    vectordb: VectorDbSettings | None = Field(
        None, description="any store, in place of Chroma; as rag.vectordb"
    )

    @model_validator(mode="before")
    @classmethod
    def _read_ends(cls, given: Any) -> Any:
        return _with_ports(given, "index")

    @property
    def paths(self) -> Mapping[str, str | Path | None]:
        """The keys that name files and folders."""
        own = {"chroma_db_path": self.chroma_db_path, "sqlite_db_path": self.sqlite_db_path}
        return {**super().paths, **own}

    @property
    def chroma_address(self) -> str | None:
        """The address of the server of Chroma; None if its folder is opened."""
        if self.chroma_host is None and self.chroma_port is None:
            return None
        return http_address(self.chroma_host or "127.0.0.1", self.chroma_port or 8000)


class TuningRunnerSettings(Section):
    """A runner of jobs: a plug-in with options."""

    type: str
    options: dict[str, Any] = Field(default_factory=dict)


class TuningPartSettings(ServiceSection):
    """One of the two services of tuning."""

    enabled: bool = True
    front_end: EndSettings | None = Field(None, description="default: that of tuning")
    back_end: EndSettings | None = Field(None, description="default: that of tuning")
    num_workers: Workers = Field(1, description="each does one job at a time")
    runners: dict[str, TuningRunnerSettings] = Field(
        default_factory=dict, description="name: {type, options}; besides what is installed"
    )

    @model_validator(mode="before")
    @classmethod
    def _read_ends(cls, given: Any) -> Any:
        return _with_ports(given, "tuning")

    def folder_of(self, runner: str) -> str | None:
        """Return the option ``folder`` of a runner; None if it has none."""
        chosen = self.runners.get(runner)
        folder = chosen.options.get("folder") if chosen else None
        return str(folder) if folder else None


_RUNNERS_OF_FILES = {"j2b": ("j2b",), "ft": ("state", "lora", "pissa")}
"""The runners of each part that share a folder of files."""


class TuningSettings(BrokeredSection):
    """Preparing data (J2B) and tuning models (FT), as jobs."""

    front_end: EndSettings = EndSettings(port=PORTS["tuning"][0])
    back_end: EndSettings = EndSettings(port=PORTS["tuning"][1])
    j2b: TuningPartSettings = TuningPartSettings()
    ft: TuningPartSettings = TuningPartSettings()

    @model_validator(mode="before")
    @classmethod
    def _read_ends(cls, given: Any) -> Any:
        return _with_ports(given, "tuning")

    @model_validator(mode="after")
    def _have_one_folder(self) -> Self:
        if len(self._folders) > 1:
            raise ValueError(
                "the runners j2b, state, lora and pissa must have the same option 'folder': "
                "the files of one are those of all"
            )
        return self

    @property
    def _folders(self) -> set[str | None]:
        return {
            self.part(part).folder_of(name)
            for part, names in _RUNNERS_OF_FILES.items()
            if self.part(part).enabled
            for name in names
        }

    @property
    def folder(self) -> str | None:
        """The folder of the files that jobs may name; None for that in the data folder."""
        return next(iter(self._folders), None)

    def part(self, name: str) -> TuningPartSettings:
        """Return the section of j2b or ft."""
        return self.j2b if name == "j2b" else self.ft

    def ends(self, name: str) -> tuple[EndSettings, EndSettings]:
        """Return front end and back end of j2b or ft."""
        own = self.part(name)
        return own.front_end or self.front_end, own.back_end or self.back_end


SERVICES: Mapping[str, type[BrokeredSection]] = {
    "llm": LlmSettings,
    "index": IndexSettings,
    "tuning": TuningSettings,
}

S = TypeVar("S", bound=Section)


def as_remote(section: S) -> S:
    """Return the settings of a component that another process serves, unless a type is given."""
    if "type" in section.model_fields_set:
        return section
    return section.model_copy(update={"type": REMOTE})
