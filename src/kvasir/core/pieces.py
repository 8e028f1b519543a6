"""The last piece of a generator's text when the text is not whole.

A generator yields text; one that knows that its model was cut off yields an ``Incomplete`` at the
end. Joining the pieces works as with any text.
Source of the reasons: https://platform.openai.com/docs/api-reference/chat/object (finish_reason)
"""

from __future__ import annotations

from enum import StrEnum


class CutReason(StrEnum):
    """Why a model's text is not whole; OpenAI's words, which the front doors pass on."""

    LENGTH = "length"
    CONTENT_FILTER = "content_filter"
    REFUSAL = "refusal"


_REASONS = {
    "length": CutReason.LENGTH,
    "max_tokens": CutReason.LENGTH,
    "model_length": CutReason.LENGTH,
    "content_filter": CutReason.CONTENT_FILTER,
    "safety": CutReason.CONTENT_FILTER,
    "refusal": CutReason.REFUSAL,
}
"""The reasons of an end that cut a text, as servers and gateways name them, in lower case."""


class Incomplete(str):
    """The last piece of a text that was cut; empty, or the words of a model that refuses."""

    __slots__ = ("reason",)
    reason: CutReason

    def __new__(cls, reason: CutReason, text: str = "") -> Incomplete:
        """Make the piece of a reason."""
        made = super().__new__(cls, text)
        made.reason = reason
        return made


def cut_reason(finish_reason: object) -> CutReason | None:
    """Return why a text is not whole by a server's reason of its end; None if it is whole."""
    return _REASONS.get(str(finish_reason).lower())
