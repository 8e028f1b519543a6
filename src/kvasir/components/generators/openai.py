"""Any server that speaks OpenAI's chat completions: vLLM, llama.cpp, LM Studio, and OpenAI.

Answers stream as server-sent events. Source: https://platform.openai.com/docs/api-reference/chat
"""

from __future__ import annotations

import json
from collections.abc import Generator
from contextlib import closing
from typing import Any
from urllib.parse import urlsplit

from kvasir.components.generators.llm_server import ServerGenerator, chat_messages
from kvasir.core.errors import SettingsError
from kvasir.core.types import Prompt

_OPERATION = "answering"


class OpenAIGenerator(ServerGenerator):
    """Generates answers with a model behind ``/v1/chat/completions``."""

    component = "openai"
    remedy = "start the server, or correct generator.base_url"

    def __init__(
        self,
        model: str = "",
        base_url: str = "",
        api_key: str | None = None,
        temperature: float = 0.0,
        max_tokens: int = 1024,
        context_window: int | None = None,
        timeout: float = 120.0,
        retries: int = 2,
        backoff: float = 0.5,
    ) -> None:
        """Set the server and the model; nothing is sent yet.

        Options as in ``ServerGenerator``; ``/v1`` may be left out of ``base_url``. An answer has
        at most ``max_tokens``, which are reserved in the model's context window, unlimited where
        that is None.

        Raises:
            SettingsError: The model or the server is missing, or a value unusable.
        """
        if not model:
            raise SettingsError("generator 'openai' needs generator.model, the model's name")
        if not base_url:
            raise SettingsError(
                "generator 'openai' needs generator.base_url, such as http://localhost:8000/v1"
            )
        if not urlsplit(base_url).path.strip("/"):
            base_url = f"{base_url.rstrip('/')}/v1"
        super().__init__(
            model, base_url, api_key, temperature, max_tokens, timeout, retries, backoff
        )
        self._context_window = context_window

    def context_tokens(self) -> int | None:
        """Return the context length from the settings; the API does not report it."""
        return self._context_window

    def generate(self, prompt: Prompt) -> Generator[str, None, None]:
        """Yield the answer as the server writes it; closing it disconnects."""
        finished = False
        with closing(self._lines("/chat/completions", self._body(prompt), _OPERATION)) as lines:
            for line in lines:
                if not line.startswith("data:"):
                    continue  # Comments keep the connection alive; event names are redundant.
                data = line.removeprefix("data:").strip()
                if data == "[DONE]":
                    return
                text, last = self._read(data)
                finished = finished or last
                if text:
                    yield text
        if not finished:
            raise self._failure(_OPERATION, "the answer ended without its end mark")

    def _body(self, prompt: Prompt) -> dict[str, Any]:
        """Return the request of an answer."""
        return {
            "model": self._model,
            "messages": chat_messages(prompt.messages),
            "temperature": self._temperature,
            "max_tokens": self.answer_tokens,
            "stream": True,
        }

    def _read(self, data: str) -> tuple[str, bool]:
        """Return an event's text, and True if it is the last event."""
        try:
            event: dict[str, Any] = json.loads(data)
            if "error" in event:
                raise self._failure(_OPERATION, json.dumps(event["error"]))
            choices = event.get("choices") or [{}]
            delta = choices[0].get("delta") or {}
            return delta.get("content") or "", bool(choices[0].get("finish_reason"))
        except (ValueError, AttributeError, LookupError) as error:
            raise self._failure(_OPERATION, f"an event is malformed: {data}") from error
