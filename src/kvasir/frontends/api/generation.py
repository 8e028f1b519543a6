"""Opens the answer to a question: within the server's limits, in its turn, and counted."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import replace
from functools import partial
from typing import Any

from fastapi import Request

from kvasir.app import App
from kvasir.cached_answers import CachedAnswers
from kvasir.collection import Collection
from kvasir.core.answer_stream import AnswerStream
from kvasir.core.deadline import deadline
from kvasir.core.errors import ComponentError, KvasirError, StoppedError
from kvasir.core.types import Answer, AnswerEvent, Finished, Retrieved
from kvasir.frontends.api.admission import Admission
from kvasir.frontends.api.metrics import Metrics
from kvasir.frontends.api.tracing import Tracing
from kvasir.settings.schema import Settings

_EXTRACTIVE_PLACES = 16


def make_admission(settings: Settings) -> Admission:
    """Return the places for answers that the settings allow."""
    server = settings.server
    default = 1 if has_language_model(settings) else _EXTRACTIVE_PLACES
    return Admission(server.generations or default, server.waiting_answers)


def has_language_model(settings: Settings) -> bool:
    """Return True if answers come from a language model, false if they are quotations."""
    return settings.has_language_model


def open_answer(
    request: Request, kvasir: App, collection: Collection, question: str, **options: Any
) -> AnswerStream:
    """Return the events of an answer; the generator waits for its turn after the hits.

    With ``answer.cache`` an answer that is kept is given again, except to a request with
    ``Cache-Control: no-cache``.

    Args:
        request: The request, for the server's state.
        kvasir: The process.
        collection: A lease, which stays open until the stream is closed.
        question: The question.
        options: As of ``Collection.stream``.

    Raises:
        ComponentError: Too many answers wait.
        RequestError: The question or an option is unusable.
    """
    cache: CachedAnswers = request.app.state.cached_answers
    fresh = "no-cache" in request.headers.get("cache-control", "")
    make = partial(collection.stream, question, **options)
    if cache.is_enabled and not request.app.state.on_demand:
        with deadline(kvasir.settings.server.answer_seconds):
            stream, was_kept = cache.stream(
                kvasir, collection, question, options, make, fresh=fresh
            )
        if was_kept:
            request.app.state.metrics.answers.labels("cached").inc()
            return stream
        return open_stream(request, kvasir, lambda: stream)
    return open_stream(request, kvasir, make)


def open_stream(request: Request, kvasir: App, make: Callable[[], AnswerStream]) -> AnswerStream:
    """Return the events of an answer that ``make`` starts, otherwise as ``open_answer``."""
    state = request.app.state
    admission: Admission = state.admission
    try:
        admission.check_room()
    except ComponentError:
        state.metrics.turned_away.inc()
        raise
    with deadline(kvasir.settings.server.answer_seconds):
        return admitted(make(), admission, state.metrics, state.tracing)


def admitted(
    stream: AnswerStream, admission: Admission, metrics: Metrics, tracing: Tracing
) -> AnswerStream:
    """Return the events of an answer, which waits for its turn after the hits, and is counted."""
    return AnswerStream(_admitted(stream, admission, metrics, tracing))


def _admitted(
    stream: AnswerStream, admission: Admission, metrics: Metrics, tracing: Tracing
) -> Generator[AnswerEvent, None, None]:
    outcome = "left"
    try:
        with stream:
            for event in stream:
                yield event
                if isinstance(event, Retrieved):
                    break
            with admission.turn() as waited:
                for event in stream:
                    if isinstance(event, Finished):
                        answer = _with_wait(event.answer, waited)
                        outcome = "refused" if answer.refused else "answered"
                        _count(answer, metrics, tracing)
                        event = replace(event, answer=answer)
                    yield event
    except StoppedError:
        raise
    except KvasirError:
        outcome = "failed"
        raise
    finally:
        metrics.answers.labels(outcome).inc()


def _with_wait(answer: Answer, waited: float) -> Answer:
    """Tell the wait for the turn apart from the generation, which it was measured with."""
    timings = dict(answer.timings)
    if "generate" in timings:
        timings["generate"] = max(0.0, timings["generate"] - waited)
    return replace(answer, timings={"wait": waited, **timings})


def _count(answer: Answer, metrics: Metrics, tracing: Tracing) -> None:
    for stage, seconds in answer.timings.items():
        metrics.stage_seconds.labels(stage).observe(seconds)
    tracing.stages({name: answer.timings.get(name, 0.0) for name in ("retrieve", "generate")})
