"""A collection at a server keeps the contract of every collection, however it is reached."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from kvasir.app import App
from kvasir.core.errors import ConflictError
from kvasir.core.services.accounts import Role
from kvasir.core.types import StoreAddress
from kvasir.frontends.api.application import make_application
from kvasir.frontends.api.index_service import IndexService
from kvasir.frontends.api.owner import OwnerServer
from kvasir.remote.client import ServerClient
from kvasir.remote.service import RemoteService, connect_to_owner
from kvasir.remote.zeromq.broker import Broker
from kvasir.remote.zeromq.curve_keys import load_keys, make_keys
from kvasir.remote.zeromq.indexing import connect_to_index
from kvasir.remote.zeromq.worker import Worker
from kvasir.settings.schema import Settings
from kvasir.sharing import owner_of
from kvasir.testing.collections import CollectionContract

Connect = Callable[[Any], ServerClient]


def settings_in(folder: Path, filters: Any) -> Settings:
    """Return settings with a fake model; ``filters`` limit every search."""
    limit = filters and {
        "field": "meta." + filters.field,
        "operator": "==",
        "value": filters.value,
    }
    return Settings(
        data_dir=folder / "kvasir-data",
        rag={
            "embedding_model": {"type": "kvasir.testing.fakes:FakeEmbedder"},
            "ingest": {"workers": 1},
        },
        chat={"rag": {"retriever": {"filters": limit}}},
        answer={"refuse": False},
        accounts={"rate_limits": {"login": ""}},
    )


@contextmanager
def serving(app: App) -> Iterator[str]:
    """Serve an application on loopback; give its address."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        config = uvicorn.Config(make_application(app), log_config=None, ws="none")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


class RemoteContract(CollectionContract):
    """The contract over a server, which is started again for other settings."""

    @contextmanager
    def connected(self, app: App) -> Iterator[Connect]:
        raise NotImplementedError
        yield

    @pytest.fixture
    def open_collection(self, tmp_path: Path) -> Iterator[Callable[..., Any]]:
        with ExitStack() as opened:
            services: dict[Any, RemoteService] = {}
            server = ExitStack()
            opened.push(lambda *_: server.close())

            def open_collection(name: str = "contract", filters: Any = None) -> Any:
                if filters not in services:
                    server.close()
                    app = server.enter_context(App(settings_in(tmp_path, filters)))
                    connect = server.enter_context(self.connected(app))
                    services[filters] = server.enter_context(
                        RemoteService(connect, collection="contract")
                    )
                return services[filters].collection(name)

            yield open_collection


class TestOverALocalSocket(RemoteContract):
    @contextmanager
    def connected(self, app: App) -> Iterator[Connect]:
        server = OwnerServer(app)
        assert server.start()
        record = owner_of(app.settings)
        assert record is not None
        try:
            yield lambda settings: connect_to_owner(record, settings)
        finally:
            server.stop()
            assert owner_of(app.settings) is None


class TestByALogin(RemoteContract):
    """Over loopback, with the token of an administrator who logged in."""

    @contextmanager
    def connected(self, app: App) -> Iterator[Connect]:
        given = ("ada@example.org", "ada", "a long secret")
        with suppress(ConflictError):  # She is registered already.
            app.services.accounts.register(*given, role=Role.ADMIN)
        with serving(app) as address:
            with_form = ServerClient(address)
            form = {"username": "ada", "password": "a long secret"}
            token = with_form.send("POST", "/login", "logging in", data=form).json()
            with_form.close()
            yield lambda settings: ServerClient(
                address, token=token["access_token"], settings=settings
            )

    @pytest.fixture
    def copy_address(self, tmp_path: Path) -> StoreAddress:
        return StoreAddress("qdrant", str(tmp_path / "kvasir-data" / "copies"))


@pytest.mark.parametrize("way", ["tcp", "ipc curve", "inproc"])
class TestOverZeroMq(RemoteContract):
    """Behind a broker and a worker."""

    @pytest.fixture(autouse=True)
    def chosen_way(self, way: str, tmp_path: Path) -> None:
        self.way, self.folder = way, tmp_path

    @contextmanager
    def connected(self, app: App) -> Iterator[Connect]:
        protocol, _, curve = self.way.partition(" ")
        ends = {
            "tcp": ("tcp://127.0.0.1:0", "tcp://127.0.0.1:0"),
            "ipc": (f"ipc://{self.folder}/s/f", f"ipc://{self.folder}/s/b"),
            "inproc": (f"inproc://{self.folder}/f", f"inproc://{self.folder}/b"),
        }[protocol]
        keys = self.folder / "keys" if curve else None
        if keys is not None and not keys.exists():
            make_keys(keys, "client")
            make_keys(keys, "worker")
        own = load_keys(keys, "worker") if keys else None
        with (
            IndexService(app) as index,
            Broker(*ends, keys=keys) as broker,
            Worker(broker.back_end[0], [index.service()], keys=own),
        ):
            yield lambda settings: connect_to_index(
                broker.front_end[0], settings, keys=str(keys or "")
            )
