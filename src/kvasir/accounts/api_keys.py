"""API keys in the database, as SHA-256."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from sqlalchemy import Engine, and_, delete, insert, or_, select, update

from kvasir.accounts.secret_text import digest, new_api_key
from kvasir.accounts.tables import api_keys, users
from kvasir.core.errors import ForbiddenError, NotFoundError, RequestError
from kvasir.core.services.accounts import ApiKey, Role, Scope
from kvasir.database import reading, writing
from kvasir.database.dialects import epoch_seconds
from kvasir.database.leases import to_datetime

_USED_SECONDS = 60
"""The time of the last use is written no more often than this."""

_LONGEST_NAME = 100


def scopes_of(role: Role) -> frozenset[Scope]:
    """Return the scopes that the API keys of a user of this role may have."""
    return frozenset(Scope) if role is Role.ADMIN else frozenset((Scope.READ, Scope.WRITE))


class ApiKeys:
    """Makes, lists, checks and revokes API keys."""

    def __init__(self, engine: Engine) -> None:
        """Use a migrated database."""
        self._engine = engine

    def create(
        self, user_id: int, name: str, scopes: Collection[Scope], expires: datetime | None
    ) -> tuple[ApiKey, str]:
        """Return a new API key and its secret. See ``Accounts.create_api_key``."""
        name = name.strip()
        if not 1 <= len(name) <= _LONGEST_NAME or not name.isprintable():
            raise RequestError(f"the name of an API key must have 1 to {_LONGEST_NAME} characters")
        if not scopes:
            raise RequestError("an API key needs a scope")
        if expires is not None:
            expires = _checked_end(expires)
        secret = new_api_key()
        row = {
            "id": str(uuid4()),
            "user_id": user_id,
            "name": name,
            "secret_hash": digest(secret),
            "scopes": sorted(scopes),
            "created": epoch_seconds(),
            "expires": expires.timestamp() if expires else None,
        }
        with writing(self._engine) as connection:
            role = select(users.c.role).where(users.c.id == user_id)
            found = connection.execute(role).scalar()
            if found is None:
                raise NotFoundError(f"there is no user '{user_id}'")
            if missing := set(scopes) - scopes_of(Role(found)):
                named = ", ".join(sorted(missing))
                raise ForbiddenError(f"only an administrator's API key may have the scope {named}")
            if (
                expires
                and expires.timestamp() <= connection.execute(select(epoch_seconds())).scalar_one()
            ):
                raise RequestError("the end of an API key must be in the future")
            connection.execute(insert(api_keys).values(**row))
            made = select(api_keys).where(api_keys.c.id == row["id"])
            return _to_api_key(connection.execute(made).one()), secret

    def of_user(self, user_id: int) -> list[ApiKey]:
        """Return a user's API keys, oldest first."""
        mine = select(api_keys).where(api_keys.c.user_id == user_id)
        with reading(self._engine) as connection:
            rows = connection.execute(mine.order_by(api_keys.c.created, api_keys.c.id)).all()
        return [_to_api_key(row) for row in rows]

    def revoke(self, user_id: int, key_id: str) -> None:
        """Revoke an API key. See ``Accounts.revoke_api_key``."""
        mine = and_(api_keys.c.user_id == user_id, api_keys.c.id == key_id)
        with writing(self._engine) as connection:
            if connection.execute(delete(api_keys).where(mine)).rowcount != 1:
                raise NotFoundError(f"there is no API key '{key_id}'")

    def find(self, secret: str) -> Any | None:
        """Return the row of the user of a valid API key, or None; the time of its use is recorded.

        The row also has ``key_id``, ``scopes`` and ``expires``.
        """
        now = epoch_seconds()
        query = (
            select(
                users,
                api_keys.c.id.label("key_id"),
                api_keys.c.scopes,
                api_keys.c.expires,
                or_(
                    api_keys.c.last_used.is_(None), api_keys.c.last_used < now - _USED_SECONDS
                ).label("is_due"),
            )
            .join(api_keys, api_keys.c.user_id == users.c.id)
            .where(
                api_keys.c.secret_hash == digest(secret),
                or_(api_keys.c.expires.is_(None), api_keys.c.expires > now),
            )
        )
        with reading(self._engine) as connection:
            row = connection.execute(query).first()
        if row is not None and row.is_due:
            mine = api_keys.c.id == row.key_id
            with writing(self._engine) as connection:
                connection.execute(update(api_keys).where(mine).values(last_used=now))
        return row


def _checked_end(expires: datetime) -> datetime:
    if expires.tzinfo is None:
        raise RequestError("the end of an API key needs a time zone, such as +00:00")
    try:
        return expires.astimezone(UTC)
    except OverflowError as error:
        raise RequestError("the end of an API key must be between the years 1 and 9999") from error


def _to_api_key(row: Any) -> ApiKey:
    return ApiKey(
        id=row.id,
        user_id=row.user_id,
        name=row.name,
        scopes=tuple(Scope(each) for each in row.scopes),
        created=to_datetime(row.created),
        expires=None if row.expires is None else to_datetime(row.expires),
        last_used=None if row.last_used is None else to_datetime(row.last_used),
    )
