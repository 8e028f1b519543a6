"""Addresses of documents and passages for clients: pages of a server, or the sources themselves."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from kvasir.core.links import document_url, passage_url
from kvasir.core.media_types import extension

_WEB = ("http://", "https://")
_IN_ADDRESS = "/:?&=#%~+,;@!$'()*[]"
"""Characters that stay as they are in an address of the web."""


@dataclass(frozen=True, slots=True)
class DocumentLinks:
    """Makes the addresses.

    Attributes:
        base: The address of the server; empty without one, for the user of this machine: then
            addresses are those of web pages and of files.
    """

    base: str

    def document(self, collection: str, document_id: str, source_uri: str) -> str:
        """Return the address of a document; empty if it has none."""
        if self.base:
            return document_url(self.base, collection, document_id)
        return _source_url(source_uri, None)

    def passage(
        self,
        collection: str,
        place: tuple[str, int, int],
        source_uri: str,
        page: int | None = None,
    ) -> str:
        """Return the address of a passage; empty if it has none.

        Args:
            collection: The collection of the document.
            place: The document's id, and the passage's offsets.
            source_uri: The document's source.
            page: The page on which the passage stands.
        """
        if self.base:
            return passage_url(self.base, collection, *place)
        return _source_url(source_uri, page)


def _source_url(source_uri: str, page: int | None) -> str:
    if source_uri.lower().startswith(_WEB):
        return quote(source_uri, safe=_IN_ADDRESS)
    try:
        file = Path(source_uri)
        if not file.is_absolute() or not file.exists():
            return ""
        address = file.as_uri()
    except (OSError, ValueError):
        return ""
    return f"{address}#page={page}" if page and extension(source_uri) == "pdf" else address
