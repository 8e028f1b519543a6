"""Which embedding model a name means, and which embedder a collection has."""

from datetime import UTC, datetime

import pytest

from kvasir.core.errors import ModelNotFoundError
from kvasir.core.ledger import CollectionRecord, EmbeddingModel
from kvasir.core.run import Run
from kvasir.embedding_models import EmbeddingModels
from kvasir.models.local import ModelFolder
from kvasir.models.named import NAMED_MODELS
from kvasir.settings.schema import Settings
from kvasir.testing.fakes import NamedEmbedder

FAKE = "kvasir.testing.fakes:NamedEmbedder"


def models(tmp_path, default="own", **chosen):
    settings = Settings(data_dir=tmp_path, rag={"embedding_model": chosen})
    return EmbeddingModels(settings, Run(), lambda: NamedEmbedder(default))


def record(fingerprint, model):
    return CollectionRecord("c", "m", 64, fingerprint, (), None, datetime.now(UTC), model=model)


@pytest.mark.parametrize(
    ("kind", "chosen", "expected"),
    [
        (None, {}, "openvino"),
        (None, {"type": "sentence-transformers"}, "sentence-transformers"),
        (None, {"type": FAKE}, "openvino"),
        ("sentence-transformers", {}, "sentence-transformers"),
    ],
)
def test_a_short_name_is_a_tested_model_with_an_embedder_that_runs_it(
    tmp_path, kind, chosen, expected
):
    found = models(tmp_path, **chosen).choose("Multilingual", kind)
    assert found == EmbeddingModel(expected, "intfloat/multilingual-e5-small")


def test_every_short_name_is_a_model_whose_prompts_are_known(tmp_path):
    prompts = {
        short: ModelFolder(named.name, tmp_path, "path").prompts
        for short, named in NAMED_MODELS.items()
    }
    assert prompts == {"multilingual": ("query: ", "passage: "), "english": ("", "")}


def test_the_settings_options_are_only_for_the_model_that_they_name(tmp_path):
    options = {"max_tokens": 100}
    chosen = models(tmp_path, type="openvino", name="a/b", options=options)
    assert chosen.choose("a/b", None) == EmbeddingModel("openvino", "a/b", options)
    assert chosen.choose("a/c", None) == EmbeddingModel("openvino", "a/c")
    assert chosen.choose("a/b", "other") == EmbeddingModel("other", "a/b")


def test_the_folder_of_a_model_is_an_absolute_path(tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model/config.json").write_text("{}")
    data = tmp_path / "kvasir-data"
    assert models(data).choose("model", None).name == str(tmp_path / "model")


def test_an_embedder_is_made_once_for_all_that_share_it(tmp_path):
    first = models(tmp_path, type=FAKE, name="own")
    chosen = first.choose("other", None)
    assert first.load(chosen) is first.load(chosen)
    settings = Settings(data_dir=tmp_path)
    derived = EmbeddingModels(settings, Run(), lambda: NamedEmbedder("x"), shared=first)
    assert derived.load(chosen) is first.load(chosen)


def test_a_collection_has_the_chosen_model_and_else_that_of_the_settings(tmp_path):
    found = models(tmp_path, type=FAKE, name="own")
    assert found.of(None).name == found.of(record("f", None)).name == "own"
    assert found.of(record("f", EmbeddingModel(FAKE, "other"))).name == "other"


def test_a_missing_model_that_was_chosen_for_a_collection_is_told_from_other_ones(
    tmp_path, monkeypatch
):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    found = models(tmp_path)
    missing = EmbeddingModel("openvino", "nobody/nothing")
    with pytest.raises(ModelNotFoundError) as caught:
        found.of(record("f", missing))
    assert caught.value.of_collection
    with pytest.raises(ModelNotFoundError) as caught:
        found.load(missing)
    assert not caught.value.of_collection


def test_the_settings_engine_runs_a_chosen_model_if_its_vectors_are_the_same(tmp_path):
    found = models(tmp_path, type=FAKE, name="own")
    elsewhere = EmbeddingModel("engine-of-another-machine", "own")
    assert found.of(record("fake-own", elsewhere)).name == "own"
    options = EmbeddingModel(FAKE, "own", {"dimension": 7})
    with pytest.raises(Exception, match="dimension"):
        found.of(record("another", options))
