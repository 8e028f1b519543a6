"""``kvasir services``: run components as services that are reached over ZeroMQ."""

from __future__ import annotations

import importlib
import os
import platform
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kvasir.core.errors import ComponentError, MissingExtraError, SettingsError
from kvasir.core.private_files import make_private_folder
from kvasir.core.protocols import Reloadable
from kvasir.core.run import Run, StopToken
from kvasir.core.wire import dumps
from kvasir.frontends.cli.long_work import download, stop_token
from kvasir.frontends.cli.options import make_app, with_settings
from kvasir.frontends.cli.rendering import json_option, print_result
from kvasir.frontends.cli.service_control import COMMANDS
from kvasir.frontends.cli.terminal import echo
from kvasir.frontends.process import configure_logging, stop_on_signals
from kvasir.settings import components
from kvasir.settings.running_services import FOLDER
from kvasir.settings.schema import Settings
from kvasir.settings.serving import file_or_name, worker_settings
from kvasir.settings.zeromq_schema import SERVICES, LlmSettings, TuningSettings

if TYPE_CHECKING:
    from kvasir.app import App
    from kvasir.core.protocols import VectorStore

_DRAIN_SECONDS = 30.0
"""How long calls in progress may take when a worker ends."""
_SLOTS = {"embedder": 2, "reranker": 1, "generator": 1, "store": 4, "index": 8}
_TUNING = ("j2b", "ft")
_ROLES = (*_SLOTS, "llm", *_TUNING)

_keys_option = click.option(
    "--keys",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Folder with CURVE keys; needed beyond this machine, and for store and index over tcp.",
)


@click.group()
def services() -> None:
    """Run components as services that are reached over ZeroMQ."""


for _command in COMMANDS:
    services.add_command(_command)


@services.command()
@click.option(
    "--front-end", multiple=True, required=True, metavar="ADDRESS", help="Where clients connect."
)
@click.option(
    "--back-end", multiple=True, required=True, metavar="ADDRESS", help="Where workers connect."
)
@_keys_option
def broker(front_end: tuple[str, ...], back_end: tuple[str, ...], keys: Path | None) -> None:
    """Run a broker between clients and workers, until Ctrl-C or SIGTERM.

    An ADDRESS is tcp://HOST:PORT or ipc:///PATH; both options may be given several times.
    """
    configure_logging()
    stop = StopToken()
    listening = _load("broker").Broker(front_end, back_end, keys=keys and keys.absolute())
    with listening, _until_signal(stop):
        clients, workers = (", ".join(each) for each in (listening.front_end, listening.back_end))
        echo(f"clients connect to {clients}, workers to {workers}; Ctrl-C ends it", err=True)
        while not stop.wait(1.0):
            if not listening.is_running:
                raise ComponentError("the broker", "running", "its thread has failed")
        listening.close(_DRAIN_SECONDS)


@services.command()
@click.argument("roles", type=click.Choice(list(_ROLES)), nargs=-1, required=True)
@click.option(
    "--back-end",
    metavar="ADDRESS",
    help="Where the broker waits for it.  [default: that of the settings for llm and index]",
)
@click.option("--name", metavar="NAME", help="Name of the one service.  [default: its role]")
@click.option(
    "--slots",
    type=click.IntRange(min=1),
    help="Calls that run at once.  [default: embedder 2, store 4, index 8, others 1]",
)
@_keys_option
@click.option("--key", default="worker", show_default=True, help="Name of this worker's key.")
@click.option(
    "--drain",
    type=click.FloatRange(min=0),
    default=_DRAIN_SECONDS,
    show_default=True,
    metavar="SECONDS",
    help="How long calls in progress may take when it ends.",
)
@with_settings
def run(
    settings: Settings,
    /,
    roles: tuple[str, ...],
    back_end: str | None,
    name: str | None,
    slots: int | None,
    keys: Path | None,
    key: str,
    drain: float,
) -> None:
    """Serve components that the settings choose, until Ctrl-C or SIGTERM.

    A ROLE is embedder, reranker, generator, store, or index: the collections with everything that
    can be done with them. Any component can be served, also that of a plug-in:
    --set rag.embedding_model.type=NAME and the like choose it. llm stands for the first three, as
    the section llm of the settings has them; j2b and ft do the jobs of tuning. Start it as often as
    you like, also on several machines.
    """
    if name and len(roles) > 1:
        raise click.UsageError("--name needs a single ROLE")
    worker, serving = _load("worker"), _load("serving")
    reloading: _Reloading | None = None
    joined = _joined_service(settings, roles, back_end)
    if joined is not None:
        section = settings.service_of(SERVICES["tuning" if joined in _TUNING else joined])
        keys = keys or section.keys_folder(settings.data_folder)
        end = section.ends(joined)[1] if isinstance(section, TuningSettings) else section.back_end
        back_end = back_end or end.reached(settings.data_folder.parent)
        if joined not in _TUNING:
            given = settings
            settings = worker_settings(settings, joined)
            roles = _roles_of(settings, joined)
            if joined == "llm":
                reloading = _Reloading(settings, given)
                settings = reloading.settings
    if back_end is None:
        raise click.UsageError("name the broker with --back-end")
    pair = _load("curve_keys").load_keys(keys.absolute(), key) if keys else None
    configure_logging(settings.server.log_format)
    stop = StopToken()
    with ExitStack() as opened:
        show = opened.enter_context(download())
        app = opened.enter_context(make_app(settings, run=Run(stop_token(), show)))
        served: list[Any] = []
        beside: list[Any] = []
        for role in dict.fromkeys(roles):
            if role in _TUNING:
                served += _tuning(settings, role, opened)
                continue
            if role == "generator":
                make = partial(_load("generating").generator_services, app.generator)
                configured = settings.generator.model_dump_json()
                made, identifying = make(name or role, slots or _SLOTS[role], configured)
                served.append(made)
                beside.append(identifying)
                continue
            if role == "index":
                # By name: front doors do not import each other.
                index = importlib.import_module("kvasir.frontends.api.index_service")
                serve = opened.enter_context(index.IndexService(app)).service
            else:
                serve = partial(serving.ROLES[role], _component(app, role))
            served.append(serve(name or role, slots or _SLOTS[role]))
        shown = ", ".join(each.name for each in served)
        served += beside
        own_name = f"{platform.node()}:{os.getpid()}"
        if reloading is not None:
            served += reloading.services(app, own_name)
        serves = opened.enter_context(worker.Worker(back_end, served, keys=pair, name=own_name))
        opened.enter_context(_until_signal(stop))
        echo(f"serving {shown} to the broker at {back_end}; Ctrl-C ends it", err=True)
        if not serves.run(stop, drain):
            raise ComponentError(shown, "serving", "a call hangs", kind="timeout")


class _Reloading:
    """What a worker of llm needs so that its model can be replaced.

    Attributes:
        settings: Those of the worker, with the model that was loaded last in place of theirs.
    """

    def __init__(self, settings: Settings, given: Settings) -> None:
        """Read what was loaded last; ``given`` are the settings of all services."""
        self._module = _load("reloading")
        chosen = settings.generator
        options = chosen.options
        of = [chosen.model, options.get("state"), options.get("adapter")]
        self._of = dumps([*of, options["tuned"]] if options.get("tuned") else of)
        llm = given.service_of(LlmSettings)
        named = (llm.base_model_file, llm.state_path, llm.adapter_path, *llm.reloadable)
        self._allowed = {name: file_or_name(given, name) for name in named if name}
        self._folder = settings.data_folder / FOLDER
        self._module.forget_reloaded(self._folder, self._of)
        files = self._module.read_reloaded(self._folder, self._of)
        changed = {
            key: value
            for key, value in (("state", files.state), ("adapter", files.adapter))
            if value is not None
        }
        if changed:
            changed["tuned"] = ""  # It takes the place of both, until one is loaded.
        kept = {key: value for key, value in options.items() if key not in changed}
        kept |= {key: value for key, value in changed.items() if value}
        update = {"model": files.base or chosen.model, "options": kept}
        generator = chosen.model_copy(update=update)
        self.settings = settings.model_copy(update={"generator": generator})

    def services(self, app: App, worker: str) -> list[Any]:
        """Return the service by which the model of this worker is replaced, if it can be."""
        if not isinstance(app.generator, Reloadable):
            return []
        make_private_folder(self._folder)
        keep = self._module.keeping(self._folder, self._of)
        return [self._module.reload_service(app.generator, worker, self._allowed, keep)]


def _joined_service(settings: Settings, roles: tuple[str, ...], back_end: str | None) -> str | None:
    """Return the service of the settings that the roles are a worker of, if they are."""
    for alone in ("llm", *_TUNING):
        if alone in roles:
            if len(roles) > 1:
                raise click.UsageError(f"{alone} is served alone")
            return alone
    if roles == ("index",) and (back_end is None or settings.uses("index")):
        return "index"
    return None


def _tuning(settings: Settings, part: str, opened: ExitStack) -> list[Any]:
    """Do the jobs of a service of tuning until ``opened`` is closed; return what serves them."""
    desk = opened.enter_context(
        importlib.import_module("kvasir.tuning_desk").TuningDesk(settings, part)
    )
    desk.work()
    found: list[Any] = _load("tuning_jobs").tuning_services(desk, part)
    return found


def _roles_of(settings: Settings, service: str) -> tuple[str, ...]:
    if service == "index":
        return ("index", "store")
    has_reranker = settings.chat.rag.retriever.reranker.type is not None
    return ("embedder", "reranker", "generator") if has_reranker else ("embedder", "generator")


@services.command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option("--client", "clients", multiple=True, metavar="NAME", help="Make a client's key.")
@click.option("--worker", "workers", multiple=True, metavar="NAME", help="Make a worker's key.")
@json_option
def keys(folder: Path, clients: tuple[str, ...], workers: tuple[str, ...]) -> None:
    """Make CURVE keys in a folder: those of a broker, and one for each client and worker.

    By default one client 'client' and one worker 'worker'. A client or worker on another machine
    needs the file broker.key and its own file .key_secret; who has that file may connect.
    """
    if not (clients or workers):
        clients, workers = ("client",), ("worker",)
    make = partial(_load("curve_keys").make_keys, folder.absolute())
    made = [path for name in clients for path in make("client", name)]
    made += [path for name in workers for path in make("worker", name)]
    print_result([str(path) for path in made], "\n".join(map(str, made)))


@contextmanager
def _until_signal(stop: StopToken) -> Iterator[None]:
    with stop_on_signals(stop, at_once=lambda: os._exit(130)):
        yield


def _load(module: str) -> Any:
    """Import a module of the services, whose libraries are those of an extra."""
    try:
        return importlib.import_module(f"kvasir.remote.zeromq.{module}")
    except ModuleNotFoundError as error:
        if error.name in ("zmq", "msgpack"):
            raise MissingExtraError("the service", "services") from error
        raise


@dataclass(frozen=True, slots=True)
class _Maker:
    """What a store needs to know of the embedder of its vectors."""

    dimension: int
    fingerprint: str


def _component(app: App, role: str) -> Any:
    """Return the component of a role, or for a store what opens one."""
    made: Mapping[str, Callable[[], Any]] = {
        "embedder": lambda: app.embedder,
        "reranker": lambda: app.reranker,
        "store": lambda: partial(_open_store, app),
    }
    found = made[role]()
    if found is None:
        raise SettingsError("no reranker is chosen: set chat.rag.retriever.reranker.type")
    return found


def _open_store(app: App, collection: str, dimension: int, fingerprint: str) -> VectorStore:
    settings = app.settings
    maker: Any = _Maker(dimension, fingerprint)
    return components.open_store(
        settings.store_address, collection, maker, app.analyzer, settings.store_options
    )
