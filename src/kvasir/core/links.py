"""Addresses of documents and passages in the HTTP interface, for those who show citations."""

from __future__ import annotations

from urllib.parse import quote


def document_url(base: str, collection: str, document_id: str) -> str:
    """Return the address of a document; ``base`` is the server's address."""
    path = f"/v1/collections/{_part(collection)}/documents/{_part(document_id)}"
    return base.rstrip("/") + path


def passage_url(base: str, collection: str, document_id: str, start: int, end: int) -> str:
    """Return the address of a passage by its offsets in the document's text."""
    return f"{document_url(base, collection, document_id)}/passage?start={start}&end={end}"


def _part(text: str) -> str:
    return quote(text, safe="")
