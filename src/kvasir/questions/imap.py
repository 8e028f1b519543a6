"""Takes questions from a mailbox, by IMAP.

Only registered users may ask, and the answer goes to the address that is registered, in the same
thread. A mail is marked as seen only after its question is stored; the same mail twice is one
question. Mails of programs and of strangers, and those that cannot be read, are marked as seen and
not answered.
"""

from __future__ import annotations

import imaplib
import logging
import ssl
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Literal

from imap_tools import AND, ImapToolsError, MailMessageFlags
from imap_tools.errors import MailboxLoginError
from imap_tools.mailbox import BaseMailBox, MailBox, MailBoxStartTls, MailBoxUnencrypted
from imap_tools.message import MailMessage

from kvasir.core.errors import (
    ComponentError,
    KvasirError,
    RateLimitedError,
    RejectedDataError,
    describe_unexpected,
)
from kvasir.core.queue_workers import QueueWorker, retry_delay
from kvasir.core.run import StopToken
from kvasir.core.services.accounts import User
from kvasir.core.services.questions import NewQuestion, QuestionQueue
from kvasir.core.text import one_line
from kvasir.questions.intake import (
    headers_of,
    key_of,
    message_id_of,
    question_in,
    sender_of,
    why_automatic,
)

logger = logging.getLogger(__name__)

_NAME = "mailbox"
_MAX_BYTES = 5 << 20
_AT_ONCE = 50
_SUBJECT_WIDTH = 200
_LONGEST_DELAY = 3600.0


class Mailbox:
    """The account whose mails are questions."""

    def __init__(
        self,
        host: str,
        port: int,
        *,
        security: Literal["tls", "starttls", "none"] = "tls",
        username: str,
        password: str,
        folder: str = "INBOX",
        timeout: float = 20.0,
        context: ssl.SSLContext | None = None,
    ) -> None:
        """Connect to nothing yet; ``context`` checks certificates, as the system by default."""
        self._host, self._port, self._security = host, port, security
        self._username, self._password, self._folder = username, password, folder
        self._timeout, self._context = timeout, context

    @contextmanager
    def open(self) -> Iterator[BaseMailBox]:
        """Open the folder.

        Raises:
            ComponentError: The server does not answer or refuses.
        """
        where = f"{self._host}:{self._port}"
        try:
            box = self._connect()
            try:
                box.login(self._username, self._password, self._folder)
                yield box
            finally:
                _leave(box)
        except MailboxLoginError as error:
            cause = f"{where} refuses the login: check mail.imap.username and its password"
            raise ComponentError(_NAME, "logging in", cause) from error
        except (OSError, imaplib.IMAP4.abort) as error:
            raise ComponentError(
                _NAME, "reading", f"{where}: {error}", kind="unreachable"
            ) from error
        except (ImapToolsError, imaplib.IMAP4.error) as error:
            raise ComponentError(_NAME, "reading", f"{where}: {error}") from error

    def _connect(self) -> BaseMailBox:
        if self._security == "none":
            return MailBoxUnencrypted(self._host, self._port, timeout=self._timeout)
        # The library's own default does not check certificates.
        context = self._context or ssl.create_default_context()
        if self._security == "starttls":
            return MailBoxStartTls(
                self._host, self._port, timeout=self._timeout, ssl_context=context
            )
        return MailBox(self._host, self._port, timeout=self._timeout, ssl_context=context)


def _leave(box: BaseMailBox) -> None:
    """End a connection, which may be broken."""
    with suppress(OSError, imaplib.IMAP4.error, ImapToolsError):
        box.logout()
    # The library leaves the socket open if the server did not answer.
    with suppress(OSError):
        box.client.shutdown()


class ImapIntake(QueueWorker):
    """Looks into a mailbox from time to time, until its token is set."""

    queue_name = "the mailbox of questions"

    def __init__(
        self,
        mailbox: Mailbox,
        questions: QuestionQueue,
        find_user: Callable[[str], User | None],
        *,
        collection: str,
        own_address: str,
        stop: StopToken,
        seconds: float = 30.0,
        allow: Callable[[User], None] = lambda user: None,
    ) -> None:
        """Start nothing yet.

        Args:
            mailbox: The account.
            questions: Where questions are stored.
            find_user: Finds the user of an address; None for strangers and disabled users.
            collection: The collection that answers.
            own_address: The address that our own mails come from.
            stop: Ends the work.
            seconds: Time between two looks.
            allow: Raises RateLimitedError for a user who asked too much; the mail waits then.
        """
        super().__init__(stop, idle_seconds=seconds)
        self._mailbox, self._questions, self._find_user = mailbox, questions, find_user
        self._collection, self._own = collection, own_address
        self._allow = allow
        self._waiting: dict[str, float] = {}
        self._faults: Counter[str] = Counter()

    def work_once(self) -> bool:
        """Read the mails that were not seen yet; False, so that the next look waits."""
        with self._mailbox.open() as box:
            for uid in self._due(box.uids(AND(seen=False)))[:_AT_ONCE]:
                if self._stop.is_set():
                    break
                try:
                    if self._take(box, uid):
                        box.flag(uid, MailMessageFlags.SEEN, True)
                except (imaplib.IMAP4.abort, OSError) as error:
                    # The connection is broken. If this mail did it, the next ones are read first.
                    self._postpone(uid, error)
                    raise
                except (imaplib.IMAP4.error, ImapToolsError) as error:
                    self._postpone(uid, error)
        return False

    def _postpone(self, uid: str, error: Exception) -> None:
        """Let a mail wait that the server does not hand out, or does not mark."""
        self._faults[uid] += 1
        seconds = retry_delay(self._faults[uid], first=self._idle, longest=_LONGEST_DELAY)
        self._waiting[uid] = time.monotonic() + seconds
        logger.warning("mail %s waits, the next try is in %.0f s: %s", uid, seconds, error)

    def _due(self, uids: Sequence[str]) -> list[str]:
        """Return the mails that do not wait, so that one user's mails hold up nobody else's."""
        now = time.monotonic()
        self._waiting = {uid: until for uid, until in self._waiting.items() if until > now}
        self._faults = Counter({uid: self._faults[uid] for uid in uids if uid in self._faults})
        return [uid for uid in uids if uid not in self._waiting]

    def _take(self, box: BaseMailBox, uid: str) -> bool:
        """Store the question of a mail, if it is one; False if it has to wait."""
        try:
            self._questions.ask(self._question_of(box, uid))
        except _NotAQuestionError as error:
            logger.info("mail %s is not a question: %s", uid, error)
        except RateLimitedError as error:
            logger.info("mail %s waits: %s", uid, error)
            self._waiting[uid] = time.monotonic() + error.retry_after
            return False
        except RejectedDataError as error:
            logger.warning("mail %s cannot be stored: %s", uid, error)
        except (KvasirError, OSError, imaplib.IMAP4.error, ImapToolsError):
            raise
        except Exception as error:  # noqa: BLE001 - no mail may keep the others from being read
            logger.warning("mail %s cannot be read: %s", uid, describe_unexpected(error))
        return True

    def _question_of(self, box: BaseMailBox, uid: str) -> NewQuestion:
        """Return the question of a mail.

        Raises:
            RateLimitedError: Its sender asked too much.
        """
        head = _fetched(box, uid, headers_only=True)
        headers = headers_of(head.obj)
        if why := why_automatic(headers, self._own):
            raise _NotAQuestionError(why)
        user = self._find_user(sender_of(headers))
        if user is None:
            raise _NotAQuestionError("its sender is not registered")
        if head.size_rfc822 > _MAX_BYTES:
            raise _NotAQuestionError("it is too large")
        mail = _fetched(box, uid)
        asked = question_in(mail.text, mail.html, mail.subject)
        if not asked:
            raise _NotAQuestionError("it is empty")
        self._allow(user)
        message_id = message_id_of(headers)
        return NewQuestion(
            input=asked,
            user_id=user.id,
            # Not the address of the mail, which anyone may write into it.
            email=user.email,
            collection=self._collection,
            language=user.language,
            key=key_of(message_id, mail.obj.as_bytes()),
            reply_to=message_id,
            subject=one_line(mail.subject, _SUBJECT_WIDTH),
        )


class _NotAQuestionError(Exception):
    """A mail asks nothing; the message says why."""


def _fetched(box: BaseMailBox, uid: str, *, headers_only: bool = False) -> MailMessage:
    for mail in box.fetch(uid_list=uid, mark_seen=False, headers_only=headers_only):
        return mail
    raise _NotAQuestionError("it is gone")
