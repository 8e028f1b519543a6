"""The threads of the server: they index uploads, and answer and mail questions."""

from __future__ import annotations

import threading
from collections.abc import Callable

from kvasir.app import App
from kvasir.core.run import StopToken
from kvasir.course_folder import FolderWatch
from kvasir.tasks import perform


class Background:
    """The server's own workers; start them once, and stop them before the ``App`` closes."""

    def __init__(self, app: App) -> None:
        """Start nothing yet."""
        self._app = app
        self._stop = StopToken()
        self._threads: list[threading.Thread] = []
        services = app.services
        self._jobs = [
            services.make_job_worker(lambda job, run: perform(app, job, run), self._stop)
            for _ in range(app.settings.server.job_workers)
        ]

    def start(self) -> None:
        """Start the threads."""
        for worker in self._jobs:
            self._start("jobs", worker.run)
        if self._app.settings.folder is not None:
            self._start("folder", FolderWatch(self._app, self._stop, self.wake).run)

    def _start(self, name: str, target: Callable[[], None]) -> None:
        thread = threading.Thread(target=target, name=name, daemon=True)
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
