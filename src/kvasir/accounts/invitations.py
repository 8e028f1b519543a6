"""One-time invitations to register."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Engine, delete, insert, select

from kvasir.accounts.secret_text import digest, new_invitation
from kvasir.accounts.tables import invitations, users
from kvasir.accounts.users import is_active_admin
from kvasir.core.errors import ForbiddenError
from kvasir.core.services.accounts import Role
from kvasir.database import writing
from kvasir.database.dialects import epoch_seconds

_FIRST_ADMIN = "first_admin"
"""In the place of a role: an administrator, as long as there is none."""


class Invitations:
    """Makes and uses invitations."""

    def __init__(self, engine: Engine) -> None:
        """Use a migrated database."""
        self._engine = engine

    def invite(self, role: Role, hours: float) -> str:
        """Return a new invitation for a role."""
        with writing(self._engine) as connection:
            return self._add(connection, role, hours)

    def invite_first_admin(self, hours: float) -> str | None:
        """Return an invitation for the first administrator; None if there is one."""
        with writing(self._engine) as connection:
            if _has_admin(connection):
                return None
            return self._add(connection, _FIRST_ADMIN, hours)

    def use(self, connection: Connection, invitation: str) -> Role:
        """Use up an invitation and return the role that it gives.

        Raises:
            ForbiddenError: It is unknown, used or expired.
        """
        condition = invitations.c.token_hash == digest(invitation.strip())
        valid = select(invitations.c.role).where(condition, invitations.c.expires > epoch_seconds())
        role: Any = connection.execute(valid.with_for_update()).scalar()
        if role is None or connection.execute(delete(invitations).where(condition)).rowcount != 1:
            raise ForbiddenError("the invitation is unknown, used or expired: ask for another one")
        if role != _FIRST_ADMIN:
            return Role(role)
        if _has_admin(connection):
            raise ForbiddenError("there is an administrator already: ask them for an invitation")
        connection.execute(delete(invitations).where(invitations.c.role == _FIRST_ADMIN))
        return Role.ADMIN

    def _add(self, connection: Connection, role: str, hours: float) -> str:
        now = epoch_seconds()
        connection.execute(delete(invitations).where(invitations.c.expires <= now))
        made = new_invitation()
        row = {"token_hash": digest(made), "role": role, "expires": now + hours * 3600}
        connection.execute(insert(invitations).values(**row))
        return made


def _has_admin(connection: Connection) -> bool:
    return connection.execute(select(users.c.id).where(is_active_admin())).first() is not None
