"""Options that every subcommand takes, and the settings that they make."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

import click
from pydantic import SecretStr

from kvasir.core.errors import RequestError, SettingsError
from kvasir.core.run import Run
from kvasir.frontends.cli.logins import clean_address
from kvasir.frontends.cli.long_work import download, stop_token
from kvasir.frontends.cli.main import config_option, data_dir_option, set_option
from kvasir.frontends.cli.metadata import with_local_sources
from kvasir.frontends.cli.rendering import json_option
from kvasir.frontends.cli.services import Service, Services
from kvasir.settings.component_schema import WINDOW_OPTIONS
from kvasir.settings.loading import load_settings, parse_assignment
from kvasir.settings.schema import Settings

if TYPE_CHECKING:
    from kvasir.app import App
    from kvasir.collection import Collection

P = ParamSpec("P")
R = TypeVar("R")

SETTINGS_TREE = "kvasir.settings_tree"
"""In a context's ``meta``: settings of another program's command line."""

REPEATABLE = ("ingest", "sync", "use_model")
"""Commands that may be begun again: what is done already is left unchanged."""

_APP = "kvasir.app"
"""In a context's ``meta``: the open application."""

_GIVEN = "kvasir.given"
"""In a context's ``meta``: by dotted key, value and name of each given setting option."""

_FILTERS = "chat.rag.retriever.filters"

SettingRow = tuple[str, str, str] | tuple[str, str, str, click.Choice[str]]
"""Declares a setting's option: names separated by a space, dotted key, help, choices."""

GENERATORS = "extractive, llama, rwkv, openai, ollama, huggingface, haystack, remote, or a plug-in"
"""The generators, for help texts: to ask the registry takes longer than the help may."""

SPLIT_LENGTHS: tuple[SettingRow, ...] = (
    ("--split-length", "rag.splitter.split_length", "Most units in a chunk."),
    ("--split-overlap", "rag.splitter.split_overlap", "Units that neighbouring chunks share."),
)
STORE_AND_MODEL: tuple[SettingRow, ...] = (
    ("--vectordb-token", "rag.vectordb.token", "The store's token."),
    ("--vectordb-username", "rag.vectordb.username", "The store's user."),
    ("--vectordb-password", "rag.vectordb.password", "The store's password."),
    ("--model", "rag.embedding_model.name", "The embedding model."),
    ("--model-token", "rag.embedding_model.token", "Token for private models."),
)


_server_option = click.option(
    "--server",
    metavar="URL",
    envvar="KVASIR_SERVER",
    show_envvar=True,
    is_eager=True,
    help="Work at this server.",
)


def server_option(command: Callable[P, R]) -> Callable[P, R]:
    """Add ``--server``, which ``services_of`` reads."""

    @_server_option
    @functools.wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        kwargs.pop("server", None)
        return command(*args, **kwargs)

    return wrapped


def with_settings(command: Callable[Concatenate[Settings, P], R]) -> Callable[P, R]:
    """Add the options of the settings; passes the settings as first argument.

    They are ``--config``, ``--data-dir``, ``--set`` and ``--collection``.
    """

    @config_option
    @data_dir_option
    @set_option
    @click.option("--collection", metavar="NAME", is_eager=True, help="Collection to work on.")
    @click.pass_context
    @functools.wraps(command)
    def wrapped(ctx: click.Context, /, *args: P.args, **kwargs: P.kwargs) -> R:
        for name in ("config", "data_dir", "assignments", "collection"):
            kwargs.pop(name, None)
        return command(settings_of(ctx), *args, **kwargs)

    return wrapped


def make_app(settings: Settings, run: Run | None = None) -> App:
    """Make an application, which is not imported for the help of a command."""
    from kvasir.app import App

    return App(settings, run=run)


def with_app(command: Callable[Concatenate[App, P], R]) -> Callable[P, R]:
    """Pass an open application, as ``with_settings`` passes the settings; adds ``--json``."""

    @json_option
    @with_settings
    @functools.wraps(command)
    def wrapped(settings: Settings, /, *args: P.args, **kwargs: P.kwargs) -> R:
        with download() as show, make_app(settings, run=Run(stop_token(), show)) as app:
            click.get_current_context().meta[_APP] = app
            return command(app, *args, **kwargs)

    return wrapped


def current_app() -> App:
    """Return the application of the running command, which ``with_app`` opened."""
    app: App = click.get_current_context().meta[_APP]
    return app


def with_service(command: Callable[Concatenate[Service, P], R]) -> Callable[P, R]:
    """Pass what has the collections, as ``with_app`` passes the application; adds ``--server``.

    The command is called again where it has done nothing, or is one of ``REPEATABLE``.
    """

    @server_option
    @with_app
    @functools.wraps(command)
    def wrapped(app: App, /, *args: P.args, **kwargs: P.kwargs) -> R:
        ctx = click.get_current_context()
        with services_of(ctx, app) as services:
            return services.run(
                lambda service: command(service, *args, **kwargs),
                may_repeat=command.__name__ in REPEATABLE,
            )

    return wrapped


def with_collection(command: Callable[Concatenate[Collection, P], R]) -> Callable[P, R]:
    """Pass the collection that the settings name, as ``with_service`` passes what has it."""

    @with_service
    @functools.wraps(command)
    def wrapped(service: Service, /, *args: P.args, **kwargs: P.kwargs) -> R:
        with service.collection() as collection:
            return command(collection, *args, **kwargs)

    return wrapped


def services_of(ctx: click.Context, app: App) -> Services:
    """Return the services of a command, by its options and those before it."""
    return Services(app, _typed(ctx)[0], server_of(ctx))


def typed_collection(ctx: click.Context) -> str | None:
    """Return the collection that was typed, if any."""
    name: str | None = _typed(ctx)[0].get("collection")
    return name


def server_of(ctx: click.Context) -> str | None:
    """Return the address of the server that was named, if any."""
    server = ctx.params.get("server") or (ctx.find_object(dict) or {}).get("server")
    return clean_address(server) if server else None


def owner_services(ctx: click.Context, app: App) -> Services:
    """Return the services of a worker: those of the process that owns the index, if another does.

    The worker keeps the log of answers itself.
    """
    return Services(app, _typed(ctx)[0], logs=False)


def setting_options(*rows: SettingRow) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Declare options that set settings, in the order of the help."""

    def declare(command: Callable[P, R]) -> Callable[P, R]:
        for names, key, text, *kind in reversed(rows):
            declared = kind[0] if kind else _type(key)
            option = click.option(
                *names.split(), cls=SettingOption, key=key, type=declared, help=text
            )
            command = option(command)
        return command

    return declare


class SettingOption(click.Option):
    """An option that sets a setting; its help shows the setting's present value."""

    def __init__(self, *args: Any, key: str, **attributes: Any) -> None:
        self.key = key
        super().__init__(*args, default=None, expose_value=False, callback=_keep, **attributes)

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        """Add the setting's value to the help text."""
        record = super().get_help_record(ctx)
        try:
            # The options of settings_of are eager: those before --help are parsed by now.
            settings = settings_of(ctx)
        except (SettingsError, RequestError):
            settings = Settings()
        value = attrgetter(self.key)(settings)
        if self.key.rpartition(".")[2] in WINDOW_OPTIONS:
            # Where another splitter is chosen, none of them is in force.
            value = value if settings.rag.splitter.chosen == "window" else "none"
        if self.key == "rag.vectordb.uri":
            value = value or "in the data folder"
        if record is None or isinstance(value, SecretStr):
            return record
        # Long values, such as prompts, are cut.
        plain = value is None or isinstance(value, bool)
        text = str(value).lower() if plain else str(value)
        first, *more = text.splitlines() or [""]
        shown = f"{first[:50]}..." if more or len(first) > 60 else first
        return record[0], f"{record[1]}  [default: {shown}]"


def settings_of(
    ctx: click.Context,
    config: str | Mapping[str, Any] | None = None,
    *,
    project: Path | None = None,
) -> Settings:
    """Return the settings of a command's own options, over those before the command.

    Their file, or the tree in it, is ``config``, if given; ``project`` as of ``load_settings``.

    Raises:
        RequestError: The value of an option cannot be used.
        SettingsError: Another setting is unknown or cannot be used.
    """
    before, own = ctx.find_object(dict) or {}, ctx.params
    file = config or own.get("config") or ctx.meta.get(SETTINGS_TREE) or before.get("config")
    values, origins = _typed(ctx)
    try:
        return load_settings(file, values, origins=origins, project=project)
    except SettingsError as error:
        if error.keys and all(origins.get(key, "--set") != "--set" for key in error.keys):
            # An option is wrong, not the installation.
            raise RequestError(str(error)) from error
        raise


def setting_arguments(ctx: click.Context) -> list[str]:
    """Return the arguments that give another command the same settings.

    They are ``--config``, ``--data-dir``, ``--set`` and ``--collection``, wherever they were typed.
    """
    before, own = ctx.find_object(dict) or {}, ctx.params
    arguments = []
    for name, option in (
        ("config", "--config"),
        ("data_dir", "--data-dir"),
        ("collection", "--collection"),
    ):
        if value := own.get(name) or before.get(name):
            arguments += [option, str(value)]
    for each in (*before.get("assignments", ()), *(own.get("assignments") or ())):
        arguments += ["--set", each]
    return arguments


def _typed(ctx: click.Context) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the typed values by dotted key, and the option of each."""
    before, own = ctx.find_object(dict) or {}, ctx.params
    assignments = (*before.get("assignments", ()), *(own.get("assignments") or ()))
    values = dict(parse_assignment(text) for text in assignments)
    origins = dict.fromkeys(values, "--set")
    given = dict(ctx.meta.get(_GIVEN, {}))
    for key, option in (("collection", "--collection"), ("data_dir", "--data-dir")):
        if value := own.get(key) or before.get(key):
            given[key] = (value, option)
    for key, (value, option) in given.items():
        values[key], origins[key] = value, option
    if values.get(_FILTERS):
        values[_FILTERS] = with_local_sources(values[_FILTERS])
    return values, origins


def _keep(ctx: click.Context, option: click.Parameter, value: Any) -> None:
    if value is not None and isinstance(option, SettingOption):
        ctx.meta.setdefault(_GIVEN, {})[option.key] = (value, max(option.opts, key=len))


def _type(key: str) -> type | None:
    """Return the type of a setting that is a number or a switch."""
    *sections, last = key.split(".")
    section: Any = Settings
    for name in sections:
        section = section.model_fields[name].annotation
    annotation = section.model_fields[last].annotation
    return next((kind for kind in (int, float, bool) if annotation in (kind, kind | None)), None)
