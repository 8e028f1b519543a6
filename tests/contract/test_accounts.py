"""Accounts keep their contract on every database."""

import pytest
from databases import ENGINES
from sqlalchemy import delete

from kvasir.accounts import passwords
from kvasir.accounts.sql import AccountOptions, SqlAccounts
from kvasir.accounts.tables import collection_access, invitations, users
from kvasir.database import open_database, writing
from kvasir.testing.accounts import AccountsContract

KEY = "5b1f0c2e77d94a63b8a1c7d4e6f90312"


@pytest.fixture(scope="module", params=ENGINES)
def engine(request, database_urls):
    engine = open_database(database_urls(request.param))
    yield engine
    engine.dispose()


class TestSqlAccounts(AccountsContract):
    @pytest.fixture
    def make_accounts(self, engine, monkeypatch):
        # Hashes of full strength would take most of the time of these tests.
        monkeypatch.setattr(passwords, "_MEMORY_KIB", 64)
        with writing(engine) as connection:
            for table in (users, invitations, collection_access):
                connection.execute(delete(table))

        def make(send_recovery, **options):
            chosen = AccountOptions(KEY, recovery_seconds=0.0, **options)
            return SqlAccounts(engine, chosen, send_recovery=send_recovery)

        return make
