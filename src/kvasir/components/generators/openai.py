"""Any server that speaks OpenAI's chat completions: vLLM, llama.cpp, LM Studio, and OpenAI.

Answers stream as server-sent events. Source: https://platform.openai.com/docs/api-reference/chat
"""

from __future__ import annotations

import json
from collections.abc import Generator
from contextlib import closing
from typing import Any
from urllib.parse import urlsplit

from kvasir.components.generators.llm_server import ChatServer, chat_messages
from kvasir.core.errors import SettingsError
from kvasir.core.types import Prompt

_OPERATION = "answering"


class OpenAIGenerator:
    """Generates answers with a model behind ``/v1/chat/completions``."""

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

        Args:
            model: The model's name at the server.
            base_url: The server, such as ``http://localhost:8000/v1``; ``/v1`` may be left out.
            api_key: Its key, if it asks for one.
            temperature: 0 for the likeliest words, more for variety.
            max_tokens: Most tokens of an answer; reserved in the context window.
            context_window: The model's context length in tokens; None: unlimited.
            timeout: Longest wait for the next byte, in seconds.
            retries: Most repetitions of a request before its first words.
            backoff: Seconds before the first repetition; doubled each time.

        Raises:
            SettingsError: The model or the server is missing, or a value unusable.
        """
        if not model:
            raise SettingsError("generator 'openai' needs generator.model, the model's name")
        if not base_url:
            raise SettingsError(
                "generator 'openai' needs generator.base_url, such as http://localhost:8000/v1"
            )
        if max_tokens < 1:
            raise SettingsError(f"max_tokens must be at least 1, not {max_tokens}")
        path = urlsplit(base_url).path.strip("/")
        self._server = ChatServer(
            "openai",
            base_url if path else f"{base_url.rstrip('/')}/v1",
            "start the server, or correct generator.base_url",
            api_key=api_key,
            timeout=timeout,
            retries=retries,
            backoff=backoff,
        )
        self._model = model
        self._temperature = temperature
        self.answer_tokens = max_tokens
        self._context_window = context_window

    def context_tokens(self) -> int | None:
        """Return the context length from the settings; the API does not report it."""
        return self._context_window

    def generate(self, prompt: Prompt) -> Generator[str, None, None]:
        """Yield the answer as the server writes it; closing and errors as ``ChatServer.lines``."""
        body = {
            "model": self._model,
            "messages": chat_messages(prompt),
            "temperature": self._temperature,
            "max_tokens": self.answer_tokens,
            "stream": True,
        }
        finished = False
        with closing(self._server.lines("/chat/completions", body, _OPERATION)) as lines:
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
            raise self._server.failure(_OPERATION, "the answer ended without its end mark")

    def close(self) -> None:
        """Close connections."""
        self._server.close()

    def _read(self, data: str) -> tuple[str, bool]:
        """Return an event's text, and True if it is the last event."""
        try:
            event: dict[str, Any] = json.loads(data)
            if "error" in event:
                raise self._server.failure(_OPERATION, json.dumps(event["error"]))
            choices = event.get("choices") or [{}]
            delta = choices[0].get("delta") or {}
            return delta.get("content") or "", bool(choices[0].get("finish_reason"))
        except (ValueError, AttributeError, LookupError) as error:
            raise self._server.failure(_OPERATION, f"an event is malformed: {data}") from error
