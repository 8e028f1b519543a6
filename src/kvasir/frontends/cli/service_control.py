"""``kvasir services start``, ``status``, ``scale``, ``restart`` and ``stop``."""

from __future__ import annotations

import functools
import importlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

import click

from kvasir.core.errors import ComponentError, MissingExtraError, StorageError
from kvasir.core.private_files import make_private_folder
from kvasir.core.run import StopToken
from kvasir.frontends.cli.main import config_option, data_dir_option, set_option
from kvasir.frontends.cli.options import setting_arguments, settings_of
from kvasir.frontends.cli.rendering import json_option, print_result, print_table
from kvasir.frontends.cli.terminal import echo
from kvasir.frontends.process import configure_logging, stop_on_signals
from kvasir.settings.data_folder import DEFAULT_FILE, working_directory
from kvasir.settings.loading import read_settings_file
from kvasir.settings.presets import render_preset
from kvasir.settings.running_services import FOLDER, read_record
from kvasir.settings.schema import Settings
from kvasir.settings.zeromq_schema import IGNORED, SERVICES, LlmSettings

P = ParamSpec("P")
R = TypeVar("R")

_PRESET = "aiirwkv"
_FILES = ("ragq.yml", "resources/service.yml")
"""Where the document's program has its settings."""
_LOOK_SECONDS = 0.2
_WAIT_SECONDS = 900.0
"""How long a command waits for what it has asked for: answers that were begun are finished."""


def _with_services_file(
    command: Callable[Concatenate[Settings, P], R],
) -> Callable[P, R]:
    """Pass the settings of the services: ``--config``, or the first file that there is."""

    @config_option
    @data_dir_option
    @set_option
    @click.pass_context
    @functools.wraps(command)
    def wrapped(ctx: click.Context, /, *args: P.args, **kwargs: P.kwargs) -> R:
        for name in ("config", "data_dir", "assignments"):
            kwargs.pop(name, None)
        return command(_settings(ctx), *args, **kwargs)

    return wrapped


def _settings(ctx: click.Context) -> Settings:
    before = ctx.find_object(dict) or {}
    if not (ctx.params.get("config") or before.get("config")):
        file = _found_file()
        if file is None and ctx.info_name == start.name:
            file = _preset_file(ctx)
        if file is not None:
            # As if it were typed: the workers have the same options.
            ctx.params["config"] = str(file)
    return settings_of(ctx)


def _found_file() -> Path | None:
    here = working_directory()
    for name in _FILES:
        if (here / name).is_file():
            return here / name
    own = here / DEFAULT_FILE
    if own.is_file() and any(read_settings_file(own).get(name) for name in SERVICES):
        return own
    return None


def _preset_file(ctx: click.Context) -> Path:
    """Return the preset as a file in the data folder, where its user may change it."""
    file = settings_of(ctx).data_folder / FOLDER / f"{_PRESET}.yaml"
    if not file.exists():
        try:
            make_private_folder(file.parent)
            file.write_text(render_preset(_PRESET), "utf-8")
        except OSError as error:
            raise StorageError(f"'{file}' cannot be written: {error.strerror}") from error
    return file


@click.command()
@_with_services_file
@click.pass_context
def start(ctx: click.Context, /, settings: Settings) -> None:
    """Start the services llm, index and tuning, and keep them running until Ctrl-C or SIGTERM.

    The settings are those of --config, else of ragq.yml, resources/service.yml or kvasir.yaml here,
    else the preset aiirwkv. A process that dies is started again; a section of the file that is
    changed is read again.
    """
    starter_module, control, plans = (
        _load(name, settings) for name in ("starter", "control", "plans")
    )
    configure_logging(settings.server.log_format)
    file = settings.file
    arguments = [*setting_arguments(ctx)]
    if not any(each == "--data-dir" for each in arguments):
        arguments += ["--data-dir", str(settings.data_folder)]
    say = partial(echo, err=True)
    for note in _ignored(file):
        say(note)

    def load() -> Any:
        return plans.make_plan(settings_of(ctx), arguments)

    control.refuse_second(settings.data_folder)
    starter = starter_module.Starter(load, say, file=file)
    for note in starter.plan.notes:
        say(note)
    starter.check_ports()
    stop = StopToken()
    with (
        control.Control(settings.data_folder, str(file), starter),
        stop_on_signals(stop),
    ):
        say(f"the services of {file} start; Ctrl-C ends them")
        starter.run(stop, when_ready=lambda: say(_ready(starter.status())))


def _ready(status: Mapping[str, Any]) -> str:
    places = ((each["name"], " and ".join(each["front_ends"])) for each in status["services"])
    where = ", ".join(f"{name} at {place}" for name, place in places)
    return f"The services are ready: {where}. Commands of this data folder use them."


def _ignored(file: Path | None) -> Iterator[str]:
    """Yield a note for each key of the document's program that has no meaning here."""
    tree = read_settings_file(file) if file is not None else {}
    for name in SERVICES:
        section = tree.get(name)
        for key in IGNORED:
            if isinstance(section, Mapping) and key in section:
                yield f"{name}.{key} is not used: the starter knows what runs the service, and how"


@click.command()
@json_option
@_with_services_file
def status(settings: Settings) -> None:
    """Show the services that run: brokers, workers and queues."""
    with _client(settings) as client:
        found = client.status()
    print_table(found, _rows(found))


@click.command()
@click.argument("service")
@click.argument("workers", type=click.IntRange(min=1))
@json_option
@_with_services_file
def scale(settings: Settings, service: str, workers: int) -> None:
    """Set how many WORKERS a SERVICE has, until its section of the settings is changed.

    Requests that a worker has are answered before it ends.
    """

    def is_done(found: Mapping[str, Any]) -> bool:
        states = [each["state"] for each in _group_that_is_on(found, service)["workers"]]
        return states == ["ready"] * workers

    with _client(settings) as client:
        client.scale(service, workers)
        found = _wait(client, is_done, [service])
    print_result(found, f"{service} has {workers} workers")


@click.command()
@click.argument("services", nargs=-1)
@json_option
@_with_services_file
def restart(settings: Settings, services: tuple[str, ...]) -> None:
    """Replace the workers of SERVICES one after the other, by default of all.

    Requests wait or go to the others meanwhile.
    """

    def is_done(found: Mapping[str, Any]) -> bool:
        for name in services:
            _group_that_is_on(found, name)
        return all(
            not each["is_replacing"]
            and [worker["state"] for worker in each["workers"]] == ["ready"] * each["wanted"]
            for each in _named(found, services)
        )

    with _client(settings) as client:
        client.restart(list(services))
        found = _wait(client, is_done, services)
    print_result(found, f"{', '.join(services) or 'all services'}: started again")


@click.command()
@click.argument("services", nargs=-1)
@json_option
@_with_services_file
def stop(settings: Settings, services: tuple[str, ...]) -> None:
    """End the workers of SERVICES; without names end everything, in order.

    'restart' starts the workers of a service that was stopped.
    """

    def is_done(found: Mapping[str, Any]) -> bool:
        return not any(each["workers"] for each in _named(found, services))

    with _client(settings) as client:
        client.stop(list(services))
        if services:
            _wait(client, is_done, services)
    end = time.monotonic() + _WAIT_SECONDS
    while not services and read_record(settings.data_folder) is not None:
        if time.monotonic() > end:
            raise ComponentError("the services", "ending", "they still run", kind="timeout")
        time.sleep(_LOOK_SECONDS)
    print_result({"stopped": list(services)}, f"{', '.join(services) or 'all services'}: stopped")


@click.command()
@click.argument("service", type=click.Choice(["llm"]))
@click.option("--base", metavar="NAME", help="The RWKV model.  [default: the present one]")
@click.option("--state", metavar="NAME", help="A tuned state, or 'none'.")
@click.option("--adapter", metavar="NAME", help="A LoRA or PiSSA adapter, or 'none'.")
@json_option
@_with_services_file
def reload(
    settings: Settings, service: str, base: str | None, state: str | None, adapter: str | None
) -> None:
    """Replace base, state or adapter of the running llm, without a restart.

    A NAME is one of llm.reloadable, as it is written there. Answers in progress end with the old
    model. Without options the present files are read again, such as a folder of tuning.
    """
    remote = importlib.import_module("kvasir.remote.zeromq.reloading")
    keys = importlib.import_module("kvasir.remote.zeromq.curve_keys")
    client = importlib.import_module("kvasir.remote.zeromq.client")
    section = settings.service_of(LlmSettings)
    folder = section.keys_folder(settings.data_folder)
    address = section.front_end.reached(settings.data_folder.parent)
    files = remote.ModelFiles(base, *("" if name == "none" else name for name in (state, adapter)))
    with client.Client(address, keys=keys.load_keys(folder, "client") if folder else None) as asked:
        workers = remote.reload_workers(asked, files)
    print_result({"workers": list(workers)}, f"{service}: {len(workers)} workers have the model")


COMMANDS = (start, status, scale, restart, reload, stop)


def _wait(
    client: Any, is_done: Callable[[Mapping[str, Any]], bool], services: Sequence[str]
) -> Mapping[str, Any]:
    """Wait until services, or all if none is named, are as asked; return the state of all.

    Raises:
        ComponentError: A worker of them dies again and again, or it takes too long.
    """
    end = time.monotonic() + _WAIT_SECONDS
    found: Mapping[str, Any]
    while not is_done(found := client.status()):
        for group in _named(found, services):
            for worker in group["workers"]:
                if worker["deaths_in_a_row"] > 2:
                    cause = f"{worker['name']} dies at once ({worker['last_end']})"
                    raise ComponentError(group["name"], "starting", cause)
        if time.monotonic() > end:
            raise ComponentError("the services", "changing", "it takes too long", kind="timeout")
        time.sleep(_LOOK_SECONDS)
    return found


def _groups(found: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for each in found["services"]:
        yield from each["groups"]


def _named(found: Mapping[str, Any], services: Sequence[str]) -> Iterator[Mapping[str, Any]]:
    return (each for each in _groups(found) if not services or each["name"] in services)


def _group_that_is_on(found: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return the state of the workers of a service.

    Raises:
        ComponentError: It was stopped, or the settings have it no more.
    """
    for each in _named(found, [name]):
        if each["is_on"]:
            return each
    raise ComponentError(name, "changing", "the service was turned off meanwhile")


def _rows(found: Mapping[str, Any]) -> Iterator[Mapping[str, object]]:
    for server in found["servers"]:
        yield _row(server, server["address"])
    for service in found["services"]:
        yield _row(service["broker"], ", ".join(service["front_ends"]))
        for group in service["groups"]:
            queues = group["queues"].values()
            for worker in group["workers"]:
                yield _row(worker, "")
            for name in group["remote_workers"]:
                yield {**_row({"name": f"{group['name']} worker {name}", "state": "ready"}, "")}
            waiting = sum(each["waiting"] for each in queues)
            running = sum(each["running"] for each in queues)
            served = sum(each["served"] for each in queues)
            yield {
                "process": f"{group['name']}: all workers",
                "state": f"{waiting} wait, {running} run, {served} served",
                "pid": "",
                "restarts": "",
                "where": "",
            }


def _row(state: Mapping[str, Any], where: str) -> Mapping[str, object]:
    word = state["state"]
    if state.get("starts_in") is not None:
        word = f"{word}: {state['last_end']}, again in {state['starts_in']:.0f} s"
    return {
        "process": state["name"],
        "state": word,
        "pid": state.get("pid") or "",
        "restarts": state.get("restarts") or "",
        "where": where,
    }


def _client(settings: Settings) -> Any:
    """Return a client of the starter of a data folder.

    Raises:
        ComponentError: None runs.
    """
    record = read_record(settings.data_folder)
    if record is None:
        cause = f"no services run for {settings.data_folder}: 'kvasir services start' starts them"
        error = ComponentError("services", "connecting", cause, kind="unreachable")
        error.args = (cause,)  # Nothing failed.
        raise error
    module = importlib.import_module("kvasir.remote.zeromq.starter")
    return module.StarterClient(record.address, settings.data_folder / FOLDER)


def _load(module: str, settings: Settings) -> Any:
    """Import a module of the starter by name: front doors do not import each other.

    Raises:
        MissingExtraError: It names all extras that these settings need and that are missing.
    """
    try:
        return importlib.import_module(f"kvasir.frontends.services.{module}")
    except ModuleNotFoundError as error:
        if error.name in ("zmq", "msgpack"):
            index = settings.index
            is_chroma = index is not None and index.enabled and index.vectordb is None
            lacks_chroma = is_chroma and find_spec("chromadb") is None
            extras = "services,chroma" if lacks_chroma else "services"
            raise MissingExtraError("'kvasir services start'", extras) from error
        raise
