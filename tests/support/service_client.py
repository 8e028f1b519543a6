"""A server in the process and its clients: small requests, each with the caller's credential."""

import json
import time
from contextlib import contextmanager

from account_client import NO_LIMITS, OWNER, PASSWORD, as_user, register
from fastapi.testclient import TestClient

from kvasir.accounts import passwords
from kvasir.app import App
from kvasir.core.services.accounts import Role
from kvasir.frontends.api.application import make_application
from kvasir.settings.schema import Settings

FAKE_MODEL = {"type": "kvasir.testing.fakes:FakeEmbedder"}
TEA = "Green tea is brewed at 80 degrees. Black tea needs boiling water."


def make_settings(folder, *, server=None, rag=None, **more):
    """Settings of a small, fast server."""
    return Settings(
        data_dir=folder / "kvasir-data",
        rag={
            "embedding_model": FAKE_MODEL,
            "ingest": {"workers": 1},
            # No test asks a search engine of the internet: nothing listens at this port.
            "web_search": {"type": "searxng", "base_url": "http://127.0.0.1:9"},
        }
        | (rag or {}),
        server={"check_seconds": 0.05, "drain_seconds": 0.0} | (server or {}),
        questions={"workers": 0} | more.pop("questions", {}),
        mail={"send": False} | more.pop("mail", {}),
        accounts={"rate_limits": NO_LIMITS} | more.pop("accounts", {}),
        **more,
    )


@contextmanager
def running(settings):
    """A server with its threads; gives a client and its App."""
    passwords._MEMORY_KIB = 64
    app = App(settings)
    try:
        with TestClient(make_application(app, owner_token=OWNER)) as client:
            yield client, app
    finally:
        app.close()


def sign_up(client, name):
    """Register a user; return the headers that log in."""
    answer = register(client, name)
    assert answer.status_code == 201, answer.text
    return as_user(client, name)


def make_admin(client, app, name="root"):
    app.services.accounts.register(f"{name}@example.org", name, PASSWORD, role=Role.ADMIN)
    return as_user(client, name)


def make_collection(client, headers, name, visibility="private"):
    body = {"name": name, "visibility": visibility}
    answer = client.post("/v1/collections", json=body, headers=headers)
    assert answer.status_code == 201, answer.text
    return f"/v1/collections/{name}"


def send(client, headers, place, name, content, *, more=None, **form):
    """Upload a document; return the response."""
    data = content.encode() if isinstance(content, str) else content
    files = {"file": (name, data)}
    return client.post(f"{place}/documents", files=files, data=form, headers=headers | (more or {}))


def wait_for(client, headers, job, *, seconds=120.0):
    """Return a job when it has ended."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = client.get(f"/v1/jobs/{job['id']}", headers=headers).json()
        if found["state"] not in ("waiting", "running"):
            return found
        time.sleep(0.02)
    raise AssertionError(f"the job did not end: {found}")


def upload(client, headers, place, name, content, **form):
    """Upload a document, and wait until it is indexed."""
    answer = send(client, headers, place, name, content, **form)
    assert answer.status_code == 202, answer.text
    job = wait_for(client, headers, answer.json())
    assert job["state"] == "done", job
    return job


def documents(client, headers, place, **query):
    return client.get(f"{place}/documents", params=query, headers=headers).json()


def events_of(text):
    """Return the events of a stream: name, id, data."""
    found = []
    for block in text.strip().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if line[0] != ":")
        if fields:
            found.append((fields["event"], int(fields["id"]), json.loads(fields["data"])))
    return found
