"""The settings of the service: server, accounts, questions, mail and the log of answers."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr

from kvasir.settings.section import Days, Mebibytes, Minutes, Seconds, Section


class DatabaseSettings(Section):
    """The database of accounts, jobs and questions."""

    url: str | None = Field(
        None,
        description="an SQLAlchemy URL; default: that of the catalog, with SQLite service.db "
        "beside it",
    )


class ServerSettings(Section):
    """The HTTP server."""

    title: str = Field("Kvasir", min_length=1, max_length=100, description="its name, in /docs")
    host: str = "127.0.0.1"
    port: int = Field(8000, ge=0, le=65535, description="0: any free one, which is printed")
    public_url: str | None = Field(
        None, description="the address in links, such as https://kb.example.org"
    )
    signing_key: SecretStr | None = Field(
        None, description="signs tokens; by default one is made and kept in data_dir"
    )
    token_minutes: Minutes = Field(1440, ge=1, description="validity of a login")
    allowed_origins: tuple[str, ...] = Field((), description="web pages that may call the server")
    trusted_proxies: tuple[str, ...] = Field(
        (), description="addresses whose X-Forwarded-For is believed"
    )
    job_workers: int = Field(1, ge=0, le=64, description="threads that index uploads; 0: none here")
    job_lease_seconds: Seconds = Field(
        30.0, ge=2, description="after that, the job of a worker that died is done by another"
    )
    keep_originals: bool = Field(True, description="keep the bytes of indexed uploads")
    spool: str | None = Field(
        None, description="uploads: a folder, or s3://BUCKET/FOLDER; default: in data_dir"
    )
    folder: Path | None = Field(
        None, description="a folder that is kept indexed in questions.collection"
    )
    folder_seconds: Seconds = Field(60.0, gt=0, description="between two looks at the folder")
    keep_jobs_days: Days = Field(30.0, gt=0, description="forget ended jobs after that")
    max_body_mb: Mebibytes = Field(16, ge=1, description="largest request that is no upload")
    search_seconds: Seconds | None = Field(
        None, gt=0, description="longest search; by default stores have their own time limits"
    )
    answer_seconds: Seconds | None = Field(
        600.0, gt=0, description="longest answer; null: no limit"
    )
    generations: int | None = Field(
        None, ge=1, description="answers at a time; default: 1 with a language model, otherwise 16"
    )
    waiting_answers: int = Field(16, ge=0, description="more that wait for them are refused")
    log_format: Literal["text", "json"] = "text"
    debug: bool = Field(False, description="log every step of Kvasir and of its HTTP clients")
    metrics: Literal["admin", "open"] = Field(
        "admin", description="who may read /metrics: administrators, or everyone"
    )
    tracing: str | None = Field(
        None, description="OpenTelemetry collector, such as http://localhost:4318/v1/traces"
    )
    check_seconds: Seconds = Field(
        5.0, gt=0, description="/ready looks at the dependencies again after that"
    )
    drain_seconds: Seconds = Field(
        0.5, ge=0, description="after SIGTERM, requests are still taken while /ready is red"
    )
    share_index: bool = Field(
        True, description="whoever holds an embedded index serves it on a local socket"
    )
    shutdown_seconds: Seconds = Field(20.0, gt=0, description="wait for requests in progress")


class JobSettings(Section):
    """What brings the jobs of the server to the processes that do them."""

    backend: Literal["database", "celery"] = Field(
        "database", description="celery: worker processes do them, also on other machines"
    )
    broker: str = Field(
        "redis://localhost:6379/0",
        description="of Celery: redis://HOST:PORT/0 or amqp://USER:PASSWORD@HOST:PORT//",
    )
    result_backend: str | None = Field(
        None, description="where Celery's tools find the states; default: a Redis broker"
    )
    queue_prefix: str = Field("kvasir", min_length=1, max_length=64, pattern=r"^[\w.-]+$")
    routes: dict[str, str] = Field(
        default_factory=dict,
        description="by task, such as embed_chunks, a queue of its own",
    )
    queues: tuple[str, ...] = Field(
        (), description="that a worker works on: ingest, embed, answers, mail; default: all"
    )
    concurrency: int = Field(
        1, ge=1, le=64, description="tasks of a worker process at a time; they share one model"
    )
    device: Literal["cpu", "cuda"] | None = Field(
        None, description="where a worker embeds; by default as rag.embedding_model says"
    )
    max_attempts: int = Field(8, ge=1, description="then a job has failed")
    visibility_seconds: Seconds = Field(
        3600.0, ge=60, description="after that, Redis gives the task of a lost worker to another"
    )
    resend_seconds: Seconds = Field(
        60.0, ge=1, description="after that, what the broker lost is sent again"
    )
    stop_seconds: Seconds = Field(30.0, gt=0, description="a worker's time to end its tasks")
    heartbeat_file: Path | None = Field(
        None, description="a worker touches it every few seconds, for a liveness probe"
    )


class UiSettings(Section):
    """The web client."""

    host: str = "127.0.0.1"
    port: int = Field(8501, ge=0, le=65535, description="0: any free one, which is printed")
    server: str | None = Field(
        None, description="the server that it is a client of; default: server.host and server.port"
    )
    sign_in: Literal["auto", "always"] = Field(
        "auto", description="auto: not where one user alone reaches it, at a loopback address"
    )
    left_seconds: Seconds = Field(
        120.0, ge=1, description="a page that was left keeps its state for that long"
    )


_LIMITS = r"^\s*(\d+\s*/\s*(\d+\s*)?(second|minute|hour|day)s?\s*(;\s*|$))*$"
"""The form of limits, such as ``10/minute; 100/day``."""


class RateLimitSettings(Section):
    """Limits such as ``10/minute``, or several parted by ``;``; an empty text is no limit."""

    login: str = Field(
        "10/minute",
        pattern=_LIMITS,
        description="for a user from an address; ten times as many for either alone",
    )
    registration: str = Field("20/hour", pattern=_LIMITS, description="from an address")
    recovery: str = Field(
        "5/hour", pattern=_LIMITS, description="for a user; ten times as many from an address"
    )
    questions: str = Field("120/hour", pattern=_LIMITS, description="of a user")
    storage: str = Field("memory://", description="or redis://HOST:PORT for several servers")


class AccountSettings(Section):
    """Users and their passwords."""

    registration: Literal["open", "invitation", "closed"] | None = Field(
        None, description="by default open on loopback and closed elsewhere"
    )
    recovery_minutes: Minutes = Field(20, ge=1, description="validity of a temporary password")
    recovery_replace_immediately: bool = Field(
        False, description="a recovery replaces the password at once, as document 004 has it"
    )
    rate_limits: RateLimitSettings = RateLimitSettings()


class QuestionSettings(Section):
    """Questions that are answered later."""

    collection: str | None = Field(None, description="the collection that answers them")
    queue: str | None = Field(
        None, description="mongodb://USER:PASSWORD@HOST/DATABASE; by default the database"
    )
    workers: int = Field(1, ge=0, le=64, description="answering threads of the server; 0: none")
    lease_seconds: Seconds = Field(120.0, gt=0)
    max_attempts: int = Field(5, ge=1, description="then a question is dead")
    server: str | None = Field(
        None, description="answer the questions of this server, such as https://kb.example.org"
    )
    api_key: SecretStr | None = Field(
        None, description="a key of that server with the scope answering"
    )


class ImapSettings(Section):
    """Questions that come by mail."""

    host: str | None = Field(None, description="by default no mail is read")
    port: int = Field(993, ge=1, le=65535)
    security: Literal["tls", "starttls", "none"] = "tls"
    username: str | None = None
    password: SecretStr | None = None
    folder: str = "INBOX"
    seconds: Seconds = Field(30.0, gt=0, description="between two looks")


class MailSettings(Section):
    """Answers and recoveries by mail."""

    host: str | None = Field(None, description="the SMTP server; by default no mail is sent")
    port: int = Field(587, ge=1, le=65535)
    security: Literal["starttls", "tls", "none"] = "starttls"
    username: str | None = None
    password: SecretStr | None = None
    sender: str | None = Field(None, description="the From address; default: username")
    recovery_username: str | None = Field(None, description="account that sends recoveries")
    recovery_password: SecretStr | None = None
    passwords_file: Path | None = Field(None, description="passwords.json of document 004")
    send: bool = Field(True, description="the server sends; false: a process of its own does")
    lease_seconds: Seconds = Field(60.0, gt=0)
    max_attempts: int = Field(8, ge=1, description="then a mail is given up")
    imap: ImapSettings = ImapSettings()


class AnswerLogSettings(Section):
    """The log of answers."""

    enabled: bool = True
    retention_days: Days | None = Field(None, gt=0, description="delete older records")
