"""A model at a Hugging Face endpoint, through the official ``InferenceClient``.

Three kinds of endpoint: text2text-generation (Flan-T5 and other encoder-decoder models),
text-generation, and chat. An address is an Inference Endpoint or a text-generation-inference
server; without one, a model's name goes to the Inference API.

Source: https://huggingface.co/docs/huggingface_hub/package_reference/inference_client
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from typing import Any, get_args

import httpx2
from huggingface_hub import InferenceClient
from huggingface_hub.errors import (
    HfHubHTTPError,
    InferenceTimeoutError,
    OverloadedError,
    TextGenerationError,
)
from huggingface_hub.inference._providers import PROVIDER_OR_POLICY_T

from kvasir.components.generators.llm_server import (
    BusyError,
    RepeatedRequests,
    chat_messages,
)
from kvasir.components.generators.openai import content_text
from kvasir.core.deadline import iterate_within_deadline, limited
from kvasir.core.errors import SettingsError
from kvasir.core.pieces import CutReason, Incomplete, cut_reason
from kvasir.core.types import Message, Prompt

_OPERATION = "answering"
_TEXT2TEXT, _TEXT, _CHAT = "text2text-generation", "text-generation", "chat"
_T5_WINDOW = 512
"""Tokens that Flan-T5 was trained to read."""


class HuggingFaceGenerator(RepeatedRequests):
    """Generates answers with a model at a Hugging Face endpoint."""

    component = "huggingface"
    remedy = "start the endpoint, or correct generator.base_url"
    http = httpx2

    def __init__(
        self,
        model: str = "",
        base_url: str = "",
        api_key: str | None = None,
        task: str = _CHAT,
        provider: str = "hf-inference",
        stream: bool | None = None,
        temperature: float = 0.0,
        max_tokens: int = 256,
        context_window: int | None = None,
        timeout: float = 120.0,
        retries: int = 2,
        backoff: float = 0.5,
    ) -> None:
        """Set the endpoint; nothing is sent yet.

        Options as in ``RepeatedRequests``, and:

        Args:
            model: The model's name on the hub; not needed with ``base_url``.
            base_url: The endpoint's address.
            api_key: The token of the endpoint or of the hub.
            task: text2text-generation, text-generation, or chat.
            provider: Of the Inference API, where the model is named.
            stream: Whether text comes in pieces, which text2text-generation can only at a
                text-generation-inference server; by default it does in chats.
            temperature: 0: the most likely words.
            max_tokens: Most tokens of an answer.
            context_window: Most tokens of a prompt of an encoder-decoder model (default: 512, which
                Flan-T5 reads); of other models, of prompt and answer together.
            timeout: Longest wait for the next byte, in seconds.
            retries: How often a busy endpoint is asked again.
            backoff: Seconds before the first retry, doubled each time.

        Raises:
            SettingsError: Model and address are missing, or a value is unusable.
        """
        if not model and not base_url:
            raise SettingsError(
                "generator 'huggingface' needs generator.base_url, the endpoint's address, "
                "or generator.model, a model's name on the hub"
            )
        if task not in (_TEXT2TEXT, _TEXT, _CHAT):
            raise SettingsError(f"task must be {_TEXT2TEXT}, {_TEXT} or {_CHAT}, not '{task}'")
        if provider not in _providers():
            raise SettingsError(f"there is no provider '{provider}'")
        if context_window is not None and context_window < 1:
            raise SettingsError(f"context_window must be at least 1, not {context_window}")
        shown = base_url or f"https://huggingface.co/{model}"
        super().__init__(model, shown, api_key, temperature, max_tokens, timeout, retries, backoff)
        self._endpoint = base_url.rstrip("/") or model
        self._provider: Any = None if base_url else provider
        self._task = task
        self._streams = task == _CHAT if stream is None else stream
        self._window = context_window

    def close(self) -> None:
        """Do nothing: each request closes its own connection."""

    def context_tokens(self) -> int | None:
        """Return the most tokens of prompt and answer together, or None if unknown."""
        if self._task != _TEXT2TEXT:
            return self._window
        # The decoder of such a model has a window of its own.
        return (self._window or _T5_WINDOW) + self.answer_tokens

    def generate(self, prompt: Prompt) -> Generator[str, None, None]:
        """Yield the answer as the endpoint writes it; closing it disconnects."""
        pieces = self._repeated(lambda: self._request(prompt), _OPERATION)
        # The official client cannot break off a read.
        return iterate_within_deadline(pieces, _OPERATION)

    def _request(self, prompt: Prompt) -> Generator[str, None, None]:
        seconds = limited(self._timeout)
        # Without a key of its own, an endpoint must not get the token of this user's hub.
        headers = None if self._key or self._provider else {"authorization": ""}
        client = InferenceClient(
            self._endpoint,
            provider=self._provider,
            token=self._key,
            timeout=seconds,
            headers=headers,
        )
        with closing(client):
            try:
                yield from self._pieces(client, prompt)
            except InferenceTimeoutError as error:
                raise error.__cause__ or error from None
            except HfHubHTTPError as error:
                raise self._refused(error.response, _OPERATION) from error
            except OverloadedError as error:
                raise BusyError(str(error), None) from error
            except TextGenerationError as error:
                raise self._reported(error.args[0] if error.args else "", _OPERATION) from error
            except (ValueError, LookupError, TypeError, AttributeError) as error:
                cause = f"a reply is malformed ({error})"
                raise self._failure(_OPERATION, cause) from error

    def _pieces(self, client: InferenceClient, prompt: Prompt) -> Generator[str, None, None]:
        if self._task == _CHAT:
            yield from self._chat(client, prompt)
        elif self._streams:
            yield from self._text_stream(client, prompt)
        else:
            text = client.text_generation(as_text(prompt.messages), **self._text_options())
            if text.strip():
                yield text.strip()

    def _text_options(self) -> dict[str, Any]:
        options: dict[str, Any] = {"max_new_tokens": self.answer_tokens}
        if self._temperature:
            options |= {"do_sample": True, "temperature": self._temperature}
        if self._task == _TEXT:
            options["return_full_text"] = False
        return options

    def _text_stream(self, client: InferenceClient, prompt: Prompt) -> Generator[str, None, None]:
        finished, cut = None, None
        for event in client.text_generation(
            as_text(prompt.messages), stream=True, details=True, **self._text_options()
        ):
            finished = event.generated_text is not None or event.details is not None
            if not event.token.special and event.token.text:
                yield event.token.text
            cut = cut_reason(event.details and event.details.finish_reason)
        yield from self._end(finished, cut)

    def _chat(self, client: InferenceClient, prompt: Prompt) -> Generator[str, None, None]:
        options: dict[str, Any] = {
            "model": self._model or None,
            "max_tokens": self.answer_tokens,
            "temperature": self._temperature,
        }
        messages: Any = chat_messages(prompt.messages)
        if not self._streams:
            whole = client.chat_completion(messages, **options)
            yield content_text(whole.choices[0].message.content)
            yield from self._end(True, cut_reason(whole.choices[0].finish_reason))
            return
        finished, cut = None, None
        for event in client.chat_completion(messages, stream=True, **options):
            choice = event.choices[0] if event.choices else None
            finished = finished or False
            if choice is None:
                continue
            if text := content_text(choice.delta and choice.delta.content):
                yield text
            finished = finished or bool(choice.finish_reason)
            cut = cut_reason(choice.finish_reason) or cut
        yield from self._end(finished, cut)

    def _end(self, finished: bool | None, cut: CutReason | None) -> Generator[str, None, None]:
        """Yield the reason of a cut; raise if a stream broke off, or had no event (None)."""
        if finished is None:
            cause = (
                "no stream came back: correct generator.base_url, or set generator.options.stream "
                "to false if the endpoint does not stream"
            )
            raise self._failure(_OPERATION, cause)
        if not finished:
            raise self._failure(_OPERATION, "the answer ended without its end mark")
        if cut is not None:
            yield Incomplete(cut)


def as_text(messages: tuple[Message, ...]) -> str:
    """Return the messages of a prompt as one text, for a model without a chat format."""
    return "\n\n".join(message.content for message in messages)


def _providers() -> set[str]:
    names: set[str] = set()
    for each in get_args(PROVIDER_OR_POLICY_T):
        names |= {each} if isinstance(each, str) else set(get_args(each))
    return names
