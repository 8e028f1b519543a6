"""``kvasir collections``: list and delete."""

from __future__ import annotations

from typing import Any

import click

from kvasir.app import App
from kvasir.core.ledger import CollectionRecord
from kvasir.frontends.cli.options import json_option, with_app
from kvasir.frontends.cli.rendering import print_json, print_table


@click.group()
def collections() -> None:
    """List or delete collections."""


@collections.command("list")
@json_option
@with_app
def list_collections(app: App, as_json: bool) -> None:
    """List all collections."""
    rows = [_as_dict(app, record) for record in app.collections()]
    if as_json:
        print_json(rows)
        return
    print_table(rows)


@collections.command()
@click.option("--yes", is_flag=True, help="Do not ask.")
@with_app
def delete(app: App, yes: bool) -> None:
    """Delete the collection given by --collection, with all of its documents."""
    if not yes:
        click.confirm(f"Delete collection '{app.collection}' with all its documents?", abort=True)
    app.delete_collection()
    click.echo(f"collection '{app.collection}' deleted")


def _as_dict(app: App, record: CollectionRecord) -> dict[str, Any]:
    return {
        "name": record.name,
        "chunks": app.catalog.chunk_count(record.name),
        "languages": " ".join(record.languages),
        "embedder": record.embedder,
        "dimension": record.dimension,
        "calibrated": record.calibration is not None,
        "created": record.created.isoformat(timespec="seconds"),
    }
