"""The same settings with components in the process and behind ZeroMQ give the same results."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from kvasir.app import App
from kvasir.core.errors import SettingsError
from kvasir.core.protocols import LexicalSearch
from kvasir.core.types import LocalFile, Source
from kvasir.frontends.cli.main import cli
from kvasir.remote.service import RemoteService
from kvasir.remote.zeromq.client import Client
from kvasir.remote.zeromq.curve_keys import load_keys
from kvasir.remote.zeromq.indexing import connect_to_index
from kvasir.settings.schema import Settings

SUPPORT = Path(__file__).parents[1] / "support"
TEXT = "# Feasts\n\nThe mead of poetry is made of honey.\n\n# Owls\n\nOwls hunt at night."
PLUGIN = {
    "rag.embedding_model.type": "plugin_components:PluginEmbedder",
    "rag.embedding_model.options.width": "48",
    "rag.vectordb.type": "plugin_components:PluginStore",
    "chat.rag.retriever.reranker.type": "plugin_components:PluginReranker",
    "generator.type": "plugin_components:PluginGenerator",
}


class Command:
    """A ``kvasir services`` command, which ends in order with the block."""

    def __init__(self, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "kvasir", "services", *arguments],
            env={**os.environ, "PYTHONPATH": str(SUPPORT)},
        )

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(30) == 0


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """A broker, and one worker with the components of a plug-in, as a user starts them."""
    folder = tmp_path_factory.mktemp("s")
    keys = folder / "keys"
    made = CliRunner().invoke(cli, ["services", "keys", str(keys)], obj={})
    assert made.exit_code == 0, made.output
    front, back = (f"ipc://{folder}/s/{name}" for name in ("front", "back"))
    options = [f"--set={key}={value}" for key, value in PLUGIN.items()]
    roles = ["embedder", "reranker", "generator", "store", "index"]
    with (
        Command("broker", "--front-end", front, "--back-end", back, "--keys", str(keys)),
        Command("run", *roles, "--back-end", back, "--keys", str(keys), "--data-dir",
                str(folder / "kvasir-data"), *options),
    ):  # fmt: skip
        # A client waits ten seconds for a broker, and these processes may take longer to start.
        with Client(front, keys=load_keys(keys, "client"), patience=60) as client:
            while len(client.statistics()["services"]) < len(roles):
                time.sleep(0.05)
        yield front, keys


def results_of(folder, **settings):
    """Ingest, search and ask; return what a caller sees."""
    rag = {"ingest": {"workers": 1}, **settings.pop("rag")}
    made = Settings(data_dir=folder, rag=rag, answer={"refuse": False}, **settings)
    (folder.parent / "feasts.md").write_text(TEXT)
    with App(made) as app, app.collection() as collection:
        report = collection.ingest(LocalFile(str(folder.parent / "feasts.md")))
        assert len(report.added) == 1
        hits = collection.search("mead of poetry")
        answer = collection.ask("What is the mead of poetry made of?")
        store = app.open_store("other", app.embedder)
        return (
            [(hit.chunk.text, round(hit.score, 5)) for hit in hits],
            answer.text,
            [each.quote for each in answer.citations],
            app.embedder.fingerprint,
            isinstance(store, LexicalSearch),
        )


def test_going_from_embedded_to_services_changes_settings_only(tmp_path, served):
    front, keys = served
    plugin = "plugin_components:Plugin"
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    embedded = results_of(
        tmp_path / "one" / "data",
        rag={
            "embedding_model": {"type": f"{plugin}Embedder", "options": {"width": 48}},
            "vectordb": {"type": f"{plugin}Store", "uri": str(tmp_path / "one" / "store")},
        },
        chat={"rag": {"retriever": {"reranker": {"type": f"{plugin}Reranker"}}}},
        generator={"type": f"{plugin}Generator"},
    )
    reach = {"address": front, "keys": str(keys)}
    remote = results_of(
        tmp_path / "two" / "data",
        rag={
            "embedding_model": {"type": "remote", "options": reach},
            "vectordb": {"type": "remote", "uri": front, "options": {"keys": str(keys)}},
        },
        chat={"rag": {"retriever": {"reranker": {"type": "remote", "options": reach}}}},
        generator={"type": "remote", "options": reach},
    )
    assert remote == embedded
    assert remote[1]
    assert remote[3] == "fake-48"


def test_the_collections_of_an_index_service_are_used_from_another_process(served):
    front, keys = served
    with RemoteService(
        lambda settings: connect_to_index(front, settings, keys=str(keys)), collection="library"
    ) as service:
        assert service.collections() == []
        with service.collection() as library:
            library.ingest((Source("upload:feasts.md", "text/markdown"), TEXT.encode()))
            hits = library.search("mead of poetry")
            assert "The mead of poetry is made of honey." in hits[0].chunk.text
            answer = library.ask("What is the mead of poetry made of?")
            assert [each.quote for each in answer.citations]
        assert [each.name for each in service.collections()] == ["library"]


def test_a_broker_beyond_this_machine_needs_keys():
    asked = ["--front-end", "tcp://0.0.0.0:0", "--back-end", "tcp://127.0.0.1:0"]
    refused = CliRunner().invoke(cli, ["services", "broker", *asked], obj={})
    assert isinstance(refused.exception, SettingsError)
    assert "needs CURVE keys" in str(refused.exception)
