"""The threads of the server: they index uploads, and answer and mail questions."""

from __future__ import annotations

import threading

from kvasir.app import App
from kvasir.core.queue_workers import Worker
from kvasir.core.run import StopToken
from kvasir.tasks import answer_question, log_queued_answer, perform


class Background:
    """The server's own workers; start them once, and stop them before the ``App`` closes."""

    def __init__(self, app: App) -> None:
        """Start nothing yet."""
        self._stop = StopToken()
        self._threads: list[threading.Thread] = []
        self._workers = [*self._jobs(app), *self._questions(app)]
        if app.settings.mail.send:
            self._workers += app.services.make_mail_workers(self._stop)

    def start(self) -> None:
        """Start the threads."""
        for worker in self._workers:
            name = type(worker).__name__
            thread = threading.Thread(target=worker.run, name=name, daemon=True)
            thread.start()
            self._threads.append(thread)

    def wake(self) -> None:
        """Look for new work now."""
        for worker in self._workers:
            worker.wake()

    def stop(self, seconds: float) -> None:
        """Stop the threads; unfinished work is given back to its queue."""
        self._stop.set()
        for thread in self._threads:
            thread.join(seconds)

    def _jobs(self, app: App) -> list[Worker]:
        return [
            app.services.make_job_worker(lambda job, run: perform(app, job, run), self._stop)
            for _ in range(app.settings.server.job_workers)
        ]

    def _questions(self, app: App) -> list[Worker]:
        return [
            app.services.make_answering_worker(
                lambda question, stop: answer_question(app, question, stop),
                self._stop,
                on_answered=lambda question, answer: log_queued_answer(app, question, answer),
            )
            for _ in range(app.settings.questions.workers)
        ]
