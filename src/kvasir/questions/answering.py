"""Answers the questions of the queue, one after the other.

A question is answered by whoever holds its lease. If something that every question needs is out of
order (a language model's server that does not answer, a model that is being pulled), the question
goes back to its place and the worker waits. If the index or the model of one collection is out of
order, the questions of that collection wait and the others are answered. If answering this question
fails, it is tried again later, after growing delays, and is dead after the last. The text of an
error is never an answer.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

from kvasir.core.error_forms import public_message
from kvasir.core.errors import (
    CollectionNotFoundError,
    ComponentError,
    IncompatibleVersionError,
    KvasirError,
    ModelNotFoundError,
    OperatorError,
    RequestError,
    StoreIncompleteError,
    StoreLockedError,
    UnfinishedError,
    WrongEmbedderError,
)
from kvasir.core.queue_workers import Heartbeat, QueueWorker, persist, retry_delay
from kvasir.core.run import StopToken
from kvasir.core.services.questions import ClaimedQuestion, Question, QuestionSource
from kvasir.core.text import replace_control_characters
from kvasir.core.types import Answer
from kvasir.questions.messages import polite_refusal

logger = logging.getLogger(__name__)

Ask = Callable[[Question, StopToken], Answer]
"""Answers a question; raises or returns soon after the token is set."""

_LONGEST_PAUSE = 60.0
_PASSING = ("busy", "unreachable")
_OF_COLLECTION = (
    IncompatibleVersionError,
    StoreIncompleteError,
    StoreLockedError,
    UnfinishedError,
    WrongEmbedderError,
)


class AnsweringWorker(QueueWorker):
    """Answers one question at a time, until its token is set; then gives the last one back."""

    queue_name = "the queue of questions"

    def __init__(
        self,
        queue: QuestionSource,
        ask: Ask,
        *,
        stop: StopToken,
        lease_seconds: float = 120.0,
        on_answered: Callable[[Question, Answer], None] = lambda question, answer: None,
        first_delay: float = 2.0,
        idle_seconds: float = 1.0,
    ) -> None:
        """Start nothing yet.

        Args:
            queue: The queue, or a server that has it.
            ask: Answers a question.
            stop: Ends the work.
            lease_seconds: Length of a lease, which a heartbeat prolongs.
            on_answered: Called when an answer was recorded.
            first_delay: Seconds before a question is tried again; doubled each time.
            idle_seconds: Wait between two looks at an empty queue.
        """
        super().__init__(stop, idle_seconds=idle_seconds)
        self._queue = queue
        self._ask = ask
        self._lease = lease_seconds
        self._on_answered = on_answered
        self._first_delay = first_delay
        self._faults = 0
        self._faults_of: Counter[str] = Counter()

    def work_once(self) -> bool:
        """Answer the next question; False if there is none."""
        claimed = self._queue.claim(lease_seconds=self._lease)
        if claimed is None:
            return False
        question, token = claimed.question, claimed.token
        stop = StopToken(self._stop)

        def beat() -> bool:
            return self._queue.heartbeat(question.id, token, lease_seconds=self._lease)

        with Heartbeat(beat, stop, seconds=self._lease / 4):
            try:
                answer = self._answer(question, stop)
            except Exception as error:  # noqa: BLE001 - the question fails, the worker goes on
                self._give_back(claimed, error, stop)
                return True
            self._faults = 0
            del self._faults_of[question.collection]
            if self._persist(lambda: self._queue.answer(question.id, token, answer)):
                self._on_answered(question, answer)
            else:
                logger.info("question %s was cancelled, or another worker has it", question.id)
        return True

    def _answer(self, question: Question, stop: StopToken) -> Answer:
        stop.raise_if_set()
        answer = self._ask(question, stop)
        text = polite_refusal(question.language) if answer.refused else answer.text
        if not text.strip():
            raise ComponentError("generator", "answering", "it wrote nothing")
        return replace(answer, text=replace_control_characters(text))

    def _give_back(self, claimed: ClaimedQuestion, error: Exception, stop: StopToken) -> None:
        question, token = claimed.question, claimed.token
        if stop.is_set():
            # Cancelled, lost, or the worker ends; only in the last case is it ours.
            self._queue.release(question.id, token)
        elif _concerns_collection(error):
            self._postpone(claimed, error)
        elif _concerns_all(error):
            self._queue.release(question.id, token)
            self._pause(error)
        else:
            self._fail(claimed, error)

    def _pause(self, error: Exception) -> None:
        """Wait, since the next question would fail in the same way."""
        self._faults += 1
        seconds = retry_delay(self._faults, first=self._first_delay, longest=_LONGEST_PAUSE)
        logger.error("questions wait, the next try is in %.0f s: %s", seconds, error)
        self._stop.wait(seconds)

    def _postpone(self, claimed: ClaimedQuestion, error: Exception) -> None:
        """Let the questions of other collections go first until an operator mends this one."""
        question, token = claimed.question, claimed.token
        self._faults_of[question.collection] += 1
        faults = self._faults_of[question.collection]
        seconds = retry_delay(faults, first=self._first_delay, longest=_LONGEST_PAUSE)
        logger.error(
            "question %s waits for its collection, the next try is in %.0f s: %s",
            question.id,
            seconds,
            error,
        )
        self._queue.release(question.id, token, retry_after=seconds)

    def _fail(self, claimed: ClaimedQuestion, error: Exception) -> None:
        question, token = claimed.question, claimed.token
        if isinstance(error, KvasirError):
            logger.warning("question %s was not answered: %s", question.id, error)
        else:
            logger.exception("question %s was not answered", question.id, exc_info=error)
        # The asker reads it.
        reason = public_message(error)
        # A collection may still be in the making.
        is_final = isinstance(error, RequestError) and not isinstance(
            error, CollectionNotFoundError
        )
        delay = None if is_final else retry_delay(question.attempts, first=self._first_delay)
        self._persist(lambda: self._queue.fail(question.id, token, reason, retry_after=delay))

    def _persist(self, write: Callable[[], bool]) -> bool:
        return persist(write, self._stop)


def _concerns_collection(error: Exception) -> bool:
    """Return True for a fault of the installation that only questions of one collection meet."""
    if isinstance(error, ModelNotFoundError):
        return error.of_collection
    return isinstance(error, _OF_COLLECTION)


def _concerns_all(error: Exception) -> bool:
    """Return True for a fault of the installation, which every question would meet."""
    if isinstance(error, ComponentError):
        return error.kind in _PASSING
    return isinstance(error, OperatorError)
