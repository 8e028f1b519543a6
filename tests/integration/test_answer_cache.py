"""The cache of answers: who asks the same gets the same, as long as the documents are the same."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from account_client import OWNER
from service_client import TEA, make_collection, make_settings, running, sign_up, upload

QUESTION = "How hot is green tea brewed?"
NOTE = "before, to the same question"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cache")
    # The tests' embedder makes vectors of words, not of meanings.
    answer = {"cache": {"enabled": True, "threshold": 0.5}}
    with running(make_settings(folder, answer=answer)) as made:
        yield made


def ask(client, place, headers, question, **body):
    reply = client.post(f"{place}/answers", json={"question": question, **body}, headers=headers)
    assert reply.status_code == 200, reply.text
    found = reply.json()
    return found, any(NOTE in note for note in found["notes"])


def test_the_same_question_gets_the_same_answer_at_once(client, ana, place):
    first, was_kept = ask(client, place, ana, QUESTION)
    assert not was_kept
    assert first["citations"]
    for again in (QUESTION, "  how hot is GREEN tea brewed ?! ", "How hot is green tea brewed"):
        found, was_kept = ask(client, place, ana, again)
        assert was_kept, again
        assert found["text"] == first["text"]
        assert found["citations"] == first["citations"]
        assert found["hits"] == first["hits"]
    found, was_kept = ask(client, place, ana, "How hot is the green tea being brewed?")
    assert was_kept


def test_another_question_and_another_search_are_answered_anew(client, ana, place):
    ask(client, place, ana, QUESTION)
    for other, options in (
        ("How hot is black tea brewed?", {}),
        ("When is green tea brewed?", {}),
        (QUESTION, {"top_k": 2}),
        (QUESTION, {"filters": "language=en"}),
        (QUESTION, {"explain": True}),
    ):
        assert not ask(client, place, ana, other, **options)[1], (other, options)


def test_who_asks_for_it_gets_a_new_answer_that_is_kept(client, ana, place):
    ask(client, place, ana, QUESTION)
    fresh = {**ana, "Cache-Control": "no-cache"}
    assert not ask(client, place, fresh, QUESTION)[1]
    assert ask(client, place, ana, QUESTION)[1]


def test_the_settings_of_a_request_have_answers_of_their_own(client, ana, place):
    root = {"Authorization": f"Bearer {OWNER}"}
    usual, _ = ask(client, place, root, QUESTION)
    other = root | {"Kvasir-Settings": json.dumps({"chat.rag.retriever.top_k": 1})}
    found, was_kept = ask(client, place, other, QUESTION)
    assert not was_kept
    assert len(found["hits"]) == 1
    assert ask(client, place, other, QUESTION)[1]
    again, was_kept = ask(client, place, root, QUESTION)
    assert was_kept
    assert again["hits"] == usual["hits"]


@pytest.mark.parametrize("model", ["other-32", "other-64"])
def test_a_change_of_the_model_ends_the_answers(client, app, ana, model):
    place = make_collection(client, ana, model)
    upload(client, ana, place, "tea.md", TEA)
    ask(client, place, ana, QUESTION)
    with app.collection(model) as collection:
        collection.use_model(model, kind="kvasir.testing.fakes:NamedEmbedder")
    assert not ask(client, place, ana, "How hot is the green tea being brewed?")[1]
    assert ask(client, place, ana, QUESTION)[1]


def test_an_answer_that_no_longer_holds_hides_no_other_one(client, app, ana):
    place = make_collection(client, ana, "shadow")
    upload(client, ana, place, "tea.md", TEA)
    near = "How hot is the green tea being brewed?"
    ask(client, place, ana, QUESTION)
    # The process knows the first one by its vector, too.
    assert ask(client, place, ana, near)[1]
    ask(client, place, ana, "What does black tea need?")
    fresh = {**ana, "Cache-Control": "no-cache"}
    assert not ask(client, place, fresh, QUESTION)[1]
    assert ask(client, place, ana, near)[1]


def test_the_number_of_a_deleted_question_gives_no_answer_to_another_one(client, app, ana):
    place = make_collection(client, ana, "numbers")
    upload(client, ana, place, "tea.md", TEA)
    near = "How hot is the green tea being brewed?"
    for question, is_near in ((QUESTION, True), ("What does black tea need?", False)):
        app.services.answer_cache.delete_before(datetime.now(UTC) + timedelta(days=1))
        assert ask(client, place, ana, question)[0]["citations"]
        assert ask(client, place, ana, near)[1] == is_near


def test_a_change_of_a_cited_document_ends_the_answer(client, ana):
    place = make_collection(client, ana, "changing")
    upload(client, ana, place, "tea.md", TEA)
    upload(client, ana, place, "other.md", "# Rockets\n\nRockets burn kerosene and oxygen.\n")
    ask(client, place, ana, QUESTION)
    upload(client, ana, place, "other.md", "# Rockets\n\nRockets burn methane and oxygen.\n")
    assert ask(client, place, ana, QUESTION)[1]
    upload(client, ana, place, "tea.md", TEA.replace("80", "85"))
    found, was_kept = ask(client, place, ana, QUESTION)
    assert not was_kept
    assert "85 degrees" in found["text"]
    assert ask(client, place, ana, QUESTION)[1]


def test_collections_share_no_answers_and_strangers_read_none(client, ana, place):
    ask(client, place, ana, QUESTION)
    other = make_collection(client, ana, "empty-one")
    upload(client, ana, other, "rockets.md", "# Rockets\n\nRockets burn kerosene.\n")
    assert not ask(client, other, ana, QUESTION)[1]
    ben = sign_up(client, "ben")
    reply = client.post(f"{place}/answers", json={"question": QUESTION}, headers=ben)
    assert reply.status_code == 404


def test_refusals_and_the_age_limit(client, app, ana, place):
    for _ in range(2):
        found, was_kept = ask(client, place, ana, "Who won the elections in Mongolia in 1990?")
        assert not was_kept
        assert found["refused"]
    ask(client, place, ana, QUESTION)
    cache = app.services.answer_cache
    assert cache.delete_before(datetime.now(UTC) - timedelta(days=1)) == 0
    assert cache.delete_before(datetime.now(UTC) + timedelta(days=1)) > 0
    assert not ask(client, place, ana, QUESTION)[1]
