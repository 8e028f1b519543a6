"""All errors that Kvasir raises on purpose: one tree, two branches, a stable code for each class.

KvasirError
├── RequestError                    the caller's: a 4xx over HTTP
│   ├── FilterError
│   │   └── UnknownFieldError, OutdatedMetadataError
│   ├── WireError, AmbiguousStoreError, TooFewQuestionsError
│   ├── ExtractionError, FetchError
│   ├── CollectionNotFoundError, DocumentNotFoundError, AmbiguousDocumentError
│   └── ConflictError               existing data or other work conflicts with the request
│       ├── NameTakenError, SplitConflictError
│       └── WriterConflictError
│           └── DocumentBusyError
├── OperatorError                   the installation's: a 5xx over HTTP
│   ├── SettingsError
│   │   └── SettingsFileNotFoundError
│   ├── UnknownComponentError, MissingExtraError, ModelNotFoundError
│   ├── WrongEmbedderError, IncompatibleVersionError
│   ├── StorageError, StoreLockedError, UnfinishedError, StoreIncompleteError
│   ├── ForkedProcessError, ClosedError
│   └── ComponentError              a component failed; names operation and cause
│       └── DamagedError, ChunksLeftError, RejectedDataError, DeadlineExceededError
└── StoppedError                    the work was stopped by its caller

Messages state facts and name settings. Front doors add advice about commands and options, chosen by
the code. The manual lists the codes in ``docs/errors.md``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from types import MappingProxyType

from kvasir.core.text import hide_passwords, printable

KINDS: Mapping[str, str] = MappingProxyType(
    {kind: f"component_{kind}" for kind in ("failed", "busy", "unreachable", "timeout")}
)
"""The kinds of failure of a component, and the code of each."""

_MOST_FIELDS = 40
"""Fields that a message names."""


_MOST_LISTED = 10


def _choice(names: Sequence[str]) -> str:
    """Return names as the alternatives of a sentence, at most ``_MOST_LISTED``."""
    quoted = [f"'{each}'" for each in names[:_MOST_LISTED]]
    return " or ".join(filter(None, [", ".join(quoted[:-1]), quoted[-1]]))


def describe_unexpected(error: BaseException) -> str:
    """Return the class and message of an error in one line of at most 300 characters."""
    return " ".join(f"{type(error).__name__}: {error}".split()).removesuffix(":")[:300]


class KvasirError(Exception):
    """Base of every error that Kvasir raises on purpose.

    Its text is one line without control characters, and shows no password of an address.

    Attributes:
        code: A stable word for the kind of error; front doors choose their advice by it.
    """

    code = "error"

    def __init_subclass__(cls, code: str = "") -> None:
        """Set the code of a class; without one it has that of its base."""
        cls.code = code or cls.code

    def __str__(self) -> str:
        """Return the message."""
        return hide_passwords(printable(" ".join(super().__str__().splitlines())))


class RequestError(KvasirError, code="invalid_request"):
    """The request cannot be fulfilled; the message says why."""


class OperatorError(KvasirError, code="operator_error"):
    """The installation has a fault, which affects every caller."""


class StoppedError(KvasirError, code="stopped"):
    """The work was stopped by its caller; finished parts are kept."""

    def __init__(self, message: str = "stopped before it was finished") -> None:
        super().__init__(message)


class FilterError(RequestError, code="invalid_filter"):
    """A metadata filter is malformed."""


class UnknownFieldError(FilterError, code="unknown_field"):
    """A filter names a field that no document has; ``fields`` has those that there are."""

    def __init__(self, field: str, collection: str, fields: Sequence[str] = ()) -> None:
        near = get_close_matches(field, fields, n=1)
        meant = f", did you mean '{near[0]}'?" if near else ""
        shown = ", ".join(fields[:_MOST_FIELDS])
        more = f" and {len(fields) - _MOST_FIELDS} more" if len(fields) > _MOST_FIELDS else ""
        super().__init__(
            f"no document of collection '{collection}' has the field '{field}'{meant} "
            f"(there are: {shown}{more})"
        )
        self.field, self.collection, self.fields = field, collection, tuple(fields)


class OutdatedMetadataError(FilterError, code="outdated_metadata"):
    """A filter needs what an earlier version did not keep with the documents."""

    def __init__(self, collection: str) -> None:
        super().__init__(
            f"collection '{collection}' was made by an earlier version, which kept no dates, "
            "folders and file types for filters"
        )
        self.collection = collection


class WireError(RequestError, code="malformed_json"):
    """JSON data does not fit the type that it is read as.

    Attributes:
        problem: The problem, without the path.
        path: The fields and indexes to the faulty value, outermost first.
    """

    def __init__(self, problem: str, path: tuple[str, ...] = ()) -> None:
        super().__init__(f"{'.'.join(path)}: {problem}" if path else problem)
        self.problem, self.path = problem, path

    def within(self, place: object) -> WireError:
        """Return the same error for the containing value, with ``place`` before the path."""
        return WireError(self.problem, (str(place), *self.path))


class AmbiguousStoreError(RequestError, code="ambiguous_store"):
    """An address fits several kinds of store."""


class TooFewQuestionsError(RequestError, code="too_few_questions"):
    """There are too few questions, or too few sentences to make them of, for a calibration."""


class ExtractionError(RequestError, code="unreadable_source"):
    """A source cannot be turned into text.

    Attributes:
        reason: A short stable word: encrypted, image_only, ocr_off, empty, malformed, unsupported,
            too_large, timeout, memory, crash, unreadable.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class FetchError(RequestError, code="not_fetched"):
    """A URL cannot or may not be fetched.

    Attributes:
        is_gone: The server says that there is no such page (404 or 410).
    """

    is_gone = False


class CollectionNotFoundError(RequestError, code="collection_not_found"):
    """There is no such collection; ``known`` has the names of the existing ones."""

    def __init__(self, name: str, known: Sequence[str] = ()) -> None:
        if known:
            begun = [each for each in known if each.startswith(name)]
            near = begun or get_close_matches(name, known, n=1, cutoff=0.5)
            meant = f"did you mean {_choice(near)}? " if near else ""
            message = f"there is no collection '{name}' ({meant}there are: {', '.join(known)})"
        else:
            message = f"nothing was ingested yet, so there is no collection '{name}'"
        super().__init__(message)
        self.name, self.known = name, tuple(known)


class DocumentNotFoundError(RequestError, code="document_not_found"):
    """A collection has no such document; ``near`` has source URIs that are spelled alike."""

    def __init__(self, source: str, collection: str, near: Sequence[str] = ()) -> None:
        meant = f" (did you mean {_choice(near)}?)" if near else ""
        super().__init__(f"there is no document '{source}' in collection '{collection}'{meant}")
        self.source, self.collection, self.near = source, collection, tuple(near)


class AmbiguousDocumentError(RequestError, code="ambiguous_document"):
    """What was typed of a document's name fits several; ``fitting`` has their source URIs."""

    def __init__(self, source: str, collection: str, fitting: Sequence[str]) -> None:
        shown = ", ".join(f"'{each}'" for each in fitting[:_MOST_LISTED])
        more = len(fitting) - _MOST_LISTED
        rest = f" and {more} more" if more > 0 else ""
        super().__init__(
            f"'{source}' fits {len(fitting)} documents of collection '{collection}': {shown}{rest}"
        )
        self.source, self.collection, self.fitting = source, collection, tuple(fitting)


class NotFoundError(RequestError, code="not_found"):
    """There is no such user, job, question, upload or log entry."""


class NotAuthenticatedError(RequestError, code="not_authenticated"):
    """There is no credential, or it is wrong, expired or revoked."""


class ForbiddenError(RequestError, code="forbidden"):
    """The caller may not do this."""


class TooLargeError(RequestError, code="too_large"):
    """There are more bytes than allowed."""


class RateLimitedError(RequestError, code="rate_limited"):
    """There were too many requests; ``retry_after`` has the seconds to wait."""

    def __init__(self, message: str, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class MailRefusedError(RequestError, code="mail_refused"):
    """A mail server refuses a message for good."""


class ConflictError(RequestError, code="conflict"):
    """The request conflicts with existing data or with work in progress."""


class NameTakenError(ConflictError, code="name_taken"):
    """There is a collection of this name already; ``why`` is appended to the message."""

    def __init__(self, name: str, why: str) -> None:
        super().__init__(f"there is a collection '{name}' already{why}")
        self.name = name


class SplitConflictError(ConflictError, code="split_conflict"):
    """A collection's documents were split otherwise than a setting says that was given."""

    def __init__(self, collection: str, key: str, kept: str, given: str) -> None:
        super().__init__(
            f"collection '{collection}' was split with {key} {kept}, and {given} was given"
        )
        self.collection = collection
        self.key = key


class WriterConflictError(ConflictError, code="writer_conflict"):
    """Another writer is at work in the collection, or took this one's lease."""


class IndexReplacedError(ConflictError, code="index_replaced"):
    """A collection has another index since it was embedded again; ``collection`` is its name."""

    def __init__(self, collection: str) -> None:
        super().__init__(f"collection '{collection}' was embedded again meanwhile: try again")
        self.collection = collection


class DocumentBusyError(WriterConflictError, code="document_busy"):
    """Another writer is writing or deleting the same document."""


class SettingsError(OperatorError, code="invalid_settings"):
    """A setting is unknown or has an unusable value; ``keys`` has the dotted keys, if known."""

    def __init__(self, message: str, keys: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.keys = tuple(keys)


class SettingsFileNotFoundError(SettingsError, code="settings_file_not_found"):
    """The given settings file does not exist."""


class UnknownComponentError(OperatorError, code="unknown_component"):
    """No component has this name."""


class MissingExtraError(OperatorError, code="missing_extra"):
    """An optional dependency of ``needs`` is not installed; the extra ``extra`` installs it."""

    def __init__(self, needs: str, extra: str) -> None:
        super().__init__(f"{needs} needs an optional dependency, the extra '{extra}'")
        self.extra = extra


class ModelNotFoundError(OperatorError, code="model_not_found"):
    """A model is neither on this machine nor on the server or hub.

    Attributes:
        name: Its name, if a hub could have it; otherwise empty.
        of_collection: True if it was chosen for one collection.
    """

    def __init__(self, message: str, name: str = "") -> None:
        super().__init__(message)
        self.name = name
        self.of_collection = False


class WrongEmbedderError(OperatorError, code="wrong_embedder"):
    """A collection was made by another embedder, or by the same one with other options."""


class IncompatibleVersionError(OperatorError, code="incompatible_version"):
    """Another version of Kvasir wrote the data, in a format that this one does not read.

    ``folder`` is the one to delete before filling the component again; may be empty.
    """

    def __init__(self, message: str, folder: str = "") -> None:
        super().__init__(message)
        self.folder = folder


class StorageError(OperatorError, code="storage_unusable"):
    """A folder or a database cannot be opened or written."""


class StoreLockedError(OperatorError, code="locked"):
    """Another process holds the index or the database."""


class UnfinishedError(OperatorError, code="unfinished"):
    """A collection has half-written documents from an interrupted run."""

    def __init__(self, collection: str) -> None:
        super().__init__(f"collection '{collection}' has half-written documents")
        self.collection = collection


class StoreIncompleteError(OperatorError, code="store_incomplete"):
    """The store lacks chunks that the catalog knows."""

    def __init__(self, collection: str, expected: int, counted: int) -> None:
        held = f"has {counted} of {expected} chunks" if counted else "is empty"
        super().__init__(
            f"the store of collection '{collection}' {held}, though documents were ingested: "
            "rag.vectordb names another store than before, or the store lost them"
        )
        self.collection, self.expected, self.counted = collection, expected, counted


class ForkedProcessError(OperatorError, code="forked_process"):
    """An application was used in a process forked from the one that opened it."""


class ClosedError(OperatorError, code="closed"):
    """Something was used after it was closed."""


class ComponentError(OperatorError, code=KINDS["failed"]):
    """A component failed.

    Attributes:
        component: Its name.
        operation: The operation that failed, such as "searching".
        kind: ``failed``, ``busy``, ``unreachable`` or ``timeout``; the last three may pass.
        cause: The cause.
        retry_after: Seconds after which it may be free again; None if unknown.
    """

    def __init__(
        self,
        component: str,
        operation: str,
        cause: object,
        *,
        kind: str = "failed",
        retry_after: float | None = None,
    ) -> None:
        super().__init__(f"{component}: {operation} failed: {cause}")
        self.component, self.operation, self.cause, self.kind = component, operation, cause, kind
        self.retry_after = retry_after
        if kind != "failed":
            self.code = KINDS[kind]


class DamagedError(ComponentError, code="damaged"):
    """The files or records of a component are damaged.

    ``folder`` is the one to delete before filling the component again; may be empty.
    """

    def __init__(self, component: str, operation: str, cause: object, folder: str = "") -> None:
        super().__init__(component, operation, cause)
        self.folder = folder


class ChunksLeftError(ComponentError, code="chunks_left"):
    """A store still has chunks after they were deleted."""


class RejectedDataError(ComponentError, code="rejected_data"):
    """A component refuses data, such as a number out of range; other data are not affected."""


class DeadlineExceededError(ComponentError, code="deadline_exceeded"):
    """The deadline of a call has passed; ``operation`` was not finished."""

    def __init__(self, operation: str) -> None:
        super().__init__("deadline", operation, "the time allowed for it is over", kind="timeout")
        self.code = type(self).code
