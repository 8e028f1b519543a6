"""A model on an Ollama server, through its native API: chat, model information, pulling.

Source: https://github.com/ollama/ollama/blob/main/docs/api.md
"""

from __future__ import annotations

import json
from collections.abc import Callable, Generator
from contextlib import closing
from typing import Any

from kvasir.components.generators.llm_server import ChatServer, chat_messages
from kvasir.core.errors import ModelNotFoundError, SettingsError
from kvasir.core.run import Run
from kvasir.core.types import Prompt

_OPERATION = "answering"


class OllamaGenerator:
    """Generates answers with a model on an Ollama server."""

    def __init__(
        self,
        model: str = "",
        base_url: str = "http://localhost:11434",
        api_key: str | None = None,
        temperature: float = 0.0,
        max_tokens: int = 1024,
        context_window: int = 8192,
        pull: bool = False,
        timeout: float = 300.0,
        retries: int = 2,
        backoff: float = 0.5,
        run: Run | None = None,
    ) -> None:
        """Set the server and the model; nothing is sent yet.

        Args:
            model: The model's name, such as ``qwen3:4b``.
            base_url: The server.
            api_key: For a proxy that asks for one.
            temperature: 0 for the likeliest words, more for variety.
            max_tokens: Most tokens of an answer; reserved in the context window.
            context_window: Largest context in tokens; a model's own limit may be lower. More
                takes more memory.
            pull: Fetch the model when the server does not have it, which can take long.
            timeout: Longest wait for the next byte, in seconds, loading the model included.
            retries: Most repetitions of a request before its first words.
            backoff: Seconds before the first repetition; doubled each time.
            run: Stops fetching the model, and gets the progress.

        Raises:
            SettingsError: The model is missing, or a value unusable.
        """
        self._run = run or Run()
        if not model:
            raise SettingsError("generator 'ollama' needs generator.model, such as qwen3:4b")
        if max_tokens < 1:
            raise SettingsError(f"max_tokens must be at least 1, not {max_tokens}")
        if context_window < 1:
            raise SettingsError(f"context_window must be at least 1, not {context_window}")
        self._server = ChatServer(
            "ollama",
            base_url,
            "start it with 'ollama serve', or correct generator.base_url",
            api_key=api_key,
            timeout=timeout,
            retries=retries,
            backoff=backoff,
        )
        self._model = model
        self._temperature = temperature
        self.answer_tokens = max_tokens
        self._wanted_window = context_window
        self._pull_missing = pull
        self._window: int | None = None

    def context_tokens(self) -> int | None:
        """Return the smaller of the model's and the settings' context length.

        Raises:
            ComponentError: The server cannot be reached or failed.
            ModelNotFoundError: The server does not have the model.
        """
        if self._window is None:
            shown = self._with_model(lambda: self._post("/api/show", {"model": self._model}))
            info = shown.get("model_info") or {}
            lengths = [
                value
                for key, value in info.items()
                if key.endswith(".context_length") and isinstance(value, int)
            ]
            self._window = min([self._wanted_window, *lengths])
        return self._window

    def generate(self, prompt: Prompt) -> Generator[str, None, None]:
        """Yield the answer as the server writes it; closing and errors as ``ChatServer.lines``."""
        body = {
            "model": self._model,
            "messages": chat_messages(prompt),
            "stream": True,
            "options": {
                "temperature": self._temperature,
                "num_predict": self.answer_tokens,
                "num_ctx": self.context_tokens(),
            },
        }
        with closing(self._events("/api/chat", body, _OPERATION)) as events:
            for event in events:
                text = (event.get("message") or {}).get("content")
                if text:
                    yield str(text)
                if event.get("done"):
                    return
        raise self._server.failure(_OPERATION, "the answer ended without its end mark")

    def pull(self, run: Run | None = None) -> None:
        """Fetch the model to the server; the progress ends with 1 of 1.

        Raises:
            StoppedError: The run was stopped.
            ComponentError: The server cannot be reached, or cannot fetch the model.
        """
        run = run or Run()
        operation = f"pulling {self._model}"
        status = ""
        body = {"model": self._model, "stream": True}
        events = iter(self._events("/api/pull", body, operation))
        while (event := run.call(lambda: next(events, None))) is not None:
            status = str(event.get("status", status))
            run.download(status, int(event.get("completed", 0)), int(event.get("total", 0)))
        if status != "success":
            raise self._server.failure(operation, f"it ended with '{status}'")
        run.download(status, 1, 1)

    def close(self) -> None:
        """Close connections."""
        self._server.close()

    def _with_model(self, call: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Call; if the model is missing and may be pulled, pull it and call again."""
        try:
            return call()
        except ModelNotFoundError as error:
            if not self._pull_missing:
                raise ModelNotFoundError(
                    f"the Ollama server at {self._server.base_url} does not have the model "
                    f"'{self._model}': run 'ollama pull {self._model}' there, or set "
                    "generator.options.pull to true"
                ) from error
        self.pull(self._run)
        return call()

    def _post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        return self._server.post(path, body, "reading the model's properties")

    def _events(
        self, path: str, body: dict[str, Any], operation: str
    ) -> Generator[dict[str, Any], None, None]:
        with closing(self._server.lines(path, body, operation)) as lines:
            for line in lines:
                yield self._event(line, operation)

    def _event(self, line: str, operation: str) -> dict[str, Any]:
        try:
            event = json.loads(line)
        except ValueError as error:
            raise self._server.failure(operation, f"a line is malformed: {line}") from error
        if not isinstance(event, dict):
            raise self._server.failure(operation, f"a line is no JSON object: {line}")
        if "error" in event:
            raise self._server.failure(operation, str(event["error"]))
        return event
