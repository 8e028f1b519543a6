"""The real collection and the one for tests keep one contract."""

from contextlib import ExitStack

import pytest

from kvasir.app import App
from kvasir.settings.schema import Settings
from kvasir.testing.collections import CollectionContract
from kvasir.testing.fake_collection import FakeCollections


class TestCollection(CollectionContract):
    """With a catalog in SQLite and the default store; only the embedder is a fake."""

    @pytest.fixture
    def open_collection(self, tmp_path):
        apps = {}
        with ExitStack() as opened:

            def open_collection(name="contract", filters=None):
                if filters not in apps:
                    limit = filters and {
                        "field": "meta." + filters.field,
                        "operator": "==",
                        "value": filters.value,
                    }
                    settings = Settings(
                        data_dir=tmp_path / "kvasir-data",
                        rag={
                            "embedding_model": {"type": "kvasir.testing.fakes:FakeEmbedder"},
                            "ingest": {"workers": 1, "allow_private_urls": True},
                            "web_search": {"type": "kvasir.testing.fakes:FakeWebSearch"},
                        },
                        chat={"rag": {"retriever": {"filters": limit}}},
                        answer={"refuse": False},
                    )
                    apps[filters] = opened.enter_context(App(settings))
                return apps[filters].collection(name)

            yield open_collection


class TestFakeCollection(CollectionContract):
    @pytest.fixture
    def open_collection(self):
        shared = FakeCollections()
        return lambda name="contract", filters=None: shared.lease(name, filters)
