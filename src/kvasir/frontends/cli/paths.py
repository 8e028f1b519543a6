"""Typed paths, relative or with ``~``, as the absolute paths of the service layer."""

from __future__ import annotations

import os
from pathlib import Path

from kvasir.collection import Collection
from kvasir.core.errors import DocumentNotFoundError
from kvasir.core.ledger import DocumentRecord
from kvasir.core.text import has_scheme
from kvasir.core.types import LocalFile


def files(*paths: str | Path) -> list[LocalFile]:
    """Return files and folders of this machine as sources."""
    return [LocalFile(identity(path)) for path in paths]


def sources(typed: tuple[str, ...]) -> list[LocalFile | str]:
    """Return typed sources: paths as local files, addresses unchanged."""
    return [text if has_scheme(text) else LocalFile(identity(text)) for text in typed]


def identity(source: str | Path) -> str:
    """Return the URI of a source: the absolute path, or an address without its fragment."""
    text = str(source)
    if has_scheme(text):
        return text.partition("#")[0]
    return os.path.abspath(os.path.expanduser(text))  # noqa: PTH100, PTH111


def find_document(collection: Collection, typed: str) -> DocumentRecord:
    """Return a document by its id, its source URI or its path.

    Raises:
        DocumentNotFoundError: There is no such document.
    """
    try:
        return collection.document(typed)
    except DocumentNotFoundError:
        full = identity(typed)
        if full == typed:
            raise
    try:
        return collection.document(full)
    except DocumentNotFoundError:
        raise DocumentNotFoundError(typed, collection.name) from None


def find_documents(collection: Collection, prefix: str) -> list[DocumentRecord]:
    """Return the documents whose source URI begins with a prefix, ordered by URI.

    The prefix may begin an address, an upload's name or a path, which may be relative; a path that
    ends in ``/`` is a folder.
    """
    found = {
        record.id: record
        for beginning in {prefix, _full_prefix(prefix)}
        for record in collection.documents(beginning)
    }
    return sorted(found.values(), key=lambda record: record.source_uri)


def _full_prefix(prefix: str) -> str:
    if not prefix:
        return ""
    full = identity(prefix)
    names_folder = prefix.endswith(("/", os.sep)) and not full.endswith(("/", os.sep))
    return full + os.sep if names_folder else full
