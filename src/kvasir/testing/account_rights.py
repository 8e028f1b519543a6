"""The contract of accounts: API keys, and rights on collections."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import pytest

from kvasir.core.errors import (
    ForbiddenError,
    NotAuthenticatedError,
    NotFoundError,
    RequestError,
)
from kvasir.core.services.accounts import (
    Accounts,
    Caller,
    CollectionAccess,
    Role,
    Scope,
    User,
    Visibility,
)
from kvasir.testing.account_cases import (
    ADMIN,
    PASSWORD,
    AccountCases,
    Mailbox,
    MakeAccounts,
    at_once,
)


class RightsCases(AccountCases):
    """What must hold for API keys and rights on collections."""

    # API keys

    def test_an_api_key_gives_its_scopes_until_it_is_revoked(
        self, accounts: Accounts, ana: User
    ) -> None:
        key, secret = accounts.create_api_key(ana.id, "my script", [Scope.READ])
        assert (key.name, key.scopes, key.user_id) == ("my script", (Scope.READ,), ana.id)
        assert secret.startswith("kvasir_")
        caller = accounts.authenticate(secret)
        assert caller == Caller(ana, frozenset((Scope.READ,)), api_key_id=key.id)
        assert not caller.has(Scope.WRITE)
        [listed] = accounts.api_keys(ana.id)
        assert (listed.id, listed.name) == (key.id, key.name)
        assert listed.last_used is not None
        assert secret not in repr(listed)
        accounts.revoke_api_key(ana.id, key.id)
        assert accounts.api_keys(ana.id) == []
        with pytest.raises(NotAuthenticatedError):
            accounts.authenticate(secret)

    def test_an_api_key_belongs_to_its_user(self, accounts: Accounts, ana: User) -> None:
        bo = accounts.register("bo@example.org", "bo1", PASSWORD, role=Role.USER)
        key, secret = accounts.create_api_key(ana.id, "key", [Scope.READ])
        assert accounts.api_keys(bo.id) == []
        with pytest.raises(NotFoundError):
            accounts.revoke_api_key(bo.id, key.id)
        with pytest.raises(NotFoundError):
            accounts.create_api_key(bo.id + 1, "key", [Scope.READ])
        accounts.authenticate(secret)

    def test_an_api_key_expires(self, accounts: Accounts, ana: User) -> None:
        now = datetime.now(UTC)
        soon, later = now + timedelta(seconds=0.5), now + timedelta(hours=1)
        _, short = accounts.create_api_key(ana.id, "short", [Scope.READ], expires=soon)
        _, long = accounts.create_api_key(ana.id, "long", [Scope.READ], expires=later)
        time.sleep(max(0.0, (soon - datetime.now(UTC)).total_seconds() + 0.05))
        with pytest.raises(NotAuthenticatedError):
            accounts.authenticate(short)
        accounts.authenticate(long)

    @pytest.mark.parametrize("scope", [Scope.ANSWERING, Scope.ADMIN])
    def test_only_an_administrator_gives_the_scopes_of_one(
        self, accounts: Accounts, ana: User, scope: Scope
    ) -> None:
        with pytest.raises(ForbiddenError):
            accounts.create_api_key(ana.id, "key", [Scope.READ, scope])
        accounts.register("bo@example.org", "bo1", PASSWORD, role=Role.ADMIN)
        accounts.change_user(ana.id, role=Role.ADMIN)
        _, secret = accounts.create_api_key(ana.id, "key", [Scope.READ, scope])
        assert accounts.authenticate(secret).has(scope)
        accounts.change_user(ana.id, role=Role.USER)
        assert accounts.authenticate(secret).scopes == {Scope.READ}

    @pytest.mark.parametrize(
        ("name", "scopes", "expires"),
        [
            ("", [Scope.READ], None),
            ("n" * 101, [Scope.READ], None),
            ("line\nbreak", [Scope.READ], None),
            ("key", [], None),
            ("key", [Scope.READ], datetime(2020, 1, 1, tzinfo=UTC)),
            ("key", [Scope.READ], datetime(2090, 1, 1)),
        ],
    )
    def test_an_unacceptable_api_key_is_not_made(
        self,
        accounts: Accounts,
        ana: User,
        name: str,
        scopes: list[Scope],
        expires: datetime | None,
    ) -> None:
        with pytest.raises(RequestError):
            accounts.create_api_key(ana.id, name, scopes, expires=expires)
        assert accounts.api_keys(ana.id) == []

    # Rights on collections

    def test_a_collection_without_rights_is_for_administrators(
        self, accounts: Accounts, ana: User
    ) -> None:
        assert accounts.access("made") == CollectionAccess("made")
        assert self.rights(accounts, ana, "made") == ""
        assert accounts.may_read(ADMIN, "made")
        assert accounts.may_write(ADMIN, "made")
        assert accounts.readable(ADMIN, ["made", "also"]) == ["made", "also"]

    @pytest.mark.parametrize(
        ("visibility", "owner", "reader", "writer", "stranger"),
        [
            (Visibility.PRIVATE, "rw", "", "", ""),
            (Visibility.SHARED, "rw", "r", "rw", ""),
            (Visibility.PUBLIC, "rw", "r", "rw", "r"),
        ],
    )
    def test_rights_follow_the_visibility(
        self,
        accounts: Accounts,
        visibility: Visibility,
        owner: str,
        reader: str,
        writer: str,
        stranger: str,
    ) -> None:
        users = [
            accounts.register(f"{name}@example.org", name, PASSWORD, role=Role.USER)
            for name in ("owner", "reader", "writer", "stranger")
        ]
        ids = [user.id for user in users]
        access = CollectionAccess("tea", ids[0], visibility, (ids[1],), (ids[2],))
        accounts.set_access(access)
        assert accounts.access("tea") == access
        found = [self.rights(accounts, user, "tea") for user in users]
        assert found == [owner, reader, writer, stranger]
        assert self.rights(accounts, users[0], "TEA") == ""
        accounts.forget_collection("tea")
        assert accounts.access("tea") == CollectionAccess("tea")
        assert [self.rights(accounts, user, "tea") for user in users] == [""] * 4

    def test_changed_rights_hold_at_once(self, accounts: Accounts, ana: User) -> None:
        bo = accounts.register("bo@example.org", "bo1", PASSWORD, role=Role.USER)
        shared = Visibility.SHARED
        accounts.set_access(CollectionAccess("tea", ana.id, shared, writers=(bo.id,)))
        accounts.set_access(CollectionAccess("tea", ana.id, shared, readers=(bo.id,)))
        assert self.rights(accounts, bo, "tea") == "r"
        accounts.set_access(CollectionAccess("tea", ana.id, shared))
        assert self.rights(accounts, bo, "tea") == ""

    def test_what_another_process_changes_holds_at_once(
        self, make_accounts: MakeAccounts, mailbox: Mailbox, accounts: Accounts, ana: User
    ) -> None:
        other = make_accounts(mailbox)
        other.set_access(CollectionAccess("tea", ana.id))
        key, secret = other.create_api_key(ana.id, "key", [Scope.READ])
        token = other.login("Ana", PASSWORD).access_token
        for credential in (token, secret):
            for _ in range(2):  # The second time it may be remembered.
                assert accounts.may_read(accounts.authenticate(credential), "tea")
            assert accounts.recall(credential) in (None, accounts.authenticate(credential))
        caller = accounts.authenticate(token)
        other.forget_collection("tea")
        assert not accounts.may_read(caller, "tea")
        other.revoke_api_key(ana.id, key.id)
        assert accounts.recall(secret) is None
        with pytest.raises(NotAuthenticatedError):
            accounts.authenticate(secret)
        accounts.authenticate(token)
        other.change_password(ana.id, PASSWORD, "another horse")
        assert accounts.recall(token) is None
        with pytest.raises(NotAuthenticatedError):
            accounts.authenticate(token)

    def test_rights_of_unknown_users_are_not_recorded(self, accounts: Accounts, ana: User) -> None:
        for access in (
            CollectionAccess("tea", ana.id + 1),
            CollectionAccess("tea", ana.id, Visibility.SHARED, readers=(ana.id + 1,)),
        ):
            with pytest.raises(NotFoundError):
                accounts.set_access(access)
        assert accounts.access("tea") == CollectionAccess("tea")

    def test_scopes_limit_the_rights_of_their_user(self, accounts: Accounts, ana: User) -> None:
        accounts.set_access(CollectionAccess("tea", ana.id))
        for user, name in ((ana, "tea"), (None, "tea")):
            reading = Caller(user, frozenset((Scope.READ,)))
            assert accounts.may_read(reading, name)
            assert not accounts.may_write(reading, name)
            answering = Caller(user, frozenset((Scope.ANSWERING,)))
            assert not accounts.may_read(answering, name)
            assert (accounts.readable(reading, [name]), accounts.readable(answering, [name])) == (
                [name],
                [],
            )
        limited = Caller(ana, frozenset(Scope), must_change_password=True)
        assert not accounts.may_read(limited, "tea")
        assert accounts.readable(limited, ["tea"]) == []

    def test_a_new_collection_has_one_owner(self, accounts: Accounts, ana: User) -> None:
        bo = accounts.register("bo@example.org", "bo1", PASSWORD, role=Role.USER)
        results = at_once(
            lambda: accounts.claim_collection("tea", ana.id),
            lambda: accounts.claim_collection("tea", bo.id),
        )
        assert sorted(results) == [False, True]  # type: ignore[type-var]
        owner = (ana, bo)[results.index(True)]
        assert accounts.access("tea") == CollectionAccess("tea", owner.id)
        assert not accounts.claim_collection("tea", owner.id)

    def rights(self, accounts: Accounts, user: User, collection: str) -> str:
        """Return ``r``, ``rw`` or nothing: what a user may do after logging in."""
        caller = Caller(user, frozenset((Scope.READ, Scope.WRITE)))
        may_read = accounts.may_read(caller, collection)
        may_write = accounts.may_write(caller, collection)
        readable = accounts.readable(caller, ["another", collection])
        assert readable == [collection] * may_read
        return "r" * may_read + "w" * may_write

    def test_collections_are_listed_by_their_owner(self, accounts: Accounts, ana: User) -> None:
        bo = accounts.register("bo@example.org", "bo1", PASSWORD, role=Role.USER)
        for name, owner in (("sea", ana.id), ("air", ana.id), ("land", bo.id), ("ice", 0)):
            assert accounts.claim_collection(name, owner)
        assert accounts.collections_of(ana.id) == ["air", "sea"]
        assert accounts.collections_of(0) == ["ice"]
        assert accounts.collections_of() == ["air", "ice", "land", "sea"]
        accounts.forget_collection("sea")
        assert accounts.collections_of(ana.id) == ["air"]
