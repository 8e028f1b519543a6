"""Traces of requests and jobs, sent to an OpenTelemetry collector if the settings name one.

Source: https://opentelemetry.io/docs/specs/semconv/http/http-spans/
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any

from kvasir.core.errors import MissingExtraError

_NANOSECONDS = 1_000_000_000

Attributes = Mapping[str, Any]


class Tracing:
    """Makes spans; without a collector it does nothing."""

    def __init__(self, collector: str | None) -> None:
        """Send spans to a collector in the background.

        Raises:
            MissingExtraError: The libraries are not installed.
        """
        self._provider: Any = None
        if collector is None:
            return
        try:
            from opentelemetry import propagate, trace
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
            from opentelemetry.sdk.resources import Resource
            from opentelemetry.sdk.trace import TracerProvider
            from opentelemetry.sdk.trace.export import BatchSpanProcessor
        except ModuleNotFoundError as error:
            raise MissingExtraError("server.tracing", "tracing") from error
        resource = Resource.create({"service.name": "kvasir", "service.version": version("kvasir")})
        self._provider = TracerProvider(resource=resource)
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=collector)))
        self._tracer = self._provider.get_tracer("kvasir")
        self._extract = propagate.extract
        self._kinds = trace.SpanKind

    @contextmanager
    def request(self, method: str, headers: Mapping[str, str]) -> Iterator[dict[str, Any]]:
        """Trace a request, as part of the caller's trace if its headers name one.

        Yields a dictionary for the span's attributes; ``http.route`` makes its name.
        """
        attributes: dict[str, Any] = {"http.request.method": method}
        if self._provider is None:
            yield attributes
            return
        kind = self._kinds.SERVER
        with self._tracer.start_as_current_span(
            method, context=self._extract(headers), kind=kind
        ) as span:
            try:
                yield attributes
            finally:
                span.update_name(f"{method} {attributes.get('http.route', '')}".strip())
                span.set_attributes(attributes)

    @contextmanager
    def job(self, task: str, **attributes: Any) -> Iterator[None]:
        """Trace a job."""
        if self._provider is None:
            yield
            return
        with self._tracer.start_as_current_span(f"job {task}", attributes=attributes):
            yield

    def stages(self, timings: Mapping[str, float]) -> None:
        """Add the stages of an answer that has just ended, one after the other."""
        if self._provider is None:
            return
        stages = [(name, seconds) for name, seconds in timings.items() if name != "total"]
        start = time.time_ns() - int(sum(seconds for _, seconds in stages) * _NANOSECONDS)
        for name, seconds in stages:
            end = start + int(seconds * _NANOSECONDS)
            self._tracer.start_span(name, start_time=start).end(end_time=end)
            start = end

    def close(self) -> None:
        """Send what is left."""
        if self._provider is not None:
            self._provider.shutdown()
