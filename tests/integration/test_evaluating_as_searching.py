"""An evaluation finds, and has reranked, what a search with the same settings does."""

import json
import random
from typing import ClassVar

import pytest
from click.testing import CliRunner

import kvasir
from kvasir.core.errors import SettingsError
from kvasir.frontends.cli.main import cli
from kvasir.frontends.cli.paths import files

QUESTION = "How many kilograms weighs the probe Mars7?"
WORDS = ["probe", "weighs", "kilograms", "heavy", "rocket", "launch", "orbit", "dust", "Mars7"]
CHANCE = random.Random(7)
PROBES = [
    f"Report {n}: {' '.join(CHANCE.choices(WORDS, k=CHANCE.randint(15, 60)))}." for n in range(60)
]
"""Texts for which meaning and keywords disagree, so that every setting changes the order."""


class Listening:
    """A reranker that keeps what it reads, and leaves the order as it is."""

    read: ClassVar[list[list[str]]] = []

    def rerank(self, query, hits, top_k):
        self.read.append([hit.chunk.text.strip() for hit in hits])
        return list(hits)[:top_k]


@pytest.fixture
def settings(tmp_path, monkeypatch):
    """Settings by dotted key, with a reranker that listens."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Listening, "read", [])
    return {
        "data_dir": str(tmp_path / "data"),
        "rag.language": "es",  # Not what would be detected: it must be passed on.
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


@pytest.fixture
def probes(settings, tmp_path):
    """A collection of the probes; opened with the settings and more."""
    folder = tmp_path / "probes"
    folder.mkdir()
    for number, text in enumerate(PROBES):
        (folder / f"{number}.txt").write_text(text)
    chosen = {key.replace(".", "__"): value for key, value in settings.items()}

    def probes(**more):
        kb = kvasir.open(None, **chosen, **more)
        kb.ingest(*files(folder))
        return kb

    return probes


@pytest.fixture
def dataset(tmp_path):
    """The probes as a data set, both of passages and for splitters."""
    folder = tmp_path / "dataset"
    (folder / "qrels").mkdir(parents=True)
    corpus = [{"_id": f"d{n}", "text": text} for n, text in enumerate(PROBES)]
    query = {"_id": "q", "text": QUESTION, "answers": ["heavy"]}
    (folder / "corpus.jsonl").write_text("".join(json.dumps(row) + "\n" for row in corpus))
    (folder / "queries.jsonl").write_text(json.dumps(query) + "\n")
    (folder / "qrels/test.tsv").write_text("query-id\tcorpus-id\tscore\nq\td7\t1\n")
    (folder / "all.md").write_text("\n".join(PROBES) + "\n")
    span = {"start_index": 0, "end_index": len(PROBES[0])}
    row = {"corpus_id": "all", "question": QUESTION, "references": [span]}
    (folder / "questions.jsonl").write_text(json.dumps(row) + "\n")
    return str(folder)


def test_the_reranker_of_a_search_reads_as_many_hits_as_the_settings_say(probes):
    with probes(chat__rag__retriever__rerank_candidates=7) as kb:
        assert len(kb.search(QUESTION, top_k=20)) == 20
    assert [len(texts) for texts in Listening.read] == [7]


@pytest.mark.parametrize("what", ["retrieval", "answers", "chunking"])
@pytest.mark.parametrize(
    "chosen",
    [
        {},
        {"rerank_candidates": 7},
        {"rerank_candidates": 7, "alpha": 1.0},
        {"rerank_candidates": 7, "top_k": 8, "candidates": 9},
        {"min_score_threshold": 0.6},
        {"top_k": 55, "candidates": 9},
    ],
    ids=lambda chosen: " ".join(chosen) or "defaults",
)
def test_an_evaluation_considers_what_a_search_considers(probes, dataset, run, what, chosen):
    more = {f"chat__rag__retriever__{key}": value for key, value in chosen.items()}
    more |= {"rag__splitter__split_by": "line", "rag__splitter__split_length": 1}
    with probes(**more) as kb:
        kb.search(QUESTION)
    (searched,) = Listening.read
    assert 0 < len(searched) < len(PROBES)
    # How many chunks a question gets is an option of the command where splitters are measured.
    own = ["--top-k", str(chosen.get("top_k", 10))] if what == "chunking" else []
    run("evaluate", what, dataset, *own, **more)
    assert Listening.read[1] == searched


def test_figures_of_ten_documents_are_of_ten_where_a_search_shows_fewer(dataset, run):
    shown = {"chat__rag__retriever__top_k": 1, "chat__rag__retriever__candidates": 2}
    run("evaluate", "retrieval", dataset, **shown)
    assert len(Listening.read[0]) >= 10


@pytest.mark.parametrize("what", ["retrieval", "answers", "chunking"])
def test_filters_are_refused_with_what_to_do(dataset, run, what):
    filters = {"chat__rag__retriever__filters": "year=2024"}
    with pytest.raises(SettingsError, match=r"lack your metadata.*filters=null"):
        run("evaluate", what, dataset, **filters)
    assert not Listening.read
    assert run("evaluate", what, dataset, **filters | {"chat__rag__retriever__filters": "null"})
