"""Sends the mails that wait: answers to questions, and the mails of the outbox.

A mail is claimed, sent, then marked as sent. Nothing is lost; a mail is sent twice only if the
sender dies between the server's acceptance and the mark, both times with the same Message-ID. If
the server cannot be used, mails go back to their place and the sender waits. If the server does
not take one mail, that one is tried again after growing delays, and given up after the last.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from kvasir.core.errors import ComponentError, KvasirError, OperatorError, describe_unexpected
from kvasir.core.queue_workers import Heartbeat, QueueWorker, persist, retry_delay
from kvasir.core.run import StopToken
from kvasir.core.services.mail import ClaimedMail, Mail, Mailer, Outbox
from kvasir.core.services.questions import ClaimedQuestion, QuestionQueue
from kvasir.questions.messages import Messages

logger = logging.getLogger(__name__)

_LONGEST_DELAY = 3600.0
_LONGEST_PAUSE = 60.0
_OF_ONE_MAIL = ("busy", "timeout")


class _Account:
    """A mail account, which is left alone for a while after a fault."""

    def __init__(self, mailer: Mailer, first_pause: float) -> None:
        self.mailer = mailer
        self._first_pause = first_pause
        self._failures = 0
        self._until = 0.0

    @property
    def is_ready(self) -> bool:
        return time.monotonic() >= self._until

    def succeeded(self) -> None:
        self._failures = 0

    def pause(self, error: Exception) -> None:
        """Wait, since the server would not take the next mail either."""
        self._failures += 1
        seconds = retry_delay(self._failures, first=self._first_pause, longest=_LONGEST_PAUSE)
        self._until = time.monotonic() + seconds
        logger.error("mails wait, the next try is in %.0f s: %s", seconds, error)


@dataclass(frozen=True, slots=True)
class _Claimed:
    """A claimed mail of either kind."""

    name: str
    attempts: int
    write: Callable[[], Mail]
    account: _Account
    beat: Callable[[], bool]
    sent: Callable[[], bool]
    failed: Callable[[str, float | None], bool]
    release: Callable[[], None]


class MailSender(QueueWorker):
    """Sends one mail at a time, until its token is set; then gives the last one back."""

    queue_name = "the outbox"

    def __init__(
        self,
        questions: QuestionQueue,
        outbox: Outbox,
        messages: Messages,
        *,
        mailer: Mailer | None,
        recovery_mailer: Mailer | None,
        stop: StopToken,
        lease_seconds: float = 60.0,
        max_attempts: int = 8,
        first_delay: float = 30.0,
        first_pause: float = 2.0,
        idle_seconds: float = 1.0,
    ) -> None:
        """Start nothing yet.

        Args:
            questions: Its answered questions are mailed.
            outbox: Further mails.
            messages: Writes the mails.
            mailer: Sends answers; None: they wait.
            recovery_mailer: Sends the mails of the outbox; None: they wait.
            stop: Ends the work.
            lease_seconds: Length of a lease, which a heartbeat prolongs.
            max_attempts: A mail that was not taken so often is given up.
            first_delay: Seconds before a mail is tried again; doubled each time, up to an hour.
            first_pause: Seconds to wait for a server; doubled each time, up to a minute.
            idle_seconds: Wait between two looks at an empty outbox.
        """
        super().__init__(stop, idle_seconds=idle_seconds)
        self._questions, self._outbox, self._messages = questions, outbox, messages
        self._answers = None if mailer is None else _Account(mailer, first_pause)
        # Faults of one account do not hold back the other's mails.
        self._recoveries = (
            None if recovery_mailer is None else _Account(recovery_mailer, first_pause)
        )
        self._lease, self._max_attempts = lease_seconds, max_attempts
        self._first_delay = first_delay

    def work_once(self) -> bool:
        """Send the next mail; False if none is due. Recoveries go first, since users wait."""
        claimed = self._claim()
        if claimed is None:
            return False
        stop = StopToken(self._stop)
        with Heartbeat(claimed.beat, stop, seconds=self._lease / 4):
            if stop.is_set():
                claimed.release()
                return True
            try:
                claimed.account.mailer.send(claimed.write())
            except Exception as error:  # noqa: BLE001 - the mail waits, the sender goes on
                self._give_back(claimed, error)
                return True
            claimed.account.succeeded()
            if not self._persist(claimed.sent):
                logger.warning("%s was sent, but its lease had ended", claimed.name)
        return True

    def _claim(self) -> _Claimed | None:
        if self._recoveries is not None and self._recoveries.is_ready:
            mail = self._outbox.claim(lease_seconds=self._lease)
            if mail is not None:
                return self._of_outbox(mail, self._recoveries)
        if self._answers is not None and self._answers.is_ready:
            question = self._questions.claim_mail(lease_seconds=self._lease)
            if question is not None:
                return self._of_question(question, self._answers)
        return None

    def _of_outbox(self, claimed: ClaimedMail, account: _Account) -> _Claimed:
        outbox, mail = self._outbox, claimed.mail
        return _Claimed(
            name=f"mail {mail.id}",
            attempts=mail.attempts,
            write=lambda: self._messages.of_outbox(mail),
            account=account,
            beat=lambda: outbox.heartbeat(claimed, lease_seconds=self._lease),
            sent=lambda: outbox.sent(claimed),
            failed=lambda reason, delay: outbox.failed(claimed, reason, retry_after=delay),
            release=lambda: outbox.release(claimed),
        )

    def _of_question(self, claimed: ClaimedQuestion, account: _Account) -> _Claimed:
        queue, question, token = self._questions, claimed.question, claimed.token
        key = question.id
        return _Claimed(
            name=f"the answer to question {key}",
            attempts=question.attempts,
            write=lambda: self._messages.answer(question),
            account=account,
            beat=lambda: queue.heartbeat(key, token, lease_seconds=self._lease),
            sent=lambda: queue.mailed(key, token),
            failed=lambda why, delay: queue.mail_failed(key, token, why, retry_after=delay),
            release=lambda: queue.release_mail(key, token),
        )

    def _give_back(self, claimed: _Claimed, error: Exception) -> None:
        if _concerns_all(error):
            claimed.release()
            claimed.account.pause(error)
            return
        if isinstance(error, KvasirError):
            reason = str(error)
        else:
            reason = describe_unexpected(error)
            logger.exception("%s could not be written", claimed.name, exc_info=error)
        is_final = claimed.attempts >= self._max_attempts
        delay = retry_delay(claimed.attempts, first=self._first_delay, longest=_LONGEST_DELAY)
        logger.warning("%s was not sent: %s", claimed.name, reason)
        self._persist(lambda: claimed.failed(reason, None if is_final else delay))

    def _persist(self, write: Callable[[], bool]) -> bool:
        return persist(write, self._stop)


def _concerns_all(error: Exception) -> bool:
    """Return True for a fault of the mail server or of the settings, not of one mail."""
    if isinstance(error, ComponentError):
        return error.kind not in _OF_ONE_MAIL
    return isinstance(error, OperatorError)
