"""Names of sources: typed paths made absolute, and absolute paths as a terminal shows them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from kvasir.core.errors import AmbiguousDocumentError, DocumentNotFoundError
from kvasir.core.media_types import extension
from kvasir.core.text import has_scheme, shown
from kvasir.core.types import LocalFile

if TYPE_CHECKING:
    from kvasir.collection import Collection
    from kvasir.core.ledger import DocumentRecord

_PAGES = dict.fromkeys(("pptx", "pptm", "ppsx", "ppt", "odp"), "slide") | dict.fromkeys(
    ("xlsx", "xlsm", "xls", "ods"), "sheet"
)
"""What a page is called, by a file's extension."""


def files(*paths: str | Path) -> list[LocalFile]:
    """Return files and folders of this machine as sources."""
    return [LocalFile(identity(path)) for path in paths]


def identity(source: str | Path) -> str:
    """Return the URI of a source: the absolute path, or an address without its fragment."""
    text = str(source)
    if has_scheme(text):
        return text.partition("#")[0]
    return os.path.abspath(os.path.expanduser(text))  # noqa: PTH100, PTH111


def absolute_folder(name: str) -> str:
    """Return the absolute path of a folder of this machine; any other name unchanged."""
    path = os.path.abspath(os.path.expanduser(name))  # noqa: PTH100, PTH111
    return path if os.path.isdir(path) else name  # noqa: PTH112


def find_document(collection: Collection, typed: str) -> DocumentRecord:
    """Return the document that something typed means; arguments and errors as ``match_documents``.

    Raises:
        AmbiguousDocumentError: It means several.
    """
    found = match_documents(collection, typed)
    if len(found) > 1:
        names = [source_name(each.source_uri) for each in found]
        raise AmbiguousDocumentError(typed, collection.name, names)
    return found[0]


def match_documents(collection: Collection, typed: str) -> list[DocumentRecord]:
    """Return the documents that something typed means, ordered by URI.

    It is an id, an address, an upload's name, a path, a file name, or the beginning of one. A path
    may be relative; one that ends in ``/`` is a folder.

    Raises:
        DocumentNotFoundError: There is none; it names what is spelled alike.
    """
    try:
        return collection.match(*_spellings(collection, typed))
    except DocumentNotFoundError as error:
        near = list(map(source_name, error.near))
        raise DocumentNotFoundError(typed, collection.name, near) from None


def find_documents(collection: Collection, prefix: str) -> list[DocumentRecord]:
    """Return the documents whose source URI begins with a prefix, ordered by URI.

    The prefix may begin an address, an upload's name or a path. If there is none, it is read and
    refused as by ``match_documents``.
    """
    found = {
        record.id: record
        for beginning in _spellings(collection, prefix)
        for record in collection.documents(beginning)
    }
    if prefix and not found:
        return match_documents(collection, prefix)
    return sorted(found.values(), key=lambda record: record.source_uri)


def _spellings(collection: Collection, typed: str) -> list[str]:
    """Return what was typed, its absolute path, and the source URI of that."""
    full = identity(typed) if typed else ""
    if typed.endswith(("/", os.sep)) and not full.endswith(("/", os.sep)):
        full += os.sep
    return list(dict.fromkeys((typed, full, collection.source_uri(full))))


def source_name(source_uri: str) -> str:
    """Return a source's name, with paths relative to the working directory."""
    try:
        here = os.getcwd()  # noqa: PTH109
    except OSError:  # it was removed
        return source_uri
    return source_uri.removeprefix(here + os.sep)


def home_name(folder: Path) -> str:
    """Return a folder's name, safe to print, with ``~`` for the home folder."""
    home = os.path.expanduser("~")  # noqa: PTH111
    name = str(folder)
    return shown("~" + name.removeprefix(home) if name.startswith(home + os.sep) else name)


def location(source_uri: str, page: int | None = None, line: int | None = None) -> str:
    """Return a location such as ``moon.md, line 3``, in one line, safe to print."""
    name = shown(source_name(source_uri))
    if page:
        return f"{name}, {_PAGES.get(extension(source_uri), 'page')} {page}"
    return f"{name}, line {line}" if line else name
