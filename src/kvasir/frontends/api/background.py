"""The threads of the server: they index uploads, and answer and mail questions."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from kvasir.app import App
from kvasir.core.run import StopToken
from kvasir.tasks import perform

if TYPE_CHECKING:
    from kvasir.services import JobWorker


class Background:
    """The server's own workers; start them once, and stop them before the ``App`` closes."""

    def __init__(self, app: App, *, on_demand: bool = False) -> None:
        """Start nothing yet.

        Args:
            app: What they work with.
            on_demand: Start at the first upload: a command that only shares its index has no
                other work, and needs no database until then.
        """
        self._app = app
        self._on_demand = on_demand
        self._starting = threading.Lock()
        self._stop = StopToken()
        self._threads: list[threading.Thread] = []
        self._jobs: list[JobWorker] = []

    def start(self) -> None:
        """Start the threads, unless they wait for work."""
        if not self._on_demand:
            self._launch()

    def _launch(self) -> None:
        app = self._app
        with self._starting:
            if self._threads or self._stop.is_set():
                return
            self._jobs = [
                app.services.make_job_worker(lambda job, run: perform(app, job, run), self._stop)
                for _ in range(app.settings.server.job_workers)
            ]
            for worker in self._jobs:
                thread = threading.Thread(target=worker.run, name="jobs", daemon=True)
                thread.start()
                self._threads.append(thread)

    def wake(self) -> None:
        """Look for new work now."""
        self._launch()
        for worker in self._jobs:
            worker.wake()

    def stop(self, seconds: float) -> None:
        """Stop the threads; unfinished work is given back to its queue."""
        self._stop.set()
        for thread in self._threads:
            thread.join(seconds)
