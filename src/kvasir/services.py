"""What the process keeps beside the documents: accounts, jobs, questions, mail, the log of answers.

Each part is made when it is first used, and imported then: a search needs none of them. They share
one database, ``database.url``.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from kvasir.core.leases import Lazy
from kvasir.core.run import Run, StopToken
from kvasir.core.services.accounts import Accounts, User
from kvasir.core.services.answer_log import AnswerLog
from kvasir.core.services.jobs import Job, JobQueue, Spool
from kvasir.core.services.mail import Mailer, Outbox
from kvasir.core.services.questions import QuestionQueue
from kvasir.core.services.rate_limits import LimitedAction, RateLimits
from kvasir.settings.schema import Settings, reveal

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from kvasir.jobs.worker import JobWorker as JobWorker


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

    def check(self) -> None:
        """Check the signing key and the rate limits, and open nothing.

        Raises:
            SettingsError: One of them is unusable.
            MissingExtraError: The storage of the rate limits needs an optional dependency.
        """
        from kvasir.accounts.signing import check_key

        key = reveal(self._settings.server.signing_key)
        if key:
            check_key(key)
        self._rate_limits.get()

    def close(self) -> None:
        """Release the databases; a second call does nothing."""
        self._opened.close()

    @property
    def accounts(self) -> Accounts:
        """Users, their credentials and their rights."""
        return self._accounts.get()

    @property
    def rate_limits(self) -> RateLimits:
        """Limits on logins, registrations, recoveries and questions."""
        return self._rate_limits.get()

    @property
    def jobs(self) -> JobQueue:
        """The queue of jobs."""
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

    def make_job_worker(self, perform: Callable[[Job, Run], Any], stop: StopToken) -> JobWorker:
        """Make a worker of the queue of jobs, which a thread runs until the token is set."""
        from kvasir.jobs.worker import JobWorker

        return JobWorker(self.jobs, perform, stop=stop)

    def make_mailer(self, *, recovery: bool = False) -> Mailer | None:
        """Make the mail server's client, if the settings name one.

        Args:
            recovery: Use the account that sends recoveries, where there is one of its own.
        """
        from kvasir.questions.smtp import SmtpMailer

        chosen = self._settings.mail
        if not chosen.host:
            return None
        username, password = chosen.username, chosen.password
        if recovery and chosen.recovery_username:
            username, password = chosen.recovery_username, chosen.recovery_password
        return SmtpMailer(
            chosen.host,
            chosen.port,
            security=chosen.security,
            username=username,
            password=reveal(password),
            sender=chosen.sender or username or "",
        )

    def _open_engine(self) -> Engine:
        from kvasir.database import open_database

        # It holds passwords' hashes, and temporary passwords until they are mailed.
        engine = open_database(self._settings.database_url, private=True)
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
        self.outbox.add("recovery", user.email, user.language, content)

    def _make_rate_limits(self) -> RateLimits:
        from kvasir.accounts.rate_limits import WindowRateLimits

        chosen = self._settings.accounts.rate_limits
        limits = {action: str(getattr(chosen, action)) for action in LimitedAction}
        return WindowRateLimits(limits, chosen.storage)

    def _make_jobs(self) -> JobQueue:
        from kvasir.jobs.sql import SqlJobQueue

        return SqlJobQueue(self._engine.get())

    def _make_spool(self) -> Spool:
        from kvasir.jobs.spool import FolderSpool

        return FolderSpool(self._settings.spool_dir)

    def _make_questions(self) -> QuestionQueue:
        queue = self._settings.questions.queue
        if queue is None:
            from kvasir.questions.sql import SqlQuestionQueue

            return SqlQuestionQueue(self._engine.get())
        from kvasir.questions.mongodb import MongoQuestionQueue

        made = MongoQuestionQueue(queue)
        self._opened.callback(made.close)
        return made

    def _make_outbox(self) -> Outbox:
        from kvasir.questions.outbox import SqlOutbox

        return SqlOutbox(self._engine.get())

    def _make_answer_log(self) -> AnswerLog:
        from kvasir.questions.answer_log import SqlAnswerLog

        return SqlAnswerLog(self._engine.get())
