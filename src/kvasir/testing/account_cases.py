"""What the parts of the contract of accounts share: fixtures, a mailbox, calls at once."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any, TypeVar

import pytest

from kvasir.core.errors import (
    KvasirError,
)
from kvasir.core.services.accounts import (
    Accounts,
    Caller,
    Role,
    Scope,
    User,
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


class AccountCases:
    """The fixtures of the contract."""

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
