"""``kvasir ui``: serves the web client."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from socket import socket
from typing import Any

import uvicorn
from streamlit.web import bootstrap

from kvasir.core.run import StopToken
from kvasir.frontends.process import KEEP_ALIVE_SECONDS, configure_logging, stop_on_signals
from kvasir.frontends.ui.application import application_parts, make_application
from kvasir.frontends.ui.connection import Connection, use
from kvasir.frontends.ui.look import THEME

_LEFT_SECONDS = 120
"""How long a page that was left keeps its state, so that a broken connection comes back to it."""
_STOP_SECONDS = 3.0
_OPTIONS: Mapping[str, Any] = {
    "browser.gatherUsageStats": False,
    "client.showErrorDetails": "none",
    "client.showErrorLinks": False,
    "client.toolbarMode": "minimal",
    "global.developmentMode": False,
    "logger.level": "warning",
    "runner.magicEnabled": False,
    # It would collect the garbage of the whole process whenever a page was drawn: half the time.
    "runner.postScriptGC": False,
    "server.enableAgentApi": False,
    "server.enableStaticServing": False,
    "server.enableXsrfProtection": True,
    "server.fileWatcherType": "none",
    "server.headless": True,
    "server.runOnSave": False,
}


def serve(
    connection: Connection,
    listener: socket,
    *,
    host: str,
    max_file_mb: int,
    left_seconds: int = _LEFT_SECONDS,
    stop: StopToken | None = None,
    announce: Callable[[str], object] = lambda _: None,
) -> None:
    """Serve until SIGTERM, Ctrl-C or the token.

    Args:
        connection: To the API.
        listener: Listens at the client's address; it is closed.
        host: The name or address that it was made for.
        max_file_mb: The largest upload.
        left_seconds: How long the state of a page that was left is kept.
        stop: Ends it.
        announce: Gets the lines for the operator.
    """
    configure_logging()
    # Streamlit warns of what concerns those who write pages.
    logging.getLogger("streamlit").setLevel(logging.ERROR)
    use(connection)
    port = listener.getsockname()[1]
    changing = {
        "server.address": host,
        "server.port": port,
        "server.maxUploadSize": max_file_mb,
        "server.disconnectedSessionTTL": left_seconds,
    }
    bootstrap.load_config_options({**_OPTIONS, **THEME, **changing})
    config = uvicorn.Config(
        make_application(),
        loop="asyncio",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=math.ceil(_STOP_SECONDS),
    )
    stop = stop or StopToken()
    server = _Server(config, stop)
    shown = f"[{host}]" if ":" in host else host
    announce(f"The web client is at http://{shown}:{port}")
    with closing(listener), stop_on_signals(stop):
        server.run(sockets=[listener])


def parts_for_streamlit(connection: Connection, max_file_mb: int) -> dict[str, Any]:
    """Return the arguments of an ``st.App`` that ``streamlit run`` serves.

    Where it listens is said by its command line and by ``.streamlit/config.toml``.
    """
    use(connection)
    bootstrap.load_config_options({**_OPTIONS, **THEME, "server.maxUploadSize": max_file_mb})
    return application_parts()


class _Server(uvicorn.Server):
    """Stops by a token."""

    def __init__(self, config: uvicorn.Config, stop: StopToken) -> None:
        super().__init__(config)
        self._stop = stop

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to ``stop_on_signals``: uvicorn would end the process by them."""
        yield

    async def on_tick(self, counter: int) -> bool:
        """Return True if the server should stop."""
        return self._stop.is_set() or await super().on_tick(counter)
