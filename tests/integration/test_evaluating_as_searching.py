"""An evaluation finds, and has reranked, what a search with the same settings does."""

import json
from typing import ClassVar

import pytest
from click.testing import CliRunner

import kvasir
from kvasir.frontends.cli.main import cli

PROBES = [f"The probe Mars{n} weighs {900 + n} kilograms in all." for n in range(60)]
QUESTION = "How many kilograms weighs the probe Mars7?"


class Listening:
    """A reranker that keeps what it reads, and leaves the order as it is."""

    read: ClassVar[list[list[str]]] = []

    def rerank(self, query, hits, top_k):
        self.read.append(sorted(hit.chunk.text for hit in hits))
        return list(hits)[:top_k]


@pytest.fixture
def settings(tmp_path, monkeypatch):
    """Settings by dotted key, with a reranker that listens."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Listening, "read", [])
    return {
        "data_dir": str(tmp_path / "data"),
        "rag.language": "en",
        "rag.embedding_model.type": "kvasir.testing.fakes:FakeEmbedder",
        "chat.rag.retriever.reranker.type": f"{__name__}:Listening",
    }


@pytest.fixture
def run(settings):
    """Runs a command with the settings and more; returns what it prints as JSON."""

    def run(*command, **more):
        chosen = settings | {key.replace("__", "."): value for key, value in more.items()}
        given = [part for key, value in chosen.items() for part in ("--set", f"{key}={value}")]
        result = CliRunner().invoke(cli, [*command, *given, "--json"], standalone_mode=False)
        if result.exception:
            raise result.exception
        return json.loads(result.stdout)

    return run


def test_the_reranker_of_a_search_reads_as_many_hits_as_the_settings_say(settings, tmp_path):
    for number, text in enumerate(PROBES):
        (tmp_path / f"{number}.txt").write_text(text)
    chosen = {key.replace(".", "__"): value for key, value in settings.items()}
    with kvasir.open(None, **chosen, chat__rag__retriever__rerank_candidates=7) as kb:
        kb.ingest(*tmp_path.glob("*.txt"))
        assert len(kb.search(QUESTION, top_k=20)) == 20
    assert [len(texts) for texts in Listening.read] == [7]
