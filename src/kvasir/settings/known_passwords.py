"""Finds passwords of databases that are printed in manuals and examples, document 004's too."""

from __future__ import annotations

from urllib.parse import unquote, urlsplit

from kvasir.settings.component_schema import reveal
from kvasir.settings.schema import Settings

_KNOWN = frozenset(
    ("rag-system", "secret", "password", "admin", "root", "postgres", "mysql", "guest", "example")
)


def known_passwords(settings: Settings) -> list[str]:
    """Return the dotted keys of settings that have a password which everyone knows."""
    addresses = {
        "catalog.url": settings.catalog.url,
        "database.url": settings.database.url,
        "questions.queue": settings.questions.queue,
        "accounts.rate_limits.storage": settings.accounts.rate_limits.storage,
    }
    found = {key: _password(address) for key, address in addresses.items()}
    found["rag.vectordb.password"] = reveal(settings.rag.vectordb.password)
    return [key for key, password in found.items() if password in _KNOWN]


def _password(address: str | None) -> str | None:
    if not address:
        return None
    try:
        return unquote(urlsplit(address).password or "")
    except ValueError:
        # Malformed; whoever opens it says so.
        return None
