"""A model on an Ollama server, through its native API: chat, model information, pulling.

Source: https://github.com/ollama/ollama/blob/main/docs/api.md
"""

from __future__ import annotations

import json
import threading
from collections.abc import Generator
from contextlib import closing
from typing import Any

from kvasir.components.generators.llm_server import ServerGenerator, chat_messages
from kvasir.core.deadline import check
from kvasir.core.errors import ModelNotFoundError, SettingsError
from kvasir.core.pieces import Incomplete, cut_reason
from kvasir.core.run import Run
from kvasir.core.types import Prompt

_OPERATION, _PROPERTIES = "answering", "reading the model's properties"
_PAUSE = 0.2
"""Seconds between two looks whether another thread has the model's properties."""


class OllamaGenerator(ServerGenerator):
    """Generates answers with a model on an Ollama server."""

    component = "ollama"
    remedy = "start it with 'ollama serve', or correct generator.base_url"

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

        Options as in ``ServerGenerator``; ``timeout`` includes loading the model. An answer has at
        most ``max_tokens``, which are reserved in the context window. That is the largest context
        in tokens; a model's own limit may be lower, and more takes more memory. ``pull`` fetches
        the model when the server does not have it, which can take long; ``prepare`` does it
        beforehand. ``run`` stops it, and gets its progress.

        Raises:
            SettingsError: The model is missing, or a value unusable.
        """
        if not model:
            raise SettingsError("generator 'ollama' needs generator.model, such as qwen3:4b")
        if context_window < 1:
            raise SettingsError(f"context_window must be at least 1, not {context_window}")
        super().__init__(
            model, base_url, api_key, temperature, max_tokens, timeout, retries, backoff
        )
        self._wanted_window = context_window
        self._pull_missing = pull
        self._run = run or Run()
        self._window: int | None = None
        self._reading = threading.Lock()
        self._pulled: str | None = None

    def prepare(self, run: Run) -> None:
        """Fetch the model if the server does not have it and it may be pulled."""
        self._read_window_once(run, wait=True)

    def context_tokens(self) -> int | None:
        """Return the smaller of the model's and the settings' context length.

        Raises:
            ComponentError: The server cannot be reached or failed.
            ModelNotFoundError: The server does not have the model.
        """
        return self._read_window_once(self._run, wait=False)

    def generate(self, prompt: Prompt) -> Generator[str, None, None]:
        """Yield the answer as the server writes it; closing it disconnects."""
        body = {
            "model": self._model,
            "messages": chat_messages(prompt.messages),
            "stream": True,
            "options": {
                "temperature": self._temperature,
                "num_predict": self.answer_tokens,
                "num_ctx": self.context_tokens(),
            },
        }
        with closing(self._events("/api/chat", body, _OPERATION)) as events:
            for event in events:
                text = self._part(event, "message", _OPERATION).get("content")
                if text:
                    yield str(text)
                if event.get("done"):
                    if cut := cut_reason(event.get("done_reason")):
                        yield Incomplete(cut)
                    return
        raise self._failure(_OPERATION, "the answer ended without its end mark")

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
            completed, total = int(event.get("completed", 0)), int(event.get("total", 0))
            if total:
                self._pulled = f" ({100 * completed // total} % so far)"
            run.download(status, completed, total)
        if status != "success":
            raise self._failure(operation, f"it ended with '{status}'")
        run.download(status, 1, 1)

    def _read_window_once(self, run: Run, *, wait: bool) -> int:
        """Return the window; unless ``wait``, fail as busy while another thread pulls the model."""
        while self._window is None:
            if self._pulled is not None and not wait:
                cause = f"the model '{self._model}' is being fetched{self._pulled}; ask again later"
                raise self._failure(_OPERATION, cause, "busy")
            if not self._reading.acquire(timeout=_PAUSE):
                run.check()
                check(_OPERATION)
                continue
            try:
                if self._window is None:
                    self._window = self._read_window(run)
            finally:
                self._reading.release()
        return self._window

    def _read_window(self, run: Run) -> int:
        info = self._part(self._show_or_pull(run), "model_info", _PROPERTIES)
        lengths = [
            value
            for key, value in info.items()
            if key.endswith(".context_length") and isinstance(value, int)
        ]
        return min([self._wanted_window, *lengths])

    def _show_or_pull(self, run: Run) -> dict[str, Any]:
        """Return the model's properties; if it is missing and may be pulled, pull it first."""
        try:
            return self._show()
        except ModelNotFoundError as error:
            if not self._pull_missing:
                raise ModelNotFoundError(
                    f"the Ollama server at {self._base_url} does not have the model "
                    f"'{self._model}': run 'ollama pull {self._model}' there, or set "
                    "generator.options.pull to true"
                ) from error
        self._pulled = ""
        try:
            self.pull(run)
        finally:
            self._pulled = None
        return self._show()

    def _show(self) -> dict[str, Any]:
        text = "".join(self._lines("/api/show", {"model": self._model}, _PROPERTIES))
        return self._object(text, _PROPERTIES, "no JSON came back", "no JSON object came back")

    def _events(
        self, path: str, body: dict[str, Any], operation: str
    ) -> Generator[dict[str, Any], None, None]:
        return self._repeated(lambda: self._parsed(path, body, operation), operation)

    def _parsed(
        self, path: str, body: dict[str, Any], operation: str
    ) -> Generator[dict[str, Any], None, None]:
        with closing(self._post(path, body, operation)) as lines:
            for line in lines:
                event = self._object(
                    line, operation, "a line is malformed", "a line is no JSON object"
                )
                if error := event.get("error"):
                    raise self._reported(error, operation)
                yield event

    def _part(self, event: dict[str, Any], name: str, operation: str) -> dict[str, Any]:
        """Return an object within another one; an empty one if it is missing."""
        found = event.get(name) or {}
        if not isinstance(found, dict):
            raise self._failure(operation, f"'{name}' is no JSON object: {found!r}")
        return found

    def _object(self, text: str, operation: str, malformed: str, other: str) -> dict[str, Any]:
        try:
            found = json.loads(text)
        except ValueError as error:
            raise self._failure(operation, f"{malformed}: {text}") from error
        if not isinstance(found, dict):
            raise self._failure(operation, f"{other}: {text}")
        return found
