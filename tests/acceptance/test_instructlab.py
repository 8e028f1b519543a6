"""InstructLab's RAG proposal, with its preset: ingest docling JSON, ask, every option."""

from __future__ import annotations

import base64
import json
import re
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from click.testing import CliRunner
from libraries import library

from kvasir.core.errors import KvasirError
from kvasir.frontends.cli.main import cli
from kvasir.frontends.cli.remedies import explain

library("pymilvus", extra="milvus")

Kvasir = Callable[..., Any]
PRESET = Path(__file__).parents[2] / "presets" / "instructlab.yaml"
WITH_PRESET = ("--config", str(PRESET))

INGEST_OPTIONS = {
    "--split-by": "word",
    "--split-length": "200",
    "--split-overlap": "0",
    "--split-threshold": "0",
    "--vectordb-type": "milvuslite",
    "--vectordb-uri": "./rag-output.db",
    "--vectordb-token": None,
    "--vectordb-username": None,
    "--vectordb-password": None,
    "--model": "sentence-transformers/all-minilm-l6-v2",
    "--model-token": None,
}
"""The table of 3.2, with the defaults."""

CHAT_OPTIONS = {
    "--rag": "false",
    "--rag-context-refinement": "false",
    "--rag-context-prompt": "You are an assistant helping refine user queries",
    "--retriever-top-k": "10",
    "--retriever-min-score-threshold": "0.5",
    "--retriever-filters": None,
    "--rag-prompt": "Given the following information, answer the",
}
"""The table of 3.5, with the defaults or their first words."""

WORDS = "one two three four five six seven eight nine ten eleven twelve"


def test_docling_json_is_ingested_and_answers_on_milvus_lite(
    kvasir: Kvasir, shared_data: Path, tmp_path: Path
) -> None:
    folder = shared_data / "docling-json"
    report = kvasir(*WITH_PRESET, "ingest", "--json", str(folder), code=4).json
    failed = sorted(Path(each["source_uri"]).name for each in report["failed"])
    assert failed == ["error-1.json", "error-2.json", "error-3.json"]
    versions = {Path(uri).parent.name for uri in report["added"]}
    assert versions == {"v1", "v2"}
    assert len(report["added"]) == 15
    assert (tmp_path / "rag-output.db").exists()

    answer = kvasir(*WITH_PRESET, "ask", "--json", "What do ducks eat?").json
    assert not answer["refused"]
    assert any("duck" in citation["source_uri"] for citation in answer["citations"])
    assert all(hit["dense_score"] >= 0.5 for hit in answer["hits"])

    chat = kvasir(*WITH_PRESET, "chat", "--rag", "-qq", "What do ducks eat?")
    assert "wiki_duck" in chat.out + chat.err

    again = kvasir(*WITH_PRESET, "ingest", "--json", str(folder), code=4).json
    assert len(again["unchanged"]) == 15
    assert again["chunks_embedded"] == 0


@pytest.fixture
def in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, share_components: None) -> Path:
    """A working directory with one document of twelve words."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "words.txt").write_text(WORDS, "utf-8")
    return tmp_path


def run(*arguments: str, file: str = "words.txt") -> tuple[str, BaseException | None]:
    """Ingests in this process, with the preset; gives what was printed, and the error."""
    result = CliRunner().invoke(cli, [*WITH_PRESET, "ingest", *arguments, file])
    return result.output, result.exception


def chunks(*arguments: str, file: str = "words.txt") -> list[str]:
    """Ingests with the preset; gives the texts of the chunks, in order."""
    output, error = run(*arguments, file=file)
    assert isinstance(error, SystemExit | None), (output, error)
    found = CliRunner().invoke(
        cli, [*WITH_PRESET, "search", "--json", "--top-k", "100", *_search(arguments), "one"]
    )
    found_chunks = [hit["chunk"] for hit in yaml.safe_load(found.output)]
    return [chunk["text"] for chunk in sorted(found_chunks, key=lambda chunk: chunk["start"])]


def _search(arguments: tuple[str, ...]) -> list[str]:
    settings = ["--set", "chat.rag.retriever.min_score_threshold=0"]
    for option, value in zip(arguments[::2], arguments[1::2], strict=True):
        if option.startswith("--vectordb"):
            settings += ["--set", f"rag.vectordb.{option[11:]}={value}"]
    return settings


@pytest.mark.parametrize(
    ("command", "option", "default"),
    [("ingest", *row) for row in INGEST_OPTIONS.items()]
    + [("chat", *row) for row in CHAT_OPTIONS.items()],
)
def test_help_shows_every_option_of_the_proposal_with_its_default(
    command: str, option: str, default: str | None
) -> None:
    root = click.Context(cli, obj={"config": str(PRESET)})
    chosen = cli.get_command(root, command)
    assert chosen is not None
    context = click.Context(chosen, parent=root)
    records = [parameter.get_help_record(context) for parameter in chosen.params]
    (text,) = [text for names, text in filter(None, records) if option in re.split("[ /,]+", names)]
    if default is not None:
        assert f"[default: {default}" in text


def test_split_length_is_the_most_words_of_a_chunk(in_folder: Path) -> None:
    words = WORDS.split()
    found = [text.split() for text in chunks("--split-length", "5")]
    assert found == [words[:5], words[5:10], words[10:]]


def test_split_overlap_repeats_words_of_the_chunk_before(in_folder: Path) -> None:
    found = chunks("--split-length", "5", "--split-overlap", "2")
    words = WORDS.split()
    assert [text.split() for text in found][:3] == [words[0:5], words[3:8], words[6:11]]


def test_split_threshold_joins_a_short_end_to_the_chunk_before(in_folder: Path) -> None:
    found = chunks("--split-length", "5", "--split-threshold", "3")
    assert [len(text.split()) for text in found] == [5, 7]


@pytest.mark.parametrize(
    ("unit", "count"), [("line", 4), ("passage", 2), ("sentence", 4), ("word", 11)]
)
def test_split_by_names_the_unit(in_folder: Path, unit: str, count: int) -> None:
    text = "Ann sings. Bob hums.\nCarl plays the drums.\n\nDora writes songs\nand Eve reads.\n"
    (in_folder / "units.txt").write_text(text, "utf-8")
    output, _ = run("--json", "--split-by", unit, "--split-length", "1", file="units.txt")
    assert yaml.safe_load(output)["chunks_embedded"] == count


def test_split_by_page_cuts_where_docling_saw_the_pages_end(in_folder: Path) -> None:
    texts = [
        {
            "self_ref": f"#/texts/{page}",
            "label": "paragraph",
            "text": f"This stands on page {page}.",
            "orig": "",
            "prov": [{"page_no": page + 1}],
        }
        for page in range(3)
    ]
    children = [{"$ref": text["self_ref"]} for text in texts]
    tree = {
        "schema_name": "DoclingDocument",
        "version": "1.0.0",
        "name": "pages",
        "body": {"self_ref": "#/body", "children": children},
        "texts": texts,
    }
    (in_folder / "pages.json").write_text(json.dumps(tree), "utf-8")
    output, _ = run("--json", "--split-by", "page", "--split-length", "1", file="pages.json")
    assert json.loads(output)["chunks_embedded"] == 3


def test_vectordb_uri_and_type_name_the_store(in_folder: Path) -> None:
    assert len(chunks("--vectordb-uri", "./other.db")) == 1
    assert (in_folder / "other.db").exists()
    assert not (in_folder / "rag-output.db").exists()
    assert len(chunks("--vectordb-type", "qdrant", "--vectordb-uri", "./shards")) == 1
    assert (in_folder / "shards").is_dir()


def test_another_store_is_filled_though_the_files_did_not_change(in_folder: Path) -> None:
    assert len(chunks("--vectordb-uri", "./one.db")) == 1
    assert len(chunks("--vectordb-uri", "./two.db")) == 1


def test_a_store_that_was_deleted_is_not_searched_as_if_it_were_empty(in_folder: Path) -> None:
    run()
    search = [*WITH_PRESET, "search", "--set", "rag.vectordb.uri=./gone.db", "one"]
    result = CliRunner().invoke(cli, search)
    assert isinstance(result.exception, KvasirError)
    assert "doctor --repair" in explain(result.exception)


class Refusing(ThreadingHTTPServer):
    """Answers every request with 401, and remembers its headers."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Refuse)
        self.seen: list[dict[str, str]] = []

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Refuse(BaseHTTPRequestHandler):
    server: Refusing

    def log_message(self, *_: object) -> None:
        """Keeps the test's output clean."""

    def do_GET(self) -> None:
        self.server.seen.append({key.lower(): value for key, value in self.headers.items()})
        self.send_response(401)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")


@pytest.fixture
def refusing() -> Iterator[Refusing]:
    server = Refusing()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@contextmanager
def milvus_that_refuses() -> Iterator[tuple[str, list[dict[str, str]]]]:
    """Serves gRPC on the loopback and refuses every call, as Milvus does a wrong password."""
    grpc = pytest.importorskip("grpc")
    seen: list[dict[str, str]] = []

    class Refuse(grpc.GenericRpcHandler):
        def service(self, details: Any) -> Any:
            seen.append({key: str(value) for key, value in details.invocation_metadata})

            def refuse(_: bytes, context: Any) -> None:
                context.abort(grpc.StatusCode.UNAUTHENTICATED, "auth check failure")

            return grpc.unary_unary_rpc_method_handler(refuse)

    server = grpc.server(ThreadPoolExecutor(2), handlers=(Refuse(),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"http://127.0.0.1:{port}", seen
    finally:
        server.stop(None).wait()


@pytest.mark.parametrize("way", ["option", "environment"])
@pytest.mark.parametrize("kind", ["token", "password"])
def test_milvus_is_given_the_credentials_and_the_refusal_does_not_show_them(
    in_folder: Path, monkeypatch: pytest.MonkeyPatch, way: str, kind: str
) -> None:
    given = {"token": {"token": "s3cret"}, "password": {"username": "u", "password": "s3cret"}}
    expected = {"token": "s3cret", "password": "u:s3cret"}[kind]
    with milvus_that_refuses() as (address, seen):
        line = ["--vectordb-type", "milvus", "--vectordb-uri", address]
        for key, value in given[kind].items():
            if way == "option":
                line += [f"--vectordb-{key}", value]
            else:
                monkeypatch.setenv(f"KVASIR__RAG__VECTORDB__{key.upper()}", value)
        output, error = run(*line)
    assert isinstance(error, KvasirError)
    assert "s3cret" not in output + str(error)
    sent = {headers.get("authorization", "") for headers in seen}
    assert base64.b64encode(expected.encode()).decode() in sent


@pytest.mark.filterwarnings("ignore:Api key is used with an insecure connection")
def test_a_qdrant_server_is_given_the_token_and_the_refusal_does_not_show_it(
    in_folder: Path, refusing: Refusing
) -> None:
    line = ["--vectordb-type", "qdrant-server", "--vectordb-uri", refusing.address]
    output, error = run(*line, "--vectordb-token", "s3cret")
    assert isinstance(error, KvasirError)
    assert "401" in str(error)
    assert "s3cret" not in output + str(error)
    assert {headers.get("api-key") for headers in refusing.seen} == {"s3cret"}


def test_the_hub_is_given_the_model_token_and_the_refusal_does_not_show_it(
    in_folder: Path, refusing: Refusing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", refusing.address)
    monkeypatch.setenv("HF_HOME", str(in_folder / "no-cache"))
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    output, error = run("--model", "acme/private-model", "--model-token", "s3cret")
    assert isinstance(error, KvasirError)
    assert "acme/private-model" in str(error)
    assert "s3cret" not in output + str(error)
    assert {headers.get("authorization") for headers in refusing.seen} == {"Bearer s3cret"}


def test_a_password_inside_an_address_is_not_shown_either(in_folder: Path) -> None:
    for kind in ("qdrant-server", "milvus"):
        uri = "http://user:s3cret@127.0.0.1:9"
        output, error = run("--vectordb-type", kind, "--vectordb-uri", uri)
        assert isinstance(error, KvasirError)
        assert "s3cret" not in output + str(error)


def test_config_show_masks_every_secret(kvasir: Kvasir) -> None:
    secrets = {
        "KVASIR__RAG__VECTORDB__TOKEN": "s3cret-1",
        "KVASIR__RAG__VECTORDB__PASSWORD": "s3cret-2",
        "KVASIR__RAG__EMBEDDING_MODEL__TOKEN": "s3cret-3",
        "KVASIR__GENERATOR__API_KEY": "s3cret-4",
    }
    shown = kvasir(*WITH_PRESET, "config", "show", **secrets).out
    assert "s3cret" not in shown
    assert yaml.safe_load(shown)["rag"]["vectordb"]["token"] == "**********"
