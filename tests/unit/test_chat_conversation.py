"""A turn of a chat: what the model is asked, what is kept, and what the user is told."""

from dataclasses import replace

import pytest

from kvasir.answering.answers import EMPTY, INCOMPLETE, NOTHING_FOUND, Answerer
from kvasir.answering.chat import Conversation
from kvasir.answering.refining import Refiner
from kvasir.answering.refusal import Calibration
from kvasir.answering.retrieval import Retriever
from kvasir.components.analyzers.bm25 import Bm25Analyzer
from kvasir.components.generators.extractive import ExtractiveGenerator
from kvasir.components.generators.openai import OpenAIGenerator
from kvasir.core.errors import CollectionNotFoundError, ComponentError, SettingsError
from kvasir.core.ledger import DocumentVersion
from kvasir.core.pieces import CutReason, Incomplete
from kvasir.core.templates import DEFAULT_PROMPT
from kvasir.core.types import (
    Certainty,
    Chunk,
    Comparison,
    Message,
    Retrieved,
    SearchRequest,
    Stage,
    Text,
)
from kvasir.testing.fakes import FakeEmbedder, MemoryStore
from kvasir.testing.model_server import model_server

TEXTS = [
    "Kvasir was made by the gods. Two dwarfs brewed mead of his blood.",
    "Green tea is steeped for two minutes at eighty degrees.",
    "The Moon orbits the Earth at a distance of 384,400 kilometres.",
]


@pytest.fixture
def retriever():
    embedder = FakeEmbedder(256)
    store = MemoryStore(dimension=embedder.dimension, analyzer=Bm25Analyzer())
    chunks = [
        Chunk(
            f"c{n}",
            f"d{n}",
            text,
            0,
            len(text),
            metadata={"language": "en", "source_uri": f"/{n}.md"},
        )
        for n, text in enumerate(TEXTS)
    ]
    store.upsert(chunks, embedder.embed_documents(TEXTS))
    return Retriever(embedder, store, languages=["en"])


@pytest.fixture
def server():
    with model_server(lambda messages: ["Two dwarfs brewed mead ", "of his blood [1]."]) as model:
        yield model


@pytest.fixture
def generator(server):
    return OpenAIGenerator("small", server.base_url, retries=0)


def answerer_of(retriever, generator, **options):
    versions = {f"d{n}": DocumentVersion(text, f"hash {n}") for n, text in enumerate(TEXTS)}
    # Certain of everything that shares a word, and of nothing else.
    calibration = Calibration((40.0,), -5.0, features=("chunk_coverage",))
    return Answerer(
        retriever,
        generator,
        analyzer=Bm25Analyzer(),
        calibration=calibration,
        find_version=versions.get,
        **options,
    )


def make(generator, retriever, template=DEFAULT_PROMPT, **options):
    answerer = answerer_of(retriever, generator, template=template)
    return Conversation(generator, lambda: answerer, **options)


def contents(server):
    return [(m["role"], m["content"]) for m in server.last_messages]


def test_without_rag_the_model_gets_context_history_and_the_message(server, generator, retriever):
    history = [Message("user", "Hi"), Message("assistant", "Hello")]
    stream = make(generator, retriever).stream("And you?", history, rag=False, system="Be kind.")
    *pieces, finished = stream
    assert len(pieces) == 2
    assert all(isinstance(piece, Text) for piece in pieces)
    assert stream.answer == finished.answer
    assert stream.answer.text == "".join(piece.text for piece in pieces)
    assert stream.answer.hits == stream.answer.citations == ()
    assert not stream.answer.refused
    assert contents(server) == [
        ("system", "Be kind."),
        ("user", "Hi"),
        ("assistant", "Hello"),
        ("user", "And you?"),
    ]


def test_with_rag_citations_are_checked_and_numbered(server, generator, retriever):
    server.script = lambda messages: ["Two dwarfs brewed mead [1", "]. It was sold in Rome [9]."]
    stream = make(generator, retriever, search=SearchRequest("", 2)).stream(
        "Who brewed mead of the blood of Kvasir?", rag=True, system="Be kind."
    )
    reply = stream.answer
    marked = "It was sold in Rome. [not found in the sources]"
    assert reply.text == f"Two dwarfs brewed mead [1]. {marked}"
    (citation,) = reply.citations
    assert TEXTS[0][citation.start : citation.end] == citation.quote
    assert citation.content_hash == "hash 0"
    assert reply.removed_citations == 1
    system, user = contents(server)
    assert system[1].startswith("Be kind.")
    assert user[1].count("<source ") == 2
    assert "Question: Who brewed mead of the blood of Kvasir?" in user[1]


def test_the_template_is_used_and_must_have_its_placeholders(server, generator, retriever):
    conversation = make(generator, retriever, template="{{question}} <- {{context}}")
    assert conversation.stream("Who brewed mead?", rag=True).answer
    assert contents(server)[-1][1].startswith("Who brewed mead? <- <source")
    with pytest.raises(SettingsError, match="context"):
        make(generator, retriever, template="{{question}}")


def test_a_model_is_asked_even_when_nothing_was_found_and_the_user_is_told(
    server, generator, retriever
):
    server.script = lambda messages: ["You are welcome."]
    conversation = make(generator, retriever, search=SearchRequest("", min_score_threshold=1.0))
    reply = conversation.stream("Thanks!", rag=True).answer
    assert reply.text == "You are welcome."
    assert reply.notes == (NOTHING_FOUND,)


def test_of_a_collection_without_documents_the_user_is_told(server, generator, retriever):
    server.script = lambda messages: ["You are welcome."]
    conversation = make(generator, retriever, search=SearchRequest("", min_score_threshold=1.0))
    empty = replace(conversation.answerer(), has_documents=lambda: False)
    reply = replace(conversation, answerer=lambda: empty).stream("Thanks!", rag=True).answer
    assert reply.notes == (EMPTY,)


def test_filters_and_top_k_restrict_what_the_model_is_given(server, generator, retriever):
    conversation = make(
        generator,
        retriever,
        search=SearchRequest("", 3, filters=Comparison("source_uri", "==", "/1.md")),
    )
    assert conversation.stream("Who brewed mead?", rag=True).answer
    prompt = contents(server)[-1][1]
    assert "Green tea" in prompt
    assert prompt.count("<source ") == 1


def test_context_gives_way_before_the_conversation_and_the_oldest_turns_after_it(server, retriever):
    history = [
        Message("user", "older " * 60),
        Message("assistant", "old " * 60),
        Message("user", "new " * 60),
        Message("assistant", "newer " * 60),
    ]
    whole = OpenAIGenerator("small", server.base_url, context_window=100_000)
    make(whole, retriever).stream("Who brewed mead?", history, rag=True).answer  # noqa: B018
    full = contents(server)
    assert full[-1][1].count("<source ") == 3
    # Tokens as the prompt builder estimates them; 1024 are kept for the answer by default.
    needed = 1024 + sum(-(-len(text) // 3) + 8 for _, text in full)
    seen = []
    for window in range(needed + 60, needed - 420, -20):
        small = OpenAIGenerator("small", server.base_url, context_window=window)
        reply = make(small, retriever).stream("Who brewed mead?", history, rag=True).answer
        sent = contents(server)
        seen.append((sent[-1][1].count("<source "), len(sent) - 2))
        assert ("passages fit" in " ".join(reply.notes)) == (seen[-1][0] < 3)
        if seen[-1][1] == 2:
            assert [text for _, text in sent[1:3]] == [m.content for m in history[2:]]
        assert ("oldest messages" in " ".join(reply.notes)) == (seen[-1][1] < 4)
    assert seen[0] == (3, 4)
    assert (1, 4) in seen
    assert seen == sorted(seen, key=lambda pair: (pair[1], pair[0]), reverse=True)
    fewer_turns = next(number for number, (_, turns) in enumerate(seen) if turns < 4)
    assert seen[fewer_turns - 1] == (1, 4)
    assert {turns for _, turns in seen} >= {4, 2}


@pytest.mark.parametrize("rag", [True, False])
def test_the_longest_answer_fits_behind_the_conversation(server, retriever, rag):
    history = [Message("user", "older " * 200), Message("assistant", "newer " * 200)] * 20
    for most in (256, 3000):
        generator = OpenAIGenerator("s", server.base_url, max_tokens=most, context_window=4096)
        reply = make(generator, retriever).stream("Who brewed mead?", history, rag=rag).answer
        assert "oldest messages" in " ".join(reply.notes)
        used = sum(-(-len(text) // 3) + 8 for _, text in contents(server))
        # Turns are left out in pairs of about 800 tokens.
        assert 4096 - 1000 < used + most <= 4096


def test_a_window_too_small_for_any_passage_is_said(server, retriever):
    tiny = OpenAIGenerator("small", server.base_url, context_window=1030)
    with pytest.raises(SettingsError, match="too few for a passage"):
        make(tiny, retriever).stream("Who brewed mead?", rag=True).answer  # noqa: B018


def test_every_question_is_refined_with_the_last_turns_in_sight(server, generator, retriever):
    server.script = lambda messages: (
        ['<think>hm</think>\nRefined query: "distance of the Moon"']
        if "Refined query:" in messages[-1]["content"]
        else ["384,400 kilometres [1]."]
    )
    conversation = make(generator, retriever, refiner=Refiner(generator))
    history = [Message("user", "What orbits the Earth?"), Message("assistant", "The Moon.")]
    reply = conversation.stream("And how far is it?", history, rag=True).answer
    assert reply.searched == "distance of the Moon"
    assert reply.hits[0].chunk.id == "c2"
    refining, answering = server.requests
    assert [m["content"] for m in refining["messages"][:-1]] == [m.content for m in history]
    assert "And how far is it?" in refining["messages"][-1]["content"]
    assert "Question: And how far is it?" in answering["messages"][-1]["content"]


def test_below_the_threshold_only_poor_finds_are_refined(server, generator, retriever):
    server.script = lambda messages: (
        ["Kvasir was made by the gods"] if "Rewrite" in messages[-1]["content"] else ["Yes [1]."]
    )
    refiner = Refiner(generator, prompt="Rewrite: {{user_query}}", below=0.8)
    conversation = make(generator, retriever, refiner=refiner)
    reply = conversation.stream("Kvasir was made by the gods?", rag=True).answer
    assert (len(server.requests), reply.searched) == (1, "")
    reply = conversation.stream("deities, creation thereof", rag=True).answer
    assert len(server.requests) == 3
    assert reply.searched == "Kvasir was made by the gods"
    assert reply.hits[0].chunk.id == "c0"


def test_another_model_may_refine_and_its_failure_costs_a_note(server, generator, retriever):
    with model_server(lambda messages: ["green tea"]) as other:
        refiner = Refiner(OpenAIGenerator("refiner", other.base_url, retries=0))
        conversation = make(generator, retriever, refiner=refiner)
        assert conversation.stream("What about it?", rag=True).answer.searched == "green tea"
        assert [body["model"] for body in other.requests] == ["refiner"]
        assert [body["model"] for body in server.requests] == ["small"]
    reply = conversation.stream("Who brewed mead?", rag=True).answer
    assert reply.searched == ""
    assert "searched for as typed" in reply.notes[0]
    assert reply.citations


def test_an_empty_refinement_leaves_the_question(server, generator):
    server.script = lambda messages: ["\n"]
    assert Refiner(generator).refine("Who?") == "Who?"


def test_refining_needs_a_language_model_and_its_placeholder(generator):
    with pytest.raises(SettingsError, match="needs a language model"):
        Refiner(ExtractiveGenerator(FakeEmbedder(), Bm25Analyzer()))
    with pytest.raises(SettingsError, match="user_query"):
        Refiner(generator, prompt="Rewrite it")


def test_without_a_model_quotations_answer_and_the_decision_to_refuse_holds(retriever):
    quoting = ExtractiveGenerator(FakeEmbedder(), Bm25Analyzer())
    conversation = make(quoting, retriever)
    assert not conversation.has_model
    reply = conversation.stream("Who brewed mead?", rag=True).answer
    assert "Two dwarfs brewed mead of his blood. [1]" in reply.text
    refused = conversation.stream("Xylophone zoology", rag=True).answer
    assert refused.refused
    with pytest.raises(SettingsError, match="needs a language model"):
        conversation.stream("Hello", rag=False)


def test_a_missing_collection_is_tried_again_for_the_next_question(server, generator, retriever):
    tries = []

    def open_documents():
        tries.append(1)
        if len(tries) == 1:
            raise CollectionNotFoundError("other", ["default"])
        return answerer_of(retriever, generator)

    conversation = Conversation(generator, open_documents)
    with pytest.raises(CollectionNotFoundError):
        conversation.stream("Who brewed mead?", rag=True).answer  # noqa: B018
    assert conversation.stream("Who brewed mead?", rag=True).answer.text


def test_a_server_that_breaks_off_is_an_error_not_a_reply(server, generator, retriever):
    def breaks(messages):
        yield "The beg"
        raise OSError("cut")

    server.script = breaks
    stream = make(generator, retriever).stream("Tell me", rag=False)
    with pytest.raises(ComponentError, match="broke off"):
        list(stream)


def test_an_empty_reply_is_said_to_be_empty(server, generator, retriever):
    server.script = lambda messages: []
    with pytest.raises(ComponentError, match="empty"):
        make(generator, retriever).stream("Hi", rag=False).answer  # noqa: B018
    reply = make(generator, retriever).stream("Who brewed mead?", rag=True).answer
    assert reply.refused
    assert reply.text == "I cannot find the answer in the documents."


def test_a_refined_question_shows_its_stages(server, generator, retriever):
    server.script = lambda messages: (
        ["green tea"] if "Refined query:" in messages[-1]["content"] else ["Steeped [1]."]
    )
    with make(generator, retriever, refiner=Refiner(generator)).stream("It?", rag=True) as stream:
        refining, searching, retrieved, *_ = stream
    assert (refining, searching) == (Stage("refining"), Stage("searching"))
    assert isinstance(retrieved, Retrieved)
    assert retrieved.hits[0].chunk.id == "c1"


@pytest.mark.parametrize("rag", [False, True])
def test_a_model_does_not_see_the_marks_of_its_unsupported_sentences(
    server, generator, retriever, rag
):
    history = [
        Message("user", "Why does it say [not found in the sources]?"),
        Message("assistant", "It was sold in Rome. [not found in the sources] The gods made it."),
    ]
    stream = make(generator, retriever).stream("Who brewed mead?", history, rag=rag)
    assert stream.answer.text
    said = [text for role, text in contents(server) if role != "system"]
    assert said[:2] == [history[0].content, "It was sold in Rome. The gods made it."]


class Says:
    def __init__(self, *pieces):
        self.pieces = pieces

    def generate(self, prompt):
        yield from self.pieces


@pytest.mark.parametrize("opening", ["<think>", ""])
def test_a_reply_without_documents_has_no_thoughts(retriever, opening):
    model = Says(f"{opening}hm", "</think>", "\n\nHello.")
    assert make(model, retriever).stream("Hi", rag=False).answer.text == "Hello."


def test_a_reply_that_was_cut_says_so(retriever):
    end = Incomplete(CutReason.LENGTH)
    answer = make(Says("Hello, I", end), retriever).stream("Hi", rag=False).answer
    assert (answer.text, answer.certainty) == ("Hello, I", Certainty.NOT_SURE)
    assert answer.notes == (INCOMPLETE[CutReason.LENGTH],)
    with pytest.raises(ComponentError, match="cut"):
        make(Says("<think>hm", end), retriever).stream("Hi", rag=False).answer  # noqa: B018


@pytest.mark.parametrize(
    ("pieces", "refined"),
    [
        (["hm</think>", "\ngreen tea"], "green tea"),
        (["<think>hm", Incomplete(CutReason.LENGTH)], "What about it?"),
    ],
)
def test_a_refined_question_has_no_thoughts(pieces, refined):
    assert Refiner(Says(*pieces)).refine("What about it?") == refined
