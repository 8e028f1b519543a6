"""Attachments of mail: read by whichever extractor reads their type, found by the registry."""

from __future__ import annotations

from kvasir.components.extractors.document_builder import DocumentBuilder
from kvasir.core import media_types, registry
from kvasir.core.errors import KvasirError
from kvasir.core.types import BlockKind, Source

MAX_DEPTH = 3
"""Mail inside mail is read down to this depth."""

_MAIL = ("message/rfc822", media_types.MSG)


class Attachments:
    """Appends the text of attachments under a heading with their name."""

    def __init__(self, builder: DocumentBuilder, source: Source, depth: int) -> None:
        """Args: where to, the mail they belong to, how many mails deep it lies."""
        self._builder = builder
        self._source = source
        self._depth = depth
        self._unread: list[str] = []

    def add(self, name: str, data: bytes) -> None:
        """Appends one attachment; one that cannot be read is remembered by name and reason."""
        media_type = media_types.detect(name, data) if data else media_types.UNKNOWN
        known = registry.names("extractors")
        if media_type not in known and media_type.startswith("text/"):
            media_type = "text/plain"
        if media_type not in known or (media_type in _MAIL and self._depth >= MAX_DEPTH):
            self._unread.append(f"{name} ({media_type})")
            return
        options = {"depth": self._depth + 1} if media_type in _MAIL else {}
        inner = Source(f"{self._source.uri}#{name}", media_type)
        try:
            document = registry.build("extractors", media_type, options).extract(inner, data)
        except KvasirError as error:
            self._unread.append(f"{name} ({error})")
            return
        self._builder.add(BlockKind.HEADING, name, level=2)
        self._builder.absorb(document)

    def finish(self) -> None:
        """Writes down what could not be read."""
        self._builder.set_metadata({"unread_attachments": "; ".join(self._unread)})
