"""All errors that Kvasir raises on purpose: one tree, two branches, a stable code for each class.

KvasirError
├── RequestError                    the caller's: a 4xx over HTTP
│   ├── FilterError                 a metadata filter is malformed
│   ├── WireError                   JSON does not fit the type that it is read as
│   ├── AmbiguousStoreError         an address fits several kinds of store
│   ├── TooFewQuestionsError        too few questions to fit a calibration to
│   ├── ExtractionError             a source cannot be turned into text
│   ├── FetchError                  a URL cannot or may not be fetched
│   ├── CollectionNotFoundError     no such collection
│   ├── DocumentNotFoundError       no such document
│   ├── NotFoundError               no such user, job, question, ...
│   ├── NotAuthenticatedError       no valid credential
│   ├── ForbiddenError              the caller may not do this
│   ├── TooLargeError               more bytes than allowed
│   ├── RateLimitedError            too many requests; says when to come again
│   ├── MailRefusedError            a mail server refuses a message for good
│   └── ConflictError               existing data or other work conflicts with it
│       ├── NameTakenError          a collection of this name exists
│       └── WriterConflictError     another writer is at work, or took this one's lease
│           └── DocumentBusyError   another writer is writing the same document
├── OperatorError                   the installation's: a 5xx over HTTP
│   ├── SettingsError               a setting is unknown or has an unusable value
│   │   └── SettingsFileNotFoundError
│   ├── UnknownComponentError       no such embedder, store, ...
│   ├── MissingExtraError           an optional dependency is not installed
│   ├── ModelNotFoundError          no such model, here or on its server
│   ├── WrongEmbedderError          another embedder made the collection
│   ├── IncompatibleVersionError    another version of Kvasir wrote the data
│   ├── StorageError                a folder or database cannot be opened or written
│   ├── StoreLockedError            another process holds it
│   ├── UnfinishedError             half-written documents are left
│   ├── StoreIncompleteError        the store lacks chunks that the catalog knows
│   ├── ForkedProcessError          used in a forked process
│   ├── ClosedError                 used after it was closed
│   └── ComponentError              a component failed; names operation and cause
│       ├── DamagedError            its files or records are damaged
│       ├── ChunksLeftError         a store did not delete chunks
│       ├── RejectedDataError       it refuses the data; other data are not affected
│       └── DeadlineExceededError   the time allowed for a call is over
└── StoppedError                    the work was stopped by its caller

Messages state facts and name settings. Front doors add advice about commands and options, chosen by
the code. The manual lists the codes in ``docs/errors.md``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from kvasir.core.text import hide_passwords

KINDS: Mapping[str, str] = MappingProxyType(
    {
        "failed": "component_failed",
        "busy": "component_busy",
        "unreachable": "component_unreachable",
        "timeout": "component_timeout",
    }
)
"""The kinds of failure of a component, and the code of each."""


def describe_unexpected(error: BaseException) -> str:
    """Return the class and message of an error in one line of at most 300 characters."""
    return " ".join(f"{type(error).__name__}: {error}".split()).removesuffix(":")[:300]


class KvasirError(Exception):
    """Base of every error that Kvasir raises on purpose.

    Its text is one line and shows no password of an address.

    Attributes:
        code: A stable word for the kind of error; front doors choose their advice by it.
    """

    code = "error"

    def __str__(self) -> str:
        """Return the message."""
        return hide_passwords(" ".join(super().__str__().splitlines()))


class RequestError(KvasirError):
    """The request cannot be fulfilled; the message says why."""

    code = "invalid_request"


class OperatorError(KvasirError):
    """The installation has a fault, which affects every caller."""

    code = "operator_error"


class FilterError(RequestError):
    """A metadata filter is malformed."""

    code = "invalid_filter"


class WireError(RequestError):
    """JSON data does not fit the type that it is read as.

    Attributes:
        problem: The problem, without the path.
        path: The fields and indexes to the faulty value, outermost first.
    """

    code = "malformed_json"

    def __init__(self, problem: str, path: tuple[str, ...] = ()) -> None:
        super().__init__(f"{'.'.join(path)}: {problem}" if path else problem)
        self.problem = problem
        self.path = path

    def within(self, place: object) -> WireError:
        """Return the same error for the containing value, with ``place`` before the path."""
        return WireError(self.problem, (str(place), *self.path))


class AmbiguousStoreError(RequestError):
    """An address fits several kinds of store."""

    code = "ambiguous_store"


class TooFewQuestionsError(RequestError):
    """There are too few questions, or too few sentences to make them of, for a calibration."""

    code = "too_few_questions"


class ExtractionError(RequestError):
    """A source cannot be turned into text.

    Attributes:
        reason: A short stable word: encrypted, image_only, empty, malformed, unsupported,
            too_large, timeout, memory, crash, unreadable.
    """

    code = "unreadable_source"

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class FetchError(RequestError):
    """A URL cannot or may not be fetched."""

    code = "not_fetched"


class CollectionNotFoundError(RequestError):
    """There is no such collection; ``known`` has the names of the existing ones."""

    code = "collection_not_found"

    def __init__(self, name: str, known: Sequence[str] = ()) -> None:
        if known:
            message = f"there is no collection '{name}' (there are: {', '.join(known)})"
        else:
            message = f"nothing was ingested yet, so there is no collection '{name}'"
        super().__init__(message)
        self.name = name
        self.known = tuple(known)


class DocumentNotFoundError(RequestError):
    """A collection has no such document."""

    code = "document_not_found"

    def __init__(self, source: str, collection: str) -> None:
        super().__init__(f"there is no document '{source}' in collection '{collection}'")
        self.source = source
        self.collection = collection


class NotFoundError(RequestError):
    """There is no such user, job, question, upload or log entry."""

    code = "not_found"


class NotAuthenticatedError(RequestError):
    """There is no credential, or it is wrong, expired or revoked."""

    code = "not_authenticated"


class ForbiddenError(RequestError):
    """The caller may not do this."""

    code = "forbidden"


class TooLargeError(RequestError):
    """There are more bytes than allowed."""

    code = "too_large"


class RateLimitedError(RequestError):
    """There were too many requests.

    Attributes:
        retry_after: Seconds to wait.
    """

    code = "rate_limited"

    def __init__(self, message: str, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class MailRefusedError(RequestError):
    """A mail server refuses a message for good."""

    code = "mail_refused"


class ConflictError(RequestError):
    """The request conflicts with existing data or with work in progress."""

    code = "conflict"


class NameTakenError(ConflictError):
    """There is a collection of this name already."""

    code = "name_taken"

    def __init__(self, name: str, why: str) -> None:
        """Args: the name, and a text to append to the message."""
        super().__init__(f"there is a collection '{name}' already{why}")
        self.name = name


class WriterConflictError(ConflictError):
    """Another writer is at work in the collection, or took this one's lease."""

    code = "writer_conflict"


class DocumentBusyError(WriterConflictError):
    """Another writer is writing or deleting the same document."""

    code = "document_busy"


class SettingsError(OperatorError):
    """A setting is unknown or has an unusable value."""

    code = "invalid_settings"


class SettingsFileNotFoundError(SettingsError):
    """The given settings file does not exist."""

    code = "settings_file_not_found"


class UnknownComponentError(OperatorError):
    """No component has this name."""

    code = "unknown_component"


class MissingExtraError(OperatorError):
    """An optional dependency is not installed.

    Attributes:
        extra: The extra that installs it.
    """

    code = "missing_extra"

    def __init__(self, needs: str, extra: str) -> None:
        """Args: the subject of the message, and the extra."""
        super().__init__(f"{needs} needs an optional dependency, the extra '{extra}'")
        self.extra = extra


class ModelNotFoundError(OperatorError):
    """A model is neither on this machine nor on the server or hub.

    Attributes:
        name: Its name, if a hub could have it; otherwise empty.
    """

    code = "model_not_found"

    def __init__(self, message: str, name: str = "") -> None:
        super().__init__(message)
        self.name = name


class WrongEmbedderError(OperatorError):
    """A collection was made by another embedder, or by the same one with other options."""

    code = "wrong_embedder"


class IncompatibleVersionError(OperatorError):
    """Another version of Kvasir wrote the data, in a format that this one does not read.

    Attributes:
        folder: The folder to delete before filling the component again; may be empty.
    """

    code = "incompatible_version"

    def __init__(self, message: str, folder: str = "") -> None:
        super().__init__(message)
        self.folder = folder


class StorageError(OperatorError):
    """A folder or a database cannot be opened or written."""

    code = "storage_unusable"


class StoreLockedError(OperatorError):
    """Another process holds the index or the database."""

    code = "locked"


class UnfinishedError(OperatorError):
    """A collection has half-written documents from an interrupted run."""

    code = "unfinished"

    def __init__(self, collection: str) -> None:
        super().__init__(f"collection '{collection}' has half-written documents")
        self.collection = collection


class StoreIncompleteError(OperatorError):
    """The store lacks chunks that the catalog knows."""

    code = "store_incomplete"

    def __init__(self, collection: str, expected: int, counted: int) -> None:
        held = f"has {counted} of {expected} chunks" if counted else "is empty"
        super().__init__(
            f"the store of collection '{collection}' {held}, though documents were ingested: "
            "rag.vectordb names another store than before, or the store lost them"
        )
        self.collection = collection
        self.expected = expected
        self.counted = counted


class ForkedProcessError(OperatorError):
    """An application was used in a process forked from the one that opened it."""

    code = "forked_process"


class ClosedError(OperatorError):
    """Something was used after it was closed."""

    code = "closed"


class ComponentError(OperatorError):
    """A component failed.

    Attributes:
        component: Its name.
        operation: The operation that failed, such as "searching".
        kind: ``failed``, ``busy``, ``unreachable`` or ``timeout``; the last three may pass.
        cause: The cause.
    """

    code = KINDS["failed"]

    def __init__(
        self, component: str, operation: str, cause: object, *, kind: str = "failed"
    ) -> None:
        super().__init__(f"{component}: {operation} failed: {cause}")
        self.component = component
        self.operation = operation
        self.cause = cause
        self.kind = kind
        if kind != "failed":
            self.code = KINDS[kind]


class DamagedError(ComponentError):
    """The files or records of a component are damaged.

    Attributes:
        folder: The folder to delete before filling the component again; may be empty.
    """

    code = "damaged"

    def __init__(self, component: str, operation: str, cause: object, folder: str = "") -> None:
        super().__init__(component, operation, cause)
        self.folder = folder


class ChunksLeftError(ComponentError):
    """A store still has chunks after they were deleted."""

    code = "chunks_left"


class RejectedDataError(ComponentError):
    """A component refuses data, such as a number out of range.

    Other data are not affected.
    """

    code = "rejected_data"


class DeadlineExceededError(ComponentError):
    """The deadline of a call has passed; ``operation`` was not finished."""

    code = "deadline_exceeded"

    def __init__(self, operation: str) -> None:
        super().__init__("deadline", operation, "the time allowed for it is over", kind="timeout")
        self.code = type(self).code


class StoppedError(KvasirError):
    """The work was stopped by its caller; finished parts are kept."""

    code = "stopped"

    def __init__(self, message: str = "stopped before it was finished") -> None:
        super().__init__(message)
