"""``kvasir config``: show, check and write settings."""

from __future__ import annotations

import os
from pathlib import Path

import click
import yaml

from kvasir.core.errors import ConflictError, RequestError
from kvasir.core.text import shown
from kvasir.frontends.cli.options import make_app, settings_of, with_settings
from kvasir.frontends.cli.rendering import json_option, print_result, printed_json
from kvasir.frontends.cli.terminal import echo
from kvasir.settings.data_folder import DEFAULT_FILE, find_project, settings_file_in
from kvasir.settings.in_force import in_force
from kvasir.settings.known_passwords import known_passwords
from kvasir.settings.presets import PRESETS, render_preset, template
from kvasir.settings.schema import Settings


def _file_to_check(ctx: click.Context, _: click.Parameter, file: str | None) -> str:
    project = find_project()
    found = project and settings_file_in(project)
    return file or _named_before(ctx) or os.path.relpath(found or DEFAULT_FILE)


def _file_to_write(ctx: click.Context, _: click.Parameter, file: str | None) -> str:
    return file or _named_before(ctx) or str(DEFAULT_FILE)


def _named_before(ctx: click.Context) -> str | None:
    return (ctx.find_root().obj or {}).get("config")


@click.group()
def config() -> None:
    """Show, check or write the settings."""


@config.command()
@json_option
@with_settings
def show(settings: Settings) -> None:
    """Print the settings in force, secrets masked.

    The first lines say which settings file was read, and where the data folder is and why.
    """
    tree, found = in_force(settings), settings.found_data_folder
    notes = {
        "settings file": str(settings.file) if settings.file else "none",
        "data folder": f"{found.path}, {found.reason}",
    }
    lines = [f"# {name}: {shown(note)}" for name, note in notes.items()]
    if printed_json(tree):
        click.echo("\n".join(lines), err=True)
    else:
        # For files: not wrapped.
        text = yaml.safe_dump(tree, sort_keys=False, allow_unicode=True).rstrip()
        click.echo("\n".join((*lines, text)))


@config.command()
@click.argument("file", required=False, callback=_file_to_check)
@json_option
@click.pass_context
def check(ctx: click.Context, file: str) -> None:
    """Read a settings file and say what is wrong with it.

    The components that it names are looked up too, and their options. Without FILE it is the one
    that --config names before the command, or the one that is found.
    """
    with make_app(settings_of(ctx, file)) as app:
        app.check_components()
        known = known_passwords(app.settings)
        mail = app.settings.mail
    if mail.passwords_file and not mail.host:
        echo("warning: mail.host is not set: no mail is sent", err=True)
    for key in known:
        echo(f"warning: everyone knows the password in {key}: choose another one", err=True)
    print_result({"file": file, "usable": True}, f"{file}: all settings are known and usable")


@config.command()
@click.argument("file", required=False, callback=_file_to_write)
@click.option("--force", is_flag=True, help="Replace an existing file.")
@click.option(
    "--preset",
    type=click.Choice(sorted(PRESETS)),
    help="Write the settings of a preset, every key in force, nothing commented out.",
)
def init(file: str, force: bool, preset: str | None) -> None:
    """Write a commented settings file with the defaults.

    Without FILE it is the one that --config names before the command, or kvasir.yaml in the working
    directory, which then is where the data folder is made.
    """
    path = Path(file)
    if path.exists() and not force:
        raise ConflictError(f"'{file}' exists already; --force replaces it")
    try:
        path.write_text(render_preset(preset) if preset else template(), "utf-8")
    except OSError as error:
        raise RequestError(f"'{file}' cannot be written: {error.strerror}") from error
    echo(f"wrote {file}")
