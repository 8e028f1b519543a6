"""A process that answers questions: ``python answering_process.py URL LOG LEASE SECONDS ATTEMPTS``.

It writes a line to the log, which several share, for each question that it claimed and for each
answer that was recorded. An answer takes some time, as a language model's does.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time

from kvasir.core.run import StopToken
from kvasir.core.types import Answer
from kvasir.database import open_database
from kvasir.questions.answering import AnsweringWorker
from kvasir.questions.sql import SqlQuestionQueue


def open_queue(url: str, *, max_attempts: int):
    """Return the queue at the address of a database or of MongoDB."""
    if not url.startswith("mongodb"):
        return SqlQuestionQueue(open_database(url), max_attempts=max_attempts)
    from kvasir.questions.mongodb import MongoQuestionQueue  # noqa: PLC0415 - an extra

    return MongoQuestionQueue(url, max_attempts=max_attempts)


def main(url: str, log: str, lease: str, seconds: str, attempts: str) -> None:
    stop = StopToken()
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=stop.set).start())
    descriptor = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def note(*words: object) -> None:
        os.write(descriptor, (" ".join(map(str, words)) + "\n").encode())

    queue = open_queue(url, max_attempts=int(attempts))
    really_claim = queue.claim

    def claim(*, lease_seconds):
        taken = really_claim(lease_seconds=lease_seconds)
        if taken is not None:
            note("claimed", os.getpid(), taken.question.id, taken.question.attempts)
        return taken

    queue.claim = claim

    def ask(question, _):
        time.sleep(float(seconds))
        return Answer(f"The answer to {question.input}")

    worker = AnsweringWorker(
        queue,
        ask,
        stop=stop,
        lease_seconds=float(lease),
        on_answered=lambda question, _: note("answered", os.getpid(), question.id),
        idle_seconds=0.05,
        first_delay=0.1,
    )
    worker.run()


if __name__ == "__main__":
    main(*sys.argv[1:])
