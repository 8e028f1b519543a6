"""Kvasir's components in real Haystack pipelines, and Haystack's parts in Kvasir's settings."""

import os
import subprocess
import sys
from datetime import date

import numpy as np
import pytest
import yaml
from libraries import library

import kvasir
from kvasir.answering.prompts import prompt_room
from kvasir.core.errors import ComponentError, RequestError, SettingsError
from kvasir.frontends.cli.paths import files
from kvasir.testing.generators import GeneratorContract, make_prompt

os.environ["HAYSTACK_TELEMETRY_ENABLED"] = "False"
haystack = library("haystack", extra="haystack")
builders = library("haystack.components.builders")
chat = library("haystack.components.generators.chat")
dataclasses = library("haystack.dataclasses")
protocols = library("haystack.components.embedders.types")
components = library("kvasir.integrations.haystack")
generators = library("kvasir.integrations.haystack_generator")

pytestmark = pytest.mark.xdist_group("haystack")

MOCK = "haystack.components.generators.chat.mock:MockChatGenerator"
OPENAI = "haystack.components.generators.chat:OpenAIChatGenerator"
MEMORY = "haystack.document_stores.in_memory:InMemoryDocumentStore"
QUESTION = "How far is the Moon from the Earth?"


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "kvasir.yaml"
    settings = {
        "data_dir": str(tmp_path / "data"),
        "rag": {"embedding_model": {"type": "kvasir.testing.fakes:FakeEmbedder"}},
    }
    path.write_text(yaml.safe_dump(settings))
    return str(path)


@pytest.fixture
def notes(tmp_path):
    folder = tmp_path / "notes"
    folder.mkdir()
    (folder / "moon.md").write_text(
        "# The Moon\n\nThe Moon orbits the Earth at a distance of 384,400 kilometres.\n"
    )
    (folder / "tea.txt").write_text("Green tea is steeped for two minutes at 80 degrees.\n")
    return folder


@pytest.fixture(autouse=True)
def everything_is_closed():
    yield
    left = list(components._APPS)
    components._APPS.clear()
    assert not left, "a component was not closed"


def answering_pipeline(config):
    template = [
        dataclasses.ChatMessage.from_user(
            "{% for document in documents %}[{{ loop.index }}] {{ document.content }}\n"
            "{% endfor %}{{ question }}"
        )
    ]
    pipeline = haystack.Pipeline()
    pipeline.add_component(
        "retriever", components.KvasirRetriever(config, {"rag.language": "en"}, top_k=1)
    )
    pipeline.add_component("prompt", builders.ChatPromptBuilder(template, required_variables="*"))
    pipeline.add_component(
        "llm", chat.MockChatGenerator()
    )  # Without responses it repeats its prompt.
    pipeline.connect("retriever.documents", "prompt.documents")
    pipeline.connect("prompt.prompt", "llm.messages")
    return pipeline


def ask(pipeline):
    inputs = {"retriever": {"query": QUESTION}, "prompt": {"question": QUESTION}}
    result = pipeline.run(inputs, include_outputs_from={"retriever"})
    return result["retriever"]["documents"], result["llm"]["replies"][0].text


def ingest(config, notes):
    pipeline = haystack.Pipeline()
    pipeline.add_component("writer", components.KvasirWriter(config))
    written = pipeline.run({"writer": {"sources": [notes]}})["writer"]
    pipeline.close()
    return written


def test_a_pipeline_written_to_a_file_and_loaded_gives_the_same_result(config, notes):
    assert ingest(config, notes) == {"documents_written": 2, "failed": []}
    assert ingest(config, notes)["documents_written"] == 0
    pipeline = answering_pipeline(config)
    documents, reply = ask(pipeline)
    assert "384,400 kilometres" in documents[0].content
    assert documents[0].meta["title"] == "The Moon"
    assert documents[0].meta["source_uri"] == str(notes / "moon.md")
    assert 0 < documents[0].score <= 1
    assert reply.startswith("[1] ")
    assert reply.endswith(QUESTION)
    assert "384,400 kilometres" in reply

    text = pipeline.dumps()
    loaded = haystack.Pipeline.loads(text)
    assert loaded.to_dict()["components"] == pipeline.to_dict()["components"]
    # Both at once: they share the embedded index, which takes one user only.
    assert ask(loaded) == (documents, reply)
    pipeline.close()
    assert ask(loaded) == (documents, reply)
    loaded.close()


def test_the_retriever_takes_filters_in_haystacks_syntax(config, notes):
    ingest(config, notes)
    retriever = components.KvasirRetriever(config)
    tea = {"field": "meta.source_uri", "operator": "==", "value": str(notes / "tea.txt")}
    everything = retriever.run(QUESTION)["documents"]
    only_tea = retriever.run(QUESTION, filters=tea)["documents"]
    retriever.close()
    assert len(everything) == 2
    assert [document.meta["title"] for document in only_tea] == ["tea.txt"]


def test_the_writer_takes_bytes_and_documents_and_reports_failures(config):
    writer = components.KvasirWriter(config)
    written = writer.run(
        sources=[
            dataclasses.ByteStream(b"# Owls\n\nOwls hunt at night.", meta={"file_name": "owls.md"}),
            dataclasses.ByteStream(b"%PDF-1.7 broken", meta={"file_name": "broken.pdf"}),
        ],
        documents=[
            haystack.Document(content="Falcons hunt by day.", meta={"file_path": "falcons.txt"})
        ],
    )
    retriever = components.KvasirRetriever(config, top_k=1)
    found = retriever.run("Which birds hunt at night?")["documents"]
    writer.close()
    retriever.close()
    assert written["documents_written"] == 2
    assert [each["source_uri"] for each in written["failed"]] == ["broken.pdf"]
    assert found[0].content == "Owls hunt at night."


def test_metadata_of_bytes_and_documents_serve_as_filters(config, caplog):
    writer = components.KvasirWriter(config)
    birds = [
        haystack.Document(content=f"{name} hunt at night.", meta={"file_path": name, **meta})
        for name, meta in {
            "owls": {"shelf": "A", "year": 1999, "size": {"cm": 30}, "title": "Of owls"},
            "bats": {"shelf": "B", "year": 2001, "tags": ["x", "y"], "seen": date(2022, 3, 4)},
            "cats": {"shelf": "B", "year": 2001},
            "foxes": {},
        }.items()
    ]
    stream = dataclasses.ByteStream(
        b"Moths fly at night.", meta={"file_name": "moths.txt", "shelf": "A"}
    )
    written = writer.run(sources=[stream], documents=birds)
    retriever = components.KvasirRetriever(config)

    def found(field, value, operator="=="):
        filters = {"field": f"meta.{field}", "operator": operator, "value": value}
        documents = retriever.run("at night", filters=filters)["documents"]
        return sorted(document.meta["source_uri"] for document in documents)

    by_shelf, by_year = found("shelf", "A"), found("year", 2001)
    by_tag, by_date = found("tags", "x"), found("seen", "2022-01-01", ">=")
    everything = retriever.run("at night")["documents"]
    writer.close()
    retriever.close()
    assert written == {"documents_written": 5, "failed": []}
    assert (by_tag, by_date) == (["bats"], ["bats"])
    assert [each.meta["tags"] for each in everything if "tags" in each.meta] == [["x", "y"]]
    assert by_shelf == ["moths.txt", "owls"]
    assert by_year == ["bats", "cats"]
    assert len(everything) == 5
    warnings = [record.getMessage() for record in caplog.records]
    assert [w.split(" is ")[0] for w in warnings if "metadata" in w] == [
        "owls: metadata 'size'",
        "owls: metadata 'title'",
    ]


@pytest.mark.parametrize(
    ("settings", "variable"),
    [
        ({"rag.vectordb.password": "s3cret"}, "KVASIR__RAG__VECTORDB__PASSWORD"),
        ({"generator": {"options": {"api_key": "s3cret"}}}, "KVASIR__GENERATOR__OPTIONS__API_KEY"),
        ({"catalog.url": "postgresql://me:s3cret@db/kvasir"}, "KVASIR__CATALOG__URL"),
    ],
)
def test_secrets_never_get_into_a_pipeline_file(settings, variable):
    pipeline = haystack.Pipeline()
    pipeline.add_component("retriever", components.KvasirRetriever(settings=settings))
    with pytest.raises(RequestError, match=variable) as error:
        pipeline.dumps()
    assert "s3cret" not in str(error.value)


def test_the_name_of_a_variable_gets_into_a_pipeline_file():
    secret = {"type": "env_var", "env_vars": ["PG_CONN_STR"], "strict": True}
    options = {"init_parameters": {"token": secret}}
    pipeline = haystack.Pipeline()
    pipeline.add_component(
        "writer", components.KvasirWriter(settings={"rag.vectordb.options": options})
    )
    assert "PG_CONN_STR" in pipeline.dumps()


def test_the_answerer_gives_checked_citations(config, notes):
    ingest(config, notes)
    answerer = components.KvasirAnswerer(config, {"answer.refuse": False})
    (answer,) = answerer.run(QUESTION)["answers"]
    answerer.close()
    assert "384,400 kilometres" in answer.data
    assert answer.meta["citations"][0]["source_uri"] == str(notes / "moon.md")
    assert not answer.meta["refused"]
    assert answer.documents


def test_the_embedders_make_the_vectors_of_the_settings(config):
    text, documents = (
        components.KvasirTextEmbedder(config),
        components.KvasirDocumentEmbedder(config),
    )
    query = text.run("an owl")["embedding"]
    (embedded,) = documents.run([haystack.Document(content="an owl", meta={"title": "Birds"})])[
        "documents"
    ]
    with_title = components.KvasirDocumentEmbedder(config, meta_fields_to_embed=["title"])
    (titled,) = with_title.run([haystack.Document(content="an owl", meta={"title": "Birds"})])[
        "documents"
    ]
    assert documents.run([])["documents"] == []
    for component in (text, documents, with_title):
        component.close()
    embedder = kvasir.open(config).index.components.embedder
    np.testing.assert_allclose(query, embedder.embed_queries(["an owl"])[0], atol=1e-6)
    np.testing.assert_allclose(
        embedded.embedding, embedder.embed_documents(["an owl"])[0], atol=1e-6
    )
    np.testing.assert_allclose(
        titled.embedding, embedder.embed_documents(["Birds\nan owl"])[0], atol=1e-6
    )
    assert embedded.content == "an owl"


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("KvasirTextEmbedder", ("a.yaml", {"rag.language": "es"})),
        ("KvasirDocumentEmbedder", ("a.yaml", {}, ["title"], " | ")),
        (
            "KvasirRetriever",
            ("a.yaml", {}, 3, {"field": "a", "operator": "==", "value": 1}, 0.5),
        ),
        ("KvasirAnswerer", ("a.yaml", {}, 3)),
        ("KvasirWriter", (None, {"collection": "x"})),
    ],
)
def test_every_component_survives_its_dictionary(name, arguments):
    component = getattr(components, name)(*arguments)
    data = component.to_dict()
    assert type(component).from_dict(data).to_dict() == data


def test_the_embedders_follow_haystacks_protocols():
    text: protocols.TextEmbedder = components.KvasirTextEmbedder()
    documents: protocols.DocumentEmbedder = components.KvasirDocumentEmbedder()
    assert text.run
    assert documents.run


def test_a_haystack_store_and_generator_are_named_in_settings(config, notes, tmp_path):
    with kvasir.open(
        config,
        rag__vectordb__type="haystack",
        rag__vectordb__options={
            "document_store": MEMORY,
            "init_parameters": {"index": str(tmp_path)},
        },
        generator__type="haystack",
        generator__options={
            "component": MOCK,
            "init_parameters": {"responses": "It is 384,400 kilometres away [1]."},
        },
        answer__refuse=False,
    ) as app:
        app.ingest(*files(notes))
        hits = app.search(QUESTION)
        answer = app.ask(QUESTION)
        assert app.repair() == app.repair()
    assert hits[0].lexical_score
    assert hits[0].chunk.metadata["title"] == "The Moon"
    assert answer.text.startswith("It is 384,400 kilometres away")
    assert "384,400" in answer.citations[0].quote


class TestHaystackGenerator(GeneratorContract):
    @pytest.fixture
    def generator(self):
        answer = "The mead of poetry is made of honey and the blood of Kvasir [1]."
        return generators.HaystackGenerator(MOCK, {"responses": answer})

    def test_answers_stream(self):
        generator = generators.HaystackGenerator(MOCK, {"responses": "Honey and blood [1]."})
        pieces = list(generator.generate(make_prompt()))
        assert "".join(pieces) == "Honey and blood [1]."
        assert len(pieces) > 1

    def test_the_prompt_arrives_whole(self):
        prompt = make_prompt()
        text = "".join(generators.HaystackGenerator(MOCK).generate(prompt))
        assert text == prompt.messages[-1].content

    def test_after_one_that_was_broken_off_the_next_answer_is_whole(self):
        generator = generators.HaystackGenerator(MOCK, {"responses": "word " * 50})
        pieces = generator.generate(make_prompt())
        next(pieces)
        pieces.close()
        assert "".join(generator.generate(make_prompt())) == "word " * 50

    def test_a_failure_names_the_component_and_the_cause(self):
        # No such server: port 9 (discard) is closed on the loopback.
        parameters = {
            "api_key": {"type": "env_var", "env_vars": ["NO_KEY", "PATH"], "strict": True},
            "api_base_url": "http://127.0.0.1:9/v1",
            "max_retries": 0,
        }
        generator = generators.HaystackGenerator(OPENAI, parameters)
        with pytest.raises(ComponentError, match="haystack: answering failed"):
            list(generator.generate(make_prompt()))

    def test_unusable_settings_are_named(self):
        with pytest.raises(SettingsError, match=r"generator\.options\.component"):
            generators.HaystackGenerator()
        with pytest.raises(SettingsError, match="cannot be made"):
            generators.HaystackGenerator(MOCK, {"no_such": 1})
        with pytest.raises(SettingsError, match="max_tokens must be at least 1"):
            generators.HaystackGenerator(MOCK, max_tokens=0)

    def test_a_prompt_leaves_room_for_as_long_an_answer_as_is_said(self):
        generator = generators.HaystackGenerator(MOCK, context_window=4096, max_tokens=3000)
        assert prompt_room(generator) == 1096


def test_haystacks_telemetry_is_off():
    program = (
        "import kvasir.integrations.haystack_classes\n"
        "from haystack.telemetry import _telemetry\n"
        "assert _telemetry.telemetry is None"
    )
    environment = {k: v for k, v in os.environ.items() if k != "HAYSTACK_TELEMETRY_ENABLED"}
    subprocess.run([sys.executable, "-c", program], env=environment, check=True)
