"""What is unsafe in usable settings: passwords that everyone knows.

``rag-system`` and ``secret`` stand in requirement document 004, the others in many examples.
"""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import unquote, urlsplit

from kvasir.settings.schema import Settings

_KNOWN = frozenset(
    {"rag-system", "secret", "password", "admin", "root", "changeme", "example", "123456"}
)


def find_warnings(settings: Settings) -> list[str]:
    """Return one line for each database whose password is missing or well known."""
    addresses = {
        "database.url": settings.database.url,
        "catalog.url": settings.catalog.url,
        "questions.queue": settings.questions.queue,
    }
    return [line for key, url in addresses.items() if url for line in _of_address(key, url)]


def _of_address(key: str, url: str) -> Iterator[str]:
    if url.startswith("sqlite"):
        return
    try:
        parts = urlsplit(url)
        password = unquote(parts.password or "")
    except ValueError:
        # Opening the database says what is wrong with the address.
        return
    if parts.username and password.lower() in _KNOWN | {unquote(parts.username).lower()}:
        yield (
            f"the password in {key} is one that everyone knows: choose another one, in the "
            "database and in the settings"
        )
