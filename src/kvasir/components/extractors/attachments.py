"""Parts that EML and MSG share: headers, plain bodies and attachments."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from kvasir.components.extractors.archive import damaged
from kvasir.components.extractors.document_builder import DocumentBuilder, is_blank
from kvasir.core import media_types, registry
from kvasir.core.errors import ExtractionError, KvasirError
from kvasir.core.types import BlockKind, Document, Source

MAX_DEPTH = 3
"""Mail inside mail is read down to this depth."""

_MAIL = ("message/rfc822", media_types.MSG)
_UNREAD = "unread_attachments"


def add_headers(
    builder: DocumentBuilder, subject: str, headers: Mapping[str, str], date: str, message_id: str
) -> None:
    """Append the subject and the shown headers; keep them all as metadata.

    Args:
        builder: Receives the blocks.
        subject: The subject, the document's title.
        headers: From, To, Cc and Date, as they are shown.
        date: The date in ISO format.
        message_id: The mail's identifier.
    """
    builder.add(BlockKind.HEADING, " ".join(subject.split()), level=1)
    lines = (f"{name}: {value}" for name, value in headers.items() if value)
    builder.add(BlockKind.PARAGRAPH, "\n".join(lines))
    shown = {name.lower(): value for name, value in headers.items()}
    builder.set_metadata({"subject": subject, **shown, "date": date, "message_id": message_id})


def add_plain_body(builder: DocumentBuilder, text: str) -> bool:
    """Append a plain text body; False if there is no text in it."""
    if is_blank(text):
        return False
    for paragraph in text.replace("\r\n", "\n").split("\n\n"):
        builder.add(BlockKind.PARAGRAPH, paragraph)
    return True


class Attachments:
    """Appends the text of attachments under a heading with their name."""

    def __init__(self, builder: DocumentBuilder, source: Source, depth: int) -> None:
        """Args: the target, the mail of the attachments, and the number of mails around it."""
        self._builder = builder
        self._source = source
        self._depth = depth
        self._unread: list[str] = []

    def add(self, name: str, data: bytes) -> None:
        """Append one attachment; note its name and the reason if it cannot be read."""
        self._append(name, lambda: self._extract(name, data))

    def add_mail(self, name: str, read: Callable[[Source, int], Document]) -> None:
        """Append a mail that is attached as an object, by ``read(source, depth)``."""
        self._append(name, lambda: read(self._inside(name, media_types.MSG), self._next_depth()))

    def note(self, name: str, reason: str) -> None:
        """Note an attachment that is not read."""
        self._unread.append(f"{name} ({reason})")

    def finish(self) -> None:
        """Write the names of unread attachments to the metadata."""
        self._builder.set_metadata({_UNREAD: "; ".join(self._unread)})

    def _append(self, name: str, read: Callable[[], Document]) -> None:
        try:
            document = read()
        except MemoryError:
            # The file as a whole is over its limit, not this attachment.
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
