"""Passwords: argon2id hashes, and the rules for a new password.

The parameters are OWASP's minimum, 19 MiB of memory and two passes: a small server checks about
forty passwords a second on a core.

Source: https://cheatsheetseries.owasp.org/cheatsheets/Password_Storage_Cheat_Sheet.html
"""

from __future__ import annotations

import secrets
import threading
import unicodedata

from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher

from kvasir.core.errors import RequestError

SHORTEST = 8
LONGEST = 64
"""Characters of a password, as requirement document 004 has it."""

_LONGEST_TYPED = 1000
"""Longer texts are no password of anyone, and are not worth the work."""

_PASSES, _MEMORY_KIB = 2, 19 * 1024

_AT_ONCE = 4
"""Hashes computed at the same time, so that many logins do not need much memory."""


class Passwords:
    """Hashes and verifies passwords; safe under threads."""

    def __init__(self) -> None:
        """Hash a random password, which stands in for those of unknown users."""
        hasher = Argon2Hasher(time_cost=_PASSES, memory_cost=_MEMORY_KIB, parallelism=1)
        self._hashing = PasswordHash((hasher,))
        self._turns = threading.BoundedSemaphore(_AT_ONCE)
        self._nobody = self.hash(secrets.token_urlsafe())

    def hash(self, password: str) -> str:
        """Return the hash of a password, with its parameters and salt."""
        with self._turns:
            return self._hashing.hash(_normalised(password))

    def verify(self, password: str, stored: str | None) -> tuple[bool, str | None]:
        """Return True if a password fits its hash, and a new hash if the parameters changed.

        Without a hash it takes the same time, and the answer is no.
        """
        with self._turns:
            fits, updated = self._hashing.verify_and_update(
                _normalised(password), stored or self._nobody
            )
        return (fits, updated) if stored else (False, None)


def check_new_password(password: str, *names: str) -> None:
    """Check that a password is acceptable for a user with these names.

    Raises:
        RequestError: It is too short, too long or one of the names.
    """
    if not SHORTEST <= len(password) <= LONGEST:
        raise RequestError(f"the password must have {SHORTEST} to {LONGEST} characters")
    try:
        password.encode()
    except UnicodeEncodeError as error:
        raise RequestError("the password has characters that are not Unicode text") from error
    if password.casefold() in {name.casefold() for name in names}:
        raise RequestError("the password must not be the user name or the e-mail address")


def _normalised(password: str) -> str:
    """Return the same characters however a keyboard composes them; none of a very long text."""
    if len(password) > _LONGEST_TYPED:
        return ""
    return unicodedata.normalize("NFKC", password).encode(errors="replace").decode()
