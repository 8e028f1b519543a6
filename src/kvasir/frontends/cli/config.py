"""``kvasir config``: what is in force, whether a file is right, a file to start from."""

from __future__ import annotations

import json
from pathlib import Path

import click
import yaml

from kvasir.core import registry
from kvasir.core.errors import SettingsError
from kvasir.frontends.cli.options import json_option, with_settings
from kvasir.presets import PRESETS, render
from kvasir.settings import DEFAULT_FILE, Settings, load_settings, template


@click.group()
def config() -> None:
    """Show, check or write the settings."""


@config.command()
@json_option
@with_settings
def show(settings: Settings, as_json: bool) -> None:
    """Print the settings in force, secrets masked."""
    tree = settings.dump()
    text = (
        json.dumps(tree, indent=2, ensure_ascii=False)
        if as_json
        else yaml.safe_dump(tree, sort_keys=False, allow_unicode=True).rstrip()
    )
    click.echo(text)


@config.command()
@click.argument("file", default=str(DEFAULT_FILE))
def check(file: str) -> None:
    """Read a settings file and say what is wrong with it.

    The components that it names are looked up too, and their options.
    """
    settings = load_settings(file)
    for family, name, options in settings.components():
        registry.check(family, name, options)
    click.echo(f"{file}: all settings are known and usable")


@config.command()
@click.argument("file", default=str(DEFAULT_FILE))
@click.option("--force", is_flag=True, help="Replace an existing file.")
@click.option(
    "--preset",
    "preset",
    type=click.Choice(sorted(PRESETS)),
    help="Write the settings of a preset, every key in force, nothing commented out.",
)
def init(file: str, force: bool, preset: str | None) -> None:
    """Write a commented settings file with the defaults."""
    path = Path(file)
    if path.exists() and not force:
        raise SettingsError(f"'{file}' exists already; --force replaces it")
    try:
        path.write_text(render(preset) if preset else template(), "utf-8")
    except OSError as error:
        raise SettingsError(f"'{file}' cannot be written: {error.strerror}") from error
    click.echo(f"wrote {file}")
