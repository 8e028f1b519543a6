"""A server with two users, each with a collection that the other may not read."""

import pytest
from live_server import ROCKETS, TEA, live_server

from kvasir.accounts import passwords
from kvasir.core.services.accounts import Role, Scope


@pytest.fixture(scope="package")
def server(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(passwords, "_MEMORY_KIB", 64)
        with live_server(tmp_path_factory.mktemp("clients")) as server:
            ana = server.add_user("ana", Scope.WRITE)
            bob = server.add_user("bob")
            server.add_user("root", Scope.ADMIN, role=Role.ADMIN)
            server.add_user("nobody")
            server.add_document("tea", "tea.md", TEA, ana)
            server.add_document("rockets", "rockets.md", ROCKETS, bob)
            yield server
