"""Every option and key of the RAG chat has its effect on what the model is asked."""

import json

import pytest
import yaml
from click.testing import CliRunner

import kvasir
from kvasir.core.errors import (
    CollectionNotFoundError,
    FilterError,
    ModelNotFoundError,
    RequestError,
    SettingsError,
    StoreIncompleteError,
    UnknownComponentError,
)
from kvasir.frontends.cli.main import cli
from kvasir.frontends.cli.paths import files
from kvasir.testing.fakes import FakeEmbedder
from kvasir.testing.model_server import model_server

EMBEDDER = "kvasir.testing.fakes:FakeEmbedder"

NOTES = {
    "moon.md": "The Moon orbits the Earth at a distance of 384,400 kilometres.\n",
    "tea.md": "Green tea is steeped for two minutes at 80 degrees.\n",
    "mead.md": "Mead is brewed of honey and water, and ripens for a year.\n",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("chat")
    notes = place / "notes"
    notes.mkdir()
    for name, text in NOTES.items():
        (notes / name).write_text(text)
    chosen = {"data_dir": place / "kvasir-data", "rag__embedding_model__type": EMBEDDER}
    with kvasir.open(**chosen) as app:
        for name in NOTES:
            app.ingest(*files(notes / name), metadata={"topic": name.removesuffix(".md")})
    return place


@pytest.fixture
def server():
    with model_server(lambda messages: ["an answer"]) as model:
        yield model


@pytest.fixture
def chat(folder, server, monkeypatch):
    """Asks one question; returns the messages of the model's last request."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv("KVASIR__RAG__EMBEDDING_MODEL__TYPE", EMBEDDER)

    def ask(*arguments, question="How far away is the Moon?"):
        model = ["--generator", "openai", "--base-url", server.base_url, "-m", "small"]
        done = CliRunner().invoke(
            cli, ["chat", *model, *arguments, "-qq", question], standalone_mode=False
        )
        if done.exception:
            raise done.exception
        return server.last_messages

    return ask


def sources(messages):
    return messages[-1]["content"].count("<source ")


def test_rag_is_off_on_by_a_flag_and_off_by_its_opposite(chat, monkeypatch):
    assert chat()[-1]["content"] == "How far away is the Moon?"
    assert sources(chat("--rag")) == 3
    monkeypatch.setenv("KVASIR__CHAT__RAG__ENABLED", "true")
    assert sources(chat()) == 3
    assert sources(chat("--no-rag")) == 0


def test_top_k_threshold_and_filters(chat, folder):
    assert sources(chat("--rag", "--retriever-top-k", "1")) == 1
    with kvasir.open(data_dir=folder / "kvasir-data") as app:
        found = app.search("How far away is the Moon?")
    best, second, *_ = sorted((hit.dense_score for hit in found), reverse=True)
    between = (best + second) / 2
    assert sources(chat("--rag", "--retriever-min-score-threshold", str(between))) == 1
    filtered = chat("--rag", "--retriever-filters", "topic=tea")
    assert sources(filtered) == 1
    assert "Green tea" in filtered[-1]["content"]
    with pytest.raises(FilterError, match="not of the form field=value"):
        chat("--rag", "--retriever-filters", "tea")


def test_the_rag_prompt(chat):
    asked = chat("--rag", "--rag-prompt", "Q: {{question}} C: {{context}}")
    assert asked[-1]["content"].startswith("Q: How far away is the Moon? C: <source")
    with pytest.raises(RequestError, match=r"from --rag-prompt: must contain \{\{context"):
        chat("--rag", "--rag-prompt", "Q: {{question}}")


def test_refinement_and_its_prompt(chat, server):
    def script(messages):
        refining = messages[-1]["content"].startswith("REWRITE")
        return ["brewing mead of honey"] if refining else ["an answer"]

    server.script = script
    options = ["--rag", "--retriever-top-k", "1"]
    prompt = ["--rag-context-prompt", "REWRITE {{user_query}}"]
    assert "Mead" not in chat(*options, *prompt)[-1]["content"]
    asked = chat(*options, "--rag-context-refinement", *prompt)
    assert server.requests[-2]["messages"][-1]["content"] == "REWRITE How far away is the Moon?"
    assert "Mead is brewed" in asked[-1]["content"]
    before = len(server.requests)
    below = ["--set", "chat.rag.context_refinement.strategy=below_threshold"]
    chat(*options, "--rag-context-refinement", *prompt, *below)
    assert len(server.requests) == before + 1


def test_below_threshold_refines_by_default_where_nothing_is_like_the_question(
    chat, server, monkeypatch
):
    embed = FakeEmbedder.embed_queries
    monkeypatch.setattr(FakeEmbedder, "embed_queries", lambda self, texts: -embed(self, texts))
    key = "chat.rag.context_refinement"
    options = ["--rag", "--rag-context-refinement", "--set", f"{key}.strategy=below_threshold"]
    chat(*options)
    assert len(server.requests) == 2
    chat(*options, "--set", f"{key}.threshold=0")
    assert len(server.requests) == 3


def test_a_model_of_its_own_may_refine(chat, server):
    with model_server(lambda messages: ["how long is green tea steeped"]) as other:
        chosen = f"{{type: openai, model: refiner, base_url: '{other.base_url}'}}"
        key = "chat.rag.context_refinement.generator"
        options = ["--rag", "--rag-context-refinement", "--retriever-top-k", "1"]
        asked = chat(*options, "--set", f"{key}={chosen}")
        assert [body["model"] for body in other.requests] == ["refiner"]
    assert [body["model"] for body in server.requests] == ["small"]
    assert "Green tea" in asked[-1]["content"]
    with pytest.raises(SettingsError, match="needs a language model"):
        chat("--rag", "--rag-context-refinement", "--set", f"{key}={{type: extractive}}")


def test_the_place_of_the_store_the_embedding_model_and_the_collection(chat, folder):
    with pytest.raises(StoreIncompleteError, match="the store of collection 'default' is empty"):
        chat("--rag", "--vectordb-uri", str(folder / "elsewhere"))
    with pytest.raises(UnknownComponentError, match="unknown store 'no-such-store'"):
        chat("--rag", "--vectordb-type", "no-such-store")
    real = ["--set", "rag.embedding_model.type=openvino"]
    with pytest.raises(ModelNotFoundError):
        chat("--rag", *real, "--model", str(folder / "no-such-model"))
    with pytest.raises(CollectionNotFoundError, match="no collection 'other'"):
        chat("--rag", "--collection", "other")


def test_model_context_and_session(chat, server, tmp_path):
    chat("-m", "large")
    assert server.requests[-1]["model"] == "large"
    assert "command-line" in chat("-c", "cli_helper")[0]["content"]
    path = tmp_path / "a session.json"
    turns = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ho"}]
    path.write_text(json.dumps(turns))
    assert [m["content"] for m in chat("-s", str(path))] == [
        "Hi",
        "Ho",
        "How far away is the Moon?",
    ]


def test_the_keys_of_a_settings_file_have_the_same_effect(chat, tmp_path):
    path = tmp_path / "kvasir.yaml"
    tree = {
        "chat": {
            "context": "pirate",
            "contexts": {"pirate": "Arr."},
            "logs_dir": str(tmp_path / "logs"),
            "rag": {
                "enabled": True,
                "prompt": "{{question}} // {{context}}",
                "retriever": {"top_k": 2, "filters": "topic=moon", "min_score_threshold": 0.5},
            },
        }
    }
    path.write_text(yaml.safe_dump(tree))
    system, user = chat("--config", str(path))
    assert system["content"].startswith("Arr.")
    assert user["content"].startswith("How far away is the Moon? // <source")
    assert sources([user]) == 1
    assert len(list((tmp_path / "logs").iterdir())) == 1


def test_standard_input_is_one_question_a_line_and_with_qq_one_question(
    folder, server, monkeypatch
):
    monkeypatch.chdir(folder)
    model = ["--generator", "openai", "--base-url", server.base_url, "-m", "small"]
    for arguments, asked in (([], ["How", "an answer", "far?"]), (["-qq"], ["How\nfar?"])):
        done = CliRunner().invoke(
            cli, ["chat", *model, *arguments], input="How\nfar?\n", standalone_mode=False
        )
        assert done.exception is None
        contents = [message["content"] for message in server.last_messages]
        assert contents[-len(asked) :] == asked
        assert done.output.count("an answer") == (1 if arguments else 2)


def test_a_quick_question_needs_a_question_and_something_that_answers(folder, monkeypatch):
    monkeypatch.chdir(folder)
    monkeypatch.setenv("KVASIR__RAG__EMBEDDING_MODEL__TYPE", EMBEDDER)
    for arguments, kind, complaint in (
        (["-qq"], RequestError, "there is no question"),
        ([], RequestError, "there is no question"),
        (["--no-rag", "Hi"], SettingsError, "language model"),
    ):
        done = CliRunner().invoke(cli, ["chat", *arguments], input=" ", standalone_mode=False)
        assert isinstance(done.exception, kind)
        assert complaint in str(done.exception)


def test_every_option_of_the_proposal_is_in_the_help_with_its_default(folder, monkeypatch):
    monkeypatch.chdir(folder)
    shown = " ".join(CliRunner().invoke(cli, ["chat", "--help"]).output.split())
    for option in (
        "--rag",
        "--rag-context-refinement",
        "--rag-context-prompt",
        "--retriever-top-k",
        "--retriever-min-score-threshold",
        "--rag-prompt",
        "--vectordb-type",
        "--model",
    ):
        assert f"{option} " in shown
        after = shown.split(f"{option} ", 1)[1].split(" --retriever", 1)[0]
        assert "[default: " in after, option
    for option in ("--retriever-filters", "--vectordb-uri", "--vectordb-token"):
        assert f"{option} " in shown
