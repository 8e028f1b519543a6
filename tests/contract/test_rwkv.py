"""Generator, embedder and reranker ``rwkv`` keep their contracts, on one small base."""

import pytest
from libraries import library
from small_rwkv import (
    memorized_model,
    one_thread,
    random_model,
    write_model,
    write_vocabulary,
)

from kvasir.core import registry
from kvasir.testing.embedders import EmbedderContract
from kvasir.testing.generators import GeneratorContract, make_prompt
from kvasir.testing.rerankers import RerankerContract

prompts = library("kvasir.rwkv.prompts", "torch", extra="torch")
pytestmark = pytest.mark.xdist_group("rwkv")

ANSWER = " The mead of poetry is made of honey and the blood of Kvasir [2]."


@pytest.fixture(scope="module", autouse=True)
def on_one_thread():
    with one_thread():
        yield


@pytest.fixture(scope="module")
def talker(tmp_path_factory):
    """A model that knows the answer to the question of the contract, and nothing else."""
    folder = tmp_path_factory.mktemp("talker")
    prompt = make_prompt()
    order = prompts.stable_order(prompt.hits)
    cited = ANSWER if order == [1, 0] else ANSWER.replace("[2]", "[1]")
    parts = prompts.segments(prompt, prompts.TEMPLATE, prompts.SYSTEM, order)
    path = memorized_model(folder, [(parts, cited)])
    generator = registry.build(
        "generators", "rwkv", {"model": str(path), "max_tokens": 40}, {"data_dir": folder / "data"}
    )
    yield generator
    generator.close()


@pytest.fixture(scope="module", params=[6, 7])
def base(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("base")
    write_vocabulary(folder)
    return write_model(random_model(request.param, vocabulary=257, layers=2), folder / "m.pth")


class TestRwkvGenerator(GeneratorContract):
    @pytest.fixture
    def generator(self, talker):
        return talker

    def test_the_marker_is_that_of_the_hit_in_whatever_order_the_prompt_has(self, talker, prompt):
        assert "".join(talker.generate(prompt)).strip() == ANSWER.strip().replace("[2]", "[1]")


@pytest.fixture(scope="module")
def rwkv_embedder(base):
    return registry.build("embedders", "rwkv", {"name": str(base), "max_tokens": 256})


@pytest.fixture(scope="module")
def rwkv_reranker(base, tmp_path_factory):
    options = {"name": str(base), "without_proof": True, "max_tokens": 256}
    provided = {"data_dir": tmp_path_factory.mktemp("data")}
    return registry.build("rerankers", "rwkv", options, provided)


class TestRwkvEmbedder(EmbedderContract):
    @pytest.fixture
    def embedder(self, rwkv_embedder):
        return rwkv_embedder


class TestRwkvReranker(RerankerContract):
    @pytest.fixture
    def reranker(self, rwkv_reranker):
        return rwkv_reranker
