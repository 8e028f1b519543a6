"""The same settings with components in the process and behind ZeroMQ give the same results."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from kvasir.app import App
from kvasir.core.protocols import LexicalSearch
from kvasir.core.types import LocalFile
from kvasir.frontends.cli.main import cli
from kvasir.remote.zeromq.broker import Broker
from kvasir.remote.zeromq.curve_keys import load_keys
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


@pytest.fixture
def served(tmp_path):
    """Serve the components of a plug-in with one process of ``kvasir services run``."""
    keys = tmp_path / "keys"
    made = CliRunner().invoke(cli, ["services", "keys", str(keys)], obj={})
    assert made.exit_code == 0, made.output
    back = f"ipc://{tmp_path}/s/back"
    with Broker(f"ipc://{tmp_path}/s/front", back, keys=keys) as broker:
        options = [f"--set={key}={value}" for key, value in PLUGIN.items()]
        roles = ["embedder", "reranker", "generator", "store"]
        worker = subprocess.Popen(
            [sys.executable, "-m", "kvasir", "services", "run", *roles, "--back-end", back,
             "--keys", str(keys), "--data-dir", str(tmp_path / "worker"), *options],
            env={**os.environ, "PYTHONPATH": str(SUPPORT)},
        )  # fmt: skip
        try:
            yield broker.front_end[0], keys
        finally:
            worker.send_signal(signal.SIGTERM)
            assert worker.wait(20) == 0


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
    assert load_keys(keys, "client")
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
