"""Answers in OpenAI's form: chat completions, their chunks, annotations and usage.

OpenAI clients know ``annotations``; quotes, offsets and checks are in ``kvasir``, an object that
they pass on or ignore.

Source: https://platform.openai.com/docs/api-reference/chat/object and .../chat-streaming
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict

from kvasir.core.pieces import CutReason
from kvasir.core.types import Answer
from kvasir.core.wire import to_json
from kvasir.frontends.api.sources import CitedSource, NearPassage
from kvasir.frontends.api.streaming import server_sent_event

DONE = server_sent_event("[DONE]")
"""The end of a stream."""


class Extensible(BaseModel):
    """An object with more fields than are documented."""

    model_config = ConfigDict(extra="allow")


class Usage(BaseModel):
    """Tokens, as the embedding model counts them."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class Choice(BaseModel):
    """The answer; ``message`` has ``content`` and ``annotations``."""

    index: int
    message: Extensible
    finish_reason: str


class ChatCompletion(Extensible):
    """A chat completion; ``kvasir`` has the citations with quotes, offsets and checks."""

    id: str
    object: str
    created: int
    model: str
    choices: list[Choice]
    usage: Usage


@dataclass(frozen=True, slots=True)
class CompletionWriter:
    """Writes one answer in OpenAI's form.

    Attributes:
        answer_id: Its id in the log of answers.
        created: When it was asked, seconds since 1970.
        model: The model as the request named it.
        include_usage: End a stream with the usage.
    """

    answer_id: str
    created: int
    model: str
    include_usage: bool = False

    def completion(
        self,
        answer: Answer,
        sources: Sequence[CitedSource],
        nearest: Sequence[NearPassage],
        usage: Usage,
    ) -> dict[str, Any]:
        """Return the whole answer."""
        message = {
            "role": "assistant",
            "content": answer.text,
            "refusal": None,
            "annotations": _annotations(sources),
        }
        choice = {"index": 0, "message": message, "logprobs": None}
        choice["finish_reason"] = _finish_reason(answer)
        return {
            **self._head("chat.completion"),
            "choices": [choice],
            "usage": usage.model_dump(),
            "kvasir": self._extra(answer, sources, nearest),
        }

    def begin(self) -> str:
        """Return the first event of a stream."""
        return self._chunk({"role": "assistant", "content": "", "refusal": None})

    def text(self, text: str) -> str:
        """Return an event with the next piece of the text."""
        return self._chunk({"content": text})

    def end(
        self,
        answer: Answer,
        sources: Sequence[CitedSource],
        nearest: Sequence[NearPassage],
        usage: Usage,
    ) -> list[str]:
        """Return the last events: annotations, the reason of the end, usage and ``[DONE]``."""
        # Each annotation is sent once; clients collect them.
        delta = {"annotations": _annotations(sources)} if sources else {}
        events = [
            self._chunk(delta, kvasir=self._extra(answer, sources, nearest)),
            self._chunk({}, _finish_reason(answer)),
        ]
        if self.include_usage:
            last = {"choices": [], "usage": usage.model_dump()}
            events.append(_event(self._head("chat.completion.chunk") | last))
        return [*events, DONE]

    def _chunk(self, delta: dict[str, Any], reason: str | None = None, **extra: Any) -> str:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
        usage = {"usage": None} if self.include_usage else {}
        head = self._head("chat.completion.chunk")
        return _event(head | {"choices": [choice]} | usage | extra)

    def _head(self, kind: str) -> dict[str, Any]:
        return {
            "id": f"chatcmpl-{self.answer_id}",
            "object": kind,
            "created": self.created,
            "model": self.model,
            "system_fingerprint": None,
        }

    def _extra(
        self, answer: Answer, sources: Sequence[CitedSource], nearest: Sequence[NearPassage]
    ) -> dict[str, Any]:
        return {
            "answer_id": self.answer_id,
            "refused": answer.refused,
            "certainty": answer.certainty.value,
            "confidence": answer.confidence,
            "doubt": answer.doubt,
            "incomplete": answer.incomplete,
            "removed_citations": answer.removed_citations,
            "checked_sentences": answer.checked_sentences,
            "unsupported_sentences": answer.unsupported_sentences,
            "searched": answer.searched,
            "notes": list(answer.notes),
            "timings": dict(answer.timings),
            "citations": [_cited(source) for source in sources],
            "nearest": to_json(list(nearest)),
        }


def error_event(body: dict[str, Any]) -> str:
    """Return the event of an error, which ends a stream."""
    return _event(body)


def _annotations(sources: Sequence[CitedSource]) -> list[dict[str, Any]]:
    return [
        {
            "type": "url_citation",
            "url_citation": {
                "url": source.url,
                "title": source.title,
                "start_index": source.start,
                "end_index": source.end,
            },
        }
        for source in sources
    ]


def _cited(source: CitedSource) -> dict[str, Any]:
    """Return a citation; it is checked if the quote was found in the stored text at its offsets."""
    citation: dict[str, Any] = to_json(source.citation)
    is_checked = bool(source.citation.content_hash)
    more = {"title": source.title, "url": source.url, "checked": is_checked}
    return citation | more | {"start_index": source.start, "end_index": source.end}


def _finish_reason(answer: Answer) -> str:
    cut = answer.incomplete
    return cut if cut in (CutReason.LENGTH, CutReason.CONTENT_FILTER) else "stop"


def _event(content: dict[str, Any]) -> str:
    # In ASCII, since some clients take U+2028 inside of a text for the end of a line.
    return server_sent_event(json.dumps(content, separators=(",", ":")))
