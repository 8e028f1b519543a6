"""Store URIs: which kind of store one means, and whether two mean the same."""

from __future__ import annotations

from inspect import signature
from pathlib import Path
from urllib.parse import urlsplit

from kvasir.core.errors import AmbiguousStoreError, SettingsError
from kvasir.core.registry import load, names
from kvasir.core.types import StoreAddress

_PORTS = {6333: "qdrant-server", 19530: "milvus"}
"""Ports that a server of one kind alone listens on by default."""


def absolute_path(path: Path | str) -> Path:
    """Return a path with ``~`` and the working directory written out.

    Raises:
        SettingsError: It is in the home folder of a user who is not known.
    """
    try:
        return Path(path).expanduser().absolute()
    except RuntimeError as error:
        raise SettingsError(
            f"'{path}' is no folder: there is no home folder of such a user; write the path out"
        ) from error


def absolute_uri(uri: str) -> str:
    """Return a store's URI with the path of a folder or file written out.

    An address stays, also one whose ``http://`` was forgotten, so that the store can refuse it.

    Raises:
        SettingsError: It is an address without a usable port, or a path as ``absolute_path``.
    """
    path = uri.removeprefix("file://")
    if uri.lower().startswith(("http://", "https://")):
        try:
            urlsplit(uri).port  # noqa: B018 - parsed when it is read
        except ValueError as error:
            raise SettingsError(
                f"'{uri}' is no address ({error}): write it as http://HOST:PORT"
            ) from error
    return uri if ":" in path.partition("/")[0] else str(absolute_path(path))


def guess_store(uri: str) -> str:
    """Return the kind of store that a URI means; ``absolute_uri`` comes first.

    Raises:
        AmbiguousStoreError: It could be several.
    """
    for kind, fits in _SIGNS.items():
        if fits(uri):
            return kind
    if uri.startswith(("http://", "https://")):
        port = urlsplit(uri).port
        if port in _PORTS:
            return _PORTS[port]
    known = ", ".join(names("stores"))
    raise AmbiguousStoreError(f"'{uri}' could be of several kinds of store ({known})")


def _is_qdrant_folder(uri: str) -> bool:
    return any(Path(uri).glob("*/collection.json"))


def _is_chroma_folder(uri: str) -> bool:
    return (Path(uri) / "chroma.sqlite3").is_file()


_SIGNS = {
    "milvuslite": lambda uri: uri.endswith(".db") and not uri.startswith("http"),
    "chroma": _is_chroma_folder,
    "qdrant": _is_qdrant_folder,
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
