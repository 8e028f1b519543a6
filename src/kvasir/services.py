"""What the process keeps beside the documents: accounts, jobs, questions, mail, the log of answers.

Each part is made when it is first used, and imported then: a search needs none of them. They share
one database, ``database.url``.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import ExitStack
from email.utils import parseaddr
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from kvasir.core.errors import MissingExtraError, NotFoundError, SettingsError
from kvasir.core.leases import Lazy
from kvasir.core.queue_workers import Worker
from kvasir.core.run import Run, StopToken
from kvasir.core.services.accounts import Accounts, Caller, User
from kvasir.core.services.answer_cache import AnswerCache
from kvasir.core.services.answer_log import AnswerLog
from kvasir.core.services.jobs import Job, JobQueue, Spool, UnsentJobs
from kvasir.core.services.mail import Mailer, Outbox
from kvasir.core.services.questions import Question, QuestionQueue, QuestionSource
from kvasir.core.services.rate_limits import LimitedAction, RateLimits
from kvasir.core.types import Answer
from kvasir.settings.component_schema import reveal
from kvasir.settings.schema import Settings

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from kvasir.jobs.sql import SqlJobQueue
    from kvasir.jobs.worker import JobWorker as JobWorker
    from kvasir.questions.imap import Mailbox
    from kvasir.questions.passwords_file import MailPasswords

logger = logging.getLogger(__name__)

T = TypeVar("T")


def make_spool(settings: Settings) -> Spool:
    """Return what keeps the bytes of uploads: a folder, or a bucket.

    Raises:
        SettingsError: It is at an address of another kind.
        MissingExtraError: A bucket needs an optional dependency.
    """
    scheme, separator, _ = settings.spool_uri.partition("://")
    if not separator:
        from kvasir.jobs.spool import FolderSpool

        return FolderSpool(Path(settings.spool_uri))
    if scheme != "s3":
        raise SettingsError(f"server.spool must be a folder or s3://BUCKET/FOLDER, not '{scheme}:'")
    try:
        from kvasir.jobs.bucket_spool import BucketSpool
    except ModuleNotFoundError as error:
        raise MissingExtraError("server.spool at s3://", "s3") from error
    return BucketSpool(settings.spool_uri)


def _ignore(question: Question, answer: Answer) -> None: ...


class Services:
    """The services of one process; close them together."""

    def __init__(self, settings: Settings) -> None:
        """Open nothing yet."""
        self._settings = settings
        self._opened = ExitStack()
        self._engine: Lazy[Engine] = Lazy(self._open_engine)
        self._accounts = Lazy(self._make_accounts)
        self._rate_limits = Lazy(self._make_rate_limits)
        self._jobs = Lazy(self._make_jobs)
        self._spool = Lazy(self._make_spool)
        self._questions = Lazy(self._make_questions)
        self._outbox = Lazy(self._make_outbox)
        self._answer_log = Lazy(self._make_answer_log)
        self._answer_cache = Lazy(self._make_answer_cache)

    def check(self) -> None:
        """Check the signing key, the rate limits and the accounts of mail, and open nothing.

        Raises:
            SettingsError: One of them is unusable.
            MissingExtraError: The storage of the rate limits, the mailbox of questions, or Celery
                needs an optional dependency.
        """
        from kvasir.accounts.signing import check_key

        key = reveal(self._settings.server.signing_key)
        if key:
            check_key(key)
        if self._settings.accounts.recovery_replace_immediately and not self._settings.mail.host:
            raise SettingsError(
                "accounts.recovery_replace_immediately needs mail.host: a password that is "
                "replaced and not mailed locks its user out"
            )
        self._rate_limits.get()
        self._spool.get()
        self._check_celery()
        self._passwords()
        self.make_mailer()
        self.make_mailer(recovery=True)
        self._make_mailbox()

    def close(self) -> None:
        """Release the databases; a second call does nothing."""
        self._opened.close()

    @property
    def accounts(self) -> Accounts:
        """Users, their credentials and their rights."""
        return self._accounts.get()

    def recall(self, credential: str) -> Caller | None:
        """Return the caller of a credential if that is known without opening or asking anything."""
        return self.accounts.recall(credential) if self._accounts.is_made else None

    @property
    def rate_limits(self) -> RateLimits:
        """Limits on logins, registrations, recoveries and questions."""
        return self._rate_limits.get()

    @property
    def jobs(self) -> JobQueue:
        """The queue of jobs."""
        return self._jobs.get()

    @property
    def unsent_jobs(self) -> UnsentJobs:
        """Which jobs are to be given to a broker."""
        return self._jobs.get()

    @property
    def spool(self) -> Spool:
        """The bytes of uploads."""
        return self._spool.get()

    @property
    def questions(self) -> QuestionQueue:
        """The queue of questions."""
        return self._questions.get()

    @property
    def outbox(self) -> Outbox:
        """Mails that answer no question."""
        return self._outbox.get()

    @property
    def answer_log(self) -> AnswerLog:
        """The log of answers."""
        return self._answer_log.get()

    @property
    def answer_cache(self) -> AnswerCache:
        """Answers that may be given again."""
        return self._answer_cache.get()

    def make_job_worker(self, perform: Callable[[Job, Run], Any], stop: StopToken) -> JobWorker:
        """Make a worker of the queue of jobs, which a thread runs until the token is set."""
        from kvasir.jobs.worker import JobWorker

        lease = self._settings.server.job_lease_seconds
        return JobWorker(self.jobs, perform, stop=stop, lease_seconds=lease)

    def make_answering_worker(
        self,
        ask: Callable[[Question, StopToken], Answer],
        stop: StopToken,
        *,
        on_answered: Callable[[Question, Answer], None] = _ignore,
        of_server: bool = False,
    ) -> Worker:
        """Make a worker that answers questions.

        Args:
            ask: Answers a question; ends soon after its token is set.
            stop: Ends the work.
            on_answered: Called when an answer was recorded in this queue.
            of_server: Answer the questions of ``questions.server``, if the settings name one.

        Raises:
            SettingsError: The server's key is missing.
        """
        from kvasir.questions.answering import AnsweringWorker

        if of_server and self._settings.questions.server:
            source: QuestionSource = self._server_questions(self._settings.questions.server)
            # The server keeps the log of its answers.
            on_answered = _ignore
        else:
            source = self.questions
        return AnsweringWorker(
            source,
            ask,
            stop=stop,
            lease_seconds=self._settings.questions.lease_seconds,
            on_answered=on_answered,
        )

    def make_mail_workers(self, stop: StopToken) -> list[Worker]:
        """Make what the settings of mail ask for: a sender, and a reader of questions by mail.

        What a missing password keeps from working is logged as an error.

        Raises:
            SettingsError: The file of passwords is unusable.
        """
        self._passwords()
        if self._settings.mail.passwords_file and not self._settings.mail.host:
            logger.warning("mail.host is not set: no mail is sent")
        made = [self.make_mail_sender(stop), self.make_intake(stop)]
        return [worker for worker in made if worker is not None]

    def make_mailer(self, *, recovery: bool = False) -> Mailer | None:
        """Make the mail server's client, if the settings name one.

        Args:
            recovery: Use the account that sends recoveries, where there is one of its own.

        Raises:
            SettingsError: A password is missing, or its file is unusable.
        """
        from kvasir.questions.smtp import SmtpMailer

        chosen = self._settings.mail
        if not chosen.host:
            return None
        passwords = self._passwords()
        username = chosen.username
        password = reveal(chosen.password) or passwords.smtp_password
        key = "smtp_password"
        if recovery:
            own = reveal(chosen.recovery_password) or passwords.forgot_password
            if chosen.recovery_username:
                username, password, key = chosen.recovery_username, own, "forgot_password"
            else:
                password = own or password
        if username and not password:
            raise SettingsError(passwords.lacks(key))
        return SmtpMailer(
            chosen.host,
            chosen.port,
            security=chosen.security,
            username=username,
            password=password,
            sender=chosen.sender or username or "",
        )

    def make_mail_sender(self, stop: StopToken) -> Worker | None:
        """Make what sends mails, if the settings name a mail server."""
        from kvasir.questions.messages import Messages, domain_of
        from kvasir.questions.sending import MailSender

        mail, public_url = self._settings.mail, self._settings.server.public_url
        mailer = self._if_possible(lambda: self.make_mailer())
        recovery_mailer = self._if_possible(lambda: self.make_mailer(recovery=True))
        if mailer is None and recovery_mailer is None:
            return None
        domain = domain_of(public_url, mail.sender or mail.username or "")
        return MailSender(
            self.questions,
            self.outbox,
            Messages(domain, public_url or ""),
            mailer=mailer,
            recovery_mailer=recovery_mailer,
            stop=stop,
            lease_seconds=mail.lease_seconds,
            max_attempts=mail.max_attempts,
        )

    def _make_mailbox(self) -> Mailbox | None:
        """Make the client of the mailbox of questions, if the settings name one.

        Raises:
            SettingsError: The password is missing, or its file is unusable.
            MissingExtraError: It needs an optional dependency.
        """
        chosen = self._settings.mail.imap
        if not chosen.host:
            return None
        try:
            from kvasir.questions.imap import Mailbox
        except ModuleNotFoundError as error:
            raise MissingExtraError("mail.imap", "imap") from error
        passwords = self._passwords()
        password = reveal(chosen.password) or passwords.imap_password
        if not password:
            raise SettingsError(passwords.lacks("imap_password"))
        return Mailbox(
            chosen.host,
            chosen.port,
            security=chosen.security,
            username=self._imap_username(),
            password=password,
            folder=chosen.folder,
        )

    def _imap_username(self) -> str:
        return self._settings.mail.imap.username or self._settings.mail.username or ""

    def make_intake(self, stop: StopToken) -> Worker | None:
        """Make what reads questions by mail, if the settings name a mailbox."""
        mailbox = self._if_possible(self._make_mailbox)
        if mailbox is None:
            return None
        from kvasir.questions.imap import ImapIntake

        mail = self._settings.mail
        return ImapIntake(
            mailbox,
            self.questions,
            self._find_user,
            collection=self._settings.question_collection,
            own_address=parseaddr(mail.sender or mail.username or self._imap_username())[1],
            stop=stop,
            seconds=mail.imap.seconds,
            allow=lambda user: self.rate_limits.hit(LimitedAction.QUESTIONS, f"user {user.id}"),
        )

    def _find_user(self, address: str) -> User | None:
        try:
            user = self.accounts.user(address)
        except NotFoundError:
            return None
        is_own = user.email.casefold() == address.casefold()
        return user if is_own and not user.disabled else None

    def _check_celery(self) -> None:
        if self._settings.jobs.backend != "celery":
            return
        try:
            from kvasir.jobs.celery_app import CeleryOptions
        except ModuleNotFoundError as error:
            raise MissingExtraError("jobs.backend celery", "celery") from error
        _ = CeleryOptions(self._settings.jobs.broker).is_redis

    def _passwords(self) -> MailPasswords:
        from kvasir.questions.passwords_file import read_passwords

        return read_passwords(self._settings.mail_passwords_file)

    def _if_possible(self, make: Callable[[], T | None]) -> T | None:
        try:
            return make()
        except SettingsError as error:
            logger.error("%s", error)
            return None

    def _server_questions(self, url: str) -> QuestionSource:
        from kvasir.questions.remote import RemoteQuestions

        key = reveal(self._settings.questions.api_key)
        if not key:
            raise SettingsError("questions.server needs questions.api_key")
        made = RemoteQuestions(url, key)
        self._opened.callback(made.close)
        return made

    def _open_engine(self) -> Engine:
        from kvasir.database import open_database

        # It holds passwords' hashes, and temporary passwords until they are mailed.
        engine = open_database(self._settings.database_url)
        self._opened.callback(engine.dispose)
        return engine

    def _make_accounts(self) -> Accounts:
        from kvasir.accounts.signing import signing_key
        from kvasir.accounts.sql import AccountOptions, SqlAccounts

        chosen = self._settings.accounts
        key = reveal(self._settings.server.signing_key)
        options = AccountOptions(
            signing_key=signing_key(key, self._settings.data_folder),
            token_minutes=self._settings.server.token_minutes,
            recovery_minutes=chosen.recovery_minutes,
            replace_immediately=chosen.recovery_replace_immediately,
        )
        return SqlAccounts(self._engine.get(), options, send_recovery=self._send_recovery)

    def _send_recovery(self, user: User, password: str) -> None:
        content = {"username": user.username, "password": password}
        chosen = self._settings.accounts
        if not chosen.recovery_replace_immediately:
            content["minutes"] = str(chosen.recovery_minutes)
        self.outbox.add("recovery", user.email, user.language, content)

    def _make_rate_limits(self) -> RateLimits:
        from kvasir.accounts.rate_limits import WindowRateLimits

        chosen = self._settings.accounts.rate_limits
        limits = {action: str(getattr(chosen, action)) for action in LimitedAction}
        return WindowRateLimits(limits, chosen.storage)

    def _make_jobs(self) -> SqlJobQueue:
        from kvasir.jobs.sql import SqlJobQueue

        return SqlJobQueue(self._engine.get(), max_attempts=self._settings.jobs.max_attempts)

    def _make_spool(self) -> Spool:
        made = make_spool(self._settings)
        if (close := getattr(made, "close", None)) is not None:
            self._opened.callback(close)
        return made

    def _make_questions(self) -> QuestionQueue:
        chosen = self._settings.questions
        if chosen.queue is None:
            from kvasir.questions.sql import SqlQuestionQueue

            return SqlQuestionQueue(self._engine.get(), max_attempts=chosen.max_attempts)
        try:
            from kvasir.questions.mongodb import MongoQuestionQueue
        except ModuleNotFoundError as error:
            raise MissingExtraError("questions.queue at mongodb://", "mongodb") from error
        made = MongoQuestionQueue(chosen.queue, max_attempts=chosen.max_attempts)
        self._opened.callback(made.close)
        return made

    def _make_outbox(self) -> Outbox:
        from kvasir.questions.outbox import SqlOutbox

        return SqlOutbox(self._engine.get())

    def _make_answer_log(self) -> AnswerLog:
        from kvasir.questions.answer_log import SqlAnswerLog

        return SqlAnswerLog(self._engine.get())

    def _make_answer_cache(self) -> AnswerCache:
        from kvasir.questions.answer_cache import SqlAnswerCache

        return SqlAnswerCache(self._engine.get())
