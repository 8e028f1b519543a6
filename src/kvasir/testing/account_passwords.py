"""The contract of accounts: changing and recovering passwords."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from kvasir.core.errors import (
    KvasirError,
    NotAuthenticatedError,
    RequestError,
)
from kvasir.core.services.accounts import (
    Accounts,
    Caller,
    User,
)
from kvasir.testing.account_cases import (
    PASSWORD,
    AccountCases,
    Mailbox,
    MakeAccounts,
    at_once,
    successes,
)


class PasswordCases(AccountCases):
    """What must hold for changes and recoveries of passwords."""

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
