"""The contracts of ``Outbox`` and ``AnswerLog``: subclass one and override its fixture."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from time import sleep

import pytest

from kvasir.core.errors import NotFoundError
from kvasir.core.services.answer_log import AnswerLog, LoggedAnswer
from kvasir.core.services.mail import ClaimedMail, Outbox
from kvasir.core.types import Certainty

LONG = 60.0
SHORT = 0.05
"""Length of leases that end during a test, in seconds."""

CONTENT = {"username": "ana", "password": "Té-☕-secret"}


class OutboxContract:
    """What must hold for all outboxes; the fixture ``outbox`` is an empty one."""

    @pytest.fixture
    def outbox(self) -> Outbox:
        raise NotImplementedError("override the fixture 'outbox'")

    def _claimed(self, outbox: Outbox, lease_seconds: float = LONG) -> ClaimedMail:
        found = outbox.claim(lease_seconds=lease_seconds)
        assert found is not None
        return found

    def _add(self, outbox: Outbox, number: int = 0) -> None:
        outbox.add("recovery", f"user{number}@example.org", "es", CONTENT)

    def test_a_mail_is_claimed_with_its_content_and_sent_once(self, outbox: Outbox) -> None:
        assert outbox.claim(lease_seconds=LONG) is None
        self._add(outbox)
        assert outbox.waiting() == 1
        taken = self._claimed(outbox)
        mail = taken.mail
        assert (mail.kind, mail.recipient, mail.language) == ("recovery", "user0@example.org", "es")
        assert (mail.content, mail.attempts) == (CONTENT, 1)
        assert outbox.claim(lease_seconds=LONG) is None
        assert outbox.sent(taken)
        assert not outbox.sent(taken)
        assert outbox.waiting() == 0

    def test_threads_claim_each_mail_once_and_in_order(self, outbox: Outbox) -> None:
        for number in range(12):
            self._add(outbox, number)

        def work(_: int) -> list[int]:
            found = []
            while taken := outbox.claim(lease_seconds=LONG):
                found.append(int(taken.mail.recipient.removeprefix("user").partition("@")[0]))
                assert outbox.sent(taken)
            return found

        with ThreadPoolExecutor(3) as pool:
            found = list(pool.map(work, range(3)))
        assert Counter(n for part in found for n in part) == Counter(range(12))
        assert all(part == sorted(part) for part in found)

    def test_a_mail_of_a_sender_that_died_is_claimed_again(self, outbox: Outbox) -> None:
        self._add(outbox)
        lost = self._claimed(outbox, SHORT)
        sleep(SHORT * 2)
        taken = self._claimed(outbox)
        assert (taken.mail.id, taken.mail.attempts) == (lost.mail.id, 2)
        assert not outbox.sent(lost)
        assert not outbox.heartbeat(lost, lease_seconds=LONG)
        assert not outbox.failed(lost, "late", retry_after=None)
        assert outbox.sent(taken)

    def test_a_heartbeat_prolongs_the_lease(self, outbox: Outbox) -> None:
        self._add(outbox)
        taken = self._claimed(outbox, SHORT)
        assert outbox.heartbeat(taken, lease_seconds=LONG)
        sleep(SHORT * 2)
        assert outbox.claim(lease_seconds=LONG) is None

    def test_a_mail_that_failed_waits_for_its_time(self, outbox: Outbox) -> None:
        for number, retry_after in enumerate((LONG, SHORT)):
            self._add(outbox, number)
            assert outbox.failed(self._claimed(outbox), "busy", retry_after=retry_after)
        assert outbox.waiting() == 2
        sleep(SHORT * 2)
        mail = self._claimed(outbox).mail
        assert (mail.recipient, mail.content) == ("user1@example.org", CONTENT)
        assert outbox.claim(lease_seconds=LONG) is None
        assert outbox.waiting() == 2

    def test_a_mail_that_is_given_up_is_not_tried_again(self, outbox: Outbox) -> None:
        self._add(outbox)
        assert outbox.failed(self._claimed(outbox), "no such mailbox", retry_after=None)
        assert outbox.claim(lease_seconds=LONG) is None
        assert outbox.waiting() == 0

    def test_a_later_mail_takes_the_place_of_an_unsent_one(self, outbox: Outbox) -> None:
        self._add(outbox)
        self._add(outbox, 1)
        taken = self._claimed(outbox)
        self._add(outbox)
        assert outbox.waiting() == 2
        assert not outbox.heartbeat(taken, lease_seconds=LONG)
        assert not outbox.failed(taken, "busy", retry_after=0.0)
        recipients = [self._claimed(outbox).mail.recipient for _ in range(2)]
        assert recipients == ["user1@example.org", "user0@example.org"]
        assert outbox.claim(lease_seconds=LONG) is None

    def test_a_mail_that_holds_no_longer_is_given_up(self, outbox: Outbox) -> None:
        for number, minutes in enumerate(("0.0005", "20")):
            content = CONTENT | {"minutes": minutes}
            outbox.add("recovery", f"user{number}@example.org", "es", content)
        sleep(SHORT)
        assert self._claimed(outbox).mail.recipient == "user1@example.org"
        assert outbox.claim(lease_seconds=LONG) is None
        assert outbox.waiting() == 1

    def test_a_mail_given_back_counts_no_attempt(self, outbox: Outbox) -> None:
        self._add(outbox)
        outbox.release(self._claimed(outbox))
        assert self._claimed(outbox).mail.attempts == 1


NOW = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)
LOGGED = LoggedAnswer(
    id="a1",
    user_id=1,
    collection="c",
    question="¿Té?",
    answer="Sí ☕ [1]",
    refused=False,
    sources=("tea.txt", "upload:ana/té.pdf"),
    model="extractive",
    seconds=0.25,
    date=NOW,
    request_id="r1",
    certainty=Certainty.NOT_SURE,
)


class AnswerLogContract:
    """What must hold for all logs of answers; the fixture ``log`` is empty, of small pages."""

    @pytest.fixture
    def log(self) -> AnswerLog:
        raise NotImplementedError("override the fixture 'log'")

    def test_records_come_back_as_they_were_oldest_first(self, log: AnswerLog) -> None:
        records = [replace(LOGGED, id=f"a{n}", date=NOW + timedelta(hours=n)) for n in range(4)]
        for record in records:
            log.record(record)
        assert list(log.export()) == records
        assert list(log.export(since=NOW + timedelta(hours=2))) == records[2:]

    def test_an_export_of_a_user_has_no_other_users_records(self, log: AnswerLog) -> None:
        log.record(LOGGED)
        log.record(replace(LOGGED, id="a2", user_id=2))
        assert [each.id for each in log.export(user_id=2)] == ["a2"]

    def test_users_rate_their_own_answers_only(self, log: AnswerLog) -> None:
        log.record(LOGGED)
        log.rate("a1", 1, -1, "wrong ☕")
        with pytest.raises(NotFoundError):
            log.rate("a1", 2, 1)
        with pytest.raises(NotFoundError):
            log.rate("a9", 1, 1)
        (found,) = log.export()
        assert (found.rating, found.comment) == (-1, "wrong ☕")

    def test_a_long_export_has_every_record_while_others_are_added(self, log: AnswerLog) -> None:
        for number in range(7):
            log.record(replace(LOGGED, id=f"a{number}"))
        exported = log.export()
        first = next(exported)
        log.record(replace(LOGGED, id="late"))
        ids = [first.id, *(each.id for each in exported)]
        assert ids[:7] == [f"a{number}" for number in range(7)]

    def test_old_records_are_deleted(self, log: AnswerLog) -> None:
        log.record(replace(LOGGED, date=NOW - timedelta(days=2)))
        log.record(replace(LOGGED, id="a2"))
        assert log.delete_before(NOW - timedelta(days=1)) == 1
        assert [each.id for each in log.export()] == ["a2"]
