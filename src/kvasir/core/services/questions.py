"""Asynchronous questions, which are answered by mail."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from kvasir.core.types import Answer


class QuestionState(StrEnum):
    """The state of a question in the queue."""

    WAITING = "waiting"
    ANSWERING = "answering"
    ANSWERED = "answered"
    DEAD = "dead"
    CANCELLED = "cancelled"


class MailStatus(StrEnum):
    """The state of the mail with the answer, as requirement document 004 names it."""

    SENT = "sent"
    ERROR_SENDING = "error_sending"


@dataclass(frozen=True, slots=True)
class NewQuestion:
    """A question to add.

    Attributes:
        key: Adding a second question of the same user and key returns the first.
        email: The address of the answer; empty: no mail.
        reply_to: The Message-ID of the mail that asked, if one did.
        subject: The subject of that mail, for its answer.
    """

    input: str
    user_id: int
    email: str
    collection: str
    language: str = "en"
    key: str = ""
    reply_to: str = ""
    subject: str = ""


@dataclass(frozen=True, slots=True)
class Question:
    """An asynchronous question; field names as in requirement document 004.

    Attributes:
        date: When it was asked.
        output: The answer's text, or None.
        status: None until the mail with the answer was sent or given up.
        answer: The whole answer, or None where another program answered.
        position: Number of questions before it; 0 if it does not wait.
        attempts: How often it was claimed: to be answered, then to be mailed.
        reason: Why it is dead, or why its mail could not be sent; otherwise empty.
    """

    id: str
    input: str
    date: datetime
    output: str | None
    email: str
    status: MailStatus | None
    user_id: int
    collection: str
    language: str
    state: QuestionState
    answer: Answer | None = None
    position: int = 0
    attempts: int = 0
    reason: str = ""
    reply_to: str = ""
    subject: str = ""


@dataclass(frozen=True, slots=True)
class ClaimedQuestion:
    """A question that a worker holds by a lease; ``token`` fences off a worker that lost it."""

    question: Question
    token: str


class QuestionSource(Protocol):
    """What an answering worker needs of a queue, be it in the database or behind a server."""

    def claim(self, *, lease_seconds: float) -> ClaimedQuestion | None:
        """Take the oldest question without an answer, those of a worker that died included."""

    def heartbeat(self, question_id: str, token: str, *, lease_seconds: float) -> bool:
        """Prolong the lease; False if it was lost or the question was cancelled: stop then."""

    def answer(self, question_id: str, token: str, answer: Answer) -> bool:
        """Record the answer; False if the lease was lost."""

    def fail(self, question_id: str, token: str, reason: str, *, retry_after: float | None) -> bool:
        """Record a failure; tried again ``retry_after`` seconds later, None: dead."""

    def release(self, question_id: str, token: str, *, retry_after: float = 0.0) -> None:
        """Give a question back unanswered, which counts no attempt; due ``retry_after`` later."""


class QuestionQueue(QuestionSource, Protocol):
    """Questions in the order in which they were asked, answered once each; their mail outbox."""

    def ask(self, question: NewQuestion) -> Question:
        """Add a question, or return the one with its key."""

    def question(self, question_id: str) -> Question:
        """Return a question.

        Raises:
            NotFoundError: There is none.
        """

    def questions(
        self, *, user_id: int | None = None, before: str = "", limit: int = 100
    ) -> list[Question]:
        """Return questions, newest first; ``before`` is the last id of the page before."""

    def cancel(self, question_id: str) -> Question:
        """Cancel a question that was not answered yet.

        Raises:
            ConflictError: It was answered, or is dead.
        """

    def claim_mail(self, *, lease_seconds: float) -> ClaimedQuestion | None:
        """Take the oldest answered question whose mail is due; ``heartbeat`` prolongs the lease."""

    def mailed(self, question_id: str, token: str) -> bool:
        """Record that the mail was sent; False if the lease was lost."""

    def mail_failed(
        self, question_id: str, token: str, reason: str, *, retry_after: float | None
    ) -> bool:
        """Record that the mail was not sent; None: ``error_sending``, no more tries."""

    def release_mail(self, question_id: str, token: str) -> None:
        """Give a mail back unsent, which does not count as an attempt."""

    def counts(self) -> Mapping[str, int]:
        """Return the number of questions by state, and of mails that wait (``unsent``)."""

    def oldest_waiting_seconds(self) -> float:
        """Return the age of the oldest question without an answer; 0 if there is none."""

    def close(self) -> None:
        """Release the database."""
