"""Answers that go on when their client leaves: attached to again, listed, stopped."""

import time

import pytest
from service_client import TEA, events_of, make_collection, make_settings, running, sign_up, upload
from slow_generator import SlowGenerator

from kvasir.frontends.api import running_answers

QUESTION = {"question": "How hot is green tea brewed?", "background": True}
SLOW = {"type": "slow_generator:SlowGenerator"}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with running(make_settings(tmp_path_factory.mktemp("running"), generator=SLOW)) as made:
        yield made


@pytest.fixture(scope="module")
def bob(client):
    return sign_up(client, "bob")


@pytest.fixture(autouse=True)
def slow():
    SlowGenerator.reset()
    yield SlowGenerator
    SlowGenerator.allowed.set()


def ask(client, headers, place, **more):
    answer = client.post(f"{place}/replies", json=QUESTION | more, headers=headers)
    assert answer.status_code == 202, answer.text
    assert answer.headers["Location"] == f"/v1/answers/{answer.json()['id']}/events"
    return answer.json()["id"]


def followed(client, headers, answer_id, **query):
    answer = client.get(f"/v1/answers/{answer_id}/events", params=query, headers=headers)
    assert answer.status_code == 200, answer.text
    return events_of(answer.text)


def listed(client, headers, conversation):
    query = {"conversation": conversation}
    return client.get("/v1/answers", params=query, headers=headers).json()


def wait_until_it_writes(slow):
    assert slow.began.acquire(timeout=20)


def test_an_answer_goes_on_without_a_client_and_is_read_from_any_event_on(client, ana, place, slow):
    answer_id = ask(client, ana, place)
    wait_until_it_writes(slow)
    slow.allowed.set()
    events = followed(client, ana, answer_id)
    assert events[0][0] == "hits"
    assert events[-1][0] == "answer" and "80 degrees" in events[-1][2]["answer"]["text"]
    assert [number for _, number, _ in events] == list(range(len(events)))
    assert followed(client, ana, answer_id, first=len(events) - 1) == events[-1:]
    assert followed(client, ana, answer_id, first=len(events)) == []
    again = client.get(f"/v1/answers/{answer_id}/events", headers=ana | {"Last-Event-ID": "0"})
    assert events_of(again.text) == events[1:]


def test_it_is_in_the_log_of_answers(client, ana, place, slow):
    slow.allowed.set()
    answer_id = ask(client, ana, place)
    followed(client, ana, answer_id)
    rated = client.post(f"/v1/answers/{answer_id}/feedback", json={"rating": 1}, headers=ana)
    assert rated.status_code == 204


def test_a_stop_ends_it_with_an_event_that_says_so(client, ana, place, slow):
    answer_id = ask(client, ana, place)
    wait_until_it_writes(slow)
    assert client.post(f"/v1/answers/{answer_id}/stop", headers=ana).status_code == 204
    events = followed(client, ana, answer_id)
    assert events[0][0] == "hits"
    assert (events[-1][0], events[-1][2]["code"]) == ("error", "stopped")
    assert slow.closed.acquire(timeout=20)


def test_the_answers_of_a_chat_are_listed_in_their_order(client, ana, bob, place, slow):
    slow.allowed.set()
    ids = [ask(client, ana, place, conversation="one") for _ in range(2)]
    ask(client, ana, place, conversation="two")
    for each in ids:
        followed(client, ana, each)
    found = listed(client, ana, "one")
    assert [each["id"] for each in found] == ids
    assert {each["running"] for each in found} == {False}
    assert found[0]["question"] == QUESTION["question"] and found[0]["collection"] == "course"
    assert listed(client, bob, "one") == []


def test_another_user_and_one_who_lost_the_access_do_not_see_it(client, ana, bob, place, slow):
    slow.allowed.set()
    shared = {"visibility": "shared", "readers": ["bob"]}
    assert client.put(f"{place}/access", json=shared, headers=ana).status_code == 200
    own = ask(client, bob, place, conversation="shared")
    assert followed(client, bob, own)
    assert [each["id"] for each in listed(client, bob, "shared")] == [own]
    of_ana = ask(client, ana, place)
    for path, method in (("events", client.get), ("stop", client.post)):
        assert method(f"/v1/answers/{of_ana}/{path}", headers=bob).status_code == 404
    client.put(f"{place}/access", json={"visibility": "private"}, headers=ana)
    assert client.get(f"/v1/answers/{own}/events", headers=bob).status_code == 404
    assert listed(client, bob, "shared") == []


def test_it_is_forgotten_after_its_time_also_on_a_quiet_server(
    client, ana, place, slow, monkeypatch
):
    slow.allowed.set()
    answer_id = ask(client, ana, place, conversation="old")
    assert followed(client, ana, answer_id)
    assert [each["id"] for each in listed(client, ana, "old")] == [answer_id]
    monkeypatch.setattr(running_answers, "KEPT_SECONDS", 0.0)
    assert client.get(f"/v1/answers/{answer_id}/events", headers=ana).status_code == 404
    monkeypatch.setattr(running_answers, "KEPT_SECONDS", 3600.0)
    assert listed(client, ana, "old") == []


def test_a_failure_is_the_last_event(client, ana, place):
    answer_id = ask(client, ana, place, filters="tag=oil")
    name, _, problem = followed(client, ana, answer_id)[-1]
    assert (name, problem["code"]) == ("error", "unknown_field")


def test_without_documents_needs_a_language_model(tmp_path):
    with running(make_settings(tmp_path)) as (client, _):
        ana = sign_up(client, "ana")
        place = make_collection(client, ana, "course")
        upload(client, ana, place, "tea.md", TEA)
        body = QUESTION | {"rag": False}
        answer = client.post(f"{place}/replies", json=body, headers=ana)
        assert answer.status_code == 400
        assert "no language model" in answer.json()["detail"]
        assert client.get("/v1/server", headers=ana).json()["language_model"] is False


def test_everyone_learns_how_many_passages_are_read(tmp_path):
    chat = {"rag": {"retriever": {"top_k": 4}}}
    with running(make_settings(tmp_path, chat=chat)) as (client, _):
        found = client.get("/v1/server", headers=sign_up(client, "ana")).json()
    assert (found["top_k"], found["settings"]) == (4, {})


def test_with_a_language_model_the_documents_can_be_left_out(client, ana, place, slow):
    assert client.get("/v1/server", headers=ana).json()["language_model"] is True
    slow.allowed.set()
    events = followed(client, ana, ask(client, ana, place, rag=False))
    assert "hits" not in [name for name, _, _ in events]
    assert events[-1][2]["answer"]["citations"] == []


def test_a_server_that_stops_ends_them(tmp_path, slow):
    began = time.monotonic()
    with running(make_settings(tmp_path, generator=SLOW)) as (client, _):
        ana = sign_up(client, "ana")
        place = make_collection(client, ana, "course")
        upload(client, ana, place, "tea.md", TEA)
        ask(client, ana, place)
        wait_until_it_writes(slow)
    assert slow.closed.acquire(timeout=10)
    assert time.monotonic() - began < 25
