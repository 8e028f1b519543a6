"""Kvasir's commands in InstructLab's ``ilab``, loaded as ilab loads them.

The groups below are ``ilab`` as far as a plug-in sees it: how it finds commands, and what it
hands them. Source: instructlab 0.26 (Apache-2.0): ``clickext.LazyEntryPointGroup``,
``lab.ilab``, ``configuration.Lab``, ``cli.data.data``, ``model.model``.
"""

from __future__ import annotations

import json
import os
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import chat_servers
import click
import pytest
import yaml
from click.testing import CliRunner, Result
from libraries import library

from kvasir.frontends.cli.ilab import from_ilab

library("pymilvus", extra="milvus")


class LazyEntryPointGroup(click.Group):
    """Loads commands from an entry-point group when they are asked for."""

    def __init__(self, *args: Any, ep_group: str, **attributes: Any) -> None:
        super().__init__(*args, **attributes)
        self.eps = metadata.entry_points(group=ep_group)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*super().list_commands(ctx), *sorted(self.eps.names)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in self.eps.names:
            return self.eps[cmd_name].load()
        return super().get_command(ctx, cmd_name)


class Lab:
    """What ilab keeps in the context; its ``config`` has lost the keys that it does not know."""

    def __init__(self, config: object, config_file: str, error_msg: str | None) -> None:
        self.config = config
        self.config_file = config_file
        self.error_msg = error_msg

    def ensure_config(self, ctx: click.Context) -> None:
        if self.error_msg is not None:
            ctx.fail(self.error_msg)


@click.group()
@click.option("--config", "config_file", type=click.Path(), default="DEFAULT")
@click.pass_context
def ilab(ctx: click.Context, config_file: str) -> None:
    is_there = config_file == "DEFAULT" or Path(config_file).is_file()
    ctx.obj = Lab(object(), config_file, None if is_there else f"`{config_file}` does not exist")
    # ilab makes defaults for options of the configuration; ours must not be touched by them.
    ctx.default_map = {"data": {}, "model": {}, "chat": {}}


@ilab.group(cls=LazyEntryPointGroup, ep_group="instructlab.command.data")
@click.pass_context
def data(ctx: click.Context) -> None:
    assert ctx.parent is not None
    ctx.obj = ctx.parent.obj
    ctx.obj.ensure_config(ctx)
    ctx.default_map = ctx.parent.default_map


@ilab.group(cls=LazyEntryPointGroup, ep_group="instructlab.command.model")
@click.pass_context
def model(ctx: click.Context) -> None:
    assert ctx.parent is not None
    ctx.parent.obj.ensure_config(ctx)
    ctx.obj = ctx.parent.obj
    ctx.default_map = ctx.parent.default_map


CONFIG = {
    "version": "1.0.0",
    "chat": {"model": "models/granite.gguf", "context": "default", "max_tokens": None},
    "serve": {"server": {"host": "127.0.0.1", "port": 8000}},
    # What ilab itself keeps in "rag" beside what the proposal puts there.
    "rag": {
        "enabled": False,
        "convert": {"output_dir": "converted"},
        "document_store": {"uri": "embeddings.db", "collection_name": "ilab"},
        "embedding_model": {"embedding_model_path": "granite"},
        "retriever": {"top_k": 3},
    },
}


def run(*arguments: str, config: dict[str, Any] | None = None, **given: Any) -> Result:
    line = list(arguments)
    if config is not None:
        Path("config.yaml").write_text(yaml.safe_dump(config), "utf-8")
        line = ["--config", "config.yaml", *line]
    return CliRunner().invoke(ilab, line, **given)


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config-home"))
    return tmp_path


@pytest.fixture
def docs(in_a_folder_of_its_own: Path) -> Path:
    """Two documents in docling JSON, as ``ilab data generate`` leaves them."""
    folder = in_a_folder_of_its_own / "docs"
    folder.mkdir()
    texts = {
        "mead": "The mead of poetry was brewed from honey and the blood of Kvasir.",
        "tea": "Green tea is steeped for two minutes at eighty degrees.",
    }
    for name, text in texts.items():
        document = {
            "schema_name": "DoclingDocument",
            "version": "1.0.0",
            "name": name,
            "body": {"self_ref": "#/body", "children": [{"$ref": "#/texts/0"}]},
            "texts": [{"self_ref": "#/texts/0", "label": "paragraph", "text": text, "orig": text}],
        }
        (folder / f"{name}.json").write_text(json.dumps(document), "utf-8")
    return folder


def test_ilab_finds_the_commands() -> None:
    assert "rag" in run("data", "--help").output
    assert "rag-chat" in run("model", "--help").output
    assert "ingest" in run("data", "rag", "--help").output


def test_ingesting_through_ilab_fills_milvus_lite_in_the_working_directory(docs: Path) -> None:
    done = run("data", "rag", "ingest", str(docs), config=CONFIG)
    assert done.exit_code == 0, done.output
    assert "2 added" in done.output
    assert Path("rag-output.db").exists()


def test_a_failed_ingest_does_not_exit_with_0(docs: Path) -> None:
    (docs / "broken.json").write_text('{"schema_name": "DoclingDocument", "texts": 3}', "utf-8")
    done = run("data", "rag", "ingest", str(docs), config=CONFIG)
    assert done.exit_code == 4
    assert "broken.json" in done.output


def test_the_keys_that_ilab_forgets_are_read_from_its_file(docs: Path) -> None:
    rag = CONFIG["rag"] | {
        "splitter": {"split_length": 3},
        "vectordb": {"uri": "./elsewhere.db"},
    }
    done = run("data", "rag", "ingest", "--json", str(docs), config=CONFIG | {"rag": rag})
    assert done.exit_code == 0, done.output
    assert json.loads(done.output)["chunks_embedded"] > 6
    assert Path("elsewhere.db").exists()
    assert not Path("rag-output.db").exists()


def test_an_option_stands_over_the_environment_and_that_over_ilabs_file(
    docs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rag = {"vectordb": {"uri": "./file.db"}, "splitter": {"split_length": 4}}
    monkeypatch.setenv("KVASIR__RAG__SPLITTER__SPLIT_LENGTH", "100")
    monkeypatch.setenv("KVASIR__RAG__VECTORDB__URI", "./environment.db")
    line = ["data", "rag", "ingest", "--json", "--vectordb-uri", "./option.db", str(docs)]
    done = run(*line, config={"rag": rag})
    assert done.exit_code == 0, done.output
    assert json.loads(done.output)["chunks_embedded"] == 2
    assert sorted(path.name for path in Path().glob("*.db")) == ["option.db"]


def test_help_shows_the_defaults_of_the_proposal_and_of_ilabs_file() -> None:
    shown = " ".join(run("data", "rag", "ingest", "--help").output.split())
    for default in ("word", "200", "milvuslite", "sentence-transformers/all-minilm-l6-v2"):
        assert f"[default: {default}]" in shown.replace("- ", "-"), default
    config = {"rag": {"splitter": {"split_length": 77}}}
    assert "[default: 77]" in " ".join(
        run("data", "rag", "ingest", "--help", config=config).output.split()
    )


def test_ilabs_file_is_also_found_where_ilab_keeps_it(tmp_path: Path) -> None:
    place = tmp_path / "config-home" / "instructlab" / "config.yaml"
    place.parent.mkdir(parents=True)
    place.write_text("rag: {splitter: {split_length: 88}}", "utf-8")
    commands = LazyEntryPointGroup("data", ep_group="instructlab.command.data")
    bare = click.Group("ilab", commands={"data": commands})
    shown = CliRunner().invoke(bare, ["data", "rag", "ingest", "--help"]).output
    assert "[default: 88]" in " ".join(shown.split())


@pytest.mark.parametrize(
    ("rag", "complaint"),
    [
        ({"vectordb": {"urll": "x"}}, "did you mean 'rag.vectordb.uri'"),
        ({"splitter": {"split_by": "chapter"}}, "rag.splitter.split_by"),
    ],
)
def test_a_mistake_in_ilabs_file_is_one_line(
    docs: Path, rag: dict[str, Any], complaint: str
) -> None:
    done = run("data", "rag", "ingest", str(docs), config={"rag": rag})
    assert done.exit_code == 3
    assert complaint in done.output
    assert done.output.count("\n") == 1


def test_no_secret_of_ilabs_file_or_the_environment_is_shown(
    docs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KVASIR__RAG__VECTORDB__PASSWORD", "pass-s3cret")
    vectordb = {"type": "milvus", "uri": "http://127.0.0.1:9", "token": "token-s3cret"}
    done = run(
        "data",
        "rag",
        "ingest",
        str(docs),
        config={"rag": {"vectordb": vectordb}},
    )
    assert done.exit_code == 3
    assert "milvus" in done.output, "the store was not asked"
    assert "s3cret" not in done.output
    shown = run("data", "rag", "ingest", "--help", config={"rag": {"vectordb": vectordb}}).output
    assert "s3cret" not in shown


def test_the_chat_answers_from_the_documents_with_the_model_that_ilab_serves(docs: Path) -> None:
    script = chat_servers.Script()
    with chat_servers.serving(script) as address:
        port = int(address.rsplit(":", 1)[1])
        config = CONFIG | {"serve": {"server": {"host": "127.0.0.1", "port": port}}}
        assert run("data", "rag", "ingest", str(docs), config=config).exit_code == 0
        question = "What was the mead of poetry brewed from?"
        done = run("model", "rag-chat", "-qq", question, config=config)
    assert done.exit_code == 0, done.output
    assert "honey" in done.output
    assert "mead.json" in done.output
    body, _ = script.asked("/v1/chat/completions")[-1]
    assert body["model"] == "models/granite.gguf"
    asked = body["messages"][-1]["content"]
    assert asked.startswith("Given the following information, answer the question.")
    assert "blood of Kvasir" in asked


def test_the_chat_starts_on_a_terminal_with_rag_on_and_ends(docs: Path) -> None:
    pexpect = pytest.importorskip("pexpect")
    from pty_process import PtyProcess  # noqa: PLC0415 - this file is a script, too

    Path("config.yaml").write_text(yaml.safe_dump(CONFIG), "utf-8")
    line = [sys.executable, __file__, "--config", "config.yaml", "model", "rag-chat"]
    own = {"PYTHONPATH": str(Path(chat_servers.__file__).parent)}
    environment = os.environ | own
    child = PtyProcess(line, encoding="utf-8", timeout=60, dimensions=(40, 120), env=environment)
    try:
        child.expect_exact("[RAG]")
        child.send("/q\r")
        child.expect(pexpect.EOF)
    finally:
        child.close()
    assert child.exitstatus == 0


def test_the_chat_without_a_server_says_so_in_one_sentence(docs: Path) -> None:
    config = CONFIG | {"serve": {"server": {"host": "127.0.0.1", "port": 9}}}
    assert run("data", "rag", "ingest", str(docs), config=config).exit_code == 0
    question = "What was the mead of poetry brewed from?"
    done = run("model", "rag-chat", "-qq", question, config=config)
    assert done.exit_code == 3
    assert "http://127.0.0.1:9/v1: nothing answers there; start the server" in done.output
    assert done.output.strip().count("\n") == 0


def test_ilabs_own_keys_are_told_from_those_of_the_proposal() -> None:
    tree = from_ilab(CONFIG)
    assert tree["rag"] == {"embedding_model": {}}
    assert tree["chat"] == {"context": "default"}
    assert tree["generator"]["base_url"] == "http://127.0.0.1:8000/v1"
    assert from_ilab({}) == {"rag": {}, "chat": {}}


if __name__ == "__main__":
    ilab()
