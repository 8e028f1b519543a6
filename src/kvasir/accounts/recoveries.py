"""Temporary passwords for users who forgot theirs.

A temporary password is valid for a short time and for few attempts, and logs in once. Until then
the user's own password goes on working, so that a stranger's request locks nobody out. Using it
disables the old password; it then serves once more, as the old password of the change.

Source: https://cheatsheetseries.owasp.org/cheatsheets/Forgot_Password_Cheat_Sheet.html
"""

from __future__ import annotations

import hmac

from sqlalchemy import Connection, Engine, and_, delete, insert, select, update

from kvasir.accounts.secret_text import temporary_digest
from kvasir.accounts.tables import recoveries, users
from kvasir.database import writing
from kvasir.database.dialects import epoch_seconds

MAX_ATTEMPTS = 5
"""Number of wrong passwords after which a temporary one is void."""

NO_PASSWORD = ""
"""In the place of a password's hash: no password fits."""


class Recoveries:
    """Keeps temporary passwords."""

    def __init__(self, engine: Engine, *, minutes: float) -> None:
        """Use a migrated database; ``minutes`` is the validity of a temporary password."""
        self._engine = engine
        self._seconds = minutes * 60

    def store(self, connection: Connection, user_id: int, password: str) -> None:
        """Store a temporary password, in the place of an earlier one."""
        # Another request of the same user waits here.
        mine = users.c.id == user_id
        connection.execute(select(users.c.id).where(mine).with_for_update())
        connection.execute(delete(recoveries).where(recoveries.c.user_id == user_id))
        connection.execute(
            insert(recoveries).values(
                user_id=user_id,
                password=temporary_digest(password),
                expires=epoch_seconds() + self._seconds,
                attempts=0,
                used=False,
            )
        )

    def use(self, user_id: int, password: str) -> int | None:
        """Log in by a temporary password, or count a wrong attempt.

        An unknown user (0) takes the same time.

        Returns:
            The version of the user's tokens from now on, or None if the password is wrong.
        """
        valid = and_(
            recoveries.c.user_id == user_id,
            recoveries.c.used.is_(False),
            recoveries.c.attempts < MAX_ATTEMPTS,
            recoveries.c.expires > epoch_seconds(),
        )
        fits = recoveries.c.password == temporary_digest(password)
        mine = users.c.id == user_id
        with writing(self._engine) as connection:
            taken = connection.execute(update(recoveries).where(valid, fits).values(used=True))
            if taken.rowcount != 1:
                attempts = recoveries.c.attempts + 1
                connection.execute(update(recoveries).where(valid).values(attempts=attempts))
                return None
            version = users.c.token_version + 1
            changed = {"password": NO_PASSWORD, "token_version": version}
            connection.execute(update(users).where(mine).values(**changed))
            found: int = connection.execute(select(users.c.token_version).where(mine)).scalar_one()
            return found

    def was_used(self, connection: Connection, user_id: int, password: str) -> bool:
        """Return True if this is the temporary password by which the user logged in."""
        used = and_(recoveries.c.user_id == user_id, recoveries.c.used.is_(True))
        stored = connection.execute(select(recoveries.c.password).where(used)).scalar()
        return stored is not None and hmac.compare_digest(stored, temporary_digest(password))

    def forget(self, connection: Connection, user_id: int) -> None:
        """Forget a user's temporary password."""
        connection.execute(delete(recoveries).where(recoveries.c.user_id == user_id))
