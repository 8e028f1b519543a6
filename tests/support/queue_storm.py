"""Many questions while workers are killed, the mail server refuses and the database restarts."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from answering_process import open_queue
from own_servers import OwnDatabase
from smtp_server import SmtpServer, body_of

from kvasir.core.errors import ComponentError
from kvasir.core.run import StopToken
from kvasir.core.services.questions import MailStatus, NewQuestion, QuestionState
from kvasir.database import open_database
from kvasir.questions.messages import Messages
from kvasir.questions.outbox import SqlOutbox
from kvasir.questions.sending import MailSender
from kvasir.questions.smtp import SmtpMailer
from kvasir.questions.sql import SqlQuestionQueue

_PROCESS = Path(__file__).parent / "answering_process.py"


@dataclass(frozen=True)
class Storm:
    """How much, and how bad."""

    questions: int = 500
    users: int = 20
    workers: int = 3
    answer_seconds: float = 0.1
    lease_seconds: float = 5.0
    # Longer than a restart: a mail that was sent just before is marked after it.
    mail_lease_seconds: float = 15.0
    kill_every: float = 3.0
    # Where starting a worker takes long, killing all the time would leave none to answer.
    most_kills: int = 1_000
    max_attempts: int = 5
    first_delay: float = 2.0
    limit_seconds: float = 300.0


@dataclass
class Outcome:
    """What was seen."""

    seconds: float = 0.0
    kills: int = 0
    refused: int = 0
    claims: int = 0
    firsts: int = 0
    states: Counter[str] = field(default_factory=Counter)
    statuses: Counter[str] = field(default_factory=Counter)
    most_answers_of_one: int = 0
    out_of_order: int = 0
    farthest: int = 0
    mails: Counter[int] = field(default_factory=Counter)
    wrong_mails: int = 0
    questions: int = 0

    def check(self, storm: Storm) -> None:
        """Fail unless every question was answered once and every mail was delivered once."""
        assert self.kills and self.refused, self
        assert self.questions == storm.questions, self
        assert self.states == {QuestionState.ANSWERED: storm.questions}, self
        assert self.statuses == {MailStatus.SENT: storm.questions}, self
        assert self.most_answers_of_one == 1, self
        assert self.out_of_order == 0, self
        # A first claim is missing from the log only where its worker was killed, or lost the
        # database.
        assert self.firsts >= storm.questions - self.kills - storm.workers, self
        # Questions that are asked at the same time have any order, and each worker may write its
        # line a little later than it made its claim.
        assert self.farthest <= storm.users + storm.workers, self
        assert self.mails == {1: storm.questions}, self
        assert self.wrong_mails == 0, self


def run_storm(database: OwnDatabase, folder: Path, storm: Storm) -> Outcome:
    """Run it until every mail is delivered, or the time is over."""
    outcome, log = Outcome(), folder / "log.txt"
    log.touch()
    queue = open_queue(database.url, max_attempts=storm.max_attempts)
    begun = time.monotonic()
    stop, quiet = StopToken(), threading.Event()
    with SmtpServer() as smtp:
        threads = _start_senders(database.url, folder, smtp.port, stop, storm)
        killer = _Killer(database.url, log, storm)
        killing = threading.Thread(target=killer.run, args=(quiet,))
        killing.start()
        asking = threading.Thread(target=_ask_all, args=(queue, storm))
        asking.start()
        try:
            _wait(queue, "answered", storm.questions // 4, begun, storm)
            outcome.refused = _refuse_for_a_while(smtp, storm)
            _wait(queue, "answered", storm.questions // 3, begun, storm)
            database.restart()
            asking.join()
            _wait(queue, "answered", storm.questions, begun, storm)
            _wait(queue, "sent", 0, begun, storm)
        finally:
            quiet.set()
            killing.join()
            stop.set()
            for thread in threads:
                thread.join(60)
        outcome.seconds = time.monotonic() - begun
        outcome.kills = killer.kills
        _look(queue, storm, log, smtp, outcome)
    _close(queue)
    return outcome


def _close(queue: Any) -> None:
    queue.close()
    if isinstance(queue, SqlQuestionQueue):
        queue._engine.dispose()


def _ask_all(queue: Any, storm: Storm) -> None:
    """Ask as clients do: with a key, so that a request may be sent again."""

    def ask(user: int) -> None:
        for number in range(user, storm.questions, storm.users):
            text = f"question {number} of user {user}"
            question = NewQuestion(
                text, user + 1, f"user{user}@example.org", "default", "es", f"k{number}"
            )
            while True:
                try:
                    queue.ask(question)
                    break
                except ComponentError:
                    time.sleep(0.1)

    with ThreadPoolExecutor(storm.users) as pool:
        list(pool.map(ask, range(storm.users)))


class _Killer:
    """Keeps the workers running, and kills one from time to time."""

    def __init__(self, url: str, log: Path, storm: Storm) -> None:
        self._arguments = [
            *(url, str(log), str(storm.lease_seconds)),
            *(str(storm.answer_seconds), str(storm.max_attempts)),
        ]
        self._storm = storm
        self._log = log
        self._errors = log.with_suffix(".errors").open("ab")
        self.kills = 0

    def run(self, quiet: threading.Event) -> None:
        chance = random.Random(7)
        running = [self._start() for _ in range(self._storm.workers)]
        next_kill = time.monotonic() + self._storm.kill_every
        while not quiet.wait(0.05):
            self._start_what_ended(running)
            at_work = self._at_work(running)
            enough = self.kills >= self._storm.most_kills
            if enough or not at_work or time.monotonic() < next_kill:
                continue
            number = chance.choice(at_work)
            running[number].send_signal(signal.SIGKILL)
            running[number].wait()
            self.kills += 1
            next_kill = time.monotonic() + self._storm.kill_every
        for process in running:
            process.terminate()
        for process in running:
            process.wait(60)
        self._errors.close()

    def _start_what_ended(self, running: list[subprocess.Popen[bytes]]) -> None:
        """Do as a supervisor: a worker that starts while the database is away ends at once."""
        for place, process in enumerate(running):
            if process.poll() is not None:
                running[place] = self._start()

    def _at_work(self, running: list[subprocess.Popen[bytes]]) -> list[int]:
        """Return the places of the workers that have claimed a question."""
        claimed = {line.split()[1] for line in self._log.read_text().splitlines()}
        return [place for place, each in enumerate(running) if str(each.pid) in claimed]

    def _start(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, str(_PROCESS), *self._arguments]
        return subprocess.Popen(command, stderr=self._errors)


def _start_senders(
    url: str, folder: Path, port: int, stop: StopToken, storm: Storm
) -> list[threading.Thread]:
    mailer = SmtpMailer("127.0.0.1", port, security="none", sender="k@example.org")
    outbox = f"sqlite:///{folder}/outbox.db" if url.startswith("mongodb") else url

    def send() -> None:
        queue, engine = open_queue(url, max_attempts=storm.max_attempts), open_database(outbox)
        MailSender(
            queue,
            SqlOutbox(engine),
            Messages("k.org"),
            mailer=mailer,
            recovery_mailer=None,
            stop=stop,
            lease_seconds=storm.mail_lease_seconds,
            first_delay=storm.first_delay,
            first_pause=storm.first_delay / 2,
            idle_seconds=0.05,
        ).run()
        _close(queue)
        engine.dispose()

    threads = [threading.Thread(target=send) for _ in range(2)]
    for thread in threads:
        thread.start()
    return threads


def _refuse_for_a_while(smtp: SmtpServer, storm: Storm) -> int:
    """Refuse messages, then connections."""
    refused = []

    def refuse(command: str, _: str) -> str | None:
        if command != "DATA":
            return None
        refused.append(command)
        return "451 not now"

    smtp.refuse = refuse
    begun = time.monotonic()
    while not refused and time.monotonic() - begun < storm.limit_seconds:
        time.sleep(0.05)
    time.sleep(storm.first_delay * 2)
    # Still refusing: a message taken just before the end could be sent again.
    smtp.stop()
    time.sleep(storm.first_delay)
    smtp.refuse = lambda *_: None
    smtp.start()
    return len(refused)


def _wait(queue: Any, what: str, number: int, begun: float, storm: Storm) -> None:
    while True:
        try:
            counts = queue.counts()
        except ComponentError:
            counts = {"answered": -1, "unsent": 1}
        if what == "sent" and counts["unsent"] == 0:
            return
        if what == "answered" and counts["answered"] >= number:
            return
        if time.monotonic() - begun > storm.limit_seconds:
            return
        time.sleep(0.1)


def _look(queue: Any, storm: Storm, log: Path, smtp: SmtpServer, outcome: Outcome) -> None:
    found = queue.questions(limit=10 * storm.questions)
    outcome.questions = len(found)
    outcome.states = Counter(question.state for question in found)
    outcome.statuses = Counter(question.status for question in found)
    order = {question.id: place for place, question in enumerate(reversed(found))}
    answers: Counter[str] = Counter()
    last: dict[str, int] = {}
    firsts: list[int] = []
    for line in log.read_text().splitlines():
        what, process, key, *attempts = line.split()
        if what == "answered":
            answers[key] += 1
            continue
        outcome.claims += 1
        # A question of a worker that died is claimed again, before later ones.
        if attempts == ["1"]:
            # Of questions that are asked at the same time, either may be the first.
            outcome.out_of_order += order[key] < last.get(process, -1) - storm.users
            last[process] = order[key]
            firsts.append(order[key])
    outcome.most_answers_of_one = max(answers.values(), default=0)
    outcome.firsts = len(firsts)
    # A worker that was killed has not logged its last claim: the others are compared.
    expected = {place: number for number, place in enumerate(sorted(firsts))}
    outcome.farthest = max(abs(number - expected[place]) for number, place in enumerate(firsts))
    delivered = smtp.by_id
    outcome.mails = Counter(delivered.get(f"<answer-{each.id}@k.org>", 0) for each in found)
    by_id = {f"<answer-{question.id}@k.org>": question for question in found}
    for mail in smtp.mails:
        question = by_id.get(mail["Message-ID"])
        right = question is not None and mail["To"] == question.email
        if not right or f"The answer to {question.input}\n" not in body_of(mail, "plain").replace(
            "\r", ""
        ):
            outcome.wrong_mails += 1
