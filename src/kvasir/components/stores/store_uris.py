"""Where a store lies: a folder or an address, and never the one for the other."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from kvasir.core.errors import SettingsError

_FILE = "file://"


def local_path(uri: str, *, store: str, instead: str) -> Path:
    """Return the path of a store in the process.

    Args:
        uri: A path, also as ``file://...``.
        store: The store's name in ``rag.vectordb.type``.
        instead: What to do where a server is meant, as an imperative.

    Raises:
        SettingsError: It is an address.
    """
    if "://" in uri.removeprefix(_FILE):
        raise SettingsError(
            f"rag.vectordb.uri is the address '{uri}', but store '{store}' keeps its data in a "
            f"folder: {instead}, or name a folder"
        )
    return Path(uri.removeprefix(_FILE))


def server_address(uri: str, *, store: str, example: str, embedded: str) -> str:
    """Return the address of a server.

    Args:
        uri: What should be one.
        store: The store's name in ``rag.vectordb.type``.
        example: An address as it could be.
        embedded: Name of the store that takes folders.

    Raises:
        SettingsError: It is not ``http://...`` or ``https://...``, no host or port can be read in
            it, or it holds credentials.
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


def refuse_credentials(store: str, instead: str, **given: str | None) -> None:
    """Refuse credentials that a store in the process has no use for.

    Args:
        store: The store's name in ``rag.vectordb.type``.
        instead: What to do where a server is meant, as an imperative.
        **given: The credentials, by the names of their settings.

    Raises:
        SettingsError: One is given.
    """
    names = [f"rag.vectordb.{name}" for name, value in given.items() if value]
    if names:
        raise SettingsError(
            f"store '{store}' keeps its data in a folder and knows no {' and '.join(names)}: "
            f"leave that empty, or {instead}"
        )


def make_folder(path: Path) -> None:
    """Make a folder and those above it, where they are not there.

    Raises:
        SettingsError: That is not possible; says why.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unusable(path, error) from error


def unusable(path: Path, error: OSError) -> SettingsError:
    """Return the error for a place at which no store can be."""
    return SettingsError(
        f"the index cannot be kept in '{path}' ({error.strerror or error}): name another folder "
        "in rag.vectordb.uri, or put that one right"
    )
