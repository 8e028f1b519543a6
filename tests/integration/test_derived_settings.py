"""Settings of one request or job, over the store of another application."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from kvasir.app import App
from kvasir.core.errors import RequestError, SettingsError, SplitConflictError
from kvasir.core.types import Source
from kvasir.derived_app import with_settings
from kvasir.settings.schema import Settings


@pytest.fixture
def app(tmp_path: Path) -> Iterator[App]:
    embedder = {"type": "kvasir.testing.fakes:FakeEmbedder"}
    rag = {"embedding_model": embedder, "ingest": {"workers": 1}}
    with App(Settings(data_dir=tmp_path / "data", rag=rag)) as opened:
        yield opened


def test_they_hold_for_the_request_alone_and_share_the_store(app: App) -> None:
    with app.collection() as lease:
        lease.ingest((Source("upload:tea", "text/plain"), b"Green tea.\nBlack tea.\n"))
        chosen = {"rag.splitter.split_by": "line", "rag.splitter.split_length": 1}
        with (
            with_settings(app, chosen | {"chat.rag.retriever.top_k": 1}) as derived,
            derived.collection() as other,
        ):
            assert derived.embedder is app.embedder
            assert other.index.store is lease.index.store
            assert len(other.search("tea")) == 1
            tea = Source("upload:tea", "text/plain"), b"Green tea.\nBlack tea.\n"
            with pytest.raises(SplitConflictError):
                other.ingest(tea)
            report = other.ingest(tea, re_split=True)
            assert report.replaced == ["upload:tea"]
        assert lease.record().splitting.splitter == "window"
        assert lease.chunk_count() == 2
        assert len(lease.search("tea")) == 2
        assert app.settings.rag.splitter.chosen == "structure"


@pytest.mark.parametrize(
    ("overrides", "error"),
    [
        ({"data_dir": "/elsewhere"}, RequestError),
        ({"rag.vectordb.uri": "/elsewhere"}, RequestError),
        ({"server.signing_key": "x"}, RequestError),
        ({"generator.type": "os:system"}, RequestError),
        ({"chat.rag.retriever.reranker": {"type": "os:system"}}, RequestError),
        ({"chat.rag.retriever.top_k": 0}, SettingsError),
        ({"rag.splitter.nonsense": 1}, SettingsError),
    ],
)
def test_a_request_chooses_neither_places_nor_classes(
    app: App, overrides: dict[str, object], error: type[Exception]
) -> None:
    with pytest.raises(error), with_settings(app, overrides):
        pass
