"""``kvasir serve``."""

from __future__ import annotations

import asyncio
import gc
import logging
import math
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager

import uvicorn

from kvasir.app import App
from kvasir.core.errors import KvasirError, StorageError
from kvasir.core.run import StopToken
from kvasir.frontends.api.application import check_accounts, make_application
from kvasir.frontends.api.listening import take_last_connections
from kvasir.frontends.api.owner import check_no_owner, owned, take_over
from kvasir.frontends.api.readiness import Readiness
from kvasir.frontends.api.registration import first_admin_link
from kvasir.frontends.process import KEEP_ALIVE_SECONDS, configure_logging, listen, stop_on_signals
from kvasir.settings.reached_hosts import http_address

logger = logging.getLogger(__name__)

_PORT = "--port N or the setting server.port"
_TICKS_A_LOOK = 10
"""Between two looks whether the owner of the index has ended: a second."""
_SETTLE_SECONDS = 2.0
"""Longest wait for the requests of connections that were just accepted."""


def serve(
    app: App,
    *,
    host: str,
    port: int,
    quiet: bool = False,
    announce: Callable[[str], object] = lambda _: None,
    explain: Callable[[KvasirError], str] = str,
) -> None:
    """Serve until SIGTERM or Ctrl-C; requests in progress are finished.

    Args:
        app: What is served.
        host: The address to listen at.
        port: The port; 0 takes any free one.
        quiet: Log warnings and errors only, no requests.
        announce: Gets the lines for the operator.
        explain: Returns what to log of an error that the operator should know of.

    Raises:
        StorageError: The port is taken, or the address is not of this machine.
        StoreLockedError: Another process serves this index.
        SettingsError: A setting is unusable, such as a published signing key.
    """
    logged = app.settings.server
    configure_logging(logged.log_format, debug=logged.debug, quiet=quiet)
    stop = StopToken()
    # Before the port: where the same index is served already, that says more than a taken port.
    check_no_owner(app.settings)
    with closing(listen(host, port, option=_PORT)) as listener, ExitStack() as opened:
        port = listener.getsockname()[1]
        _remember_port(app, port)
        check_accounts(app)
        shown = f"[{host}]" if ":" in host else host
        address = http_address(host, port)
        record, local = opened.enter_context(owned(app.settings, address))
        if not record.token:
            check_no_owner(app.settings)  # Another process was faster.
        api = make_application(app, owner_token=record.token)
        link = first_admin_link(app)
        config = uvicorn.Config(
            api,
            loop="asyncio",
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            # By default uvicorn would believe every client of this machine.
            proxy_headers=bool(app.settings.server.trusted_proxies),
            forwarded_allow_ips=list(app.settings.server.trusted_proxies),
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=max(1, math.ceil(app.settings.server.shutdown_seconds)),
        )
        server = _Server(config, stop, api.state.readiness, app.settings.server.drain_seconds)
        if not record.token:

            def follow() -> list[socket.socket] | None:
                """Become the owner when the present one has ended; return the local sockets."""
                taken = take_over(app.settings, address, opened)
                if taken is None:
                    return None
                api.state.owner_token = taken[0].token
                return taken[1]

            server.follow_owner(follow)
        announce(f"Kvasir serves at http://{shown}:{port}, its manual at /docs")
        if link:
            announce(
                "There is no administrator yet. For administration only, not needed to begin, "
                f"this link makes one, once: {link}"
            )
        warm_up = threading.Thread(
            target=_warm_up, args=(app, explain), name="warm up", daemon=True
        )
        warm_up.start()

        def drain() -> None:
            api.state.readiness.drain()
            if not quiet:
                announce("Stopping; finishing the requests in progress.")

        with stop.calling(drain), stop_on_signals(stop, at_once=server.exit_at_once):
            server.run(sockets=[listener, *local])
        if not server.started:
            raise StorageError("the server could not start: its log says why")
        announce("Kvasir has stopped.")


class _Server(uvicorn.Server):
    """Stops by a token, after it has told its clients to go elsewhere."""

    def __init__(
        self, config: uvicorn.Config, stop: StopToken, readiness: Readiness, drain_seconds: float
    ) -> None:
        super().__init__(config)
        self._stop = stop
        self._readiness = readiness
        self._drain_seconds = drain_seconds
        self._follow: Callable[[], list[socket.socket] | None] | None = None
        self._taken: list[socket.socket] = []

    def follow_owner(self, take: Callable[[], list[socket.socket] | None]) -> None:
        """Listen at the sockets that ``take`` returns, which is called every second until then."""
        self._follow = take

    def exit_at_once(self) -> None:
        """Do not wait for requests in progress."""
        self.force_exit = True

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to ``stop_on_signals``: uvicorn would end the process by them."""
        yield

    async def on_tick(self, counter: int) -> bool:
        """Return True if the server should stop."""
        if self._stop.is_set() or await super().on_tick(counter):
            return True
        if self._follow is not None and counter % _TICKS_A_LOOK == 0:
            await self._take_over(self._follow)
        return False

    async def _take_over(self, take: Callable[[], list[socket.socket] | None]) -> None:
        try:
            taken = await asyncio.to_thread(take)
        except StorageError as error:
            self._follow = None
            logger.warning("this process cannot take the owner's place: %s", error)
            return
        if taken is None:
            return
        self._follow, self._taken = None, taken
        loop = asyncio.get_running_loop()
        for listener in taken:
            self.servers.append(await loop.create_server(self._make_protocol, sock=listener))
        logger.info("the owner of the index has ended; this process takes its place")

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Take requests for a moment longer, close the port, and finish what was taken."""
        self._readiness.drain()
        sockets = [*(sockets or ()), *self._taken]
        await asyncio.sleep(self._drain_seconds)
        accepted = await take_last_connections(sockets)
        for server in self.servers:
            server.close()
        loop = asyncio.get_running_loop()
        for connection in accepted:
            await loop.connect_accepted_socket(self._make_protocol, connection)
        end = loop.time() + _SETTLE_SECONDS
        await asyncio.sleep(0.05)
        while self._is_any_fresh() and loop.time() < end:
            await asyncio.sleep(0.02)
        await super().shutdown(sockets)

    def _is_any_fresh(self) -> bool:
        """Return True if a connection has not sent its first request yet."""
        connections = self.server_state.connections
        return any(getattr(each, "cycle", None) is None for each in connections)

    def _make_protocol(self) -> asyncio.Protocol:
        return self.config.http_protocol_class(  # type: ignore[call-arg]
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )


def _remember_port(app: App, port: int) -> None:
    """Use the port that the system chose in links."""
    server = app.settings.server
    if server.port != port:
        changed = server.model_copy(update={"port": port})
        app.settings = app.settings.model_copy(update={"server": changed})


def _warm_up(app: App, explain: Callable[[KvasirError], str]) -> None:
    """Load the model and open the collection of the settings before the first request."""
    try:
        _ = app.analyzer
        with app.collection() as collection:
            index = collection.index
            _ = index.embedder if index.find_record() is None else index.retriever
    except KvasirError as error:
        logger.warning("the first search will be slow, or fail: %s", explain(error))
    # What is loaded now stays: to look for garbage in it would hold up requests for 120 ms.
    gc.freeze()
