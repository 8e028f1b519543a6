"""Ragas' metrics, judged by any server with OpenAI's chat completions.

Faithfulness (do the passages support the answer's statements?), answer relevancy (do questions
made of the answer resemble the one asked?), context precision (are helpful passages ranked above
the others?) and context recall (are the accepted answer's statements in the passages?).

Ragas' telemetry is switched off (``core.environment``), and its client, which writes an id to
the home directory, is not used.

Source: Es et al. 2023, arXiv 2309.15217; https://docs.ragas.io (ragas 0.4).
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar, cast
from urllib.parse import urlsplit

import httpx
import instructor
import openai
from instructor.core.exceptions import InstructorError
from pydantic import BaseModel
from ragas.embeddings.base import BaseRagasEmbedding
from ragas.llms.base import InstructorBaseRagasLLM
from ragas.metrics.collections import AnswerRelevancy, ContextPrecision, ContextRecall, Faithfulness

from kvasir.core.errors import (
    ComponentError,
    KvasirError,
    ModelNotFoundError,
    SettingsError,
    StoppedError,
)
from kvasir.core.protocols import Embedder
from kvasir.core.run import Run
from kvasir.evaluation.judges import JudgedCase, Verdict

T = TypeVar("T", bound=BaseModel)

# Failures are raised and reported here; the library would print them as well.
logging.getLogger("instructor").setLevel(logging.CRITICAL)

# Errors that one question's length or wording can cause. Checked before connection errors,
# because the client's timeout is one.
_OF_ONE_QUESTION = (openai.APITimeoutError, openai.BadRequestError, openai.UnprocessableEntityError)


@dataclass(eq=False)
class RagasJudge:
    """Grades answers with Ragas; without a model or a server it is a ``SettingsError``.

    Attributes:
        embedder: Compares questions, for answer relevancy.
        model: The model's name at the server.
        base_url: The server, such as ``http://localhost:8000/v1``; ``/v1`` may be left out.
        api_key: Its key, if it asks for one.
        temperature: 0 for the likeliest words; None if the model takes no temperature.
        max_tokens: Most tokens of one reply.
        workers: Number of questions that are graded at once.
        timeout: Seconds for one reply.
        retries: Number of retries after an unusable reply.
    """

    metrics = ("faithfulness", "answer_relevancy", "context_precision", "context_recall")
    embedder: Embedder
    model: str = ""
    base_url: str = ""
    api_key: str | None = field(default=None, repr=False)
    temperature: float | None = 0.0
    max_tokens: int = 4096
    workers: int = 4
    timeout: float = 120.0
    retries: int = 2

    def __post_init__(self) -> None:
        for key in ("model", "base_url"):
            if not getattr(self, key):
                raise SettingsError(
                    f"judge 'ragas' needs evaluation.judge.{key}: name a language model's server "
                    "that speaks OpenAI's chat completions"
                )
        root = self.base_url.rstrip("/")
        self.base_url = root if urlsplit(root).path else f"{root}/v1"
        self.api_key = self.api_key or "none"  # The client insists; most local servers do not.

    def check(self) -> None:
        """Check that the server can be reached and accepts the key."""
        headers = {"Authorization": f"Bearer {self.api_key}"}
        try:
            # Not every server lists its models: any reply except a refusal is accepted.
            reply = httpx.get(f"{self.base_url}/models", headers=headers, timeout=self.timeout)
        except httpx.HTTPError as error:
            raise self._unreachable() from error
        if reply.status_code in (401, 403):
            raise self._refused()

    def judge(self, cases: Sequence[JudgedCase], run: Run) -> list[Verdict]:
        """Grade questions, several at once; not from within a running event loop.

        A stop gives up the requests under way.
        """
        try:
            return asyncio.run(self._judge(cases, run))
        except asyncio.CancelledError:
            raise StoppedError from None

    async def _judge(self, cases: Sequence[JudgedCase], run: Run) -> list[Verdict]:
        grading = asyncio.ensure_future(self._grade_all(cases, run))
        loop = asyncio.get_running_loop()

        def cancel() -> None:
            loop.call_soon_threadsafe(grading.cancel)

        with run.stop.calling(cancel):
            return await grading

    async def _grade_all(self, cases: Sequence[JudgedCase], run: Run) -> list[Verdict]:
        client = openai.AsyncOpenAI(
            base_url=self.base_url,
            api_key=self.api_key,
            timeout=self.timeout,
            max_retries=self.retries,
        )
        create = instructor.from_openai(client, mode=instructor.Mode.JSON).chat.completions.create
        options: dict[str, Any] = {"max_tokens": self.max_tokens, "max_retries": self.retries}
        if self.temperature is not None:
            options["temperature"] = self.temperature
        ask = partial(create, model=self.model, **options)
        graders = _Graders(_Server(ask), _Embeddings(self.embedder))
        places = asyncio.Semaphore(self.workers)
        done = 0

        async def grade(case: JudgedCase) -> Verdict:
            nonlocal done
            async with places:
                verdict = await self._grade(graders, case)
            done += 1
            run.report("judge", done, len(cases), "questions")
            return verdict

        async with client:
            try:
                async with asyncio.TaskGroup() as group:
                    tasks = [group.create_task(grade(case)) for case in cases]
            except BaseExceptionGroup as errors:
                # All tasks use one server: the first failure is enough.
                raise errors.exceptions[0] from None
        return [task.result() for task in tasks]

    async def _grade(self, graders: _Graders, case: JudgedCase) -> Verdict:
        scores: dict[str, float] = {}
        failures: dict[str, str] = {}
        for name, asking in graders.ask(case):
            try:
                value = float((await asking).value)
            except (openai.APIError, InstructorError) as error:
                if fatal := self._fatal(error):
                    raise fatal from error
                failures[name] = _reason(error)
                continue
            if math.isnan(value):
                failures[name] = "the judge found no statements"
            else:
                scores[name] = min(1.0, max(0.0, value))
        return Verdict(scores, failures)

    def _fatal(self, error: BaseException) -> KvasirError | None:
        """Return the error to raise if every later question would fail as well."""
        for cause in _causes(error):
            if isinstance(cause, _OF_ONE_QUESTION):
                return None
            if isinstance(cause, (openai.AuthenticationError, openai.PermissionDeniedError)):
                return self._refused()
            if isinstance(cause, openai.NotFoundError):
                return ModelNotFoundError(
                    f"the judge at {self.base_url} does not have the model '{self.model}': "
                    "correct evaluation.judge.model or evaluation.judge.base_url"
                )
            if isinstance(cause, openai.APIConnectionError):
                return self._unreachable()
            if isinstance(cause, openai.APIStatusError):
                return ComponentError("ragas", "judging", f"{self.base_url} answered: {cause}")
        return None

    def _unreachable(self) -> ComponentError:
        advice = "start the server, or correct evaluation.judge.base_url"
        cause = f"{self.base_url} cannot be reached; {advice}"
        return ComponentError("ragas", "judging", cause, kind="unreachable")

    def _refused(self) -> SettingsError:
        return SettingsError(
            f"the judge at {self.base_url} refuses access: set evaluation.judge.api_key"
        )


class _Graders:
    """Ragas' metrics with the server and the embedder behind them."""

    def __init__(self, server: _Server, embeddings: _Embeddings) -> None:
        self._faithfulness = Faithfulness(llm=server)
        self._relevancy = AnswerRelevancy(llm=server, embeddings=embeddings)
        self._precision = ContextPrecision(llm=server)
        self._recall = ContextRecall(llm=server)

    def ask(self, case: JudgedCase) -> Iterator[tuple[str, Awaitable[Any]]]:
        """Yield the metrics that apply to a case."""
        question, answer, contexts = case.question, case.answer, list(case.contexts)
        if answer and contexts:
            yield "faithfulness", self._faithfulness.ascore(question, answer, contexts)
        if answer:
            yield "answer_relevancy", self._relevancy.ascore(question, answer)
        if case.reference and contexts:
            yield "context_precision", self._precision.ascore(question, case.reference, contexts)
            yield "context_recall", self._recall.ascore(question, contexts, case.reference)


class _Server(InstructorBaseRagasLLM):
    """The language model behind Ragas' metrics."""

    def __init__(self, ask: Callable[..., Awaitable[Any]]) -> None:
        self._ask = ask

    def generate(self, prompt: str, response_model: type[T]) -> T:
        """Ask and wait; not used by these metrics."""
        return asyncio.run(self.agenerate(prompt, response_model))

    async def agenerate(self, prompt: str, response_model: type[T]) -> T:
        messages = [{"role": "user", "content": prompt}]
        return cast(T, await self._ask(messages=messages, response_model=response_model))


class _Embeddings(BaseRagasEmbedding):
    """Our embedder behind Ragas' interface."""

    def __init__(self, embedder: Embedder) -> None:
        super().__init__()
        self._embedder = embedder

    def embed_text(self, text: str, **kwargs: Any) -> list[float]:
        return cast("list[float]", self._embedder.embed_queries([text])[0].tolist())

    async def aembed_text(self, text: str, **kwargs: Any) -> list[float]:
        """Embed a text without blocking the other questions."""
        return await asyncio.to_thread(self.embed_text, text)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _reason(error: BaseException) -> str:
    # The client's error says more than instructor's list of attempts.
    cause = next((each for each in _causes(error) if isinstance(each, _OF_ONE_QUESTION)), error)
    first = str(cause).strip().splitlines()
    return f"no usable reply: {first[0] if first else type(cause).__name__}"
