"""The key that signs tokens: the one of the settings, or one made once and kept in the data folder.

HS256 needs a key of at least 32 bytes. Source: RFC 7518, section 3.2.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from pathlib import Path

from filelock import FileLock

from kvasir.core.errors import SettingsError, StorageError
from kvasir.core.private_files import make_private_folder

_FILE = "signing.key"
_SHORTEST = 32
_FEWEST_CHARACTERS = 8

_KNOWN = {
    "29e4d528d54000bb999ed1d8866edeeda98f287f3ad2a6caf0d48f4122300b24": (
        "the SECRET_KEY that document 004 prints"
    ),
    "570dad43de1af4c925f92c16a68a50936da42b7dd6fdeb24850507a1199aac89": (
        "the SECRET_KEY of FastAPI's tutorial"
    ),
}
"""SHA-256 of published keys, and where they stand."""


def signing_key(configured: str | None, data_folder: Path) -> str:
    """Return the key that signs tokens.

    Args:
        configured: The key of the settings, if there is one.
        data_folder: Where a key is made and kept if the settings have none.

    Raises:
        SettingsError: The key is too short, was published, or may be read by other users.
        StorageError: The file of the key cannot be made or read, or is damaged.
    """
    if configured:
        check_key(configured)
        return configured.strip()
    path = data_folder / _FILE
    try:
        make_private_folder(data_folder)
        # Two processes that start at once must sign with the same key.
        with FileLock(f"{path}.lock", mode=0o600):
            if not path.exists():
                _make(path)
        return _read(path)
    except OSError as error:
        raise StorageError(f"the signing key {path} cannot be made or read: {error}") from error


def check_key(key: str) -> None:
    """Check a key of the settings.

    Raises:
        SettingsError: It is too short, easy to guess, or was published.
    """
    key = key.strip()
    instead = "set 64 random hexadecimal digits, or leave it out and a key is made in data_dir"
    digest = hashlib.sha256(key.lower().encode()).hexdigest()
    for known, source in _KNOWN.items():
        if hmac.compare_digest(digest, known):
            raise SettingsError(f"server.signing_key is {source}, which everyone knows: {instead}")
    if len(key.encode()) < _SHORTEST:
        raise SettingsError(f"server.signing_key has fewer than {_SHORTEST} characters: {instead}")
    if len(set(key)) < _FEWEST_CHARACTERS:
        raise SettingsError(f"server.signing_key is easy to guess: {instead}")


def _make(path: Path) -> None:
    """Write a new key, so that the file is complete or is not there."""
    unfinished = path.with_name(f"{path.name}.new")
    unfinished.unlink(missing_ok=True)
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(secrets.token_hex(32) + "\n")
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)


def _read(path: Path) -> str:
    if os.name == "posix" and path.stat().st_mode & 0o077:
        raise SettingsError(
            f"other users may read the signing key {path}: delete it, and a new one is made "
            "(everyone has to log in again), or set server.signing_key"
        )
    key = path.read_text("ascii", errors="replace").strip()
    if len(key) < _SHORTEST:
        raise StorageError(
            f"the signing key {path} is damaged: delete it, and a new one is made "
            "(everyone has to log in again)"
        )
    return key
