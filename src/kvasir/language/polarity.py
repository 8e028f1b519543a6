"""Whether a text denies or excludes something, and whether it says what may or must be done."""

from __future__ import annotations

import re

_NEGATED = re.compile(
    r"\b(?:not|cannot|never|neither|nor|no|none|nobody|without|except|excluding|besides|"
    r"(?:other|rather) than|apart from|aside from|forbidden|prohibited|"
    r"nicht|nie|niemals|kein\w*|weder|ohne|außer|ausser|ausgenommen|verboten|"
    r"ni|nunca|jamás|ning[uú]n\w*|sin|excepto|salvo|menos|prohibid\w+|"
    r"pas|jamais|aucun\w*|sans|sauf|hormis|excepté\w*|interdit\w*|"
    r"không|chưa|trừ|cấm)\b|n['’]t\b|n['’]est pas"
    r"|不(?!同|仅|但|过|锈)|没|未(?!来)|除了|除外|禁止",
    re.IGNORECASE,
)
"""Words that exclude or deny, in every language."""
_EVERY = re.compile(r"\b(?:all|every\w*|any\w*)\b", re.IGNORECASE)
_BUT = re.compile(r"(?<=\w )but\b", re.IGNORECASE)
"""Excludes where everything is spoken of before."""
_MODAL = re.compile(
    r"\b(?:may|can|cannot|must|shall|should|allowed|permitted|"
    r"darf|dürfen|kann|können|muss|müssen|soll\w*|erlaubt|gestattet|zulässig|"
    r"puede\w*|deben?|permitid\w+|peut|peuvent|doit|doivent|permis\w*|autorisé\w*|"
    r"phải|được phép|có thể)\b|可以|必须|应该|允许",
    re.IGNORECASE,
)
_SELECTS = re.compile(
    r"\b(?:which|what|who|whom|whose|welche\w*|was|wer|wen|wem|(?<!por )qu[eé]|qui[eé]n\w*|"
    r"cu[aá]l\w*|quel\w*|qui|lesquel\w*|nào|gì|ai)\b|哪|什么|谁",
    re.IGNORECASE,
)


def denies(text: str) -> bool:
    """Return True if a text denies or excludes something."""
    every = _EVERY.search(text)
    return bool(_NEGATED.search(text) or (every and _BUT.search(text, every.end())))


def asks_what_may(question: str) -> bool:
    """Return True if a question asks for the thing that may or must do something, or must not."""
    return bool(_SELECTS.search(question) and _MODAL.search(question))


def is_opposite(text: str, question: str) -> bool:
    """Return True if a text permits or demands what such a question denies, or the reverse."""
    return bool(_MODAL.search(text)) and denies(text) != denies(question)
