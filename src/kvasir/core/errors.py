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
│   │   ├── StoreIncompleteError   the store lacks chunks that the catalog has
│   │   └── WriterConflictError    another writer is at work, or took this one's lease
│   │       └── DocumentBusyError  another writer is writing the same document
│   ├── FilterError            a filter expression is malformed
│   ├── WireError              JSON data does not fit the type it is read as
│   └── StoreLockedError       another process holds the index
├── ComponentError             a component failed: which, doing what, why
│   ├── DeadlineExceededError  the time allowed for a call is over
│   └── RejectedDataError      it refuses what it was given; other data are not affected
└── StoppedError               the caller asked the work to stop
"""

from __future__ import annotations

from collections.abc import Sequence

from kvasir.core.text import hide_passwords


def how_to_install(extra: str) -> str:
    """Returns the words that say how an extra is installed.

    Not by the project's name: the package index knows another project of this name.
    """
    return f"pip install '.[{extra}]' in Kvasir's source folder"


class KvasirError(Exception):
    """Base of every error that Kvasir raises on purpose; shows no password of an address.

    Attributes:
        code: A stable word for the kind of error, by which front doors find their advice.
    """

    code = "error"

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


class CollectionNotFoundError(CollectionError):
    """There is no such collection; ``known`` are the names of those that there are."""

    code = "collection_not_found"

    def __init__(self, name: str, known: Sequence[str] = ()) -> None:
        """Args: the name that was asked for, and those that there are."""
        if known:
            message = f"there is no collection '{name}' (there are: {', '.join(known)})"
        else:
            message = f"nothing was ingested yet, so there is no collection '{name}'"
        super().__init__(message)
        self.name = name
        self.known = tuple(known)


class DocumentNotFoundError(CollectionError):
    """A collection has no such document."""

    code = "document_not_found"

    def __init__(self, source: str, collection: str) -> None:
        """Args: the source or id that was asked for, and the collection."""
        super().__init__(f"there is no document '{source}' in collection '{collection}'")
        self.source = source
        self.collection = collection


class NameTakenError(CollectionError):
    """There is a collection of this name already."""

    code = "name_taken"

    def __init__(self, name: str, why: str) -> None:
        """Args: the name, and what stands in its way."""
        super().__init__(f"there is a collection '{name}' already{why}")
        self.name = name


class UnfinishedError(CollectionError):
    """A collection has half-written documents, which an interrupted run left."""

    code = "unfinished"

    def __init__(self, collection: str) -> None:
        """Args: the collection's name."""
        super().__init__(f"collection '{collection}' has half-written documents")
        self.collection = collection


class StoreIncompleteError(CollectionError):
    """The store lacks chunks that the catalog knows."""

    code = "store_incomplete"

    def __init__(self, collection: str, expected: int, counted: int) -> None:
        """Args: the collection's name, chunks in the catalog, chunks in the store."""
        held = f"has {counted} of {expected} chunks" if counted else "is empty"
        super().__init__(
            f"the store of collection '{collection}' {held}, though documents were ingested: "
            "rag.vectordb names another store than before, or the store lost them"
        )
        self.collection = collection
        self.expected = expected
        self.counted = counted


class ForkedProcessError(UserError):
    """An application was used in a process forked from the one that opened it."""

    code = "forked_process"


class ClosedError(UserError):
    """Something was used after it was closed."""

    code = "closed"


class WriterConflictError(CollectionError):
    """Another writer is at work in the collection, or took this one's lease."""

    code = "writer_conflict"


class DocumentBusyError(WriterConflictError):
    """Another writer is writing or deleting the same document."""

    code = "document_busy"


class FilterError(UserError):
    """A filter expression is malformed."""


class WireError(UserError):
    """JSON data does not fit the type that it is read as.

    Attributes:
        problem: What is wrong.
        path: Where: the fields and positions from the outermost on.
    """

    def __init__(self, problem: str, path: tuple[str, ...] = ()) -> None:
        """Args: what is wrong, and where."""
        super().__init__(f"{'.'.join(path)}: {problem}" if path else problem)
        self.problem = problem
        self.path = path

    def within(self, place: object) -> WireError:
        """Return the same error of the value of which this one was a part."""
        return WireError(self.problem, (str(place), *self.path))


class StoreLockedError(UserError):
    """Another process holds the index."""


class StoppedError(KvasirError):
    """The work was stopped because its caller asked for it; what was finished is kept."""

    code = "stopped"

    def __init__(self, message: str = "stopped before it was finished") -> None:
        """Args: what was being done and what is kept."""
        super().__init__(message)


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


class RejectedDataError(ComponentError):
    """A component refuses what it was given, such as a number out of range.

    Other data are not affected.
    """
