"""A server with users."""

import pytest
from account_client import NO_LIMITS, OWNER, PASSWORD, as_user, register
from fastapi.testclient import TestClient

from kvasir.accounts import passwords
from kvasir.app import App
from kvasir.core.services.accounts import Role
from kvasir.frontends.api.application import make_application
from kvasir.settings.schema import Settings


@pytest.fixture
def start(tmp_path, monkeypatch):
    """Starts a server with settings; returns its client and App."""
    monkeypatch.setattr(passwords, "_MEMORY_KIB", 64)
    opened = []

    def start(limits=NO_LIMITS, server=None, host="127.0.0.1", **accounts):
        settings = Settings(
            data_dir=tmp_path / "kvasir-data",
            rag={"embedding_model": {"type": "kvasir.testing.fakes:FakeEmbedder"}},
            server={"job_workers": 0} | (server or {}),
            questions={"workers": 0},
            mail={"send": False, "host": host},
            accounts={"rate_limits": limits} | accounts,
        )
        app = App(settings)
        opened.append(app)
        headers = {"X-Request-ID": "accounts"}
        return TestClient(make_application(app, owner_token=OWNER), headers=headers), app

    yield start
    for app in opened:
        app.close()


@pytest.fixture
def server(start):
    return start()


@pytest.fixture
def client(server):
    return server[0]


@pytest.fixture
def app(server):
    return server[1]


@pytest.fixture
def ana(client):
    assert register(client, "ana").status_code == 201
    return as_user(client, "ana")


@pytest.fixture
def admin(client, app):
    app.services.accounts.register("root@example.org", "root", PASSWORD, role=Role.ADMIN)
    return as_user(client, "root")
