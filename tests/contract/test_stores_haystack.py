"""A Haystack document store keeps the contract of stores, with and without its retriever."""

import pytest
from libraries import library

from kvasir.core.errors import SettingsError
from kvasir.testing.store_cases import make_chunk, make_vectors, search_texts
from kvasir.testing.stores import StoreContract

ours = library("kvasir.integrations.haystack_store", needs="haystack", extra="haystack")

pytestmark = pytest.mark.xdist_group("haystack")

MEMORY = "haystack.document_stores.in_memory:InMemoryDocumentStore"
RETRIEVER = "haystack.components.retrievers.in_memory:InMemoryEmbeddingRetriever"


class TestHaystackStoreComparingEverything(StoreContract):
    @pytest.fixture
    def options(self):
        return {}

    @pytest.fixture
    def open_store(self, tmp_path, analyzer, options):
        def open_store(dimension=8, fingerprint="", collection="contract"):
            # Documents of one index stay in the process: so a store can be opened again.
            return ours.HaystackStore(
                collection,
                dimension,
                analyzer,
                fingerprint,
                document_store=MEMORY,
                init_parameters={"index": str(tmp_path)},
                **options,
            )

        return open_store

    def test_the_keyword_index_follows_another_writer(self, opened):
        reader, writer = opened(), opened()
        writer.upsert([make_chunk(0, "falcon")], make_vectors(1))
        assert len(search_texts(reader, ["falcon"], ["en"], 5)[0]) == 1
        writer.upsert([make_chunk(1, "falcon nest")], make_vectors(1))
        assert len(search_texts(reader, ["falcon"], ["en"], 5)[0]) == 2

    def test_the_same_chunk_may_be_in_two_collections(self, opened):
        one, two = opened(collection="one"), opened(collection="two")
        for store in (one, two):
            store.upsert([make_chunk(0)], make_vectors(1))
        one.delete([make_chunk(0).id])
        assert (one.count(), two.count()) == (0, 1)


class TestHaystackStoreWithARetriever(TestHaystackStoreComparingEverything):
    @pytest.fixture
    def options(self):
        # Its own scores (dot products, scaled) are on another scale, and are not used.
        return {"retriever": RETRIEVER, "retriever_parameters": {"scale_score": True}}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "rag.vectordb.options.document_store"),
        ({"document_store": "no_colon"}, "package.module:Class"),
        ({"document_store": "no.such:Thing"}, "cannot be imported"),
        ({"document_store": MEMORY, "init_parameters": {"indx": "a"}}, "cannot be made"),
        ({"document_store": MEMORY, "retriever": "x:Y"}, "retriever 'x:Y' cannot be imported"),
    ],
)
def test_unusable_settings_are_named(options, message):
    with pytest.raises(SettingsError, match=message):
        ours.HaystackStore("contract", 8, None, **options)
