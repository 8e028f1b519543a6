"""Bearer tokens: JSON Web Tokens signed with HS256, the only algorithm accepted.

Claims: ``sub`` is the user's id, ``jti`` the token's own, ``ver`` the version of the user's tokens
(older ones are refused), ``exp`` the end of the validity, ``must_change_password`` is true after a
recovery.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import jwt

from kvasir.core.errors import NotAuthenticatedError
from kvasir.core.services.accounts import Login

_ALGORITHM = "HS256"
_REQUIRED = ["sub", "jti", "ver", "exp"]


@dataclass(frozen=True, slots=True)
class Claims:
    """What a valid token says; ``expires`` is in seconds since the epoch."""

    user_id: int
    version: int
    must_change_password: bool
    expires: float


class Tokens:
    """Signs and verifies tokens."""

    def __init__(self, key: str, *, minutes: float) -> None:
        """Args: the signing key, and the validity of a login."""
        self._key = key
        self._validity = timedelta(minutes=minutes)

    def issue(
        self, user_id: int, version: int, *, must_change_password_minutes: float | None = None
    ) -> Login:
        """Return a new token.

        Args:
            user_id: The user.
            version: The present version of the user's tokens.
            must_change_password_minutes: If given, the token allows nothing else than changing the
                password, and is valid so long.
        """
        limited = must_change_password_minutes is not None
        validity = (
            self._validity
            if must_change_password_minutes is None
            else timedelta(minutes=must_change_password_minutes)
        )
        expires = datetime.now(UTC).replace(microsecond=0) + validity
        claims = {"sub": str(user_id), "jti": str(uuid4()), "ver": version, "exp": expires}
        if limited:
            claims["must_change_password"] = True
        return Login(jwt.encode(claims, self._key, _ALGORITHM), expires, limited)

    def read(self, token: str) -> Claims:
        """Return the claims of a token.

        Raises:
            NotAuthenticatedError: It is malformed, expired or not ours.
        """
        try:
            claims = jwt.decode(
                token, self._key, algorithms=[_ALGORITHM], options={"require": _REQUIRED}
            )
            return Claims(
                int(claims["sub"]),
                int(claims["ver"]),
                bool(claims.get("must_change_password")),
                float(claims["exp"]),
            )
        except jwt.ExpiredSignatureError as error:
            raise NotAuthenticatedError("the login has expired") from error
        except (jwt.InvalidTokenError, ValueError, TypeError) as error:
            raise NotAuthenticatedError("the credential is not valid") from error
