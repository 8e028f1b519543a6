"""``kvasir models``: which embedding models are here, and fetching one."""

from __future__ import annotations

import click

from kvasir.core.errors import StoppedError
from kvasir.core.run import Run
from kvasir.frontends.cli.interrupts import long_work
from kvasir.frontends.cli.main import EXIT_INTERRUPTED, fail
from kvasir.frontends.cli.options import json_option, with_settings
from kvasir.frontends.cli.progress import download
from kvasir.frontends.cli.rendering import print_json, print_table, sizes
from kvasir.models import local
from kvasir.settings.schema import Settings


@click.group()
def models() -> None:
    """List embedding models, or pull one."""


@models.command("list")
@json_option
@with_settings
def list_models(settings: Settings, as_json: bool) -> None:
    """List the models on this machine."""
    found = local.list_local(settings.data_folder)
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
@with_settings
def pull(settings: Settings, name: str | None, as_json: bool) -> int:
    """Fetch a model from the hub into the data folder; default: the one in the settings."""
    from kvasir.models import hub

    chosen = settings.rag.embedding_model
    token = chosen.token.get_secret_value() if chosen.token else None
    try:
        with long_work(quiet=True) as run, download(quiet=as_json) as show:
            run = Run(run.stop, show)
            folder = hub.pull(name or chosen.name, token, settings.data_folder, run)
    except StoppedError:
        said = "interrupted: what has arrived is kept; run the same command again"
        return fail(said, EXIT_INTERRUPTED)
    if as_json:
        print_json(folder)
    else:
        click.echo(f"{folder.name}: {folder.path}")
    return 0
