"""Addresses of documents and passages for people: the pages behind the links of citations."""

from __future__ import annotations

from urllib.parse import quote


def page_path(collection: str, document_id: str) -> str:
    """Return the path of a document's page on the server."""
    return f"/read/{_part(collection)}/{_part(document_id)}"


def document_url(base: str, collection: str, document_id: str) -> str:
    """Return the address of a document's page; ``base`` is the server's address."""
    return base.rstrip("/") + page_path(collection, document_id)


def passage_url(base: str, collection: str, document_id: str, start: int, end: int) -> str:
    """Return the address of a passage by its offsets in the document's text."""
    return f"{document_url(base, collection, document_id)}?start={start}&end={end}"


def _part(text: str) -> str:
    return quote(text, safe="")
