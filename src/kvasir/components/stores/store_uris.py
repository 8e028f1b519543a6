"""Check the URIs and credentials of stores: folders or server addresses."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from kvasir.core.errors import SettingsError
from kvasir.core.private_files import make_private_folder

_FILE = "file://"


def local_path(uri: str, *, store: str, instead: str) -> Path:
    """Return the path of an embedded store, from a path or ``file://...``.

    Raises:
        SettingsError: It is an address; the message says what to do ``instead`` for a server.
    """
    if "://" in uri.removeprefix(_FILE):
        raise SettingsError(
            f"rag.vectordb.uri is the address '{uri}', but store '{store}' keeps its data in a "
            f"folder: {instead}, or name a folder"
        )
    return Path(uri.removeprefix(_FILE))


def server_address(uri: str, *, store: str, example: str, embedded: str) -> str:
    """Check the address of a server and return it; ``embedded`` is the store for folders.

    Raises:
        SettingsError: It is not ``http://...`` or ``https://...``, has no valid host and port, or
            holds credentials.
    """
    if not uri.lower().startswith(("http://", "https://")):
        raise SettingsError(
            f"store '{store}' needs its server's address in rag.vectordb.uri, such as {example}, "
            f"not '{uri}'; for a folder set rag.vectordb.type to '{embedded}'"
        )
    try:
        parts = urlsplit(uri)
        usable = bool(parts.hostname) and parts.port != 0 and not any(map(str.isspace, uri))
    except ValueError:  # a port that is no number up to 65535, or half a pair of brackets
        usable = False
    if "@" in uri:  # not shown: what is before it may be a password, even where it is misspelt
        raise SettingsError(
            f"the address of store '{store}' in rag.vectordb.uri has an '@', as if credentials "
            "came before it: put them in rag.vectordb.token, or in rag.vectordb.username and "
            "rag.vectordb.password"
        )
    if not usable:
        raise SettingsError(
            f"rag.vectordb.uri is '{uri}', in which no host and port can be read: write it such "
            f"as {example}"
        )
    return uri


def refuse_credentials(store: str, instead: str, **login: str | None) -> None:
    """Raise ``SettingsError`` if an embedded store is given credentials, named as in settings."""
    names = [f"rag.vectordb.{name}" for name, value in login.items() if value]
    if names:
        raise SettingsError(
            f"store '{store}' keeps its data in a folder and knows no {' and '.join(names)}: "
            f"leave that empty, or {instead}"
        )


def make_folder(path: Path) -> None:
    """Create a folder and its parents, for this user only, or raise ``SettingsError``."""
    try:
        make_private_folder(path)
    except OSError as error:
        raise unusable(path, error.strerror or str(error)) from error


def unusable(path: Path, why: str) -> SettingsError:
    """Return the error for a folder that cannot hold a store."""
    return SettingsError(
        f"the index cannot be kept in '{path}' ({why}): name another folder "
        "in rag.vectordb.uri, or put that one right"
    )
