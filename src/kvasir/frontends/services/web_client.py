"""The web client for ``streamlit run``, with an API of its own where none answers.

    import streamlit as st
    from kvasir.frontends.services.web_client import parts

    app = st.App(**parts("ragq.yml"))

Streamlit serves an application that a script makes in this form.
"""

from __future__ import annotations

import atexit
import importlib
import sys
import threading
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import httpx

from kvasir.core.run import StopToken
from kvasir.frontends.locality import is_loopback
from kvasir.frontends.supervising import Program, run_together
from kvasir.settings.loading import load_settings
from kvasir.settings.reached_hosts import http_address
from kvasir.settings.schema import Settings
from kvasir.sharing import owner_of

_ANSWER_SECONDS = 2.0
_END_SECONDS = 30.0


def parts(config: str | Path) -> dict[str, Any]:
    """Return the arguments of ``st.App`` for a web client of the services of a settings file.

    Raises:
        SettingsError: The settings cannot be used.
    """
    settings = load_settings(config)
    server = settings.server
    address = settings.ui.server or http_address(server.host, server.port)
    if settings.ui.server is None and not _answers(address):
        _start_api(config)
    # By name: front doors do not import each other.
    connection = importlib.import_module("kvasir.frontends.ui.connection").Connection(
        address,
        owner_token=partial(_owner_token, settings, address),
        is_local=settings.ui.sign_in == "auto" and is_loopback(_listening_host()),
    )
    command = importlib.import_module("kvasir.frontends.ui.command")
    found: dict[str, Any] = command.parts_for_streamlit(connection, settings.rag.ingest.max_file_mb)
    return found


def _answers(address: str) -> bool:
    with suppress(httpx.HTTPError, httpx.InvalidURL):
        reply = httpx.get(f"{address}/health", timeout=_ANSWER_SECONDS, trust_env=False)
        return reply.is_success
    return False


def _start_api(config: str | Path) -> None:
    """Run the API beside this process, and end it with it."""
    stop = StopToken()
    command = [sys.executable, "-m", "kvasir", "--config", str(config), "serve"]
    running = threading.Thread(
        target=run_together,
        args=([Program("the server", command)], stop),
        kwargs={"say": partial(print, file=sys.stderr)},
        name="the server",
    )

    def end() -> None:
        stop.set()
        running.join(_END_SECONDS)

    atexit.register(end)
    running.daemon = True
    running.start()


def _listening_host() -> str:
    host = importlib.import_module("streamlit").get_option("server.address")
    return str(host or "0.0.0.0")


def _owner_token(settings: Settings, address: str) -> str:
    """Return the token of the data folder's owner, if that is the server at this address."""
    record = owner_of(settings)
    return record.token if record is not None and record.address == address else ""
