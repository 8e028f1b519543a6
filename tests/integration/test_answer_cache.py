"""The cache of answers: who asks the same gets the same, as long as the documents are the same."""

from datetime import UTC, datetime, timedelta

import pytest
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
