"""A collection moves from store to store and back, and is the same; so does what a user sees.

``KVASIR_TEST_CHUNKS=20000`` runs the tour at full size.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from kvasir.app import App
from kvasir.core.errors import RequestError
from kvasir.core.ledger import SourceState, VersionDraft
from kvasir.core.registry import build
from kvasir.core.types import Chunk, Document, StoreAddress, chunk_id, document_id
from kvasir.frontends.cli.collections import _describe
from kvasir.frontends.cli.interrupts import EXIT_INTERRUPTED
from kvasir.frontends.cli.main import EXIT_SOME_FAILED, cli
from kvasir.frontends.cli.remedies import explain
from kvasir.maintenance.copying import copy_chunks
from kvasir.settings.loading import load_settings
from kvasir.settings.schema import Settings
from kvasir.settings.store_uris import guess_store
from kvasir.testing.store_cases import search_texts, search_vectors

Kvasir = Callable[..., Any]

CHUNKS = int(os.environ.get("KVASIR_TEST_CHUNKS", "1500"))
DIMENSION = 384
QUERIES = 50
TOP_K = 10
TOUR = ("milvuslite", "chroma", "qdrant")
LANGUAGES = ("en", "es", "vi", "zh")


def open_store(kind, folder, name="moving", dimension=DIMENSION):
    uri = str(folder / f"{kind}.db") if kind == "milvuslite" else str(folder / kind)
    provided = {"dimension": dimension, "analyzer": build("analyzers", "bm25", {})}
    return closing(build("stores", kind, {"uri": uri, "collection": name}, provided))


def make_vectors(count, seed, dimension=DIMENSION):
    """Vectors around a hundred centres, as those of texts lie."""
    random = np.random.default_rng(seed)
    centres = np.random.default_rng(0).normal(size=(100, dimension))
    vectors = centres[random.integers(0, 100, count)] + random.normal(size=(count, dimension))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def make_texts(count, words, seed):
    """Texts of made-up words, some frequent and most rare."""
    random = np.random.default_rng(seed)
    numbers = np.minimum(random.zipf(1.3, size=(count, words)), 20_000)
    return [" ".join(f"wörd{number}" for number in row) for row in numbers]


def make_chunks(count):
    chunks = []
    for number, text in enumerate(make_texts(count, 40, seed=1)):
        uri = f"/library/book-{number // 20}.md"
        document, start = document_id(uri), number % 20 * 500
        metadata = {
            "source_uri": uri,
            "title": f"Book “{number // 20}”",
            "language": LANGUAGES[number // 20 % 4],
            "year": 1900 + number % 125,
            "price": number / 7,
            "lent": number % 3 == 0,
        }
        page = None if number % 20 == 0 else number % 20
        headings = ("Bücher", f"第 {number % 20} 章") if number % 2 else ()
        place = (start, start + len(text))
        chunks.append(
            Chunk(
                chunk_id(document, text, *place), document, text, *place, page, headings, metadata
            )
        )
    return chunks


def everything(store):
    return {chunk.id: (chunk, vector) for batch in store.scroll() for chunk, vector in batch}


def searches(store):
    """Score lists, and the chunks whose place no equal score leaves open, of every query."""
    dense = search_vectors(store, make_vectors(QUERIES, seed=3), TOP_K)
    texts = make_texts(QUERIES, 6, seed=4)
    lexical = search_texts(store, texts, ["en"] * QUERIES, TOP_K)
    return [
        ([hit.lexical_score or hit.dense_score for hit in hits], hits) for hits in dense + lexical
    ]


def assert_same_searches(before, after):
    for (scores, hits), (new_scores, new_hits) in zip(before, after, strict=True):
        assert new_scores == pytest.approx(scores, abs=1e-4)
        assert hits
        last = hits[-1].score
        clear = {hit.chunk.id for hit in hits if hit.score > last + 1e-5}
        assert clear <= {hit.chunk.id for hit in new_hits}


def test_a_collection_comes_back_from_a_tour_of_the_stores_as_it_was(tmp_path):
    chunks, vectors = make_chunks(CHUNKS), make_vectors(CHUNKS, seed=2)
    with open_store("qdrant", tmp_path / "home") as source:
        source.upsert(chunks, vectors)
        source.optimize(wait=True)
        before = searches(source)
    place = ("qdrant", tmp_path / "home")
    checksums = set()
    for number, kind in enumerate(TOUR):
        with (
            open_store(*place) as source,
            open_store(kind, tmp_path / str(number)) as target,
        ):
            report = copy_chunks(source, target)
        assert report.verified
        assert report.written == report.counted == CHUNKS
        checksums |= {report.checksum, report.target_checksum}
        place = (kind, tmp_path / str(number))
    assert len(checksums) == 1
    with open_store(*place) as back:
        found = everything(back)
        assert found.keys() == {chunk.id for chunk in chunks}
        for chunk, vector in zip(chunks, vectors, strict=True):
            same, moved = found[chunk.id]
            assert same == chunk
            assert {k: type(v) for k, v in same.metadata.items()} == {
                k: type(v) for k, v in chunk.metadata.items()
            }
            assert np.abs(moved - vector).max() < 1e-5
        assert_same_searches(before, searches(back))


COPY = """
import sys
from kvasir.core.registry import build
from kvasir.core.run import Run
from kvasir.maintenance.copying import copy_chunks

def open_store(kind, uri):
    provided = {"dimension": 16, "analyzer": build("analyzers", "bm25", {})}
    return build("stores", kind, {"uri": uri, "collection": "moving"}, provided)

source, target = open_store("qdrant", sys.argv[1]), open_store(sys.argv[2], sys.argv[3])
progress = lambda event: print(event.stage, event.done, event.total, flush=True)
copy_chunks(source, target, run=Run(progress=progress))
"""


@pytest.mark.parametrize("kind", ["qdrant", "milvuslite", "chroma"])
def test_a_killed_copy_goes_on_where_it_stopped(tmp_path, kind):
    chunks = make_chunks(1600)
    with open_store("qdrant", tmp_path, dimension=16) as source:
        source.upsert(chunks, make_vectors(len(chunks), seed=2, dimension=16))
    place = tmp_path / "there"
    uri = place / ("milvuslite.db" if kind == "milvuslite" else kind)
    place.mkdir()
    command = [sys.executable, "-c", COPY, str(tmp_path / "qdrant"), kind, str(uri)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        for line in child.stdout:
            if line.startswith("copying 1000"):
                child.kill()
                break
        assert child.wait(60) == -signal.SIGKILL
    with (
        open_store("qdrant", tmp_path, dimension=16) as source,
        open_store(kind, place, dimension=16) as target,
    ):
        report = copy_chunks(source, target)
        assert report.verified
        assert 1000 <= report.kept < len(chunks)
        assert report.kept + report.written == target.count() == len(chunks)


def test_after_moving_the_settings_change_and_nothing_else(
    kvasir: Kvasir, notes: Path, tmp_path: Path
) -> None:
    kvasir("ingest", "notes")
    before = kvasir("search", "--json", "craters of the Moon").json
    said = kvasir("collections", "copy", "--to", "moved.db").out
    assert "2 chunks written" in said
    assert "type: milvuslite" in said
    assert "uri: moved.db" in said
    (tmp_path / "kvasir.yaml").write_text("rag: {vectordb: {type: milvuslite, uri: moved.db}}")
    (tmp_path / "kvasir-data" / "store").rename(tmp_path / "no-longer-there")
    assert kvasir("doctor", "--json").json["clean"]
    after = kvasir("search", "--json", "craters of the Moon").json
    assert [hit["chunk"]["id"] for hit in after] == [hit["chunk"]["id"] for hit in before]
    assert after[0]["score"] == pytest.approx(before[0]["score"], abs=1e-3)
    assert kvasir("ingest", "--json", "notes").json["chunks_embedded"] == 0


def test_a_copy_under_another_name_has_records_of_its_own(kvasir: Kvasir, notes: Path) -> None:
    kvasir("ingest", "notes")
    target = ("--to", "elsewhere", "--to-type", "qdrant", "--to-collection", "second")
    kvasir("collections", "copy", *target)
    second = ("--collection", "second", "--set", "rag.vectordb.uri=elsewhere")
    assert kvasir(*second, "doctor", "--json").json["clean"]
    assert kvasir(*second, "ingest", "--json", "notes").json["chunks_embedded"] == 0
    again = kvasir("collections", "copy", "--json", *target).json
    assert (again["written"], again["kept"]) == (0, 2)
    kvasir(*second, "documents", "delete", "notes/tea.txt")
    assert len(kvasir("documents", "list", "--json").json) == 2
    taken = kvasir("collections", "copy", *target, code=2)
    assert "there is a collection 'second' already" in taken.err


@pytest.fixture
def library(tmp_path, monkeypatch):
    """A data folder with a collection of 1200 chunks that no model was needed for."""
    monkeypatch.chdir(tmp_path)
    text = " ".join(f"word{number:04}" for number in range(1200))
    uri = str(tmp_path / "book.md")
    name = document_id(uri)
    given = {"source_uri": uri, "title": "Book", "language": "en"}
    chunks = tuple(
        Chunk(chunk_id(name, text[i : i + 8], i, i + 8), name, text[i : i + 8], i, i + 8, None,
              (), given)
        for i in range(0, len(text), 9)
    )  # fmt: skip
    state = SourceState(uri, "text/markdown", "0" * 64, len(text), 1.0, "recipe")
    draft = VersionDraft(state, Document(name, uri, "Book", text), "en", {}, chunks)
    with App(load_settings(overrides={"data_dir": "kvasir-data"})) as app:
        app.catalog.create_collection("default", embedder="any", dimension=16, fingerprint="")
        writer = app.catalog.start_writer("default", lease_seconds=60)
        app.catalog.begin("default", [draft], writer)
        app.catalog.publish("default", [name], writer)
        app.catalog.end_writer(writer)
    with open_store("qdrant", tmp_path / "kvasir-data", "default", dimension=16) as store:
        store.upsert(chunks, make_vectors(1200, seed=2, dimension=16))
    (tmp_path / "kvasir-data" / "qdrant").rename(tmp_path / "kvasir-data" / "store")
    return tmp_path


def copy(*arguments):
    return CliRunner().invoke(cli, ["collections", "copy", *arguments], standalone_mode=False)


INTERRUPTED = """
import os
import signal
import time
from kvasir.components.stores.qdrant_edge import QdrantStore
from kvasir.frontends.cli.main import main

upsert = QdrantStore.upsert

def interrupted(self, chunks, vectors):
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(0.2)
    upsert(self, chunks, vectors)

QdrantStore.upsert = interrupted
main()
"""


def test_ctrl_c_ends_a_copy_between_batches_and_it_goes_on_later(library):
    # A process of its own, as a user has: this one holds what is left of four engines.
    target = ("--to", "copy", "--to-type", "qdrant")
    command = [sys.executable, "-c", INTERRUPTED, "collections", "copy", "--json", *target]
    stopped = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert stopped.returncode == EXIT_INTERRUPTED
    assert "run the same command again" in stopped.stderr
    assert json.loads(stopped.stdout)["exit_code"] == EXIT_INTERRUPTED
    went_on = copy(*target)
    assert "700 chunks written, 500 were there already" in went_on.stdout


def test_secrets_are_never_shown(library, monkeypatch):
    monkeypatch.setenv("KVASIR_TO_TOKEN", "s3cret-token")
    for target in (["copy.db"], ["http://127.0.0.1:9/", "--to-type", "qdrant-server"]):
        refused = copy("--to", *target, "--to-password", "s3cret-password")
        assert refused.exit_code != 0
        assert "s3cret" not in refused.output + str(refused.exception)
    to = StoreAddress("qdrant-server", "http://db:6333", token="s3cret-token")
    line = _describe(Settings(), to, None)
    assert "KVASIR__RAG__VECTORDB__TOKEN" in line
    assert "s3cret" not in line


def test_strangers_in_the_target_are_reported_and_removed_only_when_asked(library):
    assert "1200 chunks written" in copy("--to", "copy.db").stdout
    provided = {"dimension": 16, "analyzer": build("analyzers", "bm25", {})}
    options = {"uri": str(library / "copy.db"), "collection": "default"}
    with closing(build("stores", "milvuslite", options, provided)) as store:
        store.upsert(make_chunks(1), make_vectors(1, seed=5, dimension=16))
    found = copy("--to", "copy.db")
    assert found.return_value == EXIT_SOME_FAILED
    assert "1 chunks are there that the collection does not have" in found.stderr
    assert "1 chunks deleted there" in copy("--to", "copy.db", "--exact").stdout
    assert "1200 were there already" in copy("--to", "copy.db").stdout


@pytest.mark.parametrize(
    ("uri", "kind"),
    [("http://localhost:6333", "qdrant-server"), ("https://m.example:19530", "milvus")],
)
def test_a_server_is_known_by_its_usual_port(uri, kind):
    assert guess_store(uri) == kind


@pytest.mark.parametrize("uri", ["http://localhost:8000", "https://db.example", "folder"])
def test_a_place_that_could_be_any_store_has_to_be_told(library, uri):
    refused = copy("--to", uri)
    assert "say which with --to-type" in explain(refused.exception)


def test_a_collection_is_not_copied_onto_itself(library):
    refused = copy("--to", str(library / "kvasir-data/../kvasir-data/store"))
    assert "there is a collection 'default' already in that store" in str(refused.exception)


@pytest.mark.parametrize("kind", [[], ["--to-type", "qdrant-server"], ["--to-type", "qdrant"]])
@pytest.mark.parametrize(
    "uri",
    ["http://localhost:abc", "http://localhost:99999", "http://[::1", "~nouser/a", "~nouser/a.db"],
)
def test_a_place_that_cannot_be_is_one_sentence(library, uri, kind):
    refused = copy("--to", uri, *kind)
    assert isinstance(refused.exception, RequestError)
    assert f"'{uri}' is no " in str(refused.exception)
    assert "\n" not in str(refused.exception)
