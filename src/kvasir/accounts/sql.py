"""Accounts in a database of SQLAlchemy: the parts of this package behind one protocol."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import Engine, and_, update
from sqlalchemy.exc import IntegrityError

from kvasir.accounts.access import Access
from kvasir.accounts.api_keys import ApiKeys, scopes_of
from kvasir.accounts.invitations import Invitations
from kvasir.accounts.passwords import Passwords, check_new_password
from kvasir.accounts.recoveries import Recoveries
from kvasir.accounts.remembering import UntilChanged
from kvasir.accounts.secret_text import API_KEY_PREFIX, digest, new_temporary_password
from kvasir.accounts.tables import users
from kvasir.accounts.tokens import Tokens
from kvasir.accounts.users import LANGUAGES, Users, to_user
from kvasir.core.errors import NotAuthenticatedError, RequestError
from kvasir.core.services.accounts import (
    ApiKey,
    Caller,
    CollectionAccess,
    Login,
    Role,
    Scope,
    User,
)
from kvasir.database import writing
from kvasir.database.changes import ChangeCounter

_WRONG = "the user name or the password is wrong, or the user is disabled"
_INVALID = "the credential is not valid"


@dataclass(frozen=True, slots=True)
class AccountOptions:
    """The settings of accounts.

    Attributes:
        signing_key: Signs tokens.
        token_minutes: Validity of a login.
        recovery_minutes: Validity of a temporary password.
        replace_immediately: A recovery replaces the password at once, as document 004 has it.
        recovery_seconds: Every recovery takes at least this long, so that its time does not tell
            whether the user exists.
    """

    signing_key: str
    token_minutes: float = 1440
    recovery_minutes: float = 20
    replace_immediately: bool = False
    recovery_seconds: float = 0.25


class SqlAccounts:
    """Users, their credentials, and their rights on collections. See ``Accounts``."""

    def __init__(
        self,
        engine: Engine,
        options: AccountOptions,
        *,
        send_recovery: Callable[[User, str], None],
    ) -> None:
        """Use a migrated database.

        Args:
            engine: The database, which the caller closes.
            options: The settings.
            send_recovery: Mails a temporary password to a user, whose ``language`` is that of the
                request.
        """
        self._engine = engine
        self._options = options
        self._send_recovery = send_recovery
        self._passwords = Passwords()
        self._tokens = Tokens(options.signing_key, minutes=options.token_minutes)
        self._users = Users(engine, self._passwords)
        self._recoveries = Recoveries(engine, minutes=options.recovery_minutes)
        self._invitations = Invitations(engine)
        self._keys = ApiKeys(engine)
        self._access = Access(engine)
        self._remembered = UntilChanged(ChangeCounter(engine))

    # Registration

    def register(
        self, email: str, username: str, password: str, *, language: str = "en", role: Role
    ) -> User:
        return self._users.register(email, username, password, language=language, role=role)

    def register_invited(
        self, invitation: str, email: str, username: str, password: str, *, language: str = "en"
    ) -> User:
        row = self._users.new_row(email, username, password, language)
        try:
            with writing(self._engine) as connection:
                role = self._invitations.use(connection, invitation)
                return self._users.add(connection, row, role)
        except IntegrityError as error:
            raise self._users.conflict(row) from error

    def invite(self, role: Role = Role.USER, *, hours: float = 168.0) -> str:
        return self._invitations.invite(role, hours)

    def invite_first_admin(self, *, hours: float = 24.0) -> str | None:
        return self._invitations.invite_first_admin(hours)

    # Logging in

    def login(self, name: str, password: str) -> Login:
        row = self._users.find(name)
        fits, updated = self._passwords.verify(password, row.password if row else None)
        if row is not None and fits and not row.disabled:
            if updated:
                self._users.replace_hash(row.id, row.password, updated)
            return self._tokens.issue(row.id, row.token_version)
        may_recover = row is not None and not row.disabled
        version = self._recoveries.use(row.id if row and may_recover else 0, password)
        if row is None or version is None:
            raise NotAuthenticatedError(_WRONG)
        minutes = self._options.recovery_minutes
        return self._tokens.issue(row.id, version, must_change_password_minutes=minutes)

    def authenticate(self, credential: str) -> Caller:
        return self._remembered.get(_key(credential), lambda: self._find_caller(credential))

    def recall(self, credential: str) -> Caller | None:
        caller: Caller | None = self._remembered.find(_key(credential))
        return caller

    def _find_caller(self, credential: str) -> tuple[Caller, float]:
        """Return the caller of a credential, and when the credential expires."""
        if credential.startswith(API_KEY_PREFIX):
            return self._caller_of_key(credential)
        claims = self._tokens.read(credential)
        row = self._users.find(claims.user_id)
        if row is None or row.disabled or row.token_version != claims.version:
            raise NotAuthenticatedError("the login has ended: log in again")
        user = to_user(row)
        if claims.must_change_password:
            return Caller(user, frozenset(), must_change_password=True), claims.expires
        return Caller(user, scopes_of(user.role) - {Scope.ANSWERING}), claims.expires

    def _caller_of_key(self, secret: str) -> tuple[Caller, float]:
        row = self._keys.find(secret)
        if row is None or row.disabled:
            raise NotAuthenticatedError(_INVALID)
        user = to_user(row)
        # The owner may have lost rights since the key was made.
        scopes = frozenset(map(Scope, row.scopes)) & scopes_of(user.role)
        end = math.inf if row.expires is None else float(row.expires)
        return Caller(user, scopes, api_key_id=row.key_id), end

    # Passwords

    def change_password(self, user_id: int, password: str, new_password: str) -> None:
        row = self._users.find(user_id)
        if row is None or row.disabled:
            raise NotAuthenticatedError(_WRONG)
        check_new_password(new_password, row.email, row.username)
        fits, _ = self._passwords.verify(password, row.password)
        stored = self._passwords.hash(new_password)
        # Only the version whose password was verified is replaced.
        same = and_(users.c.id == user_id, users.c.token_version == row.token_version)
        with writing(self._engine) as connection:
            if not (fits or self._recoveries.was_used(connection, user_id, password)):
                raise NotAuthenticatedError("the present password is wrong")
            if new_password == password:
                raise RequestError("the new password is the present one: choose another one")
            changed = {"password": stored, "token_version": row.token_version + 1}
            if connection.execute(update(users).where(same).values(**changed)).rowcount != 1:
                raise NotAuthenticatedError("the password was changed meanwhile: log in again")
            self._recoveries.forget(connection, user_id)

    def recover(self, name: str, language: str) -> None:
        started = time.monotonic()
        try:
            self._recover(name, language)
        finally:
            time.sleep(max(0.0, self._options.recovery_seconds - (time.monotonic() - started)))

    def _recover(self, name: str, language: str) -> None:
        """Store and mail a temporary password; do as much for an unknown user, except the mail."""
        password = new_temporary_password()
        replaces = self._options.replace_immediately
        stored = self._passwords.hash(password) if replaces else ""
        row = self._users.find(name)
        user_id = row.id if row is not None and not row.disabled else 0
        with writing(self._engine) as connection:
            if replaces:
                version = users.c.token_version + 1
                changed = {"password": stored, "token_version": version}
                connection.execute(update(users).where(users.c.id == user_id).values(**changed))
                self._recoveries.forget(connection, user_id)
            elif user_id:
                self._recoveries.store(connection, user_id, password)
            else:
                self._recoveries.forget(connection, user_id)
        if user_id:
            user = to_user(row)
            chosen = language if language in LANGUAGES else user.language
            self._send_recovery(replace(user, language=chosen), password)

    # Users

    def user(self, name: str | int) -> User:
        return self._users.user(name)

    def users(self, *, after: int = 0, limit: int = 100) -> list[User]:
        return self._users.page(after, limit)

    def change_user(
        self,
        user_id: int,
        *,
        role: Role | None = None,
        disabled: bool | None = None,
        language: str | None = None,
    ) -> User:
        return self._users.change(user_id, role=role, disabled=disabled, language=language)

    # API keys

    def create_api_key(
        self, user_id: int, name: str, scopes: Collection[Scope], *, expires: datetime | None = None
    ) -> tuple[ApiKey, str]:
        return self._keys.create(user_id, name, scopes, expires)

    def api_keys(self, user_id: int) -> list[ApiKey]:
        return self._keys.of_user(user_id)

    def revoke_api_key(self, user_id: int, key_id: str) -> None:
        self._keys.revoke(user_id, key_id)

    # Rights on collections

    def access(self, collection: str) -> CollectionAccess:
        return self._access.get(collection)

    def set_access(self, access: CollectionAccess) -> None:
        self._access.set(access)

    def collections_of(self, owner_id: int | None = None) -> list[str]:
        return self._access.names(owner_id)

    def claim_collection(self, collection: str, user_id: int) -> bool:
        return self._access.claim(collection, user_id)

    def forget_collection(self, collection: str) -> None:
        self._access.forget(collection)

    def readable(self, caller: Caller, collections: Iterable[str]) -> list[str]:
        return self._access.readable(caller, collections)

    def may_read(self, caller: Caller, collection: str) -> bool:
        return self._remembered.get(
            ("may_read", caller, collection),
            lambda: (self._access.may_read(caller, collection), math.inf),
        )

    def may_write(self, caller: Caller, collection: str) -> bool:
        return self._access.may_write(caller, collection)

    def close(self) -> None:
        """Do nothing: the database belongs to the caller."""


def _key(credential: str) -> tuple[str, str]:
    return "caller", digest(credential)
