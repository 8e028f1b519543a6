"""``kvasir mcp``: serve the documents to a client of the Model Context Protocol."""

from __future__ import annotations

import importlib
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from kvasir.frontends.cli.logins import clean_address
from kvasir.frontends.cli.options import server_option, services_of, with_app

if TYPE_CHECKING:
    from kvasir.app import App


@click.command()
@server_option
@with_app
@click.pass_context
def mcp(ctx: click.Context, /, app: App) -> None:
    """Serve the documents to a client of the Model Context Protocol.

    The client starts this command and talks to it by standard input and output. It may read all
    collections of the data folder or of the server, or only the one that --collection names.
    """
    only, server = (_given(ctx, name) for name in ("collection", "server"))
    address = clean_address(server) if server else None
    # By name: front doors do not import each other.
    serving = importlib.import_module("kvasir.frontends.mcp").load()
    library = importlib.import_module("kvasir.frontends.mcp.library")
    turn = threading.Lock()
    with services_of(ctx, app) as services:

        def use(work: Callable[[Any], Any]) -> Any:
            def at(service: Any) -> Any:
                return work(library.local_library(service, app.settings, only, address))

            # One after the other, as another process may take the index over between two calls.
            with turn:
                return services.run(at, may_repeat=True)

        serving.serve_standard_streams(use)


def _given(ctx: click.Context, name: str) -> str | None:
    found: str | None = ctx.params.get(name) or (ctx.find_object(dict) or {}).get(name)
    return found
