"""Checks the server's dependencies: at most once in a while, and never for long.

Those who watch a server ask every second, and some checks log in to another server.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotDone

from kvasir.app import App
from kvasir.core.errors import KvasirError

logger = logging.getLogger(__name__)

_LONGEST = 5.0
"""Seconds that a check may take."""
_MAIL_FACTOR = 6
"""The mail server is asked less often, because each check logs in there."""


class Readiness:
    """The state of each dependency: ``ok``, or the code of its error."""

    def __init__(self, kvasir: App, *, has_workers: Callable[[], bool]) -> None:
        """Check nothing yet; ``has_workers`` says whether the server's threads are alive."""
        seconds = kvasir.settings.server.check_seconds
        self._checks = {
            "store": _Check("store", lambda: _store(kvasir), seconds),
            "database": _Check("database", lambda: _database(kvasir), seconds),
            "queue": _Check("queue", lambda: _queue(kvasir, has_workers), seconds),
            "mail": _Check("mail", lambda: _mail(kvasir), seconds, _MAIL_FACTOR * seconds),
        }
        self._lock = threading.Lock()
        self._is_draining = False

    def drain(self) -> None:
        """Be red from now on: the server is about to stop."""
        self._is_draining = True

    @property
    def is_draining(self) -> bool:
        """True if the server is about to stop."""
        return self._is_draining

    def states(self) -> Mapping[str, str]:
        """Return the state of each dependency."""
        with self._lock:
            started = {name: check.start() for name, check in self._checks.items()}
            found = {name: self._checks[name].finish(future) for name, future in started.items()}
        return found | ({"server": "stopping"} if self._is_draining else {})


class _Check:
    """A check whose result is kept for some seconds."""

    def __init__(
        self, name: str, work: Callable[[], object], seconds: float, ok_seconds: float | None = None
    ) -> None:
        self._name = name
        self._work = work
        self._seconds = seconds
        self._ok_seconds = ok_seconds or seconds
        self._future: Future[str] | None = None
        self._patience = 0.0
        self._state = "unknown"
        self._until = 0.0

    def start(self) -> Future[str] | None:
        """Start the check if its result is old; one that hangs is not started again."""
        if self._future is None and time.monotonic() >= self._until:
            self._future, self._patience = Future(), time.monotonic() + _LONGEST
            name = f"check {self._name}"
            threading.Thread(target=self._run, args=(self._future,), name=name, daemon=True).start()
        return self._future

    def finish(self, future: Future[str] | None) -> str:
        """Return the state; a check that hangs is waited for once, not by every caller."""
        if future is None:
            return self._state
        try:
            state = future.result(max(0.0, self._patience - time.monotonic()))
        except NotDone:
            state = "component_timeout"
        else:
            self._future = None
        if state != self._state and (state != "ok" or self._state != "unknown"):
            logger.log(
                logging.INFO if state == "ok" else logging.ERROR, "%s: %s", self._name, state
            )
        self._state = state
        seconds = self._ok_seconds if state == "ok" else self._seconds
        self._until = time.monotonic() + seconds
        return state

    def _run(self, future: Future[str]) -> None:
        try:
            self._work()
        except KvasirError as error:
            # Its message may name addresses: it is for the log alone.
            logger.warning("the check of %s failed: %s", self._name, error)
            future.set_result(error.code)
        except Exception:
            logger.exception("the check of %s failed", self._name)
            future.set_result(KvasirError.code)
        else:
            future.set_result("ok")


def _store(kvasir: App) -> None:
    for record in kvasir.collections()[:1]:
        with kvasir.collection(record.name) as collection:
            collection.index.store.count()


def _database(kvasir: App) -> None:
    if kvasir.has_catalog:
        kvasir.catalog.collections()
    kvasir.services.accounts.users(limit=1)


def _queue(kvasir: App, has_workers: Callable[[], bool]) -> None:
    kvasir.services.jobs.counts()
    kvasir.services.questions.counts()
    if not has_workers():
        raise KvasirError("a thread that works off the queues has ended: start the server again")


def _mail(kvasir: App) -> None:
    mailer = kvasir.services.make_mailer() if kvasir.settings.mail.host else None
    if mailer is not None:
        mailer.check()
