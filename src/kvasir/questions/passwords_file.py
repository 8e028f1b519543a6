"""``passwords.json`` of requirement document 004: the passwords of the mail accounts."""

from __future__ import annotations

import json
import os
import stat
from dataclasses import dataclass
from pathlib import Path

from kvasir.core.errors import SettingsError

_KEYS = {
    "forgot_password": "temporary passwords cannot be mailed",
    "smtp_password": "answers cannot be mailed",
    "imap_password": "questions by mail cannot be read",
}
"""The file's keys, and what does not work without each."""


@dataclass(frozen=True, slots=True)
class MailPasswords:
    """The passwords of the file; None for a key that it lacks.

    Attributes:
        file: Its path; None if the settings name no file.
    """

    file: Path | None = None
    forgot_password: str | None = None
    smtp_password: str | None = None
    imap_password: str | None = None

    def lacks(self, key: str) -> str:
        """Return a sentence that says what will not work without a key."""
        if self.file is None:
            return f"a password is not set, so {_KEYS[key]}"
        return f"'{self.file}' has no '{key}', so {_KEYS[key]}"


def read_passwords(file: Path | None) -> MailPasswords:
    """Read the file, if one is named.

    Raises:
        SettingsError: Other users may read it, or it cannot be read; no message shows a password.
    """
    if file is None:
        return MailPasswords()
    try:
        with file.open("rb") as opened:
            # Of the opened file: nobody can put another one in its place in between.
            mode = os.fstat(opened.fileno()).st_mode
            content = opened.read(1 << 16)
    except OSError as error:
        raise SettingsError(
            f"mail.passwords_file '{file}' cannot be read: {error.strerror}; write it, or set "
            "mail.passwords_file to null"
        ) from error
    if os.name == "posix" and mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise SettingsError(f"other users may read '{file}': do 'chmod 600' on it first")
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        raise SettingsError(f"'{file}' is not valid JSON") from None
    if not isinstance(found, dict):
        raise SettingsError(f"'{file}' must be a JSON object of {', '.join(_KEYS)}")
    for key, value in found.items():
        if key not in _KEYS:
            raise SettingsError(f"'{file}' has an unknown key: it may have {', '.join(_KEYS)}")
        if not isinstance(value, str):
            raise SettingsError(f"'{key}' in '{file}' must be a text")
    return MailPasswords(file, **{key: value or None for key, value in found.items()})
