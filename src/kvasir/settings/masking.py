"""Hide secrets where settings are shown: those under secret keys, and passwords in addresses."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from kvasir.core.text import hide_passwords

# Options of components are not declared in the schema: a key's ending marks secrets.
_SECRET_ENDINGS = (
    "token",
    "password",
    "api_key",
    "apikey",
    "secret",
    "authorization",
    "signing_key",
)


def names_a_secret(key: object) -> bool:
    """Return True if the value of a key, plain or dotted, is a secret."""
    return str(key).lower().replace("-", "_").endswith(_SECRET_ENDINGS)


def hidden_keys(tree: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """Yield the dotted keys of a tree whose values ``Settings.dump`` masks."""
    for key, value in tree.items():
        if isinstance(value, Mapping) and not names_a_secret(key):
            yield from hidden_keys(value, f"{prefix}{key}.")
        elif mask({key: value}) != {key: value}:
            yield f"{prefix}{key}"


def mask(value: Any) -> Any:
    """Hide values of secret keys and ``password`` in every ``scheme://user:password@host``."""
    if isinstance(value, dict):
        return {
            key: "**********" if names_a_secret(key) and _is_given(inner) else mask(inner)
            for key, inner in value.items()
        }
    if isinstance(value, list):
        return [mask(inner) for inner in value]
    return hide_passwords(value) if isinstance(value, str) else value


def _is_given(secret: object) -> bool:
    """Return False for an empty value, a switch, and the name of a secret's variable."""
    if isinstance(secret, Mapping) and secret.get("type") == "env_var":
        return False
    return secret not in (None, "") and not isinstance(secret, bool)
