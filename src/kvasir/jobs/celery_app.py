"""The Celery application that carries the ids of jobs, on Redis or on RabbitMQ.

The broker carries ids only; the table of jobs says what a job is, who works on it and how it
ended. A task is acknowledged when it has ended. What differs between the brokers:

* Redis: with late acknowledgement a worker would come to hold hundreds of tasks, so prefetching is
  off. A task that was not acknowledged is given out again after the visibility timeout, which is
  set in three places because the shortest one wins.
* RabbitMQ: prefetching cannot be off; the multiplier 1 gives a worker one task for each thread.
  Queues are quorum queues, whose prefetch count is not global, which Celery detects.

Sources: Celery 5.6, "Configuration and defaults", "Using Redis", "Using RabbitMQ"; issues 9339
(visibility timeout) and 9913 (prefetching on RabbitMQ) of celery/celery.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from celery import Celery
from kombu import entity

from kvasir.core.errors import SettingsError
from kvasir.jobs.celery_events import EVENTS
from kvasir.jobs.chunk_embedding import EMBED_TASK

INGEST, EMBED, ANSWERS, MAIL, DEAD = "ingest", "embed", "answers", "mail", "dead"
JOB_TASK, ANSWER_TASK, MAIL_TASK = "kvasir.job", "kvasir.answer", "kvasir.mail"

_REDIS = ("redis", "rediss", "sentinel")
_RABBITMQ = ("amqp", "amqps", "pyamqp")
_MOST_DEAD = 10_000
"""Dead letters that are kept at the broker; the table of jobs has all."""
_CONNECT_SECONDS = 5.0
_ENTITIES: Any = entity
"""Its types are not declared."""
_AT_ONCE = {"max_retries": 1, "interval_start": 0, "interval_step": 0, "timeout": 1.0}


@dataclass(frozen=True, slots=True)
class CeleryOptions:
    """What the settings say about Celery; see ``JobSettings``."""

    broker: str
    result_backend: str | None = None
    queue_prefix: str = "kvasir"
    routes: Mapping[str, str] = field(default_factory=dict)
    concurrency: int = 1
    visibility_seconds: float = 3600.0
    stop_seconds: float = 30.0

    @property
    def is_redis(self) -> bool:
        """Whether the broker is Redis; otherwise it is RabbitMQ.

        Raises:
            SettingsError: It is neither.
        """
        scheme = urlsplit(self.broker).scheme
        if scheme not in (*_REDIS, *_RABBITMQ):
            raise SettingsError(
                f"jobs.broker must begin with redis:// or amqp://, not with '{scheme or '?'}://'"
            )
        return scheme in _REDIS

    @property
    def queues(self) -> tuple[str, ...]:
        """The names of all queues that workers read, without the prefix."""
        return tuple(dict.fromkeys((INGEST, EMBED, ANSWERS, MAIL, *self.routes.values())))

    def queue_of(self, task: str) -> str:
        """Return the queue of a task of jobs, without the prefix."""
        return self.routes.get(task, EMBED if task == EMBED_TASK else INGEST)

    def full_name(self, queue: str) -> str:
        """Return the name of a queue at the broker."""
        return f"{self.queue_prefix}.{queue}"

    def check_configuration(self, celery: Celery) -> None:
        """Compare the settings in force with what the broker needs.

        Celery ignores some settings without a word, and its command line sets others.

        Raises:
            SettingsError: A setting is missing, or does not go with the broker.
        """
        conf, is_redis = celery.conf, self.is_redis
        seconds = self.visibility_seconds
        wanted: dict[str, tuple[Any, Any]] = {
            "task_acks_late": (conf.task_acks_late, True),
            "accept_content": (sorted(conf.accept_content), ["json"]),
            "task_serializer": (conf.task_serializer, "json"),
            "worker_prefetch_multiplier": (conf.worker_prefetch_multiplier, 1),
            "worker_disable_prefetch": (bool(conf.worker_disable_prefetch), is_redis),
            "worker_detect_quorum_queues": (bool(conf.worker_detect_quorum_queues), True),
        }
        if is_redis:
            for name in ("broker_transport_options", "result_backend_transport_options"):
                given = (conf[name] or {}).get("visibility_timeout")
                wanted[f"visibility_timeout in {name}"] = (given, seconds)
            wanted["visibility_timeout"] = (conf.get("visibility_timeout"), seconds)
        kind = "Redis" if is_redis else "RabbitMQ"
        for name, (found, needed) in wanted.items():
            if found != needed:
                raise SettingsError(f"on {kind}, Celery's {name} must be {needed!r}, not {found!r}")

    def check_worker(self, pool: type[Any], prefetch_multiplier: int) -> None:
        """Check what a worker was told on its command line, which is above the settings.

        Raises:
            SettingsError: The pool is neither ``solo`` nor ``threads``, so that its tasks would not
                share one model, or the worker would take more tasks than it has threads.
        """
        if prefetch_multiplier != 1:
            raise SettingsError(f"worker_prefetch_multiplier must be 1, not {prefetch_multiplier}")
        name = pool.__module__.rpartition(".")[2]
        if name not in ("solo", "thread"):
            raise SettingsError(
                "a worker needs the pool 'threads' or 'solo', whose tasks share one model, not "
                f"'{name}'"
            )

    def check_live(self, consumer: Any) -> None:
        """Compare what a connected worker uses with the settings.

        Raises:
            SettingsError: The connection has another visibility timeout or prefetch count.
        """
        if self.is_redis:
            channel = consumer.task_consumer.channel
            found, needed = float(channel.visibility_timeout), self.visibility_seconds
            if found != needed:
                raise SettingsError(
                    f"the connection to Redis has a visibility timeout of {found:g} s, not "
                    f"{needed:g} s"
                )
            return
        found, threads = consumer.qos.value, consumer.pool.num_processes
        if found != threads:
            raise SettingsError(
                f"RabbitMQ would give this worker {found or 'all'} tasks at a time, not {threads}"
            )


def make_celery(options: CeleryOptions) -> Celery:
    """Return the application; it connects to nothing yet.

    Raises:
        SettingsError: The broker is neither Redis nor RabbitMQ.
    """
    is_redis = options.is_redis
    backend = options.result_backend or (options.broker if is_redis else None)
    timeout = {"visibility_timeout": options.visibility_seconds}
    at_redis = timeout | {"socket_connect_timeout": _CONNECT_SECONDS, "health_check_interval": 10}
    made = Celery(options.queue_prefix, set_as_current=False, events=EVENTS)
    made.conf.update(
        broker_url=options.broker,
        broker_connection_timeout=_CONNECT_SECONDS,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_transport_options=at_redis if is_redis else {"confirm_publish": True},
        # Tasks with a time of their own are never sent; Celery declares the queues for them.
        broker_native_delayed_delivery_queue_type="classic",
        result_backend=backend or "disabled://",
        # Mirroring a state must not hold up a task.
        result_backend_transport_options=timeout | {"retry_policy": _AT_ONCE},
        visibility_timeout=options.visibility_seconds,
        redis_socket_connect_timeout=_CONNECT_SECONDS,
        redis_socket_timeout=_CONNECT_SECONDS,
        accept_content=["json"],
        result_accept_content=["json"],
        task_serializer="json",
        result_serializer="json",
        task_queues=[_queue(options, name) for name in options.queues],
        task_default_queue=options.full_name(INGEST),
        task_default_exchange=options.queue_prefix,
        task_default_exchange_type="direct" if is_redis else "topic",
        task_default_routing_key=options.full_name(INGEST),
        task_create_missing_queues=False,
        task_acks_late=True,
        task_acks_on_failure_or_timeout=True,
        task_reject_on_worker_lost=True,
        # States are mirrored by ``StateMirror``: a result backend that is gone stops no task.
        task_ignore_result=True,
        task_send_sent_event=True,
        worker_send_task_events=True,
        worker_pool="threads",
        worker_concurrency=options.concurrency,
        worker_prefetch_multiplier=1,
        worker_disable_prefetch=is_redis,
        worker_detect_quorum_queues=True,
        worker_enable_prefetch_count_reduction=False,
        worker_soft_shutdown_timeout=options.stop_seconds,
        worker_redirect_stdouts=False,
    )
    return made


def dead_letters(options: CeleryOptions) -> Any:
    """Return the queue of ids and reasons of jobs that have failed, which no worker reads."""
    name = options.full_name(DEAD)
    arguments = None
    if not options.is_redis:
        arguments = {"x-queue-type": "quorum", "x-max-length": _MOST_DEAD}
    return _ENTITIES.Queue(
        name, _ENTITIES.Exchange(options.queue_prefix), name, queue_arguments=arguments
    )


def keep_newest(channel: Any, queue: str) -> None:
    """Bound a queue on Redis, which has no limit of its own; RabbitMQ's is declared."""
    client = getattr(channel, "client", None)
    if client is not None:
        client.ltrim(queue, 0, _MOST_DEAD - 1)


def _queue(options: CeleryOptions, name: str) -> Any:
    full = options.full_name(name)
    arguments = None
    if not options.is_redis:
        arguments = {
            "x-queue-type": "quorum",
            # Messages that are no task of ours.
            "x-dead-letter-exchange": options.queue_prefix,
            "x-dead-letter-routing-key": options.full_name(DEAD),
        }
    return _ENTITIES.Queue(
        full, _ENTITIES.Exchange(options.queue_prefix), full, queue_arguments=arguments
    )


def _exchange(options: CeleryOptions) -> Any:
    # On RabbitMQ, Celery binds delaying queues to exchanges of this type only.
    kind = "direct" if options.is_redis else "topic"
    return _ENTITIES.Exchange(options.queue_prefix, type=kind)
