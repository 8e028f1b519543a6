"""Any Haystack chat generator as Kvasir's generator.

Source: https://docs.haystack.deepset.ai/docs/generators (haystack-ai 3).
"""

from __future__ import annotations

import inspect
import threading
from collections.abc import Iterator, Mapping
from queue import SimpleQueue
from typing import Any

from haystack.dataclasses import ChatMessage, StreamingChunk

from kvasir.core.errors import ComponentError, SettingsError
from kvasir.core.leases import Lazy
from kvasir.core.types import Prompt
from kvasir.integrations.haystack_classes import make

_ROLES = {
    "system": ChatMessage.from_system,
    "user": ChatMessage.from_user,
    "assistant": ChatMessage.from_assistant,
}


class _BrokenOffError(Exception):
    """The reader stopped."""


class HaystackGenerator:
    """Generates answers with a Haystack chat generator; streams if that one does."""

    def __init__(
        self,
        component: str = "",
        init_parameters: Mapping[str, Any] | None = None,
        context_window: int | None = None,
        max_tokens: int = 1024,
    ) -> None:
        """Create the chat generator.

        ``component`` is its class, ``package.module:Class``, and ``init_parameters`` are as in a
        Haystack pipeline file. The model's context of ``context_window`` tokens is unlimited if
        that is None; ``max_tokens`` of it are reserved for the answer, which the component's own
        parameters limit.

        Raises:
            SettingsError: The class or its parameters are unusable.
        """
        if not component:
            raise SettingsError(
                "generator 'haystack' needs generator.options.component, such as "
                "haystack.components.generators.chat:OpenAIChatGenerator"
            )
        if max_tokens < 1:
            raise SettingsError(f"max_tokens must be at least 1, not {max_tokens}")
        self.answer_tokens = max_tokens
        self._component = make("component", component, init_parameters or {})
        self._streams = "streaming_callback" in inspect.signature(self._component.run).parameters
        self._context_window = context_window
        self._warmed_up = Lazy(getattr(self._component, "warm_up", lambda: None))

    def context_tokens(self) -> int | None:
        """Return the context length from the settings; Haystack does not know it."""
        return self._context_window

    def generate(self, prompt: Prompt) -> Iterator[str]:
        """Yield the answer as the chat generator writes it.

        Raises:
            ComponentError: The chat generator failed.
        """
        pieces: SimpleQueue[str | Exception | None] = SimpleQueue()
        stopped = threading.Event()
        # A thread, because pieces come by callback.
        writer = threading.Thread(
            target=self._write, args=(prompt, pieces, stopped), daemon=True, name="kvasir-haystack"
        )
        writer.start()
        try:
            while (piece := pieces.get()) is not None:
                if isinstance(piece, Exception):
                    raise ComponentError("haystack", "answering", piece) from piece
                yield piece
        finally:
            stopped.set()

    def _write(
        self, prompt: Prompt, pieces: SimpleQueue[str | Exception | None], stopped: threading.Event
    ) -> None:
        has_text = False

        def on_chunk(chunk: StreamingChunk) -> None:
            nonlocal has_text
            if stopped.is_set():
                raise _BrokenOffError
            if chunk.content:
                has_text = True
                pieces.put(chunk.content)

        messages = [_ROLES[message.role](message.content) for message in prompt.messages]
        try:
            self._warmed_up.get()
            options = {"streaming_callback": on_chunk} if self._streams else {}
            replies = self._component.run(messages=messages, **options)["replies"]
            if not has_text and replies and replies[0].text:
                pieces.put(replies[0].text)
            pieces.put(None)
        except _BrokenOffError:
            pieces.put(None)
        except Exception as error:  # noqa: BLE001  the reader raises it again
            pieces.put(error)

    def close(self) -> None:
        """Close the chat generator's connections, where it can."""
        if hasattr(self._component, "close"):
            self._component.close()
