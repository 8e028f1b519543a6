"""The contract of every implementation of ``Accounts``: subclass it and override one fixture.

    class TestMyAccounts(AccountsContract):
        @pytest.fixture
        def make_accounts(self, tmp_path):
            return lambda send_recovery, **options: MyAccounts(tmp_path, send_recovery, **options)

All accounts of one fixture are on the same, empty data. ``options`` may be ``token_minutes``,
``recovery_minutes`` and ``replace_immediately``.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from kvasir.core.errors import (
    ConflictError,
    ForbiddenError,
    NotAuthenticatedError,
    NotFoundError,
    RequestError,
)
from kvasir.core.services.accounts import (
    Accounts,
    Caller,
    Role,
    Scope,
    User,
)
from kvasir.testing.account_cases import (
    PASSWORD,
    Mailbox,
    MakeAccounts,
    at_once,
    successes,
)
from kvasir.testing.account_passwords import PasswordCases
from kvasir.testing.account_rights import RightsCases


class AccountsContract(PasswordCases, RightsCases):
    """What must hold for all accounts; see the module on how to use it."""

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

        results = at_once(*(lambda n=n: register(n) for n in range(3)))
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

        results = at_once(*(lambda n=n: register(n) for n in range(3)))
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
                accounts.change_user(bo.id, **change)
        accounts.change_user(ana.id, role=Role.ADMIN)
        results = at_once(
            lambda: accounts.change_user(ana.id, disabled=True),
            lambda: accounts.change_user(bo.id, role=Role.USER),
        )
        assert len(successes(results)) == 1

    def test_unknown_users_cannot_be_changed(self, accounts: Accounts) -> None:
        with pytest.raises(NotFoundError):
            accounts.change_user(1, disabled=True)
