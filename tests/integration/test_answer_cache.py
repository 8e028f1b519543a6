"""The cache of answers: who asks the same gets the same, as long as the documents are the same."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from account_client import OWNER
from service_client import (
    TEA,
    documents,
    make_collection,
    make_settings,
    running,
    sign_up,
    upload,
)
from sqlalchemy import event

from kvasir import cached_answers
from kvasir.core.errors import ComponentError
from kvasir.core.types import Source

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
    ask(client, place, ana, QUESTION, top_k=1)
    upload(client, ana, place, "other.md", "# Rockets\n\nRockets burn methane and oxygen.\n")
    assert ask(client, place, ana, QUESTION, top_k=1)[1]
    upload(client, ana, place, "tea.md", TEA.replace("80", "85"))
    found, was_kept = ask(client, place, ana, QUESTION, top_k=1)
    assert not was_kept
    assert "85 degrees" in found["text"]
    assert ask(client, place, ana, QUESTION, top_k=1)[1]


def test_an_answer_that_shows_a_deleted_document_ends(client, ana):
    place = make_collection(client, ana, "deleting")
    upload(client, ana, place, "tea.md", TEA)
    upload(client, ana, place, "secret.md", "Green tea is hot. The code of the door is 4711.")
    found, _ = ask(client, place, ana, QUESTION)
    assert any("4711" in hit["chunk"]["text"] for hit in found["hits"])
    assert not any("secret" in citation["source_uri"] for citation in found["citations"])
    assert ask(client, place, ana, QUESTION)[1]
    secret = next(d for d in documents(client, ana, place) if "secret" in d["source_uri"])
    assert client.delete(f"{place}/documents/{secret['id']}", headers=ana).is_success
    found, was_kept = ask(client, place, ana, QUESTION)
    assert not was_kept
    assert not any("4711" in hit["chunk"]["text"] for hit in found["hits"])


def test_a_change_of_metadata_ends_the_answer(client, ana):
    place = make_collection(client, ana, "withdrawing")
    upload(client, ana, place, "tea.md", TEA, metadata='{"status": "valid"}')
    valid = {"filters": "status=valid"}
    assert ask(client, place, ana, QUESTION, **valid)[0]["citations"]
    assert ask(client, place, ana, QUESTION, **valid)[1]
    upload(client, ana, place, "tea.md", TEA, metadata='{"status": "withdrawn"}')
    found, was_kept = ask(client, place, ana, QUESTION, **valid)
    assert not was_kept
    assert not found["hits"]


def test_an_answer_about_many_copies_takes_as_few_queries_as_one_about_few(client, app, ana):
    place = make_collection(client, ana, "copies")
    counts, statements = [], []

    def count(*arguments):
        if "content_hash" in arguments[2]:
            statements.append(arguments[2])

    event.listen(app.catalog._engine, "before_cursor_execute", count)
    for number in (2, 30):
        with app.collection("copies") as collection:
            copies = [(Source(f"upload:{each}.md", ""), TEA.encode()) for each in range(number)]
            collection.ingest(*copies)
        for headers, is_kept in (({**ana, "Cache-Control": "no-cache"}, False), (ana, True)):
            statements.clear()
            found, was_kept = ask(client, place, headers, QUESTION)
            assert was_kept == is_kept
            assert max(len(hit["copies"]) for hit in found["hits"]) == number - 1
            counts.append(len(statements))
    event.remove(app.catalog._engine, "before_cursor_execute", count)
    assert counts[:2] == counts[2:]
    assert counts[1] == 1


def test_an_answer_that_names_a_deleted_copy_ends(client, app, ana):
    place = make_collection(client, ana, "copied")
    with app.collection("copied") as collection:
        collection.ingest(*((Source(f"upload:{each}.md", ""), TEA.encode()) for each in "ab"))
        assert ask(client, place, ana, QUESTION)[0]["hits"][0]["copies"]
        assert ask(client, place, ana, QUESTION)[1]
        collection.delete("upload:b.md")
    found, was_kept = ask(client, place, ana, QUESTION)
    assert not was_kept
    assert not found["hits"][0]["copies"]


def test_a_deleted_collection_leaves_no_answers(client, app, ana):
    place = make_collection(client, ana, "leaving")
    upload(client, ana, place, "tea.md", TEA)
    cache, tomorrow = app.services.answer_cache, datetime.now(UTC) + timedelta(days=1)
    cache.delete_before(tomorrow)
    ask(client, place, ana, QUESTION)
    assert ask(client, place, ana, QUESTION)[1]
    assert client.delete(place, headers=ana).is_success
    assert cache.delete_before(tomorrow) == 0


class Writing:
    """A language model; something happens while it writes, and it may be replaced."""

    meanwhile = staticmethod(lambda: None)
    identify = staticmethod(lambda: "first")

    def model_fingerprint(self):
        return type(self).identify()

    def generate(self, prompt):
        type(self).meanwhile()
        yield "Green tea is brewed at 80 degrees. [1]"


@pytest.fixture(scope="module")
def writing(tmp_path_factory):
    """A server whose answers ``Writing`` makes, and a user's headers."""
    settings = make_settings(
        tmp_path_factory.mktemp("writing"),
        answer={"cache": {"enabled": True, "threshold": 0.5}},
        generator={"type": f"{__name__}:Writing"},
    )
    with running(settings) as (client, app):
        yield client, app, sign_up(client, "ana")


@pytest.mark.parametrize("change", ["replaced", "deleted"])
def test_a_document_that_changes_while_the_model_writes_leaves_no_answer(
    writing, monkeypatch, change
):
    client, app, ana = writing
    place = make_collection(client, ana, change)
    upload(client, ana, place, "tea.md", TEA)
    document = documents(client, ana, place)[0]

    def meanwhile():
        with app.collection(change) as collection:
            if change == "deleted":
                collection.delete(document["id"])
            else:
                # The quote of the answer is still there.
                new = f"{TEA} Since May, green tea is brewed at 60 degrees."
                collection.ingest((Source(document["source_uri"], ""), new.encode()))

    monkeypatch.setattr(Writing, "meanwhile", staticmethod(meanwhile))
    found, was_kept = ask(client, place, ana, QUESTION)
    assert found["citations"]
    assert not was_kept
    monkeypatch.undo()
    assert not ask(client, place, ana, QUESTION)[1]


def test_another_model_under_the_same_settings_has_answers_of_its_own(writing, monkeypatch):
    client, _, ana = writing
    place = make_collection(client, ana, "models")
    upload(client, ana, place, "tea.md", TEA)
    ask(client, place, ana, QUESTION)
    assert ask(client, place, ana, QUESTION)[1]
    monkeypatch.setattr(Writing, "identify", staticmethod(lambda: "second"))
    assert not ask(client, place, ana, QUESTION)[1]
    assert ask(client, place, ana, QUESTION)[1]


def make_unreachable(monkeypatch):
    """Make the model unreachable; return a list with an entry for each try to identify it."""
    asked = []

    def fail():
        asked.append(1)
        raise ComponentError("llm", "answering", "no worker serves it", kind="unreachable")

    monkeypatch.setattr(Writing, "identify", staticmethod(fail))
    monkeypatch.setattr(cached_answers, "_PAUSE", 600.0)
    return asked


def test_kept_answers_are_given_while_the_model_cannot_be_identified(writing, monkeypatch):
    client, _, ana = writing
    place = make_collection(client, ana, "unreachable")
    upload(client, ana, place, "tea.md", TEA)
    ask(client, place, ana, QUESTION)
    asked = make_unreachable(monkeypatch)
    for _ in range(3):
        assert ask(client, place, ana, QUESTION)[1]
    # It is not known which model answers another question, so its answer is not kept.
    other = "What does black tea need?"
    for _ in range(2):
        found, was_kept = ask(client, place, ana, other)
        assert found["citations"]
        assert not was_kept
    assert len(asked) == 1
    monkeypatch.undo()
    monkeypatch.setattr(cached_answers, "_PAUSE", 0.0)
    assert ask(client, place, ana, QUESTION)[1]
    assert not ask(client, place, ana, other)[1]
    assert ask(client, place, ana, other)[1]


def test_a_model_that_was_never_identified_still_answers(tmp_path, monkeypatch):
    asked = make_unreachable(monkeypatch)
    cache = {"cache": {"enabled": True, "threshold": 0.5}}
    generator = {"type": f"{__name__}:Writing"}
    with running(make_settings(tmp_path, answer=cache, generator=generator)) as (client, _):
        ana = sign_up(client, "ana")
        place = make_collection(client, ana, "unknown")
        upload(client, ana, place, "tea.md", TEA)
        for _ in range(2):
            found, was_kept = ask(client, place, ana, QUESTION)
            assert found["citations"]
            assert not was_kept
    assert len(asked) == 1


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
