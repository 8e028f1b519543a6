"""``kvasir evaluate compare`` takes the real path twice, and the sides do not touch each other."""

import json

import pytest
import yaml
from click.testing import CliRunner

from kvasir.frontends.cli.main import cli
from kvasir.testing.fakes import FakeEmbedder

PLANETS = ["Mercury", "Venus", "Mars", "Jupiter", "Saturn", "Uranus", "Neptune", "Pluto"]
QUESTIONS = 64


@pytest.fixture
def dataset(tmp_path):
    """Documents of one sentence each, and questions that name their rare word."""
    folder = tmp_path / "planets"
    (folder / "qrels").mkdir(parents=True)
    # No digits: a search finds identifiers by their letters, however it weighs meaning.
    pairs = [(planet, "abcdefgh"[number]) for planet in PLANETS for number in range(QUESTIONS // 8)]
    corpus = [
        {"_id": f"d{i}", "text": f"The probe {planet}{n} weighs {900 + i} kilograms in all."}
        for i, (planet, n) in enumerate(pairs)
    ]
    queries = [
        {"_id": f"q{i}", "text": f"How much weighs {planet}{n}?", "answers": [str(900 + i)]}
        for i, (planet, n) in enumerate(pairs)
    ]
    for name, rows in {"corpus": corpus, "queries": queries}.items():
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    lines = [f"q{i}\td{i}\t1\n" for i in range(QUESTIONS)]
    (folder / "qrels/test.tsv").write_text("query-id\tcorpus-id\tscore\n" + "".join(lines))
    return folder


@pytest.fixture
def compare(tmp_path, dataset, monkeypatch):
    """Runs the command on two settings trees."""
    monkeypatch.chdir(tmp_path)
    common = {"language": "en", "embedding_model": {"type": "kvasir.testing.fakes:FakeEmbedder"}}

    def compare(a, b, *arguments):
        for name, tree in {"A.yaml": a, "B.yaml": b}.items():
            rag = common | tree.get("rag", {})
            (tmp_path / name).write_text(yaml.safe_dump(tree | {"rag": rag}))
        command = ["evaluate", "compare", "A.yaml", "B.yaml", str(dataset), *arguments]
        result = CliRunner().invoke(cli, command)
        assert result.exit_code == 0, result.output
        return json.loads(result.output) if "--json" in arguments else result.output

    return compare


def retriever(**chosen):
    return {"chat": {"rag": {"retriever": chosen}}}


def alpha(value):
    return retriever(alpha=value)


def test_a_worse_setting_is_really_worse(compare):
    # Sixty-four numbers hold few distinct words: meaning alone cannot tell the probes apart.
    worse = alpha(1.0) | {
        "rag": {
            "embedding_model": {
                "type": "kvasir.testing.fakes:FakeEmbedder",
                "options": {"dimension": 8},
            }
        }
    }
    found = compare(alpha(0.0), worse, "--json")
    leading = found["metrics"]["ndcg@10"]
    assert found["leading"] == "ndcg@10"
    difference = leading["comparison"]
    assert found["real"] is difference["real"] is True
    assert leading["a"] > 0.99 > leading["b"]
    assert difference["low"] < difference["difference"] < difference["high"] < 0
    assert difference["p_value"] < 0.001
    assert found["conclusion"].startswith("The change is real: ndcg@10 is ")
    assert "lower with B" in found["conclusion"]


@pytest.mark.parametrize("what", ["retrieval", "answers"])
def test_a_threshold_that_nothing_passes_is_really_worse(compare, what):
    found = compare(
        retriever(alpha=0.0),
        retriever(alpha=0.0, min_score_threshold=1.0),
        "--what",
        what,
        "--json",
    )
    leading = found["metrics"][found["leading"]]
    assert leading["a"] > 0.9
    assert leading["b"] == 0.0
    assert found["real"]


def test_filters_are_refused_before_anything_is_measured(dataset, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    measured = []
    monkeypatch.setattr(FakeEmbedder, "embed_documents", lambda self, texts: measured.append(texts))
    fake = {"rag": {"embedding_model": {"type": "kvasir.testing.fakes:FakeEmbedder"}}}
    (tmp_path / "A.yaml").write_text(yaml.safe_dump(fake))
    (tmp_path / "B.yaml").write_text(yaml.safe_dump(fake | retriever(filters="year=2024")))
    command = ["evaluate", "compare", "A.yaml", "B.yaml", str(dataset)]
    result = CliRunner().invoke(cli, command, standalone_mode=False)
    assert "chat.rag.retriever.filters" in str(result.exception)
    assert not measured


def test_equal_settings_do_not_differ_and_leave_no_trace(compare, tmp_path):
    shown = compare(alpha(0.0), alpha(0.0))
    assert "No difference: ndcg@10 is the same with A and B" in shown
    assert "64 chunks" in shown
    assert not (tmp_path / "kvasir-data").exists()


def test_the_sides_share_no_collection_even_in_one_database(compare, tmp_path):
    reason = "the extra 'haystack' is not installed"
    module = pytest.importorskip("haystack.document_stores.in_memory", reason=reason)
    store = {
        "vectordb": {
            "type": "haystack",
            "options": {
                "document_store": "haystack.document_stores.in_memory:InMemoryDocumentStore",
                "init_parameters": {"index": str(tmp_path)},
            },
        }
    }
    smaller = {"splitter": {"split_by": "word", "split_length": 4}}
    found = compare(alpha(0.0) | {"rag": store}, alpha(0.0) | {"rag": store | smaller}, "--json")
    assert found["a"]["chunks"] == 64
    assert found["b"]["chunks"] == 128
    again = compare(alpha(0.0) | {"rag": store}, alpha(0.0) | {"rag": store}, "--json")
    assert again["b"]["chunks"] == 64
    left = module.InMemoryDocumentStore(index=str(tmp_path)).filter_documents()
    assert not [document for document in left if "kvasir_chunk" in document.meta]


def test_answers_are_compared_too(compare, tmp_path):
    (tmp_path / "off.txt").write_text("Who painted the ceiling?\nWhen does the bakery open?\n")
    found = compare(
        alpha(0.0) | {"answer": {"refuse": False}},
        alpha(0.0) | {"answer": {"refuse": False}, "generator": {
            "type": "kvasir.testing.fakes:FakeGenerator",
        }},
        "--what", "answers", "--off-topic", "off.txt", "--json",
    )  # fmt: skip
    assert found["leading"] == "answer_recall"
    assert found["metrics"]["answer_recall"]["questions"] == QUESTIONS
    assert found["metrics"]["answer_recall"]["a"] > 0.9
    assert found["metrics"]["refused_off_topic"]["questions"] == 2
    assert set(found["a"]["seconds"]) == {"ingest", "answer"}


def test_settings_that_are_wrong_are_named_before_anything_is_measured(dataset, tmp_path):
    good, bad = tmp_path / "good.yaml", tmp_path / "bad.yaml"
    good.write_text("{}")
    bad.write_text("rag: {spliter: {}}")
    result = CliRunner().invoke(
        cli, ["evaluate", "compare", str(good), str(bad), str(dataset)], standalone_mode=False
    )
    assert "rag.spliter" in str(result.exception)
    assert "bad.yaml" in str(result.exception)


def test_a_third_settings_file_is_refused_rather_than_ignored(tmp_path, dataset, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("A.yaml", "B.yaml"):
        (tmp_path / name).write_text("rag: {language: en}")
    command = ["evaluate", "compare", "A.yaml", "B.yaml", str(dataset)]
    refused = CliRunner().invoke(cli, ["--config", "C.yaml", *command])
    assert refused.exit_code == 2
    assert "leave --config away" in refused.output
    wrong = CliRunner().invoke(cli, ["--collection", "../up", *command])
    assert "setting 'collection' from --collection" in str(wrong.exception)
