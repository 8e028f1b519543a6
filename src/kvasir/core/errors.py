"""All errors that Kvasir raises on purpose.

KvasirError
├── UserError                  bad input: one line on the terminal, a 4xx over HTTP
│   ├── SettingsError          a setting is unknown or has an unusable value
│   ├── UnknownComponentError  no such embedder, store, ...
│   ├── MissingExtraError      an optional dependency is not installed
│   ├── ExtractionError        a file cannot be read: encrypted, empty, broken, ...
│   ├── FetchError             a URL cannot or may not be fetched
│   ├── ModelNotFoundError     no weights where they were looked for
│   ├── CollectionError        unknown collection, or made by another embedder
│   ├── FilterError            a filter expression is malformed
│   └── StoreLockedError       another process holds the index
└── ComponentError             a component failed: which, doing what, why
    └── DeadlineExceededError  the time allowed for a call is over
"""

from __future__ import annotations

import re

_ADDRESS_PASSWORD = re.compile(r"(?<=://)([^/@:\s]*):[^/@\s]+@")


def hide_passwords(text: str) -> str:
    """Hides the password of every ``scheme://user:password@host`` in a text."""
    return _ADDRESS_PASSWORD.sub(r"\1:**********@", text)


def how_to_install(extra: str) -> str:
    """Returns the words that say how an extra is installed.

    Not by the project's name: the package index knows another project of this name.
    """
    return f"pip install '.[{extra}]' in Kvasir's source folder"


class KvasirError(Exception):
    """Base of every error that Kvasir raises on purpose; shows no password of an address."""

    def __str__(self) -> str:
        """Returns the message."""
        return hide_passwords(super().__str__())


class UserError(KvasirError):
    """Something the user can put right; the message says how."""


class SettingsError(UserError):
    """A setting is unknown or has an unusable value."""


class UnknownComponentError(UserError):
    """No component has this name."""


class MissingExtraError(UserError):
    """An optional dependency is not installed."""

    def __init__(self, needs: str, extra: str) -> None:
        """Args: what needs the dependency, and the extra that brings it."""
        super().__init__(f"{needs} needs an optional dependency: {how_to_install(extra)}")
        self.extra = extra


class ExtractionError(UserError):
    """A source cannot be turned into text.

    Attributes:
        reason: A short stable word: encrypted, image_only, empty, malformed, unsupported,
            too_large, timeout, memory, crash, unreadable.
    """

    def __init__(self, reason: str, message: str) -> None:
        """Args: the stable reason, and one line that says what to do."""
        super().__init__(message)
        self.reason = reason


class FetchError(UserError):
    """A URL cannot or may not be fetched."""


class ModelNotFoundError(UserError):
    """No weights were found where they were looked for."""


class CollectionError(UserError):
    """The collection does not exist, or was made by another embedder."""


class FilterError(UserError):
    """A filter expression is malformed."""


class StoreLockedError(UserError):
    """Another process holds the index."""


class ComponentError(KvasirError):
    """A component failed."""

    def __init__(self, component: str, operation: str, cause: object) -> None:
        """Args: the component's name, what it was doing, and what went wrong."""
        super().__init__(f"{component}: {operation} failed: {cause}")
        self.component = component
        self.operation = operation


class DeadlineExceededError(ComponentError):
    """The time allowed for a call is over.

    Attributes:
        operation: What was not finished.
    """

    code = "deadline_exceeded"

    def __init__(self, operation: str) -> None:
        """Args: what was not finished, such as "searching"."""
        super().__init__("deadline", operation, "the time allowed for it is over")
