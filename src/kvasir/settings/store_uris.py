"""Store URIs: absolute forms, the kind of store, comparison."""

from __future__ import annotations

import re
from collections.abc import Callable
from inspect import signature
from pathlib import Path
from urllib.parse import urlsplit

from kvasir.core.errors import AmbiguousStoreError, SettingsError
from kvasir.core.registry import load, names
from kvasir.core.types import StoreAddress
from kvasir.settings.data_folder import absolute_path

_PORTS = {6333: "qdrant-server", 19530: "milvus"}
"""Default ports by kind of server."""


_SQLITE_FILE = re.compile(r"(sqlite(?:\+\w+)?:///)(?!file:)([^:?][^?]*)(.*)", re.DOTALL)


def absolute_uri(uri: str, base: Path | None = None) -> str:
    """Return a store's URI with an absolute path; addresses are unchanged, also without scheme.

    A relative path starts at ``base``, by default the working directory.

    Raises:
        SettingsError: The address' port is unusable, or as ``absolute_path``.
    """
    if uri.lower().startswith(("http://", "https://")):
        try:
            urlsplit(uri).port  # noqa: B018 - parsed when it is read
        except ValueError as error:
            said = f"'{uri}' is no address ({error}): write it as http://HOST:PORT"
            raise SettingsError(said) from error
    path = _path_in(uri)
    return uri if path is None else str(absolute_path(path, base))


def absolute_database_url(url: str, base: Path) -> str:
    """Return an SQLAlchemy URL, that of an SQLite file with an absolute path."""
    found = _SQLITE_FILE.fullmatch(url)
    return url if found is None else f"{found[1]}{absolute_path(found[2], base)}{found[3]}"


def is_relative(uri: str | Path | None) -> bool:
    """Return True for a relative path, also within the URI of a store or an SQLite file."""
    if uri is None:
        return False
    file = _SQLITE_FILE.fullmatch(str(uri))
    path = file[2] if file else _path_in(str(uri))
    return path is not None and not path.startswith("~") and not Path(path).is_absolute()


def guess_store(uri: str) -> str:
    """Return the kind of store of an absolute URI; raise AmbiguousStoreError for several."""
    for kind, fits in _SIGNS.items():
        if fits(uri):
            return kind
    if uri.startswith(("http://", "https://")):
        port = urlsplit(uri).port
        if port in _PORTS:
            return _PORTS[port]
    known = ", ".join(names("stores"))
    raise AmbiguousStoreError(f"'{uri}' could be of several kinds of store ({known})")


_SIGNS: dict[str, Callable[[str], bool]] = {
    "milvuslite": lambda uri: uri.endswith(".db") and not uri.startswith("http"),
    "chroma": lambda uri: (Path(uri) / "chroma.sqlite3").is_file(),
    "qdrant": lambda uri: any(Path(uri).glob("*/collection.json")),
}


def is_embedded(address: StoreAddress) -> bool:
    """Return True if a store is a file or folder that this process opens itself."""
    by_uri = "uri" in signature(load("stores", address.type)).parameters
    return by_uri and "://" not in address.uri.removeprefix("file://")


def is_same_store(one: StoreAddress, other: StoreAddress) -> bool:
    """Return True if two addresses mean the same store."""
    return one.type == other.type and normal_uri(one.uri) == normal_uri(other.uri)


def normal_uri(uri: str) -> str:
    """Return the one spelling of an absolute URI, links in its path followed."""
    if uri.startswith(("http://", "https://")):
        return uri.rstrip("/").lower()
    file = _SQLITE_FILE.fullmatch(uri)
    if file is not None:
        return f"{file[1]}{Path(file[2]).resolve()}{file[3]}"
    path = _path_in(uri)
    return uri if path is None else str(Path(path).resolve())


def _path_in(uri: str) -> str | None:
    """Return the path of a store's URI; None for an address, also one without scheme."""
    path = uri.removeprefix("file://")
    return None if ":" in path.partition("/")[0] else path
