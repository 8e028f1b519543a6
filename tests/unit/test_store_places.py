"""A store is where the settings say, or a sentence says why it cannot be."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from kvasir.app import App
from kvasir.components.stores.qdrant_edge import QdrantStore
from kvasir.components.stores.qdrant_edge_folder import list_collections
from kvasir.core.errors import (
    DamagedError,
    SettingsError,
)
from kvasir.core.registry import build
from kvasir.frontends.cli.remedies import explain
from kvasir.settings.loading import load_settings
from kvasir.settings.schema import Settings
from kvasir.sharing import is_embedded
from kvasir.testing.fakes import FakeAnalyzer
from kvasir.testing.store_cases import fifty_chunks

LIBRARY = {
    "qdrant": "qdrant_edge",
    "milvuslite": "milvus_lite",
    "chroma": "chromadb",
    "milvus": "pymilvus",
    "qdrant-server": "qdrant_client",
}


def open_store(kind: str, uri: Path | str, **more: str) -> object:
    if importlib.util.find_spec(LIBRARY[kind]) is None:
        pytest.skip(f"needs {LIBRARY[kind]}")
    options = {"uri": str(uri), "collection": "test", "dimension": 8, **more}
    return build("stores", kind, options, {"analyzer": FakeAnalyzer()})


@pytest.mark.parametrize(
    ("kind", "uri", "named"),
    [
        ("qdrant", "http://localhost:6333", "'qdrant-server'"),
        ("qdrant", "https://qdrant.example.org", "'qdrant-server'"),
        ("milvuslite", "http://localhost:19530", "'milvus'"),
        ("chroma", "chroma://localhost", "http://"),
        ("milvus", "kvasir-data/store", "'milvuslite'"),
        ("qdrant-server", "kvasir-data/store", "'qdrant'"),
    ],
)
def test_an_address_is_never_taken_for_a_folder_nor_a_folder_for_an_address(
    kind: str, uri: str, named: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SettingsError, match=named):
        open_store(kind, uri)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["qdrant", "milvuslite", "chroma"])
def test_the_home_folder_of_nobody_is_one_sentence(kind: str) -> None:
    place = {"rag.vectordb.type": kind, "rag.vectordb.uri": "~nosuchuser/a.db"}
    app = App(load_settings({}, place, {}))
    with pytest.raises(SettingsError, match="~nosuchuser") as error:
        app.check_components()
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("kind", ["qdrant-server", "milvus", "chroma"])
@pytest.mark.parametrize(
    "uri",
    [
        "http://localhost:abc",
        "http://localhost:99999",
        "http://localhost:0",
        "http://",
        "http://:8000",
        "https://[::1",
        "http://local host:8000",
    ],
)
def test_an_address_without_a_host_and_a_port_is_one_sentence(kind: str, uri: str) -> None:
    with pytest.raises(SettingsError, match=r"rag\.vectordb\.uri") as error:
        open_store(kind, uri)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("kind", ["qdrant-server", "milvus", "chroma"])
@pytest.mark.parametrize("uri", ["http://me:hunter2@localhost:9", "http://me:hunter2@localhost:x"])
def test_credentials_in_an_address_are_refused_and_not_shown(kind: str, uri: str) -> None:
    with pytest.raises(SettingsError, match=r"rag\.vectordb\.token") as error:
        open_store(kind, uri)
    assert "hunter2" not in str(error.value)


@pytest.mark.parametrize("more", ["/chroma", "/api/v2/", "?tenant=a", "#b"])
def test_chroma_is_told_of_no_path_that_it_would_not_take(more: str) -> None:
    with pytest.raises(SettingsError, match="path"):
        open_store("chroma", f"http://localhost:9{more}")


@pytest.mark.parametrize("kind", ["qdrant", "milvuslite", "chroma"])
@pytest.mark.parametrize("credential", ["token", "username", "password"])
def test_credentials_for_a_folder_are_refused(kind: str, credential: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=f"rag.vectordb.{credential}") as error:
        open_store(kind, tmp_path / "store", **{credential: "hunter2"})
    assert "hunter2" not in str(error.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["qdrant", "milvuslite", "chroma"])
def test_a_file_in_the_way_of_the_folder_is_one_sentence(kind: str, tmp_path: Path) -> None:
    (tmp_path / "afile").write_text("")
    with pytest.raises(SettingsError, match=r"rag\.vectordb\.uri"):
        open_store(kind, tmp_path / "afile" / "x" / "y")


def test_a_file_address_is_a_folder(tmp_path: Path) -> None:
    QdrantStore(f"file://{tmp_path}/store", "test", 8, FakeAnalyzer()).close()
    assert list_collections(f"{tmp_path}/store") == ["test"]


@pytest.mark.parametrize(
    "record",
    [
        "",
        "[]",
        "{}",
        "3",
        "\x00garbage",
        '{"layout": 1, "dimension": "8", "fingerprint": ""}',
        '{"layout": 1, "dimension": 8, "fingerprint": "", "data": "../../elsewhere"}',
        '{"layout": 1, "dimension": 8, "fingerprint": "", "data": "data-000007"}',
        '{"layout": 1, "dimension": 8, "fingerprint": "", "notes": [1]}',
    ],
)
def test_a_damaged_record_is_one_sentence_that_says_what_to_do(record: str, tmp_path: Path) -> None:
    QdrantStore(str(tmp_path), "test", 8, FakeAnalyzer()).close()
    (tmp_path / "test" / "collection.json").write_text(record)
    with pytest.raises(DamagedError) as error:
        QdrantStore(str(tmp_path), "test", 8, FakeAnalyzer())
    assert "doctor --repair" in explain(error.value)
    assert "\n" not in str(error.value)
    # What it advises works.
    shutil.rmtree(tmp_path / "test")
    QdrantStore(str(tmp_path), "test", 8, FakeAnalyzer()).close()


@pytest.fixture
def readable_folder() -> Iterator[Path]:
    """An index that another user may only read."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        chunks, vectors, _ = fifty_chunks()
        store = QdrantStore(name, "test", vectors.shape[1], FakeAnalyzer())
        store.upsert(chunks, vectors)
        store.close()
        paths = [folder, *folder.rglob("*")]
        for path in paths:
            path.chmod(0o555 if path.is_dir() else 0o444)
        yield folder
        for path in paths:
            if path.is_dir():
                path.chmod(0o755)


_OPENING = """
import json, os, sys
from kvasir.components.stores.qdrant_edge import QdrantStore
from kvasir.testing.fakes import FakeAnalyzer

if os.geteuid() == 0:
    os.seteuid(65534)
try:
    QdrantStore(sys.argv[1], sys.argv[2], 8, FakeAnalyzer())
except Exception as error:
    print(json.dumps([[each.__name__ for each in type(error).__mro__], str(error)]))
"""


def error_for_another_user(folder: Path, collection: str) -> tuple[list[str], str]:
    """Return the classes and the text of the error of opening an index without the owner's rights.

    In a process of its own, since the user is that of all threads of a process.
    """
    command = [sys.executable, "-c", _OPENING, str(folder), collection]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    classes, text = json.loads(done.stdout)
    return classes, text


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX permissions")
@pytest.mark.parametrize("collection", ["test", "new"])
def test_an_index_that_may_only_be_read_says_so_in_one_sentence(
    readable_folder: Path, collection: str
) -> None:
    classes, text = error_for_another_user(readable_folder, collection)
    assert "OperatorError" in classes and "StoreLockedError" not in classes
    assert "Permission denied" in text and "rag.vectordb.uri" in text


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX permissions")
def test_data_that_may_only_be_read_says_so_in_one_sentence(readable_folder: Path) -> None:
    (readable_folder / "test").chmod(0o777)
    (readable_folder / "test" / "lock").chmod(0o666)
    classes, text = error_for_another_user(readable_folder, "test")
    assert "StorageError" in classes
    assert "even to search" in text


@pytest.mark.parametrize(
    ("uri", "is_one_process_at_a_time"),
    [("/data/store", True), ("file:///data/store", True), ("http://localhost:6333", False)],
)
def test_an_index_in_a_folder_is_opened_by_one_process_however_it_is_written(
    uri: str, is_one_process_at_a_time: bool
) -> None:
    settings = Settings(rag={"vectordb": {"type": "chroma", "uri": uri}})
    assert is_embedded(settings) is is_one_process_at_a_time
