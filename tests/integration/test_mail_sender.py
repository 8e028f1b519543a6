"""Answers and recoveries are mailed by a real SMTP server: none is lost, none is sent twice."""

import threading
import time

import pytest
from smtp_server import SmtpServer, body_of
from sqlalchemy import update

from kvasir.core.errors import ComponentError
from kvasir.core.run import StopToken
from kvasir.core.services.questions import MailStatus
from kvasir.database import open_database, writing
from kvasir.questions.messages import Messages
from kvasir.questions.outbox import SqlOutbox
from kvasir.questions.sending import MailSender
from kvasir.questions.smtp import SmtpMailer
from kvasir.questions.sql import SqlQuestionQueue
from kvasir.questions.tables import questions
from kvasir.testing.questions import LONG, answer_next, new_question


@pytest.fixture(scope="module")
def server():
    with SmtpServer() as started:
        yield started


@pytest.fixture
def smtp(server):
    server.mails.clear()
    server.refuse = lambda command, recipient: None
    return server


@pytest.fixture
def engine(tmp_path):
    engine = open_database(f"sqlite:///{tmp_path}/service.db")
    yield engine
    engine.dispose()


@pytest.fixture
def queue(engine):
    return SqlQuestionQueue(engine)


@pytest.fixture
def outbox(engine):
    return SqlOutbox(engine)


@pytest.fixture
def stop():
    return StopToken()


@pytest.fixture
def make(queue, outbox, stop, smtp):
    def make(**options):
        mailer = SmtpMailer("127.0.0.1", smtp.port, security="none", sender="k@example.org")
        chosen = {
            "mailer": mailer,
            "recovery_mailer": mailer,
            "stop": stop,
            "max_attempts": 3,
            "first_delay": 0.01,
            "first_pause": 0.01,
            "idle_seconds": 0.01,
        }
        return MailSender(queue, outbox, Messages("k.org"), **(chosen | options))

    return make


def answered(queue, text="How hot?", user=1):
    key = queue.ask(new_question(text, user=user)).id
    answer_next(queue)
    return key


def work_off(sender, seconds=60.0):
    """Let a sender work until nothing is due."""
    end = time.monotonic() + seconds
    while sender.work_once():
        assert time.monotonic() < end


def test_answers_and_recoveries_arrive_once(queue, outbox, make, smtp):
    keys = [answered(queue, user=n) for n in (1, 2)]
    outbox.add("recovery", "ana@example.org", "es", {"username": "ana", "password": "p-1"})
    work_off(make())
    assert [mail["To"] for mail in smtp.mails] == [
        "ana@example.org",
        "user1@example.org",
        "user2@example.org",
    ]
    assert [mail["Message-ID"] for mail in smtp.mails[1:]] == [f"<answer-{k}@k.org>" for k in keys]
    assert "p-1" in body_of(smtp.mails[0], "plain")
    assert "At 75 °C. [1]" in body_of(smtp.mails[1], "html")
    assert {queue.question(key).status for key in keys} == {MailStatus.SENT}
    assert outbox.waiting() == 0


def test_a_mail_that_one_server_refuses_is_given_up_after_its_tries(queue, engine, make, smtp):
    tries = []

    def refuse(command, recipient):
        if recipient == "user1@example.org":
            tries.append(command)
            return "550 no such user"
        return None

    smtp.refuse = refuse
    bad, good = answered(queue, user=1), answered(queue, user=2)
    sender = make(first_delay=600.0)
    for _ in range(2):
        assert sender.work_once()
    # The others do not wait for it.
    assert queue.question(good).status is MailStatus.SENT
    assert len(tries) == 1
    for _ in range(2):
        assert queue.question(bad).status is None
        assert not sender.work_once()
        with writing(engine) as connection:
            connection.execute(update(questions).values(due=0.0))
        assert sender.work_once()
    found = queue.question(bad)
    assert found.status is MailStatus.ERROR_SENDING
    assert "550 no such user" in found.reason
    assert len(tries) == 3
    assert found.output


def test_a_mail_that_may_be_taken_later_is_tried_again(queue, make, smtp):
    answers = iter(["451 greylisted", "451 greylisted"])
    smtp.refuse = lambda *_: next(answers, None)
    key = answered(queue)
    sender = make()
    end = time.monotonic() + 60
    while queue.question(key).status is None and time.monotonic() < end:
        sender.work_once()
    assert queue.question(key).status is MailStatus.SENT
    assert len(smtp.mails) == 1


def test_mails_wait_while_the_server_is_away_and_none_is_given_up(queue, make, stop):
    with SmtpServer() as other:
        port = other.port
    keys = [answered(queue, user=n) for n in range(3)]
    mailer = SmtpMailer("127.0.0.1", port, security="none", sender="k@example.org")
    sender = make(mailer=mailer, recovery_mailer=None)
    for _ in range(10):
        sender.work_once()
        time.sleep(0.01)
    assert queue.counts()["unsent"] == 3
    assert {queue.question(key).reason for key in keys} == {""}
    other.start()
    try:
        end = time.monotonic() + 60
        while queue.counts()["unsent"] and time.monotonic() < end:
            sender.work_once()
        assert sorted(other.by_id.values()) == [1, 1, 1]
    finally:
        other.stop()


def test_a_refused_login_of_one_account_does_not_hold_back_the_other(queue, outbox, make, smtp):
    with SmtpServer() as other:
        dead = SmtpMailer("127.0.0.1", other.port, security="none", sender="r@example.org")
    outbox.add("recovery", "ana@example.org", "es", {"username": "ana", "password": "p-1"})
    key = answered(queue)
    sender = make(recovery_mailer=dead, first_pause=30.0)
    sender.work_once()
    work_off(sender)
    assert queue.question(key).status is MailStatus.SENT
    assert outbox.waiting() == 1


def test_a_sender_that_died_after_sending_leads_to_the_same_message_id(queue, make, smtp):
    key = answered(queue)
    taken = queue.claim_mail(lease_seconds=0.01)
    mailer = SmtpMailer("127.0.0.1", smtp.port, security="none", sender="k@example.org")
    mailer.send(Messages("k.org").answer(taken.question))
    time.sleep(0.03)
    work_off(make())
    assert smtp.by_id == {f"<answer-{key}@k.org>": 2}


def test_a_database_that_restarts_between_sending_and_marking_leads_to_no_second_mail(
    queue, make, smtp, monkeypatch
):
    key = answered(queue)
    real, calls = queue.mailed, []

    def away(*arguments):
        calls.append(1)
        if len(calls) < 3:
            raise ComponentError("catalog", "writing", "server closed the connection")
        return real(*arguments)

    monkeypatch.setattr(queue, "mailed", away)
    work_off(make())
    assert queue.question(key).status is MailStatus.SENT
    assert len(smtp.mails) == 1


def test_two_senders_send_each_mail_once(queue, make, smtp, stop):
    for number in range(10):
        answered(queue, user=number)
    threads = [threading.Thread(target=make().run) for _ in range(2)]
    for thread in threads:
        thread.start()
    end = time.monotonic() + 60
    while queue.counts()["unsent"] and time.monotonic() < end:
        time.sleep(0.01)
    stop.set()
    for thread in threads:
        thread.join(60)
    assert sorted(smtp.by_id.values()) == [1] * 10


def test_a_sender_that_is_stopped_leaves_what_it_has_not_sent(queue, make, smtp, stop):
    answered(queue)
    stop.set()
    make().work_once()
    assert smtp.mails == []
    taken = queue.claim_mail(lease_seconds=LONG)
    assert taken.question.attempts == 1
