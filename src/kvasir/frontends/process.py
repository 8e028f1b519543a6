"""What long-running front doors share: logging with request ids, signals, and the socket.

A log line has no question, answer or credential in it: only what an operator needs to find a
request again.
"""

from __future__ import annotations

import errno
import json
import logging
import re
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from types import FrameType
from typing import IO, Literal
from uuid import uuid4

from kvasir.core.errors import StorageError
from kvasir.core.run import StopToken
from kvasir.core.text import printable, shown

request_id: ContextVar[str] = ContextVar("kvasir_request_id", default="")
"""The id of the request that is being answered, in every line that is logged meanwhile."""

KEEP_ALIVE_SECONDS = 75
"""An idle connection is kept open longer than clients (5 s) and load balancers (60 s) use it again.

Otherwise a request may arrive while it is being closed, and fails with a reset connection.
"""
_GIVEN_ID = re.compile(r"[\w.:-]{1,64}", re.ASCII)
_OWN_FIELDS = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_HTTP_CLIENTS = ("httpx", "httpx2")
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def choose_request_id(given: str = "") -> str:
    """Return the caller's id of a request if it can be logged, or a new one."""
    return given if _GIVEN_ID.fullmatch(given) else uuid4().hex


def configure_logging(
    log_format: Literal["text", "json"] = "text",
    *,
    debug: bool = False,
    quiet: bool = False,
    to: IO[str] | None = None,
) -> None:
    """Log to standard error: what the service does, and the warnings of libraries.

    With ``debug`` also the steps of Kvasir and of its HTTP clients; with ``quiet`` warnings alone.

    A second call takes the place of the first.
    """
    handler = logging.StreamHandler(to or sys.stderr)
    handler.setFormatter(_JsonFormatter() if log_format == "json" else _TextFormatter())
    handler.set_name("kvasir")
    root = logging.getLogger()
    for old in list(root.handlers):
        if old.get_name() == "kvasir":
            root.removeHandler(old)
    root.addHandler(handler)
    set_log_level(debug=debug, quiet=quiet)


def set_log_level(*, debug: bool = False, quiet: bool = False) -> None:
    """Let pass what the service does; with ``debug`` also every step and HTTP request.

    With ``quiet`` only warnings and errors pass, unless ``debug`` is set, too.
    """
    usual = logging.WARNING if quiet else logging.INFO
    logging.getLogger("kvasir").setLevel(logging.DEBUG if debug else usual)
    for client in _HTTP_CLIENTS:
        logging.getLogger(client).setLevel(logging.INFO if debug else logging.NOTSET)


@contextmanager
def stop_on_signals(
    stop: StopToken, *, at_once: Callable[[], None] | None = None
) -> Iterator[None]:
    """Set the token on the first SIGTERM or Ctrl-C during the block.

    Args:
        stop: Ends the work after its present step.
        at_once: Called on the second signal, which otherwise raises ``KeyboardInterrupt``.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    received = 0

    def handle(_number: int, _frame: FrameType | None) -> None:
        nonlocal received
        received += 1
        if received == 1:
            # Setting a token takes locks, which this thread may hold.
            threading.Thread(target=stop.set, name="stop").start()
        elif at_once is not None:
            at_once()
        else:
            raise KeyboardInterrupt

    before = {number: signal.signal(number, handle) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def listen(
    host: str, port: int, setting: str = "server.port", *, option: str = ""
) -> socket.socket:
    """Return a socket that listens at an address of this machine.

    Args:
        host: The address or name.
        port: The port; 0 takes any free one.
        setting: The key of the setting that changes it, for the message.
        option: The option of the command that changes it, for the message.

    Raises:
        StorageError: The port is taken, or the address is not of this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With the protocol named, asyncio sends each part at once (TCP_NODELAY), not 40 ms later.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(1024)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            advice = f"choose another with {option}" if option else f"set {setting}"
            raise StorageError(
                f"port {port} of {host} is taken by another program: {advice}"
            ) from error
        raise StorageError(f"{host}:{port} cannot be listened at: {error.strerror}") from error
    return listener


class _JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, logger, message, request id and what is added."""

    def format(self, record: logging.LogRecord) -> str:
        entry: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if known := request_id.get():
            entry["request_id"] = known
        entry |= {key: value for key, value in vars(record).items() if key not in _OWN_FIELDS}
        if record.exc_info:
            entry["traceback"] = self.formatException(record.exc_info)
        # In ASCII: terminals act on some of the other control characters.
        return json.dumps(entry, default=str)


class _TextFormatter(logging.Formatter):
    """Lines for people."""

    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created).astimezone().isoformat(" ", "seconds")
        known = request_id.get()
        where = f" [{known}]" if known else ""
        # A message has what clients sent, such as a path: its line breaks could pretend to be a
        # line of the log, and its control characters could act on the terminal.
        line = f"{time} {record.levelname:<7} {record.name}{where} {shown(record.getMessage())}"
        if record.exc_info:
            line += "\n" + printable(self.formatException(record.exc_info))
        return line
