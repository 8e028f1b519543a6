"""``kvasir mcp``: serve the documents to a client of the Model Context Protocol."""

from __future__ import annotations

import importlib

import click

from kvasir.app import App
from kvasir.frontends.cli.options import with_app


@click.command()
@with_app
@click.pass_context
def mcp(ctx: click.Context, /, app: App) -> None:
    """Serve the documents to a client of the Model Context Protocol.

    The client starts this command and talks to it by standard input and output. It may read all
    collections of the data folder, or only the one that --collection names.
    """
    only = ctx.params.get("collection") or (ctx.find_object(dict) or {}).get("collection")
    # By name: front doors do not import each other.
    serving = importlib.import_module("kvasir.frontends.mcp").load()
    library = importlib.import_module("kvasir.frontends.mcp.library")
    local = library.local_library(app, app.settings, only)
    serving.serve_standard_streams(lambda work: work(local))
