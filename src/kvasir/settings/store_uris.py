"""Store URIs: which kind of store one means, and whether two mean the same."""

from __future__ import annotations

from inspect import signature
from pathlib import Path
from urllib.parse import urlsplit

from kvasir.core.errors import SettingsError, UserError
from kvasir.core.registry import load, names
from kvasir.core.types import StoreAddress

_PORTS = {6333: "qdrant-server", 19530: "milvus"}
"""Ports that a server of one kind alone listens on by default."""


def check_store_uri(uri: str) -> None:
    """Checks what of a URI the stores take for granted: its port, and whose home folder it is in.

    Raises:
        UserError: It can be no place.
    """
    if uri.lower().startswith(("http://", "https://")):
        try:
            urlsplit(uri).port  # noqa: B018 - parsed when it is read
        except ValueError as error:
            raise UserError(
                f"'{uri}' is no address ({error}): write it as http://HOST:PORT"
            ) from error
        return
    try:
        Path(uri.removeprefix("file://")).expanduser()
    except RuntimeError as error:
        raise UserError(
            f"'{uri}' is no folder: there is no home folder of such a user; write the path out"
        ) from error


def guess_store(uri: str) -> str:
    """Returns the kind of store that a URI means; ``check_store_uri`` comes first.

    Raises:
        SettingsError: It could be several.
    """
    for kind, fits in _SIGNS.items():
        if fits(uri):
            return kind
    if uri.startswith(("http://", "https://")):
        port = urlsplit(uri).port
        if port in _PORTS:
            return _PORTS[port]
    raise SettingsError(
        f"'{uri}' could be of several kinds of store: say which with --to-type "
        f"({', '.join(names('stores'))})"
    )


def _is_qdrant_folder(uri: str) -> bool:
    return any(Path(uri).expanduser().glob("*/collection.json"))


def _is_chroma_folder(uri: str) -> bool:
    return (Path(uri).expanduser() / "chroma.sqlite3").is_file()


_SIGNS = {
    "milvuslite": lambda uri: uri.endswith(".db") and not uri.startswith("http"),
    "chroma": _is_chroma_folder,
    "qdrant": _is_qdrant_folder,
}


def is_embedded(address: StoreAddress) -> bool:
    """Return True if a store is a file or folder that this process opens itself."""
    by_uri = "uri" in signature(load("stores", address.type)).parameters
    return by_uri and "://" not in address.uri.removeprefix("file://")


def same_place(one: StoreAddress, other: StoreAddress) -> bool:
    """Return True if two addresses mean the same store."""
    return one.type == other.type and _normalised(one.uri) == _normalised(other.uri)


def _normalised(uri: str) -> str:
    if uri.startswith(("http://", "https://")):
        return uri.rstrip("/").lower()
    return str(Path(uri.removeprefix("file://")).expanduser().resolve())
