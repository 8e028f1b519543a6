"""``kvasir serve``: start the HTTP server."""

from __future__ import annotations

import importlib
from functools import partial
from typing import TYPE_CHECKING

import click

from kvasir.frontends.cli.options import setting_options, with_app
from kvasir.frontends.cli.remedies import explain
from kvasir.frontends.cli.terminal import echo

if TYPE_CHECKING:
    from kvasir.app import App


@click.command()
@setting_options(
    ("--host", "server.host", "The address to listen at."),
    ("--port", "server.port", "The port to listen at."),
)
@click.option("--quiet", is_flag=True, hidden=True, help="Log no requests, for 'kvasir up'.")
@with_app
def serve(app: App, quiet: bool) -> None:
    """Serve the documents over HTTP: REST, an OpenAI-compatible interface, and accounts."""
    chosen = app.settings.server
    # By name: front doors do not import each other.
    command = importlib.import_module("kvasir.frontends.api.command")
    command.serve(
        app,
        host=chosen.host,
        port=chosen.port,
        quiet=quiet,
        announce=partial(echo, err=True),
        explain=explain,
    )
