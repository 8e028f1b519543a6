"""A collection at a server keeps the contract of every collection, however it is reached."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import Any, NoReturn

import pytest
import uvicorn
from service_ways import ways

from kvasir.app import App
from kvasir.core.errors import ComponentError, ConflictError, ForbiddenError
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
from kvasir.testing.collections import CollectionContract, upload
from kvasir.testing.fakes import FakeWebSearch

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
            "ingest": {"workers": 1, "allow_private_urls": True},
            "web_search": {"type": "kvasir.testing.fakes:FakeWebSearch"},
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
    def test_a_search_of_the_web_that_failed_is_not_tried_again(
        self, empty: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(self: FakeWebSearch, query: str, max_results: int) -> NoReturn:
            raise ComponentError("fake", "searching the web", "too many requests", kind="busy")

        monkeypatch.setattr(FakeWebSearch, "search", fail)
        with pytest.raises(ComponentError, match="too many requests"):
            empty.ingest_web("tea")
        (job,) = empty._open().get("/v1/jobs", "listing jobs")
        assert job["state"] == "cancelled"

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


class IndexAtBroker:
    """An index behind a broker and a worker; started again for other settings."""

    def __init__(self, way: str, folder: Path) -> None:
        self.folder = folder
        protocol, _, curve = way.partition(" ")
        ends = {
            "tcp": ("tcp://127.0.0.1:0", "tcp://127.0.0.1:0"),
            "ipc": (f"ipc://{folder}/s/f", f"ipc://{folder}/s/b"),
            "inproc": (f"inproc://{folder}/f", f"inproc://{folder}/b"),
        }[protocol]
        self._keys = folder / "keys" if curve else None
        if self._keys is not None:
            make_keys(self._keys, "client")
            make_keys(self._keys, "worker")
        self._broker = Broker(*ends, keys=self._keys)
        self._running: tuple[Any, ExitStack] | None = None

    def connect(self, filters: Any) -> RemoteService:
        if self._running is None or self._running[0] != filters:
            self.close_worker()
            stack = ExitStack()
            app = stack.enter_context(App(settings_in(self.folder, filters)))
            index = stack.enter_context(IndexService(app))
            own = load_keys(self._keys, "worker") if self._keys else None
            stack.enter_context(Worker(self._broker.back_end[0], [index.service()], keys=own))
            self._running = (filters, stack)
        return RemoteService(
            lambda settings: connect_to_index(
                self._broker.front_end[0], settings, keys=str(self._keys or "")
            ),
            collection="contract",
        )

    def close_worker(self) -> None:
        if self._running is not None:
            self._running[1].close()
            self._running = None

    def close(self) -> None:
        self.close_worker()
        self._broker.close()


@pytest.fixture(scope="module", params=[each for each in ways("ipc curve") if each != "tcp"])
def index(request: pytest.FixtureRequest, tmp_path_factory: Any) -> Iterator[IndexAtBroker]:
    with closing(IndexAtBroker(request.param, tmp_path_factory.mktemp("i"))) as index:
        yield index


class TestOverZeroMq(CollectionContract):
    """All tests of a way share an index, in which each leaves no collection.

    By default one way, because a test takes long; with KVASIR_TEST_WAYS=all all but tcp
    without keys.
    """

    @pytest.fixture
    def open_collection(self, index: IndexAtBroker) -> Iterator[Callable[..., Any]]:
        with ExitStack() as opened:

            def open_collection(name: str = "contract", filters: Any = None) -> Any:
                return opened.enter_context(index.connect(filters)).collection(name)

            yield open_collection
        with index.connect(None) as service:
            for record in service.collections():
                with service.collection(record.name) as collection:
                    collection.drop()

    @pytest.fixture
    def copy_address(self, index: IndexAtBroker, tmp_path: Path) -> StoreAddress:
        # A client may not say where a service writes beside its data.
        return StoreAddress("qdrant", str(index.folder / "kvasir-data" / tmp_path.name))

    def test_a_client_writes_nowhere_but_into_the_data_folder(
        self, open_collection: Callable[..., Any], tmp_path: Path
    ) -> None:
        with open_collection() as collection:
            collection.ingest(upload("upload:one.txt", "One two three."))
            with pytest.raises(ForbiddenError, match="into the data folder"):
                collection.copy(StoreAddress("qdrant", str(tmp_path / "elsewhere")))
        assert not (tmp_path / "elsewhere").exists()
