"""``kvasir models``: list and pull embedding models."""

from __future__ import annotations

import click

from kvasir.app import App
from kvasir.core.errors import StoppedError
from kvasir.frontends.cli.interrupts import long_work
from kvasir.frontends.cli.main import EXIT_INTERRUPTED, fail
from kvasir.frontends.cli.options import json_option, with_app
from kvasir.frontends.cli.rendering import print_json, print_table, sizes


@click.group()
def models() -> None:
    """List embedding models, or pull one."""


@models.command("list")
@json_option
@with_app
def list_models(app: App, as_json: bool) -> None:
    """List the models on this machine."""
    found = app.models()
    if as_json:
        print_json(found)
        return
    print_table(
        [
            {
                "name": each.name,
                "dimension": each.dimension,
                "bytes": sizes(each.size),
                "found": each.origin,
                "path": each.path,
            }
            for each in found
        ]
    )


@models.command()
@click.argument("name", required=False)
@json_option
@with_app
def pull(app: App, name: str | None, as_json: bool) -> int:
    """Fetch a model from the hub into the data folder; default: the one in the settings."""
    try:
        with long_work(quiet=True):
            folder = app.pull_model(name)
    except StoppedError:
        said = "interrupted: what has arrived is kept; run the same command again"
        return fail(said, EXIT_INTERRUPTED)
    if as_json:
        print_json(folder)
    else:
        click.echo(f"{folder.name}: {folder.path}")
    return 0
