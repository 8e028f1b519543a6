"""User names and e-mail addresses: which are accepted."""

from __future__ import annotations

import re
import unicodedata

from kvasir.core.errors import RequestError

_SHORTEST, _LONGEST = 3, 50
"""Characters of a user name, as requirement document 004 has it."""

_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_EMAIL = re.compile(rf"{_ATOM}(?:\.{_ATOM})*@{_LABEL}(?:\.{_LABEL})*")
"""An address that every mail server takes, and that can add nothing to a header of a mail."""


def check_email(email: str) -> str:
    """Return an e-mail address without blanks around it.

    Raises:
        RequestError: It is none.
    """
    email = email.strip()
    local = email.partition("@")[0]
    if not _EMAIL.fullmatch(email) or len(email) > 254 or len(local) > 64:
        raise RequestError(
            "the e-mail address is not valid: write it like ana@example.org, the domain of "
            "another script in its xn-- form"
        )
    return email


def check_username(username: str) -> str:
    """Return a user name in its normal form.

    Raises:
        RequestError: It is too short, too long or has characters that are not allowed.
    """
    username = unicodedata.normalize("NFKC", username.strip())
    if not _SHORTEST <= len(username) <= _LONGEST:
        raise RequestError(f"the user name must have {_SHORTEST} to {_LONGEST} characters")
    # With an @ it could be another user's e-mail address.
    if not username.isprintable() or "@" in username:
        raise RequestError("the user name must not have an @ or characters without a picture")
    return username
