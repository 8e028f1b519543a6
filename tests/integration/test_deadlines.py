"""Whatever hangs below an open collection, its caller comes back soon, with one code."""

import threading
import time
from contextlib import closing
from typing import ClassVar

import pytest

import kvasir
from kvasir.core.deadline import deadline
from kvasir.core.errors import ComponentError, DeadlineExceededError
from kvasir.core.types import Retrieved, Source
from kvasir.testing.fakes import FakeEmbedder

QUESTION = "Who brewed mead of the blood of Kvasir?"
TEXT = b"Two dwarfs brewed mead of the blood of Kvasir."


class Hanging:
    """What hangs in this test, until it is over."""

    what: ClassVar[str] = ""
    over: ClassVar[threading.Event] = threading.Event()

    @classmethod
    def wait(cls, what):
        if what == cls.what:
            cls.over.wait(60)


class SlowEmbedder(FakeEmbedder):
    def embed_queries(self, texts):
        Hanging.wait("embedder")
        return super().embed_queries(texts)


class SlowGenerator:
    def generate(self, prompt):
        yield "Two dwarfs "
        Hanging.wait("generator")
        yield "brewed it [1]."


@pytest.fixture
def app(tmp_path, monkeypatch):
    monkeypatch.setattr(Hanging, "over", threading.Event())
    settings = {
        "data_dir": tmp_path / "kvasir-data",
        "rag.embedding_model.type": f"{__name__}:SlowEmbedder",
        "generator.type": f"{__name__}:SlowGenerator",
        "answer.refuse": False,
    }
    with kvasir.App(kvasir.load_settings({}, settings)) as app:
        yield app
        Hanging.over.set()


@pytest.fixture
def collection(app):
    with app.collection() as collection:
        collection.ingest((Source("upload:mead", "text/plain"), TEXT))
        assert collection.ask(QUESTION).text == "Two dwarfs brewed it [1]."
        yield collection


def reply(app, collection, *, rag):
    with closing(app.conversation(lambda: collection)) as conversation:
        return conversation.stream(QUESTION, rag=rag).answer


@pytest.mark.parametrize(
    ("what", "call"),
    [
        ("embedder", lambda app, collection: collection.search(QUESTION)),
        ("embedder", lambda app, collection: collection.ask(QUESTION)),
        ("generator", lambda app, collection: collection.ask(QUESTION)),
        ("generator", lambda app, collection: list(collection.stream(QUESTION))),
        ("generator", lambda app, collection: reply(app, collection, rag=True)),
        ("generator", lambda app, collection: reply(app, collection, rag=False)),
    ],
)
def test_a_call_with_half_a_second_comes_back_soon(app, collection, monkeypatch, what, call):
    monkeypatch.setattr(Hanging, "what", what)
    started = time.monotonic()
    with deadline(0.5), pytest.raises(DeadlineExceededError) as caught:
        call(app, collection)
    assert time.monotonic() - started < 5.0
    assert caught.value.code == "deadline_exceeded"
    assert isinstance(caught.value, ComponentError)


def test_the_collection_answers_on_after_a_call_was_left(collection, monkeypatch):
    monkeypatch.setattr(Hanging, "what", "generator")
    with deadline(0.5), pytest.raises(DeadlineExceededError):
        collection.ask(QUESTION)
    Hanging.over.set()
    with deadline(60.0), collection.stream(QUESTION) as stream:
        assert isinstance(next(stream), Retrieved)
        assert stream.answer.text == "Two dwarfs brewed it [1]."
