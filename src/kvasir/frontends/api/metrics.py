"""The service's metrics in Prometheus' form, in a registry of the application.

Source: https://prometheus.io/docs/practices/naming/
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from kvasir.app import App
from kvasir.core.errors import KvasirError
from kvasir.core.protocols import KeepsPrompts

logger = logging.getLogger(__name__)

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)

Numbers = Mapping[str, float]


class Metrics:
    """Counts what the server does; what waits is read when the metrics are.

    Attributes:
        requests, request_seconds: By method, route and status.
        stage_seconds: Latency of the stages: ``search``, and of answers ``retrieve``, ``wait``,
            ``generate`` and ``total``.
        answers: By outcome: ``answered``, ``refused``, ``failed``, ``left`` (by the client).
        turned_away: Answers refused because too many wait.
        documents: Ingested by this process, by outcome.
        ingested_bytes: Of their sources.
    """

    def __init__(self, kvasir: App, generations: Callable[[], Numbers]) -> None:
        """Count nothing yet; ``generations`` returns how many answers are generated and wait."""
        self.registry = CollectorRegistry()
        registry = self.registry
        self.requests = Counter(
            "kvasir_requests",
            "Requests by route and status",
            ("method", "route", "status"),
            registry=registry,
        )
        self.request_seconds = Histogram(
            "kvasir_request_seconds",
            "Latency of requests",
            ("method", "route"),
            buckets=_SECONDS,
            registry=registry,
        )
        self.stage_seconds = Histogram(
            "kvasir_stage_seconds",
            "Latency by stage",
            ("stage",),
            buckets=_SECONDS,
            registry=registry,
        )
        self.answers = Counter(
            "kvasir_answers", "Answers by outcome", ("outcome",), registry=registry
        )
        self.turned_away = Counter(
            "kvasir_answers_turned_away", "Answers refused: too many wait", registry=registry
        )
        self.documents = Counter(
            "kvasir_documents", "Ingested documents by outcome", ("outcome",), registry=registry
        )
        self.ingested_bytes = Counter(
            "kvasir_ingested_bytes", "Bytes of ingested documents", registry=registry
        )
        for outcome in ("answered", "cached", "refused", "failed", "left"):
            self.answers.labels(outcome)
        for outcome in ("added", "replaced", "failed"):
            self.documents.labels(outcome)
        self.registry.register(_Waiting(kvasir, generations))
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)

    def rendered(self) -> bytes:
        """Return the metrics as text."""
        return generate_latest(self.registry)


class _Waiting(Collector):
    """Reads the queues at the time of a scrape."""

    def __init__(self, kvasir: App, generations: Callable[[], Numbers]) -> None:
        self._kvasir = kvasir
        self._generations = generations

    def describe(self) -> Iterable[Metric]:
        """Name nothing, so that registering does not read the database."""
        return ()

    def collect(self) -> Iterable[Metric]:
        """Yield what can be read; a database that does not answer must not hide the rest."""
        yield _gauge("generations", "Answers being generated, and waiting", self._generations())
        yield from _read(
            "prompt_tokens",
            "Tokens of prompts that a generator kept from earlier ones, and that it read",
            lambda: _prompt_tokens(self._kvasir),
        )
        services = self._kvasir.services
        yield from _read(
            "jobs",
            "Jobs by state",
            lambda: {str(state): count for state, count in services.jobs.counts().items()},
            services.jobs.oldest_waiting_seconds,
        )
        yield from _read(
            "questions",
            "Questions by state, and mails of answers that wait (unsent)",
            services.questions.counts,
            services.questions.oldest_waiting_seconds,
        )
        yield from _read(
            "mails", "Other mails that wait", lambda: {"waiting": _mails(self._kvasir)}
        )


def _prompt_tokens(kvasir: App) -> Numbers:
    generator = kvasir.generator
    return generator.prompt_tokens() if isinstance(generator, KeepsPrompts) else {}


def _mails(kvasir: App) -> float:
    return float(kvasir.services.outbox.waiting())


def _read(
    name: str, text: str, count: Callable[[], Numbers], age: Callable[[], float] | None = None
) -> Iterable[Metric]:
    try:
        yield _gauge(name, text, count())
        if age is not None:
            oldest = "Age of the oldest one that waits"
            yield GaugeMetricFamily(f"kvasir_{name}_oldest_waiting_seconds", oldest, age())
    except KvasirError as error:
        logger.warning("the metrics of %s cannot be read: %s", name, error)


def _gauge(name: str, text: str, values: Numbers) -> Metric:
    family = GaugeMetricFamily(f"kvasir_{name}", text, labels=("state",))
    for state, value in values.items():
        family.add_metric((state,), float(value))
    return family
