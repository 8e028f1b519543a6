"""The contract of every implementation of ``Accounts``: subclass it and override one fixture.

    class TestMyAccounts(AccountsContract):
        @pytest.fixture
        def make_accounts(self, tmp_path):
            return lambda send_recovery, **options: MyAccounts(tmp_path, send_recovery, **options)

All accounts of one fixture are on the same, empty data. ``options`` may be ``token_minutes``,
``recovery_minutes`` and ``replace_immediately``.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Barrier
from typing import Any, TypeVar

import pytest

from kvasir.core.errors import (
    ConflictError,
    ForbiddenError,
    KvasirError,
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

T = TypeVar("T")

MakeAccounts = Callable[..., Accounts]
"""Takes ``send_recovery`` and options; returns accounts."""

PASSWORD = "correct horse"
ADMIN = Caller(None, frozenset(Scope))
"""The owner of the data folder."""


class Mailbox:
    """Collects temporary passwords in the place of a mail server."""

    def __init__(self) -> None:
        self.sent: list[tuple[User, str]] = []

    def __call__(self, user: User, password: str) -> None:
        """Take a mail."""
        self.sent.append((user, password))

    @property
    def last(self) -> str:
        """The last temporary password."""
        return self.sent[-1][1]


def at_once(*calls: Callable[[], T]) -> list[T | KvasirError]:
    """Return the results of calls that start at the same time, or the errors they raised."""
    barrier = Barrier(len(calls))

    def run(call: Callable[[], T]) -> T | KvasirError:
        barrier.wait(10)
        try:
            return call()
        except KvasirError as error:
            return error

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(run, calls))


def successes(results: list[Any]) -> list[Any]:
    """Return the results that are no errors."""
    return [each for each in results if not isinstance(each, KvasirError)]


class AccountsContract:
    """What must hold for all accounts; see the module on how to use it."""

    @pytest.fixture
    def make_accounts(self) -> MakeAccounts:
        raise NotImplementedError("override the fixture 'make_accounts'")

    @pytest.fixture
    def mailbox(self) -> Mailbox:
        return Mailbox()

    @pytest.fixture
    def accounts(self, make_accounts: MakeAccounts, mailbox: Mailbox) -> Accounts:
        return make_accounts(mailbox)

    @pytest.fixture
    def ana(self, accounts: Accounts) -> User:
        return accounts.register("Ana@Example.org", "Ana", PASSWORD, language="es", role=Role.USER)

    # Registration

    def test_a_registered_user_is_found_by_id_name_and_address_in_any_case(
        self, accounts: Accounts, ana: User
    ) -> None:
        assert (ana.email, ana.username) == ("Ana@Example.org", "Ana")
        assert (ana.role, ana.language, ana.disabled) == (Role.USER, "es", False)
        assert abs(ana.created - datetime.now(UTC)) < timedelta(minutes=1)
        for name in (ana.id, "ana", " ANA ", "ana@example.ORG"):
            assert accounts.user(name) == ana
        for unknown in ("bo", 0, ana.id + 1, "", "a\0b", "a" * 5000, "\ud800"):
            with pytest.raises(NotFoundError):
                accounts.user(unknown)

    @pytest.mark.parametrize(
        ("email", "username", "what"),
        [
            ("ANA@example.org", "other", "e-mail address"),
            ("other@example.org", "ANA", "user name"),
            # A fullwidth letter, which looks like the plain one.
            ("other@example.org", "\uff21na", "user name"),
        ],
    )
    def test_a_name_or_address_is_taken_in_any_case(
        self, accounts: Accounts, ana: User, email: str, username: str, what: str
    ) -> None:
        with pytest.raises(ConflictError, match=what):
            accounts.register(email, username, PASSWORD, role=Role.USER)
        assert accounts.users() == [ana]

    @pytest.mark.parametrize(
        ("email", "username", "password"),
        [
            ("no address", "bo1", PASSWORD),
            ("bo@example.org\r\nBcc: all@example.org", "bo1", PASSWORD),
            ("bo@example.org,all@example.org", "bo1", PASSWORD),
            ("<bo@example.org>", "bo1", PASSWORD),
            ("@example.org", "bo1", PASSWORD),
            (f"{'b' * 250}@example.org", "bo1", PASSWORD),
            ("bo@example.org", "bo", PASSWORD),
            ("bo@example.org", "b" * 51, PASSWORD),
            ("bo@example.org", "ana@example.org", PASSWORD),
            ("bo@example.org", "bo\u202e1", PASSWORD),
            ("bo@example.org", "bo\0one", PASSWORD),
            ("bo@example.org", "bo1", "short"),
            ("bo@example.org", "bo1", "p" * 65),
            ("bo@example.org", "bo1", "bad \ud800 text"),
            ("bo@example.org", "bo1", "BO@example.org"),
        ],
    )
    def test_unacceptable_values_register_nobody(
        self, accounts: Accounts, email: str, username: str, password: str
    ) -> None:
        with pytest.raises(RequestError):
            accounts.register(email, username, password, role=Role.USER)
        assert accounts.users() == []

    def test_of_two_who_register_one_name_at_once_one_gets_it(self, accounts: Accounts) -> None:
        def register(number: int) -> User:
            email = f"{number}@example.org"
            return accounts.register(email, "wanted", PASSWORD, role=Role.USER)

        results = at_once(*(lambda n=n: register(n) for n in range(3)))  # type: ignore[misc]
        assert len(successes(results)) == 1
        assert [each for each in results if isinstance(each, ConflictError)] != []
        assert len(accounts.users()) == 1

    def test_pages_of_users_are_in_the_order_of_their_ids(self, accounts: Accounts) -> None:
        made = [
            accounts.register(f"{n}@example.org", f"user{n}", PASSWORD, role=Role.USER)
            for n in range(3)
        ]
        assert accounts.users(limit=2) == made[:2]
        assert accounts.users(after=made[1].id) == made[2:]

    # Invitations

    def test_an_invitation_registers_one_user_with_its_role(self, accounts: Accounts) -> None:
        invitation = accounts.invite(Role.ADMIN)
        user = accounts.register_invited(invitation, "bo@example.org", "bo1", PASSWORD)
        assert user.role is Role.ADMIN
        with pytest.raises(ForbiddenError):
            accounts.register_invited(invitation, "cy@example.org", "cy1", PASSWORD)

    def test_an_expired_or_invented_invitation_registers_nobody(self, accounts: Accounts) -> None:
        for invitation in (accounts.invite(hours=0), "invented", "", "\0"):
            with pytest.raises(ForbiddenError):
                accounts.register_invited(invitation, "bo@example.org", "bo1", PASSWORD)
        assert accounts.users() == []

    def test_an_invitation_outlives_a_registration_that_fails(
        self, accounts: Accounts, ana: User
    ) -> None:
        invitation = accounts.invite()
        with pytest.raises(ConflictError):
            accounts.register_invited(invitation, ana.email, "bo1", PASSWORD)
        accounts.register_invited(invitation, "bo@example.org", "bo1", PASSWORD)

    def test_of_two_who_use_an_invitation_at_once_one_is_registered(
        self, accounts: Accounts
    ) -> None:
        invitation = accounts.invite()

        def register(number: int) -> User:
            return accounts.register_invited(
                invitation, f"{number}@example.org", f"user{number}", PASSWORD
            )

        results = at_once(*(lambda n=n: register(n) for n in range(3)))  # type: ignore[misc]
        assert len(successes(results)) == 1
        assert len(accounts.users()) == 1

    def test_the_first_administrator_is_invited_as_long_as_there_is_none(
        self, accounts: Accounts, ana: User
    ) -> None:
        first, second = accounts.invite_first_admin(), accounts.invite_first_admin()
        assert first and second
        admin = accounts.register_invited(first, "bo@example.org", "bo1", PASSWORD)
        assert admin.role is Role.ADMIN
        assert accounts.invite_first_admin() is None
        with pytest.raises(ForbiddenError):
            accounts.register_invited(second, "cy@example.org", "cy1", PASSWORD)

    def test_an_invitation_of_the_first_administrator_ends_when_another_way_made_one(
        self, accounts: Accounts, ana: User
    ) -> None:
        invitation = accounts.invite_first_admin()
        assert invitation
        accounts.change_user(ana.id, role=Role.ADMIN)
        with pytest.raises(ForbiddenError):
            accounts.register_invited(invitation, "bo@example.org", "bo1", PASSWORD)

    # Logging in

    @pytest.mark.parametrize("name", ["Ana", "ana@example.org"])
    def test_a_login_by_name_or_address_gives_a_token(
        self, accounts: Accounts, ana: User, name: str
    ) -> None:
        login = accounts.login(name, PASSWORD)
        left = login.expires - datetime.now(UTC)
        assert timedelta(hours=23, minutes=59) < left <= timedelta(hours=24)
        assert not login.must_change_password
        caller = accounts.authenticate(login.access_token)
        assert caller == Caller(ana, frozenset((Scope.READ, Scope.WRITE)))
        assert not caller.is_admin
        assert not caller.has(Scope.ANSWERING)

    def test_a_composed_and_a_decomposed_password_are_the_same(self, accounts: Accounts) -> None:
        accounts.register("bo@example.org", "bo1", "contrase\u00f1a", role=Role.USER)
        accounts.login("bo1", "contrasen\u0303a")

    @pytest.mark.parametrize(
        ("name", "password"),
        [("Ana", "wrong"), ("nobody", PASSWORD), ("", ""), ("a\0b", "x\0y"), ("Ana", "\ud800")],
    )
    def test_a_wrong_name_and_a_wrong_password_are_the_same_error(
        self, accounts: Accounts, ana: User, name: str, password: str
    ) -> None:
        with pytest.raises(NotAuthenticatedError) as wrong:
            accounts.login("Ana", PASSWORD.upper())
        with pytest.raises(NotAuthenticatedError) as refused:
            accounts.login(name, password)
        assert str(refused.value) == str(wrong.value)

    @pytest.mark.parametrize("credential", ["", "x", "a.b.c", "kvasir_invented", "\0", "\ud800"])
    def test_an_invented_credential_is_refused(
        self, accounts: Accounts, ana: User, credential: str
    ) -> None:
        with pytest.raises(NotAuthenticatedError):
            accounts.authenticate(credential)

    def test_an_expired_token_is_refused(
        self, make_accounts: MakeAccounts, mailbox: Mailbox, ana: User
    ) -> None:
        expired = make_accounts(mailbox, token_minutes=-1)
        with pytest.raises(NotAuthenticatedError, match="expired"):
            expired.authenticate(expired.login("Ana", PASSWORD).access_token)

    def test_a_disabled_user_neither_logs_in_nor_goes_on(
        self, accounts: Accounts, ana: User, mailbox: Mailbox
    ) -> None:
        token = accounts.login("Ana", PASSWORD).access_token
        _, secret = accounts.create_api_key(ana.id, "key", [Scope.READ])
        assert accounts.change_user(ana.id, disabled=True).disabled
        with pytest.raises(NotAuthenticatedError):
            accounts.login("Ana", PASSWORD)
        for credential in (token, secret):
            with pytest.raises(NotAuthenticatedError):
                accounts.authenticate(credential)
        accounts.recover("Ana", "en")
        assert mailbox.sent == []
        accounts.change_user(ana.id, disabled=False)
        accounts.login("Ana", PASSWORD)
        # Enabling brings back the key, but not the login of before.
        accounts.authenticate(secret)
        with pytest.raises(NotAuthenticatedError):
            accounts.authenticate(token)

    def test_another_role_ends_older_tokens(self, accounts: Accounts, ana: User) -> None:
        token = accounts.login("Ana", PASSWORD).access_token
        accounts.change_user(ana.id, role=Role.ADMIN, language="en")
        with pytest.raises(NotAuthenticatedError):
            accounts.authenticate(token)
        caller = accounts.authenticate(accounts.login("Ana", PASSWORD).access_token)
        assert caller.is_admin
        assert caller.user and caller.user.language == "en"

    def test_another_language_ends_no_token(self, accounts: Accounts, ana: User) -> None:
        token = accounts.login("Ana", PASSWORD).access_token
        accounts.change_user(ana.id, language="en", role=Role.USER, disabled=False)
        accounts.authenticate(token)
        with pytest.raises(RequestError):
            accounts.change_user(ana.id, language="tlh")

    def test_the_last_administrator_stays_one(self, accounts: Accounts, ana: User) -> None:
        bo = accounts.register("bo@example.org", "bo1", PASSWORD, role=Role.ADMIN)
        for change in ({"role": Role.USER}, {"disabled": True}):
            with pytest.raises(ConflictError):
                accounts.change_user(bo.id, **change)  # type: ignore[arg-type]
        accounts.change_user(ana.id, role=Role.ADMIN)
        results = at_once(
            lambda: accounts.change_user(ana.id, disabled=True),
            lambda: accounts.change_user(bo.id, role=Role.USER),
        )
        assert len(successes(results)) == 1

    def test_unknown_users_cannot_be_changed(self, accounts: Accounts) -> None:
        with pytest.raises(NotFoundError):
            accounts.change_user(1, disabled=True)

    # Passwords

    def test_a_change_of_password_ends_older_tokens(self, accounts: Accounts, ana: User) -> None:
        token = accounts.login("Ana", PASSWORD).access_token
        accounts.change_password(ana.id, PASSWORD, "another horse")
        with pytest.raises(NotAuthenticatedError):
            accounts.authenticate(token)
        with pytest.raises(NotAuthenticatedError):
            accounts.login("Ana", PASSWORD)
        accounts.authenticate(accounts.login("Ana", "another horse").access_token)

    @pytest.mark.parametrize(
        ("password", "new_password", "error"),
        [
            ("wrong", "another horse", NotAuthenticatedError),
            (PASSWORD, "short", RequestError),
            (PASSWORD, PASSWORD, RequestError),
            (PASSWORD, "Ana@example.org", RequestError),
        ],
    )
    def test_a_refused_change_changes_nothing(
        self,
        accounts: Accounts,
        ana: User,
        password: str,
        new_password: str,
        error: type[KvasirError],
    ) -> None:
        token = accounts.login("Ana", PASSWORD).access_token
        with pytest.raises(error):
            accounts.change_password(ana.id, password, new_password)
        accounts.authenticate(token)
        accounts.login("Ana", PASSWORD)

    # Recovery

    def test_a_temporary_password_is_mailed_in_the_language_asked_for(
        self, accounts: Accounts, ana: User, mailbox: Mailbox
    ) -> None:
        for language in ("en", "", "tlh"):
            accounts.recover("ana@example.org", language)
        assert [user.language for user, _ in mailbox.sent] == ["en", "es", "es"]
        assert {user.email for user, _ in mailbox.sent} == {ana.email}
        assert len({password for _, password in mailbox.sent}) == 3
        assert all(8 <= len(password) <= 64 for _, password in mailbox.sent)

    def test_the_old_password_works_until_the_temporary_one_is_used(
        self, accounts: Accounts, ana: User, mailbox: Mailbox
    ) -> None:
        token = accounts.login("Ana", PASSWORD).access_token
        accounts.recover("Ana", "es")
        accounts.login("Ana", PASSWORD)
        accounts.authenticate(token)
        # Copied from a mail, with a blank, or typed.
        accounts.login("Ana", f" {mailbox.last.lower()}")
        with pytest.raises(NotAuthenticatedError):
            accounts.login("Ana", PASSWORD)
        with pytest.raises(NotAuthenticatedError):
            accounts.authenticate(token)

    def test_a_temporary_password_logs_in_once_and_only_to_change_the_password(
        self, accounts: Accounts, ana: User, mailbox: Mailbox
    ) -> None:
        accounts.recover("Ana", "es")
        login = accounts.login("Ana", mailbox.last)
        assert login.must_change_password
        assert login.expires - datetime.now(UTC) < timedelta(minutes=21)
        caller = accounts.authenticate(login.access_token)
        assert caller == Caller(ana, frozenset(), must_change_password=True)
        with pytest.raises(NotAuthenticatedError):
            accounts.login("Ana", mailbox.last)
        with pytest.raises(NotAuthenticatedError):
            accounts.change_password(ana.id, PASSWORD, "another horse")
        accounts.change_password(ana.id, mailbox.last, "another horse")
        with pytest.raises(NotAuthenticatedError):
            accounts.change_password(ana.id, mailbox.last, "a third horse")
        with pytest.raises(NotAuthenticatedError):
            accounts.authenticate(login.access_token)
        caller = accounts.authenticate(accounts.login("Ana", "another horse").access_token)
        assert not caller.must_change_password

    def test_the_temporary_password_cannot_be_kept(
        self, accounts: Accounts, ana: User, mailbox: Mailbox
    ) -> None:
        accounts.recover("Ana", "es")
        accounts.login("Ana", mailbox.last)
        with pytest.raises(RequestError):
            accounts.change_password(ana.id, mailbox.last, mailbox.last)

    def test_an_unused_temporary_password_does_not_change_the_password(
        self, accounts: Accounts, ana: User, mailbox: Mailbox
    ) -> None:
        accounts.recover("Ana", "es")
        with pytest.raises(NotAuthenticatedError):
            accounts.change_password(ana.id, mailbox.last, "another horse")

    def test_of_two_who_use_a_temporary_password_at_once_one_logs_in(
        self, accounts: Accounts, ana: User, mailbox: Mailbox
    ) -> None:
        accounts.recover("Ana", "es")
        results = at_once(*[lambda: accounts.login("Ana", mailbox.last)] * 3)
        assert len(successes(results)) == 1

    def test_a_temporary_password_expires(
        self, make_accounts: MakeAccounts, mailbox: Mailbox, ana: User
    ) -> None:
        accounts = make_accounts(mailbox, recovery_minutes=0)
        accounts.recover("Ana", "es")
        with pytest.raises(NotAuthenticatedError):
            accounts.login("Ana", mailbox.last)
        accounts.login("Ana", PASSWORD)

    def test_five_wrong_passwords_end_a_temporary_one(
        self, accounts: Accounts, ana: User, mailbox: Mailbox
    ) -> None:
        for wrong, may_log_in in ((4, True), (5, False)):
            accounts.recover("Ana", "es")
            for _ in range(wrong):
                with pytest.raises(NotAuthenticatedError):
                    accounts.login("Ana", "wrong")
            if may_log_in:
                accounts.login("Ana", mailbox.last)
                accounts.change_password(ana.id, mailbox.last, PASSWORD)
            else:
                with pytest.raises(NotAuthenticatedError):
                    accounts.login("Ana", mailbox.last)
        accounts.login("Ana", PASSWORD)

    def test_a_second_recovery_ends_the_first(
        self, accounts: Accounts, ana: User, mailbox: Mailbox
    ) -> None:
        accounts.recover("Ana", "es")
        accounts.recover("Ana", "es")
        with pytest.raises(NotAuthenticatedError):
            accounts.login("Ana", mailbox.sent[0][1])
        accounts.login("Ana", mailbox.last)

    def test_recoveries_at_once_leave_one_that_works(
        self, accounts: Accounts, ana: User, mailbox: Mailbox
    ) -> None:
        results = at_once(*[lambda: accounts.recover("Ana", "es")] * 3)
        assert len(successes(results)) == 3
        logins = []
        for _, password in mailbox.sent:
            try:
                logins.append(accounts.login("Ana", password))
            except NotAuthenticatedError:
                continue
        assert len(logins) == 1

    def test_a_change_of_password_ends_a_temporary_one(
        self, accounts: Accounts, ana: User, mailbox: Mailbox
    ) -> None:
        accounts.recover("Ana", "es")
        accounts.change_password(ana.id, PASSWORD, "another horse")
        with pytest.raises(NotAuthenticatedError):
            accounts.login("Ana", mailbox.last)

    def test_a_recovery_of_nobody_is_accepted_and_mails_nothing(
        self, accounts: Accounts, ana: User, mailbox: Mailbox
    ) -> None:
        for name in ("nobody", "nobody@example.org", "", "\0"):
            accounts.recover(name, "en")
        assert mailbox.sent == []

    def test_a_recovery_may_replace_the_password_at_once(
        self, make_accounts: MakeAccounts, mailbox: Mailbox, ana: User
    ) -> None:
        accounts = make_accounts(mailbox, replace_immediately=True)
        token = accounts.login("Ana", PASSWORD).access_token
        accounts.recover("nobody", "es")
        accounts.recover("Ana", "es")
        with pytest.raises(NotAuthenticatedError):
            accounts.login("Ana", PASSWORD)
        with pytest.raises(NotAuthenticatedError):
            accounts.authenticate(token)
        for _ in range(2):
            login = accounts.login("Ana", mailbox.last)
            assert not login.must_change_password
        accounts.change_password(ana.id, mailbox.last, "another horse")
        accounts.login("Ana", "another horse")

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
        soon = datetime.now(UTC) + timedelta(seconds=0.3)
        _, secret = accounts.create_api_key(ana.id, "key", [Scope.READ], expires=soon)
        accounts.authenticate(secret)
        time.sleep(0.35)
        with pytest.raises(NotAuthenticatedError):
            accounts.authenticate(secret)

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
        limited = Caller(ana, frozenset(Scope), must_change_password=True)
        assert not accounts.may_read(limited, "tea")

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
        return "r" * may_read + "w" * may_write
