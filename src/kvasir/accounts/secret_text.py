"""Random secrets that are shown once, and the form in which they are stored.

They have at least 98 random bits, so that a plain SHA-256 cannot be inverted by guessing, and an
indexed column finds them.
"""

from __future__ import annotations

import hashlib
import secrets

API_KEY_PREFIX = "kvasir_"
"""Tells API keys from tokens, for us and for programs that look for leaked secrets."""

_LETTERS = "ABCDEFGHJKMNPQRSTVWXYZ23456789"
"""Without letters and digits that look alike."""


def new_api_key() -> str:
    """Return a new API key."""
    return API_KEY_PREFIX + secrets.token_urlsafe(32)


def new_invitation() -> str:
    """Return a new invitation."""
    return secrets.token_urlsafe(24)


def new_temporary_password() -> str:
    """Return a new temporary password: four groups of five letters and digits."""
    groups = ("".join(secrets.choice(_LETTERS) for _ in range(5)) for _ in range(4))
    return "-".join(groups)


def digest(secret: str) -> str:
    """Return the SHA-256 of a secret, hexadecimal."""
    return hashlib.sha256(secret.encode(errors="replace")).hexdigest()


def temporary_digest(password: str) -> str:
    """Return the stored form of a temporary password, copied with blanks or typed in any case."""
    return digest("".join(password.split()).replace("-", "").upper())
