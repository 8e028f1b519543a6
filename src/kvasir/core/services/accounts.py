"""Users, their credentials, and their rights on collections."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol


class Role(StrEnum):
    """The role of a user."""

    ADMIN = "admin"
    USER = "user"


class Scope(StrEnum):
    """The right that an API key gives; a signed-in user has all but ``answering``.

    ``read`` searches, asks and shows documents; ``write`` also adds, changes and deletes;
    ``answering`` takes questions from the queue and gives answers back; ``admin`` allows
    everything that its owner may do as an administrator.
    """

    READ = "read"
    WRITE = "write"
    ANSWERING = "answering"
    ADMIN = "admin"


class Visibility(StrEnum):
    """The users who may read a collection: its owner, those named, or all who are signed in."""

    PRIVATE = "private"
    SHARED = "shared"
    PUBLIC = "public"


@dataclass(frozen=True, slots=True)
class User:
    """A registered user.

    Attributes:
        language: ``en`` or ``es``: the language of mails.
        disabled: True if the user may not log in.
    """

    id: int
    email: str
    username: str
    role: Role
    language: str
    disabled: bool
    created: datetime


@dataclass(frozen=True, slots=True)
class Caller:
    """The user on whose behalf a request is made, and what the credential allows.

    Attributes:
        user: None for the owner token of the data folder, which acts as administrator.
        scopes: What the credential allows.
        must_change_password: True after logging in by a recovery password: everything else than
            changing the password is refused.
        api_key_id: The id of the API key; empty after a login.
    """

    user: User | None
    scopes: frozenset[Scope]
    must_change_password: bool = False
    api_key_id: str = ""

    @property
    def user_id(self) -> int:
        """The id of the user; 0 for the owner of the data folder."""
        return self.user.id if self.user else 0

    @property
    def is_admin(self) -> bool:
        """True if the caller may do everything."""
        return Scope.ADMIN in self.scopes

    def has(self, scope: Scope) -> bool:
        """Return True if the credential allows the scope; ``write`` includes ``read``."""
        wanted = {scope, Scope.ADMIN}
        if scope is Scope.READ:
            wanted.add(Scope.WRITE)
        return bool(wanted & self.scopes)


@dataclass(frozen=True, slots=True)
class Login:
    """The result of logging in.

    Attributes:
        access_token: A bearer token.
        expires: End of its validity.
        must_change_password: True if the password was a temporary one.
    """

    access_token: str
    expires: datetime
    must_change_password: bool = False


@dataclass(frozen=True, slots=True)
class ApiKey:
    """An API key; the secret itself is shown once, when the key is made."""

    id: str
    user_id: int
    name: str
    scopes: tuple[Scope, ...]
    created: datetime
    expires: datetime | None = None
    last_used: datetime | None = None


@dataclass(frozen=True, slots=True)
class CollectionAccess:
    """Who may read and write a collection.

    Attributes:
        owner_id: The user who made it; 0 for the owner of the data folder.
        readers: Ids of users who may read it, unless it is private.
        writers: Ids of users who may also write to it, unless it is private.
    """

    collection: str
    owner_id: int = 0
    visibility: Visibility = Visibility.PRIVATE
    readers: tuple[int, ...] = ()
    writers: tuple[int, ...] = ()


class Accounts(Protocol):
    """Users, their credentials, and their rights on collections."""

    def register(
        self, email: str, username: str, password: str, *, language: str = "en", role: Role
    ) -> User:
        """Add a user.

        Raises:
            RequestError: A value is not acceptable.
            ConflictError: E-mail address or user name are taken.
        """

    def register_invited(
        self, invitation: str, email: str, username: str, password: str, *, language: str = "en"
    ) -> User:
        """Add a user by a one-time invitation, which decides the role.

        Raises:
            ForbiddenError: The invitation is unknown, used or expired.
        """

    def invite(self, role: Role = Role.USER, *, hours: float = 168.0) -> str:
        """Return a new one-time invitation."""

    def invite_first_admin(self, *, hours: float = 24.0) -> str | None:
        """Return a one-time invitation for the first administrator; None if there is one.

        It is void as soon as there is an administrator.
        """

    def login(self, name: str, password: str) -> Login:
        """Log in by user name or e-mail address.

        Raises:
            NotAuthenticatedError: They are wrong, or the user is disabled.
        """

    def authenticate(self, credential: str) -> Caller:
        """Return the caller of a bearer token or an API key.

        Raises:
            NotAuthenticatedError: It is unknown, expired or revoked, or the user is disabled.
        """

    def recall(self, credential: str) -> Caller | None:
        """Return the caller of a credential if that is known without asking the database.

        It does not wait, and what ``authenticate`` would refuse is not known.
        """

    def change_password(self, user_id: int, password: str, new_password: str) -> None:
        """Change a password; tokens given out before end.

        Raises:
            NotAuthenticatedError: The old password is wrong.
        """

    def recover(self, name: str, language: str) -> None:
        """Mail a temporary password to a user; unknown names are accepted in the same time."""

    def user(self, name: str | int) -> User:
        """Return a user by id, user name or e-mail address.

        Raises:
            NotFoundError: There is none.
        """

    def users(self, *, after: int = 0, limit: int = 100) -> list[User]:
        """Return users in the order of their ids."""

    def change_user(
        self,
        user_id: int,
        *,
        role: Role | None = None,
        disabled: bool | None = None,
        language: str | None = None,
    ) -> User:
        """Change a user; disabling or another role ends the tokens given out before.

        Raises:
            NotFoundError: There is none.
            ConflictError: It is the last administrator, who cannot be disabled or demoted.
        """

    def create_api_key(
        self, user_id: int, name: str, scopes: Collection[Scope], *, expires: datetime | None = None
    ) -> tuple[ApiKey, str]:
        """Return a new API key and its secret.

        Raises:
            ForbiddenError: The user may not have one of the scopes.
        """

    def api_keys(self, user_id: int) -> list[ApiKey]:
        """Return a user's API keys."""

    def revoke_api_key(self, user_id: int, key_id: str) -> None:
        """Revoke an API key.

        Raises:
            NotFoundError: The user has none of this id.
        """

    def access(self, collection: str) -> CollectionAccess:
        """Return who may read and write a collection; the owner's alone if nothing is recorded."""

    def set_access(self, access: CollectionAccess) -> None:
        """Record who may read and write a collection.

        Raises:
            NotFoundError: There is no such user.
        """

    def collections_of(self, owner_id: int | None = None) -> list[str]:
        """Return the names of collections on which rights are recorded, sorted.

        With ``owner_id`` those of one owner; 0 is the owner of the data folder. A collection
        without documents has nothing but this record.
        """

    def claim_collection(self, collection: str, user_id: int) -> bool:
        """Make a user the owner of a new collection; False if rights on it are recorded already.

        Of two users who make a collection of one name at the same time, one gets it.
        """

    def forget_collection(self, collection: str) -> None:
        """Forget the rights on a collection that was deleted."""

    def readable(self, caller: Caller, collections: Iterable[str]) -> list[str]:
        """Return those of the collections that the caller may search, in their order."""

    def may_read(self, caller: Caller, collection: str) -> bool:
        """Return True if the caller may search the collection."""

    def may_write(self, caller: Caller, collection: str) -> bool:
        """Return True if the caller may change documents of the collection."""

    def close(self) -> None:
        """Release the database."""
