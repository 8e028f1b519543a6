"""The contract of every implementation of ``QuestionQueue``: subclass it, override one fixture.

    class TestMyQueue(QuestionQueueContract):
        @pytest.fixture
        def make_queue(self):
            return lambda **options: MyQueue(**options)

All queues of one fixture are on the same, empty data; ``options`` may be ``max_attempts``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from time import sleep

import pytest

from kvasir.core.errors import ConflictError, NotFoundError
from kvasir.core.services.questions import (
    ClaimedQuestion,
    MailStatus,
    NewQuestion,
    Question,
    QuestionQueue,
    QuestionState,
)
from kvasir.core.types import Answer, Citation

MakeQueue = Callable[..., QuestionQueue]

LONG = 60.0
SHORT = 0.05
"""Length of leases that end during a test, in seconds."""

CITATION = Citation(1, "d", "tea.txt", None, "Green tea is brewed at 75 °C.", 0, 29)
ANSWER = Answer("At 75 °C. [1]", (CITATION,), timings={"total": 0.5})


def new_question(text: str = "How hot?", *, user: int = 1, key: str = "") -> NewQuestion:
    """Return a question to ask."""
    return NewQuestion(text, user, f"user{user}@example.org", "default", "es", key)


def claimed(queue: QuestionQueue, lease_seconds: float = LONG) -> ClaimedQuestion:
    """Return the next question, of which there must be one."""
    found = queue.claim(lease_seconds=lease_seconds)
    assert found is not None
    return found


def answer_next(queue: QuestionQueue, answer: Answer = ANSWER) -> str:
    """Answer the next question; return its id."""
    taken = claimed(queue)
    assert queue.answer(taken.question.id, taken.token, answer)
    return taken.question.id


class QuestionCases:
    """The fixtures of the contract."""

    @pytest.fixture
    def make_queue(self) -> MakeQueue:
        raise NotImplementedError("override the fixture 'make_queue'")

    @pytest.fixture
    def queue(self, make_queue: MakeQueue) -> QuestionQueue:
        return make_queue()


class MailCases(QuestionCases):
    """What must hold for the mails of answers."""

    def test_an_answered_question_is_mailed_once(self, queue: QuestionQueue) -> None:
        assert queue.claim_mail(lease_seconds=LONG) is None
        asked = queue.ask(new_question())
        answer_next(queue)
        taken = queue.claim_mail(lease_seconds=LONG)
        assert taken is not None
        assert (taken.question.id, taken.question.answer) == (asked.id, ANSWER)
        assert taken.question.attempts == 1
        assert queue.claim_mail(lease_seconds=LONG) is None
        assert queue.counts()["unsent"] == 1
        assert queue.mailed(asked.id, taken.token)
        assert queue.claim_mail(lease_seconds=LONG) is None
        assert queue.question(asked.id).status is MailStatus.SENT
        assert queue.question(asked.id).state is QuestionState.ANSWERED
        assert queue.counts()["unsent"] == 0

    def test_answers_are_mailed_in_the_order_of_the_questions(self, queue: QuestionQueue) -> None:
        ids = [queue.ask(new_question(f"question {n}")).id for n in range(3)]
        taken = [claimed(queue) for _ in ids]
        for each in reversed(taken):
            queue.answer(each.question.id, each.token, ANSWER)
        mails = [queue.claim_mail(lease_seconds=LONG) for _ in ids]
        assert [mail.question.id for mail in mails if mail] == ids

    def test_a_question_without_an_address_is_not_mailed(self, queue: QuestionQueue) -> None:
        queue.ask(NewQuestion("How hot?", 1, "", "default"))
        answer_next(queue)
        assert queue.claim_mail(lease_seconds=LONG) is None
        assert queue.counts()["unsent"] == 0

    def test_a_mail_of_a_sender_that_died_is_sent_by_the_next_one(
        self, queue: QuestionQueue
    ) -> None:
        queue.ask(new_question())
        answer_next(queue)
        first = queue.claim_mail(lease_seconds=SHORT)
        sleep(SHORT * 2)
        second = queue.claim_mail(lease_seconds=LONG)
        assert first and second
        assert second.question.attempts == 2
        assert not queue.mailed(first.question.id, first.token)
        assert queue.mailed(second.question.id, second.token)

    def test_a_heartbeat_prolongs_the_lease_of_a_mail(self, queue: QuestionQueue) -> None:
        queue.ask(new_question())
        answer_next(queue)
        taken = queue.claim_mail(lease_seconds=SHORT)
        assert taken
        assert queue.heartbeat(taken.question.id, taken.token, lease_seconds=LONG)
        sleep(SHORT * 2)
        assert queue.claim_mail(lease_seconds=LONG) is None

    def test_a_mail_that_failed_waits_for_its_time(self, queue: QuestionQueue) -> None:
        for retry_after in (LONG, SHORT):
            asked = queue.ask(new_question())
            answer_next(queue)
            taken = queue.claim_mail(lease_seconds=LONG)
            assert taken and taken.question.id == asked.id
            assert queue.mail_failed(asked.id, taken.token, "mailbox full", retry_after=retry_after)
            assert queue.question(asked.id).reason == "mailbox full"
        sleep(SHORT * 2)
        again = queue.claim_mail(lease_seconds=LONG)
        assert again
        assert (again.question.id, again.question.attempts) == (asked.id, 2)
        assert queue.claim_mail(lease_seconds=LONG) is None

    def test_a_mail_that_is_given_up_keeps_the_reason_and_the_answer(
        self, queue: QuestionQueue
    ) -> None:
        asked = queue.ask(new_question())
        answer_next(queue)
        taken = queue.claim_mail(lease_seconds=LONG)
        assert taken
        assert queue.mail_failed(asked.id, taken.token, "no such mailbox", retry_after=None)
        found = queue.question(asked.id)
        assert found.status is MailStatus.ERROR_SENDING
        assert (found.reason, found.output) == ("no such mailbox", ANSWER.text)
        assert queue.claim_mail(lease_seconds=LONG) is None

    def test_a_mail_given_back_is_due_at_once_and_counts_no_attempt(
        self, queue: QuestionQueue
    ) -> None:
        queue.ask(new_question())
        answer_next(queue)
        taken = queue.claim_mail(lease_seconds=LONG)
        assert taken
        queue.release_mail(taken.question.id, taken.token)
        again = queue.claim_mail(lease_seconds=LONG)
        assert again
        assert again.question.attempts == 1
        assert again.question.state is QuestionState.ANSWERED


class QuestionQueueContract(MailCases):
    """What must hold for all queues of questions; see the module on how to use it."""

    def test_a_question_waits_with_its_position(self, queue: QuestionQueue) -> None:
        first = queue.ask(new_question("How hot?"))
        second = queue.ask(new_question("¿Cuánto tiempo? 🍵", user=2))
        assert (first.position, second.position) == (0, 1)
        assert second.state is QuestionState.WAITING
        assert (second.input, second.email) == ("¿Cuánto tiempo? 🍵", "user2@example.org")
        assert (second.user_id, second.language, second.collection) == (2, "es", "default")
        assert (second.output, second.answer, second.status) == (None, None, None)
        assert abs(second.date - datetime.now(UTC)) < timedelta(minutes=1)
        assert queue.question(second.id) == second

    def test_an_unknown_question_is_not_found(self, queue: QuestionQueue) -> None:
        for unknown in ("x", "", "5f1c6a868f0c5a439d1e0f6b", "12", "a'b"):
            with pytest.raises(NotFoundError):
                queue.question(unknown)
        with pytest.raises(NotFoundError):
            queue.cancel("x")

    def test_the_thread_of_a_mail_is_kept(self, queue: QuestionQueue) -> None:
        mail_id = f"<{'m' * 300}@example.org>"
        asked = queue.ask(NewQuestion("?", 1, "a@b.org", "c", reply_to=mail_id, subject="Té ☕"))
        assert (asked.reply_to, asked.subject) == (mail_id, "Té ☕")

    def test_the_same_key_of_a_user_asks_once(self, queue: QuestionQueue) -> None:
        first = queue.ask(new_question("one", key="k"))
        assert queue.ask(new_question("two", key="k")) == first
        assert queue.ask(new_question("three", user=2, key="k")).id != first.id
        assert queue.ask(new_question("four")).id != queue.ask(new_question("four")).id
        assert queue.counts()["waiting"] == 4

    def test_the_same_key_asked_at_the_same_time_asks_once(self, queue: QuestionQueue) -> None:
        with ThreadPoolExecutor(4) as pool:
            made = list(pool.map(lambda _: queue.ask(new_question(key="k")).id, range(4)))
        assert len(set(made)) == 1

    def test_pages_are_newest_first_and_of_one_user(self, queue: QuestionQueue) -> None:
        ids = [queue.ask(new_question(user=n % 2 + 1)).id for n in range(6)]
        of_two = [each.id for each in queue.questions(user_id=2)]
        assert of_two == [ids[5], ids[3], ids[1]]
        assert [each.id for each in queue.questions(limit=2)] == [ids[5], ids[4]]
        assert [each.id for each in queue.questions(before=ids[4], limit=2)] == [ids[3], ids[2]]
        # A question that is asked meanwhile changes no later page.
        queue.ask(new_question(user=2))
        assert [each.id for each in queue.questions(user_id=2, before=ids[3])] == [ids[1]]

    def test_questions_are_claimed_in_their_order(self, queue: QuestionQueue) -> None:
        ids = [queue.ask(new_question(f"question {n}")).id for n in range(5)]
        taken = [claimed(queue) for _ in ids]
        assert [each.question.id for each in taken] == ids
        assert {each.question.state for each in taken} == {QuestionState.ANSWERING}
        assert len({each.token for each in taken}) == 5
        assert queue.claim(lease_seconds=LONG) is None

    def test_threads_claim_each_question_once_and_in_order(self, queue: QuestionQueue) -> None:
        ids = [queue.ask(new_question(f"question {n}")).id for n in range(24)]

        def work(_: int) -> list[str]:
            found = []
            while taken := queue.claim(lease_seconds=LONG):
                found.append(taken.question.id)
                assert queue.answer(taken.question.id, taken.token, ANSWER)
            return found

        with ThreadPoolExecutor(4) as pool:
            found = list(pool.map(work, range(4)))
        assert Counter(each for part in found for each in part) == Counter(ids)
        for part in found:
            assert part == sorted(part, key=ids.index)
        assert queue.counts()["answered"] == 24

    def test_an_answer_is_recorded_with_its_sources(self, queue: QuestionQueue) -> None:
        asked = queue.ask(new_question())
        answer_next(queue)
        found = queue.question(asked.id)
        assert found.state is QuestionState.ANSWERED
        assert (found.output, found.answer) == (ANSWER.text, ANSWER)
        assert queue.claim(lease_seconds=LONG) is None

    def test_an_answer_may_be_long_and_of_any_letters(self, queue: QuestionQueue) -> None:
        text = "Ñandú 茶 🍵 " * 10_000
        asked = queue.ask(new_question())
        answer_next(queue, Answer(text))
        assert queue.question(asked.id).output == text

    def test_a_question_of_a_worker_that_died_keeps_its_place(self, queue: QuestionQueue) -> None:
        first, second = queue.ask(new_question("one")), queue.ask(new_question("two"))
        claimed(queue, SHORT)
        assert queue.question(second.id).position == 1
        sleep(SHORT * 2)
        again = claimed(queue)
        assert again.question.id == first.id
        assert again.question.attempts == 2

    def test_a_worker_that_lost_its_lease_changes_nothing(self, queue: QuestionQueue) -> None:
        asked = queue.ask(new_question())
        slow = claimed(queue, SHORT)
        sleep(SHORT * 2)
        fast = claimed(queue)
        key = asked.id
        assert not queue.heartbeat(key, slow.token, lease_seconds=LONG)
        assert not queue.answer(key, slow.token, Answer("late"))
        assert not queue.fail(key, slow.token, "late", retry_after=None)
        queue.release(key, slow.token)
        assert queue.question(key).state is QuestionState.ANSWERING
        assert queue.answer(key, fast.token, ANSWER)
        assert not queue.answer(key, fast.token, Answer("again"))
        assert queue.question(key).output == ANSWER.text

    def test_a_heartbeat_prolongs_the_lease(self, queue: QuestionQueue) -> None:
        queue.ask(new_question())
        taken = claimed(queue, SHORT)
        assert queue.heartbeat(taken.question.id, taken.token, lease_seconds=LONG)
        sleep(SHORT * 2)
        assert queue.claim(lease_seconds=LONG) is None
        assert queue.answer(taken.question.id, taken.token, ANSWER)

    def test_an_invented_token_or_id_changes_nothing(self, queue: QuestionQueue) -> None:
        asked = queue.ask(new_question())
        claimed(queue)
        for token in ("", "x"):
            assert not queue.heartbeat(asked.id, token, lease_seconds=LONG)
            assert not queue.answer(asked.id, token, ANSWER)
        assert not queue.heartbeat("x", "y", lease_seconds=LONG)
        assert queue.question(asked.id).output is None

    def test_a_failed_question_is_tried_again_at_its_time(self, queue: QuestionQueue) -> None:
        late, soon, other = (queue.ask(new_question(text)) for text in ("one", "two", "three"))
        for asked, retry_after in ((late, LONG), (soon, SHORT)):
            taken = claimed(queue)
            assert queue.fail(asked.id, taken.token, "the model failed", retry_after=retry_after)
            found = queue.question(asked.id)
            assert (found.state, found.output) == (QuestionState.WAITING, None)
            assert found.reason == "the model failed"
        sleep(SHORT * 2)
        assert [claimed(queue).question.id for _ in range(2)] == [soon.id, other.id]
        assert queue.claim(lease_seconds=LONG) is None

    def test_a_question_is_dead_after_its_last_attempt(self, make_queue: MakeQueue) -> None:
        queue = make_queue(max_attempts=2)
        asked = queue.ask(new_question())
        for _ in range(2):
            taken = claimed(queue)
            assert queue.fail(asked.id, taken.token, "the model failed", retry_after=0)
        self._check_dead(queue, asked, "the model failed")

    def test_a_question_that_cannot_be_answered_is_dead_at_once(self, queue: QuestionQueue) -> None:
        asked = queue.ask(new_question())
        taken = claimed(queue)
        assert queue.fail(asked.id, taken.token, "not allowed", retry_after=None)
        self._check_dead(queue, asked, "not allowed")

    def test_a_question_that_kills_its_workers_is_dead(self, make_queue: MakeQueue) -> None:
        queue = make_queue(max_attempts=2)
        asked, other = queue.ask(new_question()), queue.ask(new_question())
        for _ in range(2):
            assert claimed(queue, SHORT).question.id == asked.id
            sleep(SHORT * 2)
        assert claimed(queue).question.id == other.id
        self._check_dead(queue, asked, "the worker ended in the middle of it, 2 times")

    def _check_dead(self, queue: QuestionQueue, asked: Question, reason: str) -> None:
        found = queue.question(asked.id)
        assert (found.state, found.reason) == (QuestionState.DEAD, reason)
        assert (found.output, found.answer) == (None, None)
        assert queue.claim(lease_seconds=LONG) is None
        assert queue.claim_mail(lease_seconds=LONG) is None
        with pytest.raises(ConflictError):
            queue.cancel(asked.id)

    def test_a_question_given_back_keeps_its_place_and_counts_no_attempt(
        self, queue: QuestionQueue
    ) -> None:
        first = queue.ask(new_question("one"))
        queue.ask(new_question("two"))
        taken = claimed(queue)
        queue.release(first.id, taken.token)
        again = claimed(queue)
        assert (again.question.id, again.question.attempts) == (first.id, 1)

    def test_a_question_given_back_for_later_lets_others_go_and_counts_no_attempt(
        self, queue: QuestionQueue
    ) -> None:
        late, soon, other = (queue.ask(new_question(text)) for text in ("one", "two", "three"))
        for asked, retry_after in ((late, LONG), (soon, SHORT)):
            queue.release(asked.id, claimed(queue).token, retry_after=retry_after)
            assert queue.question(asked.id).state is QuestionState.WAITING
        sleep(SHORT * 2)
        taken = [claimed(queue).question for _ in range(2)]
        assert [(each.id, each.attempts) for each in taken] == [(soon.id, 1), (other.id, 1)]
        assert queue.claim(lease_seconds=LONG) is None

    def test_a_cancelled_question_is_not_answered(self, queue: QuestionQueue) -> None:
        first, second = queue.ask(new_question("one")), queue.ask(new_question("two"))
        cancelled = queue.cancel(first.id)
        assert (cancelled.state, cancelled.position) == (QuestionState.CANCELLED, 0)
        assert queue.cancel(first.id).state is QuestionState.CANCELLED
        assert queue.question(second.id).position == 0
        assert claimed(queue).question.id == second.id

    def test_cancelling_takes_the_question_from_its_worker(self, queue: QuestionQueue) -> None:
        asked = queue.ask(new_question())
        taken = claimed(queue)
        queue.cancel(asked.id)
        assert not queue.heartbeat(asked.id, taken.token, lease_seconds=LONG)
        assert not queue.answer(asked.id, taken.token, ANSWER)
        found = queue.question(asked.id)
        assert (found.state, found.output) == (QuestionState.CANCELLED, None)

    def test_an_answered_question_is_not_cancelled(self, queue: QuestionQueue) -> None:
        asked = queue.ask(new_question())
        answer_next(queue)
        with pytest.raises(ConflictError, match="answered"):
            queue.cancel(asked.id)
        assert queue.question(asked.id).output == ANSWER.text

    def test_counts_and_age_tell_how_long_the_queue_is(self, queue: QuestionQueue) -> None:
        assert queue.oldest_waiting_seconds() == 0
        for _ in range(4):
            queue.ask(new_question())
        answer_next(queue)
        queue.cancel(claimed(queue).question.id)
        claimed(queue)
        sleep(SHORT)
        expected = {"waiting": 1, "answering": 1, "answered": 1, "dead": 0, "cancelled": 1}
        assert queue.counts() == expected | {"unsent": 1}
        assert SHORT * 0.9 < queue.oldest_waiting_seconds() < 60
