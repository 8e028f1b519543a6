"""``kvasir serve``."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable
from contextlib import closing

import uvicorn

from kvasir.app import App
from kvasir.core.errors import StorageError
from kvasir.frontends.api.application import check_accounts, make_application
from kvasir.frontends.api.registration import first_admin_link


def serve(
    app: App,
    *,
    host: str,
    port: int,
    owner_token: str = "",
    announce: Callable[[str], object] = lambda _: None,
) -> None:
    """Serve until SIGTERM or SIGINT; requests in progress are finished.

    Args:
        app: What it serves.
        host: The address to listen at.
        port: The port to listen at.
        owner_token: The token of the data folder's owner record.
        announce: Called with what the operator should read.

    Raises:
        StorageError: The port is taken, or the address is not of this machine.
        SettingsError: The signing key or a rate limit is unusable.
    """
    with closing(_listen(host, port)) as listener:
        check_accounts(app)
        api = make_application(app, owner_token=owner_token)
        announce(f"Kvasir serves at http://{host}:{port}, its manual at /docs")
        link = first_admin_link(app)
        if link:
            announce(f"There is no administrator yet; this link makes one, once: {link}")
        proxies = app.settings.server.trusted_proxies
        config = uvicorn.Config(
            api,
            log_config=None,
            timeout_graceful_shutdown=int(app.settings.server.shutdown_seconds),
            server_header=False,
            # By default uvicorn would believe every client of this machine.
            proxy_headers=bool(proxies),
            forwarded_allow_ips=list(proxies),
        )
        uvicorn.Server(config).run(sockets=[listener])


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(1024)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise StorageError(
                f"port {port} of {host} is taken by another program: set server.port"
            ) from error
        raise StorageError(f"{host}:{port} cannot be listened at: {error.strerror}") from error
    return listener
