"""Where stores are: which kind a URI means, and the settings that lead there."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import yaml

from kvasir.core.errors import SettingsError, UserError
from kvasir.core.registry import names
from kvasir.settings.schema import Settings, VectorDbSettings

_PORTS = {6333: "qdrant-server", 19530: "milvus"}
"""Ports that a server of one kind alone listens on by default."""


def check_place(uri: str) -> None:
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
    """Returns the kind of store that a URI means; ``check_place`` comes first.

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


def describe(settings: Settings, to: VectorDbSettings, name: str | None) -> str:
    """Returns what to change in the settings to go on with a copy; secrets are not shown."""
    place = {"type": to.type, "uri": to.uri, "username": to.username}
    tree: dict[str, object] = {
        "rag": {"vectordb": {key: value for key, value in place.items() if value is not None}}
    }
    renamed = name is not None and name != settings.collection
    if renamed:
        tree["collection"] = name
    lines = ["to go on with the copy, set in the settings file:", ""]
    lines += [f"  {line}" for line in yaml.safe_dump(tree, sort_keys=False).splitlines()]
    lines.append("")
    secrets = [key for key in ("token", "password") if getattr(to, key)]
    if secrets:
        given = " and ".join(f"KVASIR__RAG__VECTORDB__{key.upper()}" for key in secrets)
        lines.append(f"put the {' and '.join(secrets)} into the environment as {given}")
    if settings.rag.vectordb.options and to.type != settings.rag.vectordb.type:
        lines.append(
            f"and take rag.vectordb.options away: they are those of '{settings.rag.vectordb.type}'"
        )
    own = "its own records in the catalog" if renamed else "the same catalog"
    lines.append(f"documents stay known: the copy has {own}; 'kvasir doctor' compares them")
    return "\n".join(lines)
