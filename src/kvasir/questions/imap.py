"""Takes questions from a mailbox, by IMAP.

Only registered users may ask, and the answer goes to the address that is registered, in the same
thread. A mail is marked as seen only after its question is stored; the same mail twice is one
question. Mails of programs and of strangers are marked as seen and not answered.
"""

from __future__ import annotations

import imaplib
import logging
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Literal

from imap_tools import AND, ImapToolsError, MailMessageFlags
from imap_tools.errors import MailboxLoginError
from imap_tools.mailbox import BaseMailBox, MailBox, MailBoxStartTls, MailBoxUnencrypted
from imap_tools.message import MailMessage

from kvasir.core.errors import ComponentError, RateLimitedError
from kvasir.core.queue_workers import QueueWorker
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

    def work_once(self) -> bool:
        """Read the mails that were not seen yet; False, so that the next look waits."""
        with self._mailbox.open() as box:
            unseen = box.fetch(AND(seen=False), mark_seen=False, headers_only=True)
            heads = [head for _, head in zip(range(_AT_ONCE), unseen, strict=False)]
            for head in heads:
                if self._stop.is_set():
                    break
                if head.uid and self._take(box, head):
                    box.flag(head.uid, MailMessageFlags.SEEN, True)
        return False

    def _take(self, box: BaseMailBox, head: MailMessage) -> bool:
        """Store the question of a mail, if it is one; False if it has to wait."""
        headers = headers_of(head.obj)
        address = sender_of(headers)
        if why := why_automatic(headers, self._own):
            return _ignored(head, why)
        user = self._find_user(address)
        if user is None:
            return _ignored(head, "its sender is not registered")
        if head.size_rfc822 > _MAX_BYTES:
            return _ignored(head, "it is too large")
        mail = next(iter(box.fetch(uid_list=head.uid or "", mark_seen=False)), None)
        if mail is None:
            return False
        asked = question_in(mail.text, mail.html, mail.subject)
        if not asked:
            return _ignored(head, "it is empty")
        message_id = message_id_of(headers)
        try:
            self._allow(user)
        except RateLimitedError as error:
            logger.info("a mail of user %s waits: %s", user.id, error)
            return False
        self._questions.ask(
            NewQuestion(
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
        )
        return True


def _ignored(head: MailMessage, why: str) -> bool:
    logger.info("mail %s is not a question: %s", head.uid, why)
    return True
