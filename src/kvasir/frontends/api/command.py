"""``kvasir serve``."""

from __future__ import annotations

import errno
import socket
from contextlib import closing

import uvicorn

from kvasir.app import App
from kvasir.core.errors import StorageError
from kvasir.frontends.api.application import make_application
from kvasir.frontends.api.owner import check_no_owner, owned


def serve(app: App, *, host: str, port: int) -> None:
    """Serve until SIGTERM or SIGINT; requests in progress are finished.

    Raises:
        StorageError: The port is taken, or the address is not of this machine.
        StoreLockedError: Another process serves this index.
    """
    check_no_owner(app.settings)
    app.keep_open()
    with (
        closing(_listen(host, port)) as listener,
        owned(app.settings, f"http://{host}:{port}") as (record, local),
    ):
        api = make_application(app, owner_token=record.token)
        config = uvicorn.Config(
            api,
            log_config=None,
            timeout_graceful_shutdown=int(app.settings.server.shutdown_seconds),
            server_header=False,
        )
        uvicorn.Server(config).run(sockets=[listener, *local])


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
