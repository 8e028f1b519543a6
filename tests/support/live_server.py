"""A real HTTP server in a thread of the test, with users, API keys and documents."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvicorn

from kvasir.app import App
from kvasir.core.services.accounts import CollectionAccess, Role, Scope, Visibility
from kvasir.core.types import Source
from kvasir.frontends.api.application import make_application
from kvasir.settings.schema import Settings

OWNER = "token-of-the-owner"
TEA = """# Brewing tea

Green tea is brewed at 80 degrees Celsius for two minutes.

Black tea is brewed at 95 degrees Celsius for four minutes.

White tea needs water of 70 degrees Celsius and patience.
"""
ROCKETS = """# Rocket engines

The engine of the first stage burns kerosene and liquid oxygen.

Its chamber pressure is 250 bar, and it can be started again three times.
"""


@dataclass
class LiveServer:
    """A running server.

    Attributes:
        url: Its address.
        keys: API keys by user name.
        documents: Ids of the documents by collection.
    """

    app: App
    url: str
    keys: dict[str, str] = field(default_factory=dict)
    documents: dict[str, str] = field(default_factory=dict)

    def add_user(self, name: str, *scopes: Scope, role: Role = Role.USER) -> int:
        accounts = self.app.services.accounts
        user = accounts.register(f"{name}@example.org", name, "correct horse", role=role)
        chosen = set(scopes or (Scope.READ,))
        _, self.keys[name] = accounts.create_api_key(user.id, "a test", chosen)
        return user.id

    def add_document(self, collection: str, name: str, text: str, owner: int = 0) -> None:
        source = Source(f"upload:{name}", "text/markdown")
        with self.app.collection(collection) as opened:
            opened.ingest((source, text.encode()))
            self.documents[collection] = opened.document(source.uri).id
        access = CollectionAccess(collection, owner, Visibility.PRIVATE)
        self.app.services.accounts.set_access(access)


@contextmanager
def live_server(folder: Path, *, port: int = 0, **settings: Any) -> Iterator[LiveServer]:
    """Serve until the block ends, by default at any free port."""
    chosen: dict[str, Any] = {
        "data_dir": folder / "kvasir-data",
        "collection": "tea",
        "rag": {"embedding_model": {"type": "kvasir.testing.fakes:FakeEmbedder"}},
        "questions": {"workers": 0},
        "mail": {"send": False},
    }
    with App(Settings(**(chosen | settings))) as app:
        server = uvicorn.Server(
            uvicorn.Config(make_application(app, owner_token=OWNER), port=port, log_config=None)
        )
        thread = threading.Thread(target=server.run, name="server")
        thread.start()
        try:
            while not server.started:
                thread.join(0.01)
                assert thread.is_alive(), "the server did not start"
            port = server.servers[0].sockets[0].getsockname()[1]
            yield LiveServer(app, f"http://127.0.0.1:{port}")
        finally:
            server.should_exit = True
            thread.join()
