"""The bodies of requests in OpenAI's form, and what they mean here.

Fields that could change what the answer is are refused if Kvasir cannot follow them. Those that
steer the sampling of a model or say something about the caller are accepted and have no effect.
Unknown fields are refused, as OpenAI does.

Source: https://platform.openai.com/docs/api-reference/chat/create and .../embeddings/create
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from kvasir.core.text import has_surrogates
from kvasir.core.types import Message
from kvasir.frontends.api.openai_errors import OpenAIFault

SOURCES_SUFFIX = ":sources"
"""A model's name with this suffix asks for a list of sources in the text."""

_MOST_CHARACTERS = 400_000
"""Most characters of a chat; the prompt holds what fits into the model's window."""
_MOST_QUESTION = 20_000
_MOST_INPUTS = 2048
_NO_MODEL_HERE = "Kvasir answers with text from documents only."


class ChatMessage(BaseModel):
    """One message of a chat."""

    model_config = ConfigDict(extra="allow")
    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: Any = Field(None, description="text, or a list of parts of type `text`")


class StreamOptions(BaseModel):
    """How to stream."""

    model_config = ConfigDict(extra="forbid")
    include_usage: bool = Field(False, description="end with a chunk that has the usage")
    include_obfuscation: bool = Field(False, description="no effect")


class ChatBody(BaseModel):
    """A chat to go on with; the model is a collection."""

    model_config = ConfigDict(extra="forbid")
    model: str = Field(
        min_length=1,
        max_length=200,
        examples=["default"],
        description="a collection; with the suffix `:sources` the text ends with their list",
    )
    messages: list[ChatMessage] = Field(
        min_length=1,
        max_length=2000,
        examples=[[{"role": "user", "content": "How hot is green tea?"}]],
    )
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    # Followed only as far as an answer from documents can be.
    n: int | None = Field(None, ge=1, le=128)
    modalities: list[str] | None = None
    response_format: dict[str, Any] | None = None
    tools: list[Any] | None = None
    tool_choice: Any = None
    functions: list[Any] | None = None
    function_call: Any = None
    stop: str | list[str] | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = Field(None, ge=0, le=20)
    logit_bias: dict[str, float] | None = None
    audio: dict[str, Any] | None = None
    prediction: dict[str, Any] | None = None
    web_search_options: dict[str, Any] | None = None
    moderation: dict[str, Any] | None = None
    # Accepted without an effect.
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, ge=0, le=1)
    frequency_penalty: float | None = Field(None, ge=-2, le=2)
    presence_penalty: float | None = Field(None, ge=-2, le=2)
    max_tokens: int | None = Field(None, ge=1)
    max_completion_tokens: int | None = Field(None, ge=1)
    seed: int | None = None
    user: str | None = None
    metadata: dict[str, Any] | None = None
    store: bool | None = None
    service_tier: str | None = None
    reasoning_effort: str | None = None
    verbosity: str | None = None
    parallel_tool_calls: bool | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    prompt_cache_options: dict[str, Any] | None = None
    prompt_cache_retention: str | None = None


class EmbeddingsBody(BaseModel):
    """Texts to embed."""

    model_config = ConfigDict(extra="forbid")
    model: str = Field(
        min_length=1, max_length=200, description="the embedding model, or a collection's name"
    )
    input: Any = Field(description="a text or a list of texts", examples=[["green tea"]])
    encoding_format: Literal["float", "base64"] | None = "float"
    input_type: Literal["document", "query"] = Field(
        "document", description="what the texts are, for models that embed the two differently"
    )
    dimensions: int | None = Field(None, ge=1)
    user: str | None = None


@dataclass(frozen=True, slots=True)
class Chat:
    """A chat as Kvasir goes on with it.

    Attributes:
        question: The last message, which is the user's.
        history: The messages before, without those of the system.
        system: The system's messages, one after the other.
    """

    question: str
    history: tuple[Message, ...]
    system: str

    @property
    def texts(self) -> list[str]:
        """The texts of all messages."""
        return [self.system, *(message.content for message in self.history), self.question]


def read_chat(body: ChatBody) -> Chat:
    """Return the chat of a request.

    Raises:
        OpenAIFault: A field asks for what Kvasir cannot do.
    """
    _check_supported(body)
    messages = [_text_of(message, number) for number, message in enumerate(body.messages)]
    if sum(map(len, messages)) > _MOST_CHARACTERS:
        message = f"the messages have more than {_MOST_CHARACTERS} characters"
        raise OpenAIFault(message, "messages", "context_length_exceeded")
    roles = [message.role for message in body.messages]
    last = f"messages[{len(messages) - 1}]"
    if roles[-1] != "user":
        raise OpenAIFault("the last message must be the user's question", f"{last}.role")
    question = messages[-1].strip()
    if not question:
        raise OpenAIFault("the question is empty", f"{last}.content")
    if len(question) > _MOST_QUESTION:
        message = f"the question has more than {_MOST_QUESTION} characters"
        raise OpenAIFault(message, f"{last}.content", "string_above_max_length")
    earlier = list(zip(roles[:-1], messages[:-1], strict=True))
    return Chat(
        question,
        tuple(Message(role, text) for role, text in earlier if _is_said(role) and text.strip()),
        "\n\n".join(text for role, text in earlier if role in ("system", "developer") and text),
    )


def read_inputs(body: EmbeddingsBody) -> list[str]:
    """Return the texts to embed.

    Raises:
        OpenAIFault: They are no texts, empty, or too many.
    """
    if body.dimensions is not None:
        message = "This model does not support specifying dimensions."
        raise OpenAIFault(message, "dimensions", "unsupported_parameter")
    texts = [body.input] if isinstance(body.input, str) else body.input
    if not isinstance(texts, list) or not texts:
        raise OpenAIFault("'input' must be a text or a list of texts", "input")
    if len(texts) > _MOST_INPUTS:
        raise OpenAIFault(f"'input' has more than {_MOST_INPUTS} texts", "input")
    for number, text in enumerate(texts):
        if not isinstance(text, str):
            # Token numbers belong to one model's vocabulary.
            message = "'input' must be texts: tokens of another model cannot be embedded"
            raise OpenAIFault(message, f"input[{number}]", "invalid_type")
        if not text.strip() or has_surrogates(text):
            message = "an input must be UTF-8 text and not be empty"
            raise OpenAIFault(message, f"input[{number}]", "invalid_value")
    return texts


def _is_said(role: str) -> bool:
    # A call of a tool and its result belong to another model's work.
    return role in ("user", "assistant")


def _check_supported(body: ChatBody) -> None:
    if body.stream_options is not None and not body.stream:
        message = "The 'stream_options' parameter is only allowed when 'stream' is enabled."
        raise OpenAIFault(message, "stream_options", "invalid_value")
    unsupported = {
        "n": body.n not in (None, 1),
        "modalities": body.modalities not in (None, ["text"]),
        "response_format": (body.response_format or {}).get("type", "text") != "text",
        # Tools may be offered: a model need not call them.
        "tool_choice": body.tool_choice not in (None, "auto", "none"),
        "function_call": body.function_call not in (None, "auto", "none"),
        "stop": bool(body.stop),
        "logprobs": bool(body.logprobs),
        "top_logprobs": bool(body.top_logprobs),
        "logit_bias": bool(body.logit_bias),
        "audio": body.audio is not None,
        "prediction": body.prediction is not None,
        "web_search_options": body.web_search_options is not None,
        "moderation": body.moderation is not None,
    }
    for name, is_asked in unsupported.items():
        if is_asked:
            message = f"Unsupported parameter: '{name}' is not supported. {_NO_MODEL_HERE}"
            raise OpenAIFault(message, name, "unsupported_parameter")


def _text_of(message: ChatMessage, number: int) -> str:
    content, place = message.content, f"messages[{number}].content"
    if content is None and message.role != "user":
        return ""
    if isinstance(content, str):
        parts = [content]
    elif isinstance(content, list):
        parts = [_text_of_part(part, f"{place}[{at}]") for at, part in enumerate(content)]
    else:
        raise OpenAIFault("content must be a text or a list of parts", place, "invalid_type")
    text = "\n".join(parts)
    if has_surrogates(text):
        raise OpenAIFault("content must be UTF-8 text", place, "invalid_value")
    return text


def _text_of_part(part: Any, place: str) -> str:
    if isinstance(part, dict):
        text = part.get("text") if part.get("type") == "text" else None
        if part.get("type") == "refusal":
            text = part.get("refusal")
        if isinstance(text, str):
            return text
    message = f"only parts of type 'text' are supported. {_NO_MODEL_HERE}"
    raise OpenAIFault(message, place, "invalid_value")
