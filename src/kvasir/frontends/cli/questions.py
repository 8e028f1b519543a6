"""``kvasir answer-questions`` and ``kvasir send-answers``: workers of the queue of questions."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Protocol

import click

from kvasir.core.errors import SettingsError
from kvasir.core.run import StopToken
from kvasir.frontends.cli.options import owner_services, setting_options, with_app
from kvasir.frontends.cli.terminal import echo
from kvasir.frontends.process import configure_logging, stop_on_signals

if TYPE_CHECKING:
    from kvasir.app import App
    from kvasir.core.queue_workers import Worker
    from kvasir.core.services.questions import Question
    from kvasir.core.types import Answer
    from kvasir.frontends.cli.services import Service, Services


@click.command("answer-questions")
@setting_options(
    ("--workers", "questions.workers", "Questions answered at the same time."),
    ("--server", "questions.server", "Answer the questions of this server."),
    ("--api-key", "questions.api_key", "A key of that server with the scope 'answering'."),
)
@with_app
@click.pass_context
def answer_questions(ctx: click.Context, /, app: App) -> None:
    """Answer the questions that wait, oldest first, until Ctrl-C or SIGTERM.

    Start it as often as you like, also on several machines: each question is answered once. The
    question that is being answered then goes back to the queue.
    """
    from kvasir.course_folder import wait_for_folder
    from kvasir.generator_start import GeneratorStart, prepare_generator
    from kvasir.tasks import log_queued_answer

    stop = StopToken()
    with ExitStack() as opened:
        workers = [
            app.services.make_answering_worker(
                asking(app, opened.enter_context(owner_services(ctx, app))),
                stop,
                on_answered=lambda question, answer: log_queued_answer(app, question, answer),
                of_server=True,
            )
            for _ in range(max(1, app.settings.questions.workers))
        ]
        where = app.settings.questions.server or "the queue"
        echo(f"answering the questions of {where}; Ctrl-C ends it", err=True)
        start = GeneratorStart(partial(prepare_generator, app), stop)
        # The answers of a server are made from our own collection, too.
        can_begin = [start.wait, lambda: wait_for_folder(app, stop)]
        _work(app, [start, *(_Later(can_begin, worker) for worker in workers)], stop)


def asking(app: App, services: Services) -> Callable[[Question, StopToken], Answer]:
    """Return how one worker asks: in this process, or through the process that owns the index."""
    from kvasir.tasks import answer_question

    def ask(question: Question, stop: StopToken) -> Answer:
        def at(service: Service) -> Answer:
            return answer_question(app, question, stop, open_collection=service.collection)

        return services.run(at, may_repeat=True)

    return ask


class _Later:
    """A worker that begins when all functions have returned True."""

    def __init__(self, can_begin: Sequence[Callable[[], bool]], worker: Worker) -> None:
        self._can_begin, self._worker = can_begin, worker

    def run(self) -> None:
        if all(wait() for wait in self._can_begin):
            self._worker.run()


@click.command("send-answers")
@with_app
def send_answers(app: App) -> None:
    """Mail answers and recoveries that wait, until Ctrl-C or SIGTERM.

    It also reads questions from the mailbox that mail.imap names. Set mail.send to false where the
    server shall leave this to it.
    """
    stop = StopToken()
    workers = app.services.make_mail_workers(stop)
    if not workers:
        raise SettingsError("mail.host is not set, or its password is missing: no mail is sent")
    echo("mailing what waits; Ctrl-C ends it", err=True)
    _work(app, workers, stop)


class _Runs(Protocol):
    def run(self) -> None:
        """Work until a signal comes."""


def _work(app: App, workers: Sequence[_Runs], stop: StopToken) -> None:
    """Run each worker in a thread until a signal comes."""
    configure_logging(app.settings.server.log_format, debug=app.settings.server.debug)
    threads = [threading.Thread(target=worker.run, daemon=True) for worker in workers]
    with stop_on_signals(stop, at_once=lambda: os._exit(130)):
        for thread in threads:
            thread.start()
        for thread in threads:
            while thread.is_alive():
                # Signals are handled between two waits.
                thread.join(1.0)
