"""``kvasir worker``."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from celery import signals

from kvasir.app import App
from kvasir.core.errors import OperatorError
from kvasir.frontends.process import configure_logging
from kvasir.frontends.worker.process import WorkerProcess, on_device

__all__ = ["on_device", "work"]


def work(app: App, *, announce: Callable[[str], object] = lambda _: None) -> None:
    """Do the tasks of the queues until SIGTERM or Ctrl-C.

    Args:
        app: What the tasks work with.
        announce: Gets the lines for the operator.

    Raises:
        SettingsError: A setting is unusable.
        MissingExtraError: Celery is not installed.
        OperatorError: The worker could not go on; the log says why.
    """
    process = WorkerProcess(app)
    process.check()
    signals.setup_logging.connect(
        lambda **_: configure_logging(
            app.settings.server.log_format, debug=app.settings.server.debug
        ),
        weak=False,
    )
    logging.getLogger("celery").setLevel(logging.INFO)
    names = ", ".join(process.celery.amqp.queues.consume_from)
    # Workers need not know of each other.
    alone = {"without_gossip": True, "without_mingle": True}
    worker: Any = process.celery.Worker(loglevel=logging.INFO, quiet=True, **alone)
    announce(f"working on {names}; Ctrl-C ends it")
    worker.start()
    if worker.exitcode:
        raise OperatorError("the worker ended: its log says why")
