"""Store URIs: absolute forms, the kind of store, comparison."""

from __future__ import annotations

from collections.abc import Callable
from inspect import signature
from pathlib import Path
from urllib.parse import urlsplit

from kvasir.core.errors import AmbiguousStoreError, SettingsError
from kvasir.core.registry import load, names
from kvasir.core.types import StoreAddress

_PORTS = {6333: "qdrant-server", 19530: "milvus"}
"""Default ports by kind of server."""


def absolute_path(path: Path | str) -> Path:
    """Return a path, ``~`` expanded, as absolute; raise SettingsError for an unknown user's."""
    try:
        return Path(path).expanduser().absolute()
    except RuntimeError as error:
        why = "there is no home folder of such a user; write the path out"
        raise SettingsError(f"'{path}' is no folder: {why}") from error


def absolute_uri(uri: str) -> str:
    """Return a store's URI with an absolute path; addresses are unchanged, also without scheme.

    Raises:
        SettingsError: The address' port is unusable, or as ``absolute_path``.
    """
    path = uri.removeprefix("file://")
    if uri.lower().startswith(("http://", "https://")):
        try:
            urlsplit(uri).port  # noqa: B018 - parsed when it is read
        except ValueError as error:
            said = f"'{uri}' is no address ({error}): write it as http://HOST:PORT"
            raise SettingsError(said) from error
    return uri if ":" in path.partition("/")[0] else str(absolute_path(path))


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
    return one.type == other.type and _normalised(one.uri) == _normalised(other.uri)


def _normalised(uri: str) -> str:
    if uri.startswith(("http://", "https://")):
        return uri.rstrip("/").lower()
    return str(Path(uri.removeprefix("file://")).resolve())
