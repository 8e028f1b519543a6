"""Any server that speaks OpenAI's chat completions: vLLM, llama.cpp, LM Studio, and OpenAI.

Answers stream as server-sent events. Source: https://platform.openai.com/docs/api-reference/chat
"""

from __future__ import annotations

import json
import re
from collections.abc import Generator, Iterator
from contextlib import closing
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from kvasir.components.generators.llm_server import ServerGenerator, chat_messages
from kvasir.core.errors import ComponentError, SettingsError
from kvasir.core.pieces import CutReason, Incomplete, cut_reason
from kvasir.core.types import Prompt

_OPERATION = "answering"
_LIMITS = ("max_tokens", "max_completion_tokens", "")
_PARAMETER = re.compile(r"\b(?:max_tokens|max_completion_tokens|temperature)\b")
_UNSUPPORTED = re.compile(
    r"unsupported|not (?:supported|permitted|allowed)|not support|deprecated"
    r"|unrecognized|unknown|unexpected|extra (?:inputs|fields)",
    re.IGNORECASE,
)
"""Words of a server that does not know a parameter or does not accept its value."""
_DONE = {"choices": [{"finish_reason": "stop"}]}


class OpenAIGenerator(ServerGenerator):
    """Generates answers with a model behind ``/v1/chat/completions``."""

    component = "openai"
    remedy = "start the server, or correct generator.base_url"

    def __init__(
        self,
        model: str = "",
        base_url: str = "",
        api_key: str | None = None,
        temperature: float | None = 0.0,
        max_tokens: int = 1024,
        context_window: int | None = None,
        timeout: float = 120.0,
        retries: int = 2,
        backoff: float = 0.5,
        max_tokens_parameter: str = "max_tokens",
    ) -> None:
        """Set the server and the model; nothing is sent yet.

        Options as in ``ServerGenerator``; ``/v1`` may be left out of ``base_url``. An answer has
        at most ``max_tokens``, which are reserved in the model's context window, unlimited where
        that is None. ``max_tokens_parameter`` is the name under which they are sent, or empty; a
        ``temperature`` of None is not sent.

        Raises:
            SettingsError: The model or the server is missing, or a value unusable.
        """
        if not model:
            raise SettingsError("generator 'openai' needs generator.model, the model's name")
        if not base_url:
            raise SettingsError(
                "generator 'openai' needs generator.base_url, such as http://localhost:8000/v1"
            )
        if max_tokens_parameter not in _LIMITS:
            raise SettingsError(
                "max_tokens_parameter must be max_tokens, max_completion_tokens or empty, not "
                f"'{max_tokens_parameter}'"
            )
        if not urlsplit(base_url).path.strip("/"):
            base_url = f"{base_url.rstrip('/')}/v1"
        super().__init__(
            model, base_url, api_key, temperature, max_tokens, timeout, retries, backoff
        )
        self._context_window = context_window
        self._limit = max_tokens_parameter

    def context_tokens(self) -> int | None:
        """Return the context length from the settings; the API does not report it."""
        return self._context_window

    def generate(self, prompt: Prompt) -> Generator[str, None, None]:
        """Yield the answer as the server writes it; closing it disconnects.

        A parameter that the server does not support is left out from then on.
        """
        while True:
            body = self._body(prompt)
            try:
                yield from self._repeated(partial(self._answer, body), _OPERATION)
                return
            except UnsupportedParameterError as error:
                if not self._leave_out(error.name, body):
                    raise self._failure(_OPERATION, str(error)) from error

    def _body(self, prompt: Prompt) -> dict[str, Any]:
        """Return the request of an answer."""
        body: dict[str, Any] = {
            "model": self._model,
            "messages": chat_messages(prompt.messages),
            "stream": True,
        }
        if self._temperature is not None:
            body["temperature"] = self._temperature
        if self._limit:
            body[self._limit] = self.answer_tokens
        return body

    def _answer(self, body: dict[str, Any]) -> Generator[str, None, None]:
        """Yield the text of one request."""
        is_finished, refused, cut = False, "", None
        with closing(self._post("/chat/completions", body, _OPERATION)) as lines:
            for event in self._events(lines):
                try:
                    choice = (event.get("choices") or [{}])[0]
                    # A gateway that does not stream sends the whole message.
                    part = choice.get("delta") or choice.get("message") or {}
                    text, refusal = content_text(part.get("content")), part.get("refusal") or ""
                    reason = choice.get("finish_reason")
                    refused += refusal
                except (AttributeError, LookupError, TypeError) as error:
                    raise self._malformed(json.dumps(event)) from error
                if text:
                    yield text
                cut = cut_reason(reason) or cut
                is_finished = is_finished or bool(reason) or "message" in choice
        if not is_finished:
            raise self._failure(_OPERATION, "the answer ended without its end mark")
        if refused:
            yield Incomplete(CutReason.REFUSAL, refused)
        elif cut is not None:
            yield Incomplete(cut)

    def _events(self, lines: Iterator[str]) -> Iterator[dict[str, Any]]:
        """Yield the events of a stream, or the object that came instead of one."""
        name, others = "", list[str]()
        for line in lines:
            field, _, value = line.partition(":")
            if field == "event":
                name = value.strip()
            elif field == "data":
                if value.strip() == "[DONE]":
                    yield _DONE
                    return
                yield self._parsed(value, is_error=name == "error")
                name = ""
            elif field not in ("", "id", "retry"):  # A comment keeps the connection alive.
                others.append(line)
        if others:
            yield self._parsed("\n".join(others), is_error=False)

    def _parsed(self, data: str, *, is_error: bool) -> dict[str, Any]:
        try:
            event = json.loads(data)
        except ValueError as error:
            raise self._malformed(data) from error
        if not isinstance(event, dict):
            raise self._malformed(data)
        if reported := event.get("error") or (event if is_error else None):
            raise self._reported(reported, _OPERATION)
        return event

    def _malformed(self, data: str) -> ComponentError:
        return self._failure(_OPERATION, f"an event is malformed: {data.strip()}")

    def _refused(self, response: Any, operation: str) -> Exception:
        refused = super()._refused(response, operation)
        if response.status_code not in (400, 422) or not _UNSUPPORTED.search(str(refused)):
            return refused
        named = _PARAMETER.search(str(refused))
        return UnsupportedParameterError(self._message(response), named[0]) if named else refused

    def _leave_out(self, name: str, sent: dict[str, Any]) -> bool:
        """Send a parameter no more, or under its other name; False if nothing is left to change.

        Another request may have left out the same one since this was sent.
        """
        if self._limit and name == self._limit:
            is_old = self._limit == "max_tokens"
            self._limit = "max_completion_tokens" if is_old else ""
            return True
        if name in sent and name in _LIMITS:
            return True
        # Some servers name a parameter that is not in the request.
        self._temperature = None
        return "temperature" in sent


class UnsupportedParameterError(Exception):
    """The server does not support a parameter of the request."""

    def __init__(self, message: str, name: str) -> None:
        super().__init__(message)
        self.name = name


def content_text(content: Any) -> str:
    """Return the text of a message's content, which may be a list of parts.

    Raises:
        TypeError: It is neither text nor such a list.
    """
    if content is None or isinstance(content, str):
        return content or ""
    texts = (part.get("text") for part in content if part.get("type") in ("text", "output_text"))
    return "".join(texts)
