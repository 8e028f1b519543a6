"""What the operator excludes from searching stays excluded, whatever a caller asks for."""

import pytest

import kvasir
from kvasir.core.errors import FilterError
from kvasir.core.filters import Comparison
from kvasir.frontends.cli.paths import files

TOPICS = {"tea": "Green tea is steeped for two minutes.", "mead": "Mead is steeped for a year."}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("filters")
    with open_collection(folder) as app:
        for topic, text in TOPICS.items():
            (folder / f"{topic}.md").write_text(text)
            app.ingest(*files(folder / f"{topic}.md"), metadata={"topic": topic})
    return folder


def open_collection(folder, **settings):
    embedder = {"rag__embedding_model__type": "kvasir.testing.fakes:FakeEmbedder"}
    return kvasir.open(data_dir=folder / "kvasir-data", **embedder, **settings)


def topics(hits):
    return sorted(str(hit.chunk.metadata["topic"]) for hit in hits)


def test_a_callers_filter_is_anded_with_the_operators(folder):
    question = "How long is it steeped?"
    with open_collection(folder, chat__rag__retriever__filters="topic=tea") as app:
        assert topics(app.search(question)) == ["tea"]
        assert topics(app.search(question, filters="topic=tea")) == ["tea"]
        for filters in ("topic=mead", Comparison("topic", "!=", "tea")):
            assert app.search(question, filters=filters) == []
            assert app.ask(question, filters=filters).hits == ()
            assert app.stream(question, filters=filters).answer.hits == ()
    with open_collection(folder) as app:
        assert topics(app.search(question)) == ["mead", "tea"]
        assert topics(app.search(question, filters="topic=mead")) == ["mead"]


def test_a_malformed_filter_is_refused_at_the_front_door(folder):
    with open_collection(folder) as app:
        for call in (app.search, app.ask, app.stream):
            with pytest.raises(FilterError, match="not of the form field=value"):
                call("How long?", filters="topic")
