"""Options that every subcommand takes, and the settings that they make."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Concatenate, ParamSpec, TypeVar

import click
from pydantic import SecretStr

from kvasir.app import App
from kvasir.collection import Collection
from kvasir.core.errors import SettingsError
from kvasir.core.run import Run
from kvasir.frontends.cli.interrupts import stop_token
from kvasir.frontends.cli.progress import download
from kvasir.settings.loading import load_settings, parse_assignment
from kvasir.settings.schema import Settings

P = ParamSpec("P")
R = TypeVar("R")

SETTINGS_TREE = "kvasir.settings_tree"
"""In a context's ``meta``: settings of another program's command line."""

_OPTIONS = ("config", "assignments", "collection")
"""The parameters of ``settings_of`` that every subcommand takes as options."""

SettingRow = tuple[str, str, str] | tuple[str, str, str, dict[str, Any]]
"""Declares a setting's option: names separated by a space, dotted key, help, attributes."""


SPLIT_LENGTHS: tuple[SettingRow, ...] = (
    ("--split-length", "rag.splitter.split_length", "Most units in a chunk.", {"type": int}),
    (
        "--split-overlap",
        "rag.splitter.split_overlap",
        "Units that neighbouring chunks share.",
        {"type": int},
    ),
)
STORE_AND_MODEL: tuple[SettingRow, ...] = (
    ("--vectordb-token", "rag.vectordb.token", "The store's token."),
    ("--vectordb-username", "rag.vectordb.username", "The store's user."),
    ("--vectordb-password", "rag.vectordb.password", "The store's password."),
    ("--model", "rag.embedding_model.name", "The embedding model."),
    ("--model-token", "rag.embedding_model.token", "Token for private models."),
)


def _remember_json(ctx: click.Context, _: click.Parameter, value: bool) -> bool:
    # Errors of the command are printed in the same form.
    ctx.ensure_object(dict)["as_json"] = value
    return value


json_option = click.option(
    "--json",
    "as_json",
    is_flag=True,
    is_eager=True,
    callback=_remember_json,
    help="Print JSON for programs.",
)


def with_settings(command: Callable[Concatenate[Settings, P], R]) -> Callable[P, R]:
    """Add ``--config``, ``--set`` and ``--collection``; passes the settings as first argument."""

    @click.option(
        "--config", metavar="FILE", is_eager=True, help="Settings file.  [default: kvasir.yaml]"
    )
    @click.option(
        "--set",
        "assignments",
        multiple=True,
        is_eager=True,
        metavar="KEY=VALUE",
        help="Set one setting.",
    )
    @click.option("--collection", metavar="NAME", is_eager=True, help="Collection to work on.")
    @click.pass_context
    @functools.wraps(command)
    def wrapped(ctx: click.Context, /, *args: P.args, **kwargs: P.kwargs) -> R:
        own: dict[str, Any] = {name: kwargs.pop(name) for name in _OPTIONS}
        settings = settings_of(ctx, **own, mapped=mapped_overrides(ctx, kwargs))
        return command(settings, *args, **kwargs)

    return wrapped


def with_app(command: Callable[Concatenate[App, P], R]) -> Callable[P, R]:
    """Pass an open application, as ``with_settings`` passes the settings, and close it."""

    @with_settings
    @functools.wraps(command)
    def wrapped(settings: Settings, /, *args: P.args, **kwargs: P.kwargs) -> R:
        quiet = bool(kwargs.get("as_json"))
        with download(quiet=quiet) as show, App(settings, run=Run(stop_token(), show)) as app:
            return command(app, *args, **kwargs)

    return wrapped


def with_collection(command: Callable[Concatenate[Collection, P], R]) -> Callable[P, R]:
    """Pass the collection that the settings name, as ``with_app`` passes the application."""

    @with_app
    @functools.wraps(command)
    def wrapped(app: App, /, *args: P.args, **kwargs: P.kwargs) -> R:
        with app.collection() as collection:
            return command(collection, *args, **kwargs)

    return wrapped


def setting_option(
    *declarations: str, key: str, help_text: str, **attributes: Any
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Declare an option that sets the setting ``key`` and shows its default."""
    return click.option(
        *declarations, cls=SettingOption, key=key, help=help_text, default=None, **attributes
    )


def setting_options(*rows: SettingRow) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Declare several options as ``setting_option``, in the order of the help."""

    def declare(command: Callable[P, R]) -> Callable[P, R]:
        for names, key, help_text, *more in reversed(rows):
            attributes = more[0] if more else {}
            option = setting_option(*names.split(), key=key, help_text=help_text, **attributes)
            command = option(command)
        return command

    return declare


class SettingOption(click.Option):
    """An option that sets a setting; its help shows the setting's present value."""

    def __init__(self, *args: Any, key: str, **attributes: Any) -> None:
        self.key = key
        super().__init__(*args, **attributes)

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        """Add the setting's value to the help text."""
        record = super().get_help_record(ctx)
        settings = _settings_of_help(ctx)
        value = _value(settings, self.key)
        if self.key == "rag.vectordb.uri":
            value = value or settings.data_dir / "store"
        if record is None or isinstance(value, SecretStr):
            return record
        # Long values, such as prompts, are cut.
        plain = value is None or isinstance(value, bool)
        text = str(value).lower() if plain else str(value)
        first, *more = text.splitlines() or [""]
        shown = f"{first[:50]}..." if more or len(first) > 60 else first
        return record[0], f"{record[1]}  [default: {shown}]"


def mapped_overrides(ctx: click.Context, values: dict[str, Any]) -> dict[str, Any]:
    """Remove the values of setting options from a command's arguments; return them by key."""
    overrides = {}
    for parameter in ctx.command.params:
        if isinstance(parameter, SettingOption) and parameter.name in values:
            value = values.pop(parameter.name)
            if value is not None:
                overrides[parameter.key] = value
    return overrides


def option_names(ctx: click.Context, overrides: Mapping[str, Any]) -> dict[str, str]:
    """Return, by dotted key, the option that gave each override."""
    options = [each for each in ctx.command.params if isinstance(each, SettingOption)]
    names = {option.key: max(option.opts, key=len) for option in options}
    return {key: "--collection" if key == "collection" else names[key] for key in overrides}


def settings_of(
    ctx: click.Context,
    config: str | None = None,
    assignments: Iterable[str] | None = None,
    collection: str | None = None,
    mapped: Mapping[str, Any] | None = None,
) -> Settings:
    """Return the settings of a command's own options, over those before the command.

    ``mapped`` holds the values of its setting options by dotted key.
    """
    root = ctx.find_root().obj or {}
    every = (*(root.get("assignments") or ()), *(assignments or ()))
    overrides = dict(parse_assignment(text) for text in every)
    origins = dict.fromkeys(overrides, "--set")
    collection = collection or root.get("collection")
    options = ({"collection": collection} if collection else {}) | dict(mapped or {})
    return load_settings(
        config or root.get("config"),
        overrides | options,
        origins=origins | option_names(ctx, options),
    )


def _settings_of_help(ctx: click.Context) -> Settings:
    """Return a command's settings, or the built-in ones if they are unusable."""
    base = ctx.meta.get(SETTINGS_TREE)
    # Those options are eager: the ones before --help are parsed by now.
    own = {name: ctx.params.get(name) for name in _OPTIONS}
    try:
        return settings_of(ctx, **own) if base is None else load_settings(base)
    except SettingsError:
        return Settings()


def _value(settings: Settings, key: str) -> Any:
    value: Any = settings
    for part in key.split("."):
        value = getattr(value, part)
    return value
