"""One RWKV base embeds, reranks and answers through ``kvasir services``, as it does in a process.

The settings are those of the preset ``aiirwkv``, with a small made model and its adapters.
"""

import json
from pathlib import Path

import pytest
import yaml
from libraries import library
from small_rwkv import one_thread, random_model, write_model, write_vocabulary
from started_services import StartedServices

import kvasir
from kvasir.settings.loading import load_settings

library("torch", extra="torch")
library("chromadb", extra="chroma")

pytestmark = pytest.mark.xdist_group("rwkv")

PRESET = Path(__file__).parents[2] / "presets" / "aiirwkv.yaml"
NOTES = {
    f"mill{number}.md": f"# Mill {number}\n\nThe bearing is oiled every {number * 7} hours.\n"
    for number in range(1, 7)
}
QUESTION = "When is the bearing of mill 4 oiled?"


@pytest.fixture(scope="module")
def notes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("notes")
    for name, text in NOTES.items():
        (folder / name).write_text(text)
    return folder


@pytest.fixture(scope="module")
def functions(tmp_path_factory):
    """The three components of one base; the reranker need not have shown that it is better."""
    folder = tmp_path_factory.mktemp("base")
    write_vocabulary(folder)
    with one_thread():
        model = random_model(7, vocabulary=257, layers=2, width=64, head_size=32)
        base = str(write_model(model, folder / "base.pth"))
    return {
        "embedding_model": {"type": "rwkv", "name": base},
        "reranker": {"type": "rwkv", "name": base, "options": {"without_proof": True}},
        "generator": {"type": "rwkv", "model": base, "options": {"max_tokens": 16}},
    }


@pytest.fixture(scope="module")
def services(functions, tmp_path_factory):
    tree = yaml.safe_load(PRESET.read_text("utf-8"))
    retriever = tree["chat"]["rag"]["retriever"] | {"reranker": {"type": "remote"}}
    sections = {
        "llm": functions,
        "index": {"chroma_db_path": str(tmp_path_factory.mktemp("chroma"))},
        "rag": tree["rag"] | {"ingest": {"workers": 1}},
        "chat": {"rag": {"retriever": retriever}},
        "generator": {"type": "remote"},
        "answer": {"refuse": False},
    }
    with StartedServices(tmp_path_factory.mktemp("services"), **sections) as started:
        yield started.start()


def test_one_base_embeds_reranks_and_answers_through_the_services(services, functions, notes):
    services.command("ingest", *(str(notes / name) for name in NOTES))
    hits = json.loads(services.command("search", QUESTION, "--json"))
    answer = json.loads(services.command("ask", QUESTION, "--json"))
    queues = services.group("llm")["queues"]
    assert all(queues[name]["served"] for name in ("embedder", "reranker", "generator"))

    alone = {
        "data_dir": str(notes / "data"),
        "rag.embedding_model": functions["embedding_model"],
        "chat.rag.retriever.reranker": functions["reranker"],
        "generator": functions["generator"],
        "answer.refuse": False,
    }
    with kvasir.App(load_settings({}, alone)) as app, app.collection() as collection:
        collection.ingest(*kvasir.files(*(notes / name for name in NOTES)))
        found = collection.search(QUESTION)
        expected = collection.ask(QUESTION)
    assert [hit["chunk"]["text"] for hit in hits] == [hit.chunk.text for hit in found]
    scores = [hit["score"] for hit in hits]
    assert scores == pytest.approx([hit.score for hit in found], abs=1e-4)
    assert answer["text"] == expected.text
