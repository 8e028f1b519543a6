"""``kvasir ui`` and ``kvasir up``: the web client, alone or with the server that it needs."""

from __future__ import annotations

import importlib
import sys
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from kvasir.core.errors import MissingExtraError
from kvasir.core.run import StopToken
from kvasir.frontends.cli.logins import clean_address
from kvasir.frontends.cli.options import (
    setting_arguments,
    setting_options,
    with_settings,
)
from kvasir.frontends.cli.terminal import echo
from kvasir.frontends.locality import is_loopback
from kvasir.frontends.process import listen, stop_on_signals
from kvasir.frontends.supervising import Program, run_together
from kvasir.settings.reached_hosts import http_address
from kvasir.sharing import owner_of

if TYPE_CHECKING:
    from kvasir.settings.schema import Settings

_ANSWER_SECONDS = 2.0


@click.command()
@setting_options(
    ("--host", "ui.host", "The address to listen at."),
    ("--port", "ui.port", "The port to listen at."),
    ("--server", "ui.server", "The server that it is a client of."),
)
@click.option("--quiet", is_flag=True, hidden=True, help="Print no address, for 'kvasir up'.")
@with_settings
@click.pass_context
def ui(ctx: click.Context, /, settings: Settings, quiet: bool) -> None:
    """Serve the web client: ask, add documents, share and evaluate in the browser.

    It starts a server of its own if none is named and none answers.
    """
    address = settings.ui.server or http_address(settings.server.host, settings.server.port)
    if settings.ui.server is None and not answers(address):
        _run_both(ctx, settings)
        return
    command = _command()
    if settings.ui.server is not None and not answers(clean_address(address)):
        echo(f"No server answers at {address}; the pages say so until one does.", err=True)
    listener = listen(
        settings.ui.host, settings.ui.port, "ui.port", option="--port N or the setting ui.port"
    )
    connection = importlib.import_module("kvasir.frontends.ui.connection").Connection(
        clean_address(address),
        owner_token=partial(_owner_token, settings, clean_address(address)),
        is_local=settings.ui.sign_in == "auto" and is_loopback(settings.ui.host),
    )
    command.serve(
        connection,
        listener,
        host=settings.ui.host,
        max_file_mb=settings.rag.ingest.max_file_mb,
        left_seconds=round(settings.ui.left_seconds),
        announce=_say_nothing if quiet else partial(echo, err=True),
    )


@click.command()
@with_settings
@click.pass_context
def up(ctx: click.Context, /, settings: Settings) -> None:
    """Start everything: the server, which answers the queue of questions, and the web client.

    Ctrl-C ends all of it. A part that dies is started again.
    """
    _run_both(ctx, settings)


def _run_both(ctx: click.Context, settings: Settings) -> None:
    _command()  # A missing extra is reported before anything starts.
    server, client = settings.server, settings.ui
    api_port = _free_port(server.host, server.port, "server.port")
    ui_port = _free_port(client.host, client.port, "ui.port")
    address, shown = http_address(server.host, api_port), http_address(client.host, ui_port)
    # The address to open is the last line: what the server does is logged with server.debug alone.
    kvasir = [sys.executable, "-m", "kvasir", *setting_arguments(ctx)]
    web_client = [*kvasir, "ui", "--quiet", "--host", client.host]
    programs = [
        Program(
            "the server",
            [*kvasir, "serve", "--quiet", "--port", str(api_port)],
            is_ready=partial(answers, address),
        ),
        Program(
            "the web client",
            [*web_client, "--port", str(ui_port), "--server", address],
            is_ready=partial(answers, shown, "/_stcore/health"),
        ),
    ]
    stop = StopToken()
    saying = stop.calling(partial(echo, "Stopping the server and the web client.", err=True))
    with saying, stop_on_signals(stop):
        run_together(
            programs,
            stop,
            say=partial(echo, err=True),
            when_ready=lambda: echo(
                f"\nOpen {shown} in a browser. Ctrl-C ends everything.\n", err=True
            ),
        )


def answers(address: str, path: str = "/health") -> bool:
    """Return True if a server answers at an address."""
    import httpx

    with suppress(httpx.HTTPError, httpx.InvalidURL):
        reply = httpx.get(address + path, timeout=_ANSWER_SECONDS, trust_env=False)
        return reply.status_code == httpx.codes.OK
    return False


def _say_nothing(_: str) -> None:
    """Leave the lines for the operator to ``kvasir up``."""


def _command() -> Any:
    """Return the web client's command, by name: front doors do not import each other.

    Raises:
        MissingExtraError: The extra ``ui`` is not installed.
    """
    try:
        return importlib.import_module("kvasir.frontends.ui.command")
    except ModuleNotFoundError as error:
        if error.name and error.name.partition(".")[0] == "kvasir":
            raise
        raise MissingExtraError("the web client", "ui") from error


def _owner_token(settings: Settings, address: str) -> str:
    """Return the token of the data folder's owner, if that is the server at this address."""
    record = owner_of(settings)
    return record.token if record is not None and record.address == address else ""


def _free_port(host: str, port: int, setting: str) -> int:
    """Return the port, or a free one for 0.

    Raises:
        StorageError: It is taken.
    """
    with listen(host, port, setting, option=f"--set {setting}=N") as probe:
        found: int = probe.getsockname()[1]
        return found
