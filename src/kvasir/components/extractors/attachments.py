"""Attachments of mail: read by whichever extractor reads their type, found by the registry."""

from __future__ import annotations

from collections.abc import Callable

from kvasir.components.extractors.archive import damaged
from kvasir.components.extractors.document_builder import DocumentBuilder
from kvasir.core import media_types, registry
from kvasir.core.errors import ExtractionError, KvasirError
from kvasir.core.types import BlockKind, Document, Source

MAX_DEPTH = 3
"""Mail inside mail is read down to this depth."""

_MAIL = ("message/rfc822", media_types.MSG)
_UNREAD = "unread_attachments"


class Attachments:
    """Appends the text of attachments under a heading with their name."""

    def __init__(self, builder: DocumentBuilder, source: Source, depth: int) -> None:
        """Args: where to, the mail they belong to, how many mails deep it lies."""
        self._builder = builder
        self._source = source
        self._depth = depth
        self._unread: list[str] = []

    def add(self, name: str, data: bytes) -> None:
        """Append one attachment; one that cannot be read is remembered by name and reason."""
        self._append(name, lambda: self._extract(name, data))

    def add_mail(self, name: str, read: Callable[[Source, int], Document]) -> None:
        """Append a mail that is attached as an object; ``read`` takes its source and depth."""
        self._append(name, lambda: read(self._inside(name, media_types.MSG), self._next_depth()))

    def note(self, name: str, reason: str) -> None:
        """Remember what is not read."""
        self._unread.append(f"{name} ({reason})")

    def finish(self) -> None:
        """Write down what could not be read."""
        self._builder.set_metadata({_UNREAD: "; ".join(self._unread)})

    def _append(self, name: str, read: Callable[[], Document]) -> None:
        try:
            document = read()
        except MemoryError:
            # That is no fault of the attachment: the file as a whole is over its limit.
            raise
        except KvasirError as error:
            self.note(name, str(error))
        except Exception as error:  # noqa: BLE001 - parsers of hostile files raise anything
            detail = " ".join(f"{type(error).__name__}: {error}".split())[:200]
            self.note(name, str(damaged(detail)))
        else:
            self._builder.add(BlockKind.HEADING, name, level=2)
            self._builder.absorb(document)
            if inner := document.metadata.get(_UNREAD):
                self._unread.append(f"in {name}: {inner}")

    def _extract(self, name: str, data: bytes) -> Document:
        media_type = media_types.detect(name, data) if data else media_types.UNKNOWN
        known = registry.names("extractors")
        if media_type not in known and media_type.startswith("text/"):
            media_type = "text/plain"
        if media_type not in known:
            raise ExtractionError("unsupported", media_type)
        options = {"depth": self._next_depth()} if media_type in _MAIL else {}
        inner = self._inside(name, media_type)
        document: Document = registry.build("extractors", media_type, options).extract(inner, data)
        return document

    def _inside(self, name: str, media_type: str) -> Source:
        return Source(f"{self._source.uri}#{name}", media_type)

    def _next_depth(self) -> int:
        if self._depth >= MAX_DEPTH:
            raise ExtractionError(
                "unsupported", f"mail inside mail is read to a depth of {MAX_DEPTH}"
            )
        return self._depth + 1
