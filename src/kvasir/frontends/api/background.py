"""The threads of the server: they index uploads, and answer and mail questions."""

from __future__ import annotations

import threading

from kvasir.app import App
from kvasir.core.run import StopToken
from kvasir.frontends.api.retention import Retention
from kvasir.tasks import perform


class Background:
    """The server's own workers; start them once, and stop them before the ``App`` closes."""

    def __init__(self, app: App) -> None:
        """Start nothing yet."""
        self._stop = StopToken()
        self._threads: list[threading.Thread] = []
        services = app.services
        self._jobs = [
            services.make_job_worker(lambda job, run: perform(app, job, run), self._stop)
            for _ in range(app.settings.server.job_workers)
        ]

        self._retention = Retention(app, self._stop)

    def start(self) -> None:
        """Start the threads."""
        runs = [("jobs", worker.run) for worker in self._jobs]
        for name, run in [*runs, ("retention", self._retention.run)]:
            thread = threading.Thread(target=run, name=name, daemon=True)
            thread.start()
            self._threads.append(thread)

    def wake(self) -> None:
        """Look for new work now."""
        for worker in self._jobs:
            worker.wake()

    def stop(self, seconds: float) -> None:
        """Stop the threads; unfinished work is given back to its queue."""
        self._stop.set()
        for thread in self._threads:
            thread.join(seconds)
