"""Users in the database."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Engine, and_, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from kvasir.accounts.names import check_email, check_username
from kvasir.accounts.passwords import Passwords, check_new_password
from kvasir.accounts.tables import users
from kvasir.core.errors import ConflictError, NotFoundError, RequestError
from kvasir.core.services.accounts import Role, User
from kvasir.core.text import name_key
from kvasir.database import reading, writing
from kvasir.database.dialects import epoch_seconds
from kvasir.database.leases import to_datetime

LANGUAGES = ("en", "es")
"""Languages in which mails are written."""


def is_active_admin() -> Any:
    """Return the condition of users who are administrators and may log in."""
    return and_(users.c.role == Role.ADMIN, users.c.disabled.is_(False))


def to_user(row: Any) -> User:
    """Return the user of a row."""
    return User(
        id=row.id,
        email=row.email,
        username=row.username,
        role=Role(row.role),
        language=row.language,
        disabled=bool(row.disabled),
        created=to_datetime(row.created),
    )


class Users:
    """Reads and changes users."""

    def __init__(self, engine: Engine, passwords: Passwords) -> None:
        """Use a migrated database."""
        self._engine = engine
        self._passwords = passwords

    def new_row(self, email: str, username: str, password: str, language: str) -> dict[str, Any]:
        """Check the values of a new user and return a row for ``add``, which lacks the role.

        Raises:
            RequestError: A value is not acceptable.
        """
        email, username = check_email(email), check_username(username)
        check_new_password(password, email, username)
        return {
            "email": email,
            "username": username,
            "password": self._passwords.hash(password),
            "email_key": name_key(email),
            "username_key": name_key(username),
            "language": _check_language(language),
            "disabled": False,
            "token_version": 1,
        }

    def add(self, connection: Connection, row: dict[str, Any], role: Role) -> User:
        """Add a user.

        Raises:
            IntegrityError: E-mail address or user name are taken; ``conflict`` says which.
        """
        values = row | {"role": role, "created": epoch_seconds()}
        added = connection.execute(insert(users).values(**values)).inserted_primary_key
        if added is None:
            raise RuntimeError("the database gave the new user no id")
        return to_user(connection.execute(select(users).where(users.c.id == added[0])).one())

    def register(
        self, email: str, username: str, password: str, *, language: str, role: Role
    ) -> User:
        """Add a user. See ``Accounts.register``."""
        row = self.new_row(email, username, password, language)
        try:
            with writing(self._engine) as connection:
                return self.add(connection, row, role)
        except IntegrityError as error:
            raise self.conflict(row) from error

    def conflict(self, row: dict[str, Any]) -> ConflictError:
        """Return the error that says which of a new user's values is taken."""
        with reading(self._engine) as connection:
            same = select(users.c.id).where(users.c.email_key == row["email_key"])
            what = "e-mail address" if connection.execute(same).first() else "user name"
        return ConflictError(f"this {what} is taken: log in, or use another one")

    def find(self, name: str | int) -> Any | None:
        """Return the row of a user by id, user name or e-mail address, or None."""
        if isinstance(name, int):
            condition = users.c.id == name
        else:
            # A user name has no @, so that this finds one user at most.
            key = name_key(name)
            condition = or_(users.c.username_key == key, users.c.email_key == key)
        with reading(self._engine) as connection:
            return connection.execute(select(users).where(condition)).first()

    def user(self, name: str | int) -> User:
        """Return a user. See ``Accounts.user``."""
        row = self.find(name)
        if row is None:
            raise NotFoundError(f"there is no user '{name}'")
        return to_user(row)

    def page(self, after: int, limit: int) -> list[User]:
        """Return users in the order of their ids."""
        query = select(users).where(users.c.id > after).order_by(users.c.id).limit(limit)
        with reading(self._engine) as connection:
            return [to_user(row) for row in connection.execute(query).all()]

    def change(
        self, user_id: int, *, role: Role | None, disabled: bool | None, language: str | None
    ) -> User:
        """Change a user. See ``Accounts.change_user``."""
        given = {"role": role, "disabled": disabled, "language": language}
        if language is not None:
            _check_language(language)
        with writing(self._engine) as connection:
            # Locks the administrators, so that the last two cannot be disabled at the same time.
            admins = connection.execute(
                select(users.c.id).where(is_active_admin()).order_by(users.c.id).with_for_update()
            ).scalars()
            is_last = list(admins) == [user_id]
            mine = users.c.id == user_id
            row = connection.execute(select(users).where(mine).with_for_update()).first()
            if row is None:
                raise NotFoundError(f"there is no user '{user_id}'")
            values: dict[str, Any] = {
                key: value
                for key, value in given.items()
                if value is not None and value != getattr(row, key)
            }
            if is_last and values.keys() & {"role", "disabled"}:
                raise ConflictError("this is the last administrator: make another one first")
            if values.keys() & {"role", "disabled"}:
                values["token_version"] = row.token_version + 1
            if values:
                connection.execute(update(users).where(mine).values(**values))
            return to_user(connection.execute(select(users).where(mine)).one())

    def replace_hash(self, user_id: int, old: str, new: str) -> None:
        """Store the hash of the same password with new parameters."""
        condition = and_(users.c.id == user_id, users.c.password == old)
        with writing(self._engine) as connection:
            connection.execute(update(users).where(condition).values(password=new))


def _check_language(language: str) -> str:
    if language not in LANGUAGES:
        raise RequestError(f"the language must be one of {', '.join(LANGUAGES)}")
    return language
