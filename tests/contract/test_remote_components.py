"""Proxies of components behind a broker keep the contracts of the components.

Over tcp, ipc and inproc, with CURVE and without (which inproc does not encrypt). The long suite of
stores takes three of these six ways, and all with KVASIR_TEST_WAYS=all.
"""

from __future__ import annotations

import itertools
import time
from contextlib import ExitStack, closing
from dataclasses import replace

import numpy as np
import pytest
from cross_encoders import write_cross_encoder
from service_ways import ALL_WAYS, ways

from kvasir.components.analyzers.bm25 import Bm25Analyzer
from kvasir.components.generators.extractive import ExtractiveGenerator
from kvasir.components.stores.qdrant_edge import QdrantStore
from kvasir.core import registry
from kvasir.core.deadline import deadline
from kvasir.core.errors import (
    ComponentError,
    DeadlineExceededError,
    SettingsError,
    WrongEmbedderError,
)
from kvasir.core.pieces import CutReason, Incomplete
from kvasir.core.protocols import (
    Approximate,
    BackgroundEmbedder,
    BoundedContext,
    IdentifiesModel,
    LexicalSearch,
    Optimizable,
    Preparable,
    PromptCounter,
    QuotesOnly,
    TokenCounter,
)
from kvasir.core.run import Progress, Run
from kvasir.core.types import Message
from kvasir.remote.zeromq import components as remote_components
from kvasir.remote.zeromq.broker import Broker
from kvasir.remote.zeromq.curve_keys import load_keys, make_keys
from kvasir.remote.zeromq.embedding import RemoteEmbedder, embedder_service
from kvasir.remote.zeromq.generating import RemoteGenerator, generator_services
from kvasir.remote.zeromq.reranking import RemoteReranker, reranker_service
from kvasir.remote.zeromq.storing import RemoteVectorStore, store_service
from kvasir.remote.zeromq.worker import Worker
from kvasir.testing.embedders import EmbedderContract
from kvasir.testing.fakes import FakeEmbedder, MemoryStore
from kvasir.testing.generators import GeneratorContract, make_prompt
from kvasir.testing.rerankers import QUERY, TEXTS, RerankerContract
from kvasir.testing.stores import StoreContract

# Over tcp a store is not served without keys.
STORE_WAYS = [each for each in ways("tcp curve", "ipc", "inproc") if each != "tcp"]
_NUMBERS = itertools.count()


class Reach:
    """A broker, and how to reach it."""

    def __init__(self, way: str, folder: object) -> None:
        protocol, _, curve = way.partition(" ")
        self.keys = folder / "keys" if curve else None
        if self.keys:
            make_keys(self.keys, "client")
            make_keys(self.keys, "worker")
        ends = {
            "tcp": ["tcp://127.0.0.1:0"] * 2,
            "ipc": [f"ipc://{folder}/s/{name}" for name in ("front", "back")],
            "inproc": [f"inproc://{folder}/{name}" for name in ("front", "back")],
        }
        self.broker = Broker(*ends[protocol], keys=self.keys)
        self.front = self.broker.front_end[0]
        self.options = {"keys": str(self.keys)} if self.keys else {}

    def serve(self, *services):
        keys = load_keys(self.keys, "worker") if self.keys else None
        return Worker(self.broker.back_end[0], services, keys=keys)


@pytest.fixture(scope="module", params=ALL_WAYS)
def reach(request, tmp_path_factory):
    # A short path: that of a socket has 100 bytes at most.
    reach = Reach(request.param, tmp_path_factory.mktemp("r"))
    yield reach
    reach.broker.close()


@pytest.fixture(scope="module")
def components(reach, tmp_path_factory):
    """Serve an embedder, a reranker and a generator."""
    folder = tmp_path_factory.mktemp("reranker")
    write_cross_encoder(folder, [QUERY, *TEXTS], architecture="bert")
    reranker = registry.build("rerankers", "openvino", {"name": str(folder)})
    generator = ExtractiveGenerator(FakeEmbedder(), Bm25Analyzer())
    with reach.serve(
        embedder_service(FakeEmbedder(), slots=2),
        reranker_service(reranker, slots=2),
        *generator_services(generator, slots=2),
    ):
        yield reach


@pytest.fixture
def opened():
    with ExitStack() as stack:
        yield stack


def remote(opened, cls, reach, *arguments, **options):
    made = cls(reach.front, *arguments, **reach.options, **options)
    opened.callback(made.close)
    return made


class TestRemoteEmbedder(EmbedderContract):
    @pytest.fixture
    def embedder(self, components, opened):
        return remote(opened, RemoteEmbedder, components)

    def test_it_counts_tokens_and_computes_in_the_background(self, embedder):
        assert isinstance(embedder, TokenCounter)
        assert isinstance(embedder, BackgroundEmbedder)

    def test_thousands_of_texts_are_embedded_in_order(self, embedder):
        texts = [f"text {number} of many" for number in range(3000)]
        np.testing.assert_array_equal(
            embedder.embed_documents(texts), FakeEmbedder().embed_documents(texts)
        )


class TestRemoteReranker(RerankerContract):
    @pytest.fixture
    def reranker(self, components, opened):
        return remote(opened, RemoteReranker, components)


class TestRemoteGenerator(GeneratorContract):
    @pytest.fixture
    def generator(self, components, opened):
        return remote(opened, RemoteGenerator, components)

    def test_it_has_the_capabilities_of_its_service_alone(self, generator):
        assert isinstance(generator, QuotesOnly)
        assert generator.quotes_only
        for other in (BoundedContext, PromptCounter, Preparable, Approximate):
            assert not isinstance(generator, other)


class StoreReach(StoreContract):
    """A store behind a worker of its own, for each test."""

    def make(self, folder, analyzer):
        raise NotImplementedError

    @pytest.fixture
    def open_store(self, reach, tmp_path, analyzer, opened):
        service = f"store-{next(_NUMBERS)}"
        opened.enter_context(
            reach.serve(store_service(self.make(tmp_path, analyzer), service, slots=4))
        )

        def open_store(dimension=8, fingerprint="", collection="contract"):
            which = (collection, dimension, fingerprint, service)
            return RemoteVectorStore(reach.front, *which, **reach.options)

        return open_store


@pytest.mark.parametrize("reach", STORE_WAYS, indirect=True)
class TestRemoteMemoryStore(StoreReach):
    def make(self, folder, analyzer):
        return lambda collection, dimension, fingerprint: MemoryStore(
            str(folder), collection, dimension, analyzer, fingerprint
        )


@pytest.mark.parametrize("reach", ["ipc curve"], indirect=True)
class TestRemoteQdrantStore(StoreReach):
    expected_capabilities = frozenset({LexicalSearch, Optimizable})

    def make(self, folder, analyzer):
        return lambda collection, dimension, fingerprint: QdrantStore(
            str(folder), collection, dimension, analyzer, fingerprint
        )


class ModelGenerator:
    """Has every capability of a generator that runs a language model."""

    answer_tokens = 77
    approximation = "read apart"

    def __init__(self):
        self.stopped = 0

    def generate(self, prompt):
        try:
            for number in itertools.count():
                yield f"{prompt.question} {number} "
        finally:
            self.stopped += 1

    def context_tokens(self):
        return None

    def count_prompt_tokens(self, messages):
        return sum(len(each.content.split()) for each in messages)

    def prepare(self, run):
        for done in range(3):
            run.step("download", done, 3, "bytes")


@pytest.fixture(scope="module")
def one_reach(tmp_path_factory):
    reach = Reach("ipc", tmp_path_factory.mktemp("r"))
    yield reach
    reach.broker.close()


def test_capabilities_of_a_generator_come_through(one_reach, opened):
    model = ModelGenerator()
    opened.enter_context(one_reach.serve(*generator_services(model, "model")))
    generator = remote(opened, RemoteGenerator, one_reach, "model")
    assert isinstance(generator, BoundedContext)
    assert isinstance(generator, PromptCounter)
    assert isinstance(generator, Preparable)
    assert isinstance(generator, Approximate)
    assert generator.approximation == "read apart"
    assert not isinstance(generator, QuotesOnly)
    assert (generator.answer_tokens, generator.context_tokens()) == (77, None)
    assert generator.count_prompt_tokens([Message("user", "one two three")]) == 3
    seen = []
    generator.prepare(Run(progress=seen.append))
    assert seen == [Progress("download", done, 3, "bytes") for done in range(3)]


def test_a_reader_that_leaves_or_whose_time_is_over_stops_the_model(one_reach, opened):
    model = ModelGenerator()
    opened.enter_context(one_reach.serve(*generator_services(model, "endless")))
    generator = remote(opened, RemoteGenerator, one_reach, "endless")
    pieces = generator.generate(make_prompt("why"))
    assert next(pieces) == "why 0 "
    pieces.close()
    with deadline(0.3), pytest.raises(DeadlineExceededError):
        for _ in generator.generate(make_prompt("why")):
            pass
    # Its only slot is free again.
    assert next(generator.generate(make_prompt("how"))) == "how 0 "
    assert model.stopped >= 2


def test_the_model_is_identified_while_its_only_slot_writes_an_answer(one_reach, opened):
    model = ModelGenerator()
    model.model_fingerprint = lambda: "first"
    opened.enter_context(one_reach.serve(*generator_services(model, "named")))
    generator = remote(opened, RemoteGenerator, one_reach, "named")
    assert isinstance(generator, IdentifiesModel)
    with closing(generator.generate(make_prompt("why"))) as pieces:
        next(pieces)
        first = generator.model_fingerprint()
        model.model_fingerprint = lambda: "second"
        assert generator.model_fingerprint() != first
    quoting = ExtractiveGenerator(FakeEmbedder(), Bm25Analyzer())
    opened.enter_context(one_reach.serve(*generator_services(quoting, "quotes")))
    assert remote(opened, RemoteGenerator, one_reach, "quotes").model_fingerprint()


def test_a_service_that_does_not_identify_its_model_is_not_asked(one_reach, opened):
    made, _ = generator_services(ModelGenerator(), "unnamed")
    operations = {**made.operations, "describe": remote_components.describing("generator", [])}
    opened.enter_context(one_reach.serve(replace(made, operations=operations)))
    generator = remote(opened, RemoteGenerator, one_reach, "unnamed")
    assert not isinstance(generator, IdentifiesModel)


def test_the_reason_of_a_cut_comes_through(one_reach, opened):
    end = Incomplete(CutReason.REFUSAL, "I cannot help.")
    model = ModelGenerator()
    model.generate = lambda prompt: iter(["It is", end])
    opened.enter_context(one_reach.serve(*generator_services(model, "cut")))
    generator = remote(opened, RemoteGenerator, one_reach, "cut")
    first, last = generator.generate(make_prompt("why"))
    assert (first, last, last.reason) == ("It is", end, CutReason.REFUSAL)


def test_another_embedder_under_the_same_name_is_refused(one_reach, opened):
    worker = opened.enter_context(one_reach.serve(embedder_service(FakeEmbedder(), "changing")))
    embedder = remote(opened, RemoteEmbedder, one_reach, "changing")
    worker.close(5)
    opened.enter_context(one_reach.serve(embedder_service(FakeEmbedder(32), "changing")))
    with pytest.raises(WrongEmbedderError, match="another embedder than before"):
        embedder.embed_documents(["text"])


def test_a_service_that_nobody_serves_is_named_soon(one_reach, monkeypatch):
    monkeypatch.setattr(remote_components, "HANDSHAKE_SECONDS", 0.3)
    with pytest.raises(ComponentError, match="no worker serves it"):
        RemoteEmbedder(one_reach.front, "typo")


def test_building_a_graph_may_take_longer_than_other_calls(one_reach, opened, tmp_path):
    class Slow(MemoryStore):
        def optimize(self, *, wait=False, stop=None):
            time.sleep(1.0)

    def open_store(collection, dimension, fingerprint):
        return Slow(str(tmp_path), collection, dimension, Bm25Analyzer(), fingerprint)

    opened.enter_context(one_reach.serve(store_service(open_store, "slow")))
    # Opening it takes part of this time.
    store = RemoteVectorStore(one_reach.front, "c", 4, service="slow", timeout=10.0)
    opened.callback(store.close)
    store._timeout = 0.3
    store.optimize(wait=True)
    with pytest.raises(ComponentError, match="in time"):
        store.optimize(wait=False)


def test_a_service_of_another_role_is_refused(one_reach, opened):
    opened.enter_context(one_reach.serve(embedder_service(FakeEmbedder(), "vectors")))
    with pytest.raises(SettingsError, match="of the role 'embedder', not 'reranker'"):
        RemoteReranker(one_reach.front, "vectors")


def test_malformed_vectors_are_an_error(one_reach, opened):
    class Wrong(FakeEmbedder):
        def embed_queries(self, texts):
            return super().embed_queries(texts)[:, :3]

    opened.enter_context(one_reach.serve(embedder_service(Wrong(), "wrong")))
    embedder = remote(opened, RemoteEmbedder, one_reach, "wrong")
    with pytest.raises(ComponentError, match="malformed"):
        embedder.embed_queries(["text"])
