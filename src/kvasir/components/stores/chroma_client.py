"""Connections to a Chroma folder or server, without telemetry."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import chromadb
import httpx
from chromadb.config import Settings

from kvasir.components.stores.store_uris import server_address
from kvasir.core.errors import SettingsError


def open_folder(folder: Path) -> Any:
    """Return a client of the collections in a folder."""
    return chromadb.PersistentClient(folder, settings=Settings(anonymized_telemetry=False))


def chroma_address(uri: str) -> str:
    """Check the address of a Chroma server, a host and a port, and return it.

    Raises:
        SettingsError: It is no address, or has a path, a query or credentials.
    """
    address = urlsplit(
        server_address(uri, store="chroma", example="http://localhost:8000", embedded="chroma")
    )
    if address.path.strip("/") or address.query or address.fragment:
        raise SettingsError(
            f"Chroma's client knows no path behind a server's name, but rag.vectordb.uri is "
            f"'{uri}': give the server a name or a port of its own, such as http://localhost:8000"
        )
    return uri


def open_server(uri: str, headers: dict[str, str]) -> Any:
    """Return a client of the server at an address; see ``chroma_address``.

    Without a port, ``http://`` means Chroma's own, 8000, and ``https://`` the web's, 443.
    """
    address = urlsplit(uri)
    secure = address.scheme == "https"
    return chromadb.HttpClient(
        host=address.hostname or "localhost",
        port=address.port or (443 if secure else 8000),
        ssl=secure,
        headers=headers,
        settings=Settings(anonymized_telemetry=False),
    )


def http_sessions(client: Any) -> list[httpx.Client]:
    """Return the connections that a client of Chroma 1.5 leaves open when it is closed."""
    servers = [
        getattr(c, "_server", None) for c in (client, getattr(client, "_admin_client", None))
    ]
    sessions = [getattr(server, "_session", None) for server in servers]
    return [session for session in sessions if isinstance(session, httpx.Client)]


def authorization(token: str | None, username: str | None, password: str | None) -> dict[str, str]:
    """Return the header for a bearer token, or else for a user name and password."""
    if token:
        return {"Authorization": f"Bearer {token}"}
    if username:
        pair = base64.b64encode(f"{username}:{password or ''}".encode()).decode()
        return {"Authorization": f"Basic {pair}"}
    return {}
