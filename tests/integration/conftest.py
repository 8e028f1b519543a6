"""Fixtures of tests with a server in the process; each module has its own fixture ``server``."""

import pytest
from service_client import TEA, make_collection, sign_up, upload


@pytest.fixture(scope="module")
def client(server):
    return server[0]


@pytest.fixture(scope="module")
def app(server):
    return server[1]


@pytest.fixture(scope="module")
def ana(client):
    """The headers of a user."""
    return sign_up(client, "ana")


@pytest.fixture(scope="module")
def place(client, ana):
    """The path of a collection of hers with a document."""
    made = make_collection(client, ana, "course")
    upload(client, ana, made, "tea.md", TEA)
    return made
