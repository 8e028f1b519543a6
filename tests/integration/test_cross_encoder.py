"""The reranker on small cross-encoders that are written, then loaded like any other."""

import json

import numpy as np
import pytest
from click.testing import CliRunner
from cross_encoders import write_cross_encoder
from libraries import library

import kvasir.core.registry as registry
from kvasir.core.errors import ModelNotFoundError, SettingsError
from kvasir.core.types import Chunk, Hit
from kvasir.frontends.cli.main import cli
from kvasir.testing.rerankers import RerankerContract

torch = library("torch", extra="torch")
sentence_transformers = library("sentence_transformers", extra="torch")

pytestmark = pytest.mark.xdist_group("torch")

QUERY = "where is the mead"
TEXTS = ["The mead is in the hall.", "Nobody knows.", "Odin drank the mead.", "", "渡り鳥"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_cross_encoder(tmp_path_factory.mktemp("cross-encoder"), [QUERY, *TEXTS])


@pytest.fixture(scope="module")
def reranker(folder):
    return registry.build("rerankers", "cross-encoder", {"name": str(folder), "device": "cpu"})


def hits(texts=TEXTS):
    return [
        Hit(Chunk(str(i), "d", text, 0, len(text), headings=("Mead",)), 0.5, 0.6, 1.5)
        for i, text in enumerate(texts)
    ]


def test_hits_are_ordered_by_the_sigmoid_of_the_models_score(folder, reranker):
    model = sentence_transformers.CrossEncoder(str(folder), device="cpu")
    pairs = [(QUERY, hit.chunk.passage) for hit in hits()]
    logits = model.predict(pairs, activation_fn=torch.nn.Identity())
    expected = sorted(1 / (1 + np.exp(-logits)), reverse=True)
    found = reranker.rerank(QUERY, hits(), 10)
    assert [hit.score for hit in found] == pytest.approx(expected, abs=1e-5)
    assert {hit.chunk.id for hit in found} == {str(i) for i in range(len(TEXTS))}
    assert len({round(hit.score, 6) for hit in found}) > 1


class TestCrossEncoder(RerankerContract):
    @pytest.fixture
    def reranker(self, reranker):
        return reranker


@pytest.fixture
def search(monkeypatch, tmp_path):
    """Runs ``kvasir search`` over the texts, one a file."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mead").mkdir()
    for number, text in enumerate(filter(None, TEXTS)):
        (tmp_path / "mead" / f"{number}.txt").write_text(text, "utf-8")

    def run(*arguments):
        result = CliRunner().invoke(cli, [*arguments, "--json"], catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)

    run("ingest", "mead")
    return lambda *arguments: run("search", QUERY, *arguments)


def test_the_settings_choose_the_reranker_of_a_search(search, folder):
    chosen = {"type": "cross-encoder", "name": str(folder), "options": "{device: cpu}"}
    settings = [f"chat.rag.retriever.reranker.{key}={value}" for key, value in chosen.items()]
    plain = search()
    reranked = search(*(part for each in settings for part in ("--set", each)))
    model = sentence_transformers.CrossEncoder(str(folder), device="cpu")
    scores = model.predict([(QUERY, hit["chunk"]["text"]) for hit in plain])
    expected = {hit["chunk"]["id"]: float(score) for hit, score in zip(plain, scores, strict=True)}
    assert len(plain) == 4
    assert {hit["chunk"]["id"]: hit["score"] for hit in reranked} == pytest.approx(
        expected, abs=1e-5
    )
    order = [hit["chunk"]["id"] for hit in reranked]
    assert order == sorted(expected, key=expected.get, reverse=True)


def test_a_model_of_several_scores_is_refused(tmp_path):
    folder = write_cross_encoder(tmp_path, [QUERY, *TEXTS], labels=3)
    with pytest.raises(SettingsError, match=r"3 scores a pair.*bge-reranker"):
        registry.build("rerankers", "cross-encoder", {"name": str(folder), "device": "cpu"})


def test_a_device_that_is_not_there_is_refused(folder):
    if torch.cuda.is_available():
        pytest.skip("this machine has a CUDA device")
    with pytest.raises(SettingsError, match="set device to cpu"):
        registry.build("rerankers", "cross-encoder", {"name": str(folder), "device": "cuda"})


def test_a_model_that_is_nowhere_is_one_error(monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(ModelNotFoundError, match="BAAI/bge-reranker-v2-m3"):
        registry.build("rerankers", "cross-encoder", {"data_dir": tmp_path})
