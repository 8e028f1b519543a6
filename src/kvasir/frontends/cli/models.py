"""``kvasir models``: list and pull embedding and language models."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from kvasir.core.errors import StoppedError
from kvasir.frontends.cli.interrupts import EXIT_INTERRUPTED
from kvasir.frontends.cli.long_work import long_work
from kvasir.frontends.cli.main import fail
from kvasir.frontends.cli.options import with_app
from kvasir.frontends.cli.rendering import print_result, print_table, sizes

if TYPE_CHECKING:
    from kvasir.app import App


@click.group()
def models() -> None:
    """List models, or pull one."""


@models.command("list")
@with_app
def list_models(app: App) -> None:
    """List the models on this machine."""
    found = app.models()
    rows = (
        {
            "name": each.name,
            "format": each.format,
            "dimension": each.dimension,
            "bytes": sizes(each.size),
            "found": each.origin,
            "path": each.path,
        }
        for each in found
    )
    print_table(found, rows)


@models.command()
@click.argument("name", required=False)
@with_app
def pull(app: App, name: str | None) -> int:
    """Fetch a model from the hub into the data folder; default: the embedder of the settings.

    NAME is OWNER/MODEL. Of a repository with GGUF files one is fetched, Q4_K_M if there is one;
    OWNER/MODEL/FILE.gguf names another.
    """
    try:
        with long_work(quiet=True):
            folder = app.pull_model(name)
    except StoppedError:
        again = "interrupted: what has arrived is kept; run the same command again"
        return fail(again, EXIT_INTERRUPTED)
    print_result(folder, f"{folder.name}: {folder.path}")
    return 0
