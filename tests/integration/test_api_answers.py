"""Answers over HTTP: in events or whole, in turn, stopped when the client leaves."""

import json
import math
import socket
import threading
import time
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import httpx
import jwt
import pytest
import uvicorn
from account_client import OWNER, PASSWORD
from service_client import (
    TEA,
    events_of,
    make_admin,
    make_collection,
    make_settings,
    running,
    sign_up,
    upload,
)
from slow_generator import SlowGenerator

from kvasir.accounts.signing import signing_key
from kvasir.app import App
from kvasir.core.errors import ComponentError
from kvasir.core.services.accounts import Scope
from kvasir.core.types import Certainty
from kvasir.frontends.api.application import make_application

QUESTION = {"question": "How hot is green tea brewed?"}
SLOW = {"type": "slow_generator:SlowGenerator"}
LIMIT = 10.0
"""Seconds until an answer that nobody reads ends: ten times what a quiet machine is allowed."""


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with running(make_settings(tmp_path_factory.mktemp("answers"))) as made:
        yield made


def test_a_whole_answer_has_checked_citations_and_timings(client, ana, place):
    answer = client.post(f"{place}/answers", json=QUESTION, headers=ana)
    body = answer.json()
    assert "80 degrees" in body["text"]
    (citation, *_) = body["citations"]
    assert TEA[citation["start"] : citation["end"]] == citation["quote"]
    assert {"retrieve", "wait", "generate", "total"} <= body["timings"].keys()
    assert answer.headers["Kvasir-Answer"]


def test_the_hint_to_another_language_says_what_a_caller_can_do(client, ana, place):
    asked = {"question": "¿A qué temperatura se prepara el té verde?"}
    advice = "an administrator can have the collection embedded again with one"
    (note,) = client.post(f"{place}/answers", json=asked, headers=ana).json()["notes"]
    assert note.startswith("the question seems to be in 'es'")
    assert advice in note
    assert "POST /v1/collections/NAME/model" in note
    assert "kvasir models" not in note
    owner = {"Authorization": f"Bearer {OWNER}"}
    (plain,) = client.post(f"{place}/answers", json=asked, headers=owner).json()["notes"]
    assert advice not in plain  # The command line says which command does it.


def test_a_field_that_no_document_has_is_a_problem_that_names_the_known_ones(client, ana, place):
    for path, body in (("search", {"query": "tea"}), ("answers", QUESTION), ("replies", QUESTION)):
        for filters in ("tag=oil", {"field": "tag", "operator": ">=", "value": "2024-01-01"}):
            answer = client.post(f"{place}/{path}", json=body | {"filters": filters}, headers=ana)
            if path == "replies":
                *_, (name, _, problem) = events_of(answer.text)
                assert (answer.status_code, name) == (200, "error")
            else:
                problem = answer.json()
                assert answer.status_code == 422
            assert (problem["code"], problem["status"]) == ("unknown_field", 422)
            assert "language" in problem["fields"]["fields"]
            assert "has the field 'tag'" in problem["detail"]
    found = client.post(
        f"{place}/search", json={"query": "tea", "filters": "type=pdf"}, headers=ana
    )
    assert (found.status_code, found.json()) == (200, [])


def test_a_search_and_an_answer_explain_themselves(client, ana, place):
    plain = client.post(f"{place}/search", json={"query": "hot tea"}, headers=ana).json()
    body = {"query": "hot tea", "explain": True, "filters": "language=en"}
    found = client.post(f"{place}/search", json=body, headers=ana).json()
    assert found["hits"] == plain
    parts = found["explanation"]["hits"]
    assert [part["score"] for part in parts] == [hit["score"] for hit in plain]
    assert found["explanation"]["filters"]["field"] == "meta.language"
    assert client.post(f"{place}/answers", json=QUESTION, headers=ana).json()["explanation"] is None
    whole = client.post(f"{place}/answers", json=QUESTION | {"explain": True}, headers=ana).json()
    reply = client.post(f"{place}/replies", json=QUESTION | {"explain": True}, headers=ana)
    for answer in (whole, events_of(reply.text)[-1][2]["answer"]):
        why = answer["explanation"]
        assert why["decided_by"] == "evidence"
        assert all(part["meaning"] for part in why["evidence"])
        total = why["bias"] + sum(part["contribution"] for part in why["evidence"])
        assert 1 / (1 + math.exp(-total)) == pytest.approx(answer["confidence"])


def test_the_operators_filters_are_explained_to_administrators_alone(tmp_path):
    limit = {"field": "meta.language", "operator": "==", "value": "en"}
    settings = make_settings(tmp_path, chat={"rag": {"retriever": {"filters": limit}}})
    with running(settings) as (client, app):
        ana, root = sign_up(client, "ana"), make_admin(client, app)
        place = make_collection(client, ana, "course")
        upload(client, ana, place, "tea.md", TEA)
        for headers, seen in ((ana, None), (root, limit)):
            body = {"explain": True, "filters": "title=tea"}
            search = client.post(f"{place}/search", json={"query": "tea"} | body, headers=headers)
            answer = client.post(f"{place}/answers", json=QUESTION | body, headers=headers)
            reply = client.post(f"{place}/replies", json=QUESTION | body, headers=headers)
            replied = events_of(reply.text)[-1][2]["answer"]
            for each in (
                search.json()["explanation"],
                answer.json()["explanation"]["searches"][0],
                replied["explanation"]["searches"][0],
            ):
                assert each["operator_filters"] == seen
                assert each["filters"]["field"] == "meta.title"


def test_events_come_in_order_and_are_numbered(client, ana, place):
    body = QUESTION | {"stream": True}
    answer = client.post(f"{place}/answers", json=body, headers=ana)
    assert answer.headers["Content-Type"].startswith("text/event-stream")
    assert answer.headers["Cache-Control"] == "no-cache"
    events = events_of(answer.text)
    names = [name for name, _, _ in events]
    assert names[0] == "hits" and names[-1] == "answer"
    assert set(names[1:-1]) == {"text"}
    assert [number for _, number, _ in events] == list(range(len(events)))
    whole = events[-1][2]["answer"]
    assert "".join(data["text"] for name, _, data in events if name == "text") == whole["text"]
    assert whole["citations"] and whole["timings"]["total"] > 0


@pytest.mark.parametrize(
    ("question", "certainty"),
    [
        (QUESTION["question"], Certainty.SURE),
        ("Who brewed the first tea of the temple?", Certainty.NOT_SURE),
        ("Who won the football world cup?", Certainty.NO),
    ],
)
def test_an_answer_and_its_record_say_how_sure_it_is(
    server, client, ana, place, question, certainty
):
    answer = client.post(f"{place}/answers", json={"question": question}, headers=ana)
    body = answer.json()
    assert (body["certainty"], body["refused"]) == (certainty, certainty is Certainty.NO)
    assert body["hits"]
    exported = client.get("/v1/answers/export", headers=ana).text.splitlines()
    records = {record["id"]: record for record in map(json.loads, exported)}
    assert records[answer.headers["Kvasir-Answer"]]["certainty"] == certainty


def test_feedback_is_for_ones_own_answers(client, ana, place):
    answer = client.post(f"{place}/answers", json=QUESTION, headers=ana)
    one = f"/v1/answers/{answer.headers['Kvasir-Answer']}/feedback"
    assert client.post(one, json={"rating": 1}, headers=ana).status_code == 204
    bob = sign_up(client, "bob")
    assert client.post(one, json={"rating": 1}, headers=bob).status_code == 404
    assert client.post(one, json={"rating": 2}, headers=ana).status_code == 422


def test_a_reply_of_a_chat_is_an_answer_in_the_log(client, ana, place):
    history = [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Hello!"}]
    body = QUESTION | {"history": history}
    reply = client.post(f"{place}/replies", json=body, headers=ana)
    names = [name for name, _, _ in events_of(reply.text)]
    assert names[0] == "hits" and "text" in names and names[-1] == "answer"
    whole = events_of(reply.text)[-1][2]["answer"]
    assert whole["citations"] and "wait" in whole["timings"]
    feedback = f"/v1/answers/{reply.headers['Kvasir-Answer']}/feedback"
    assert client.post(feedback, json={"rating": 1}, headers=ana).status_code == 204


def test_without_a_model_a_reply_completes_a_follow_up_and_thanks_are_not_searched(
    client, ana, place
):
    history = [
        {"role": "user", "content": QUESTION["question"]},
        {"role": "assistant", "content": "Green tea is brewed at 80 degrees. [1]"},
    ]

    def reply(message):
        body = {"question": message, "history": history}
        events = events_of(client.post(f"{place}/replies", json=body, headers=ana).text)
        return events[-1][2]["answer"], [name for name, _, _ in events]

    answer, names = reply("And black tea?")
    assert "tea" in answer["searched"] and answer["searched"].startswith("How")
    assert "boiling water" in answer["text"]
    assert names[0] == "stage"
    more, _ = reply("tell me more")
    assert "80 degrees" not in more["text"]
    thanks, names = reply("Thank you!")
    assert thanks["text"] == "You are welcome."
    assert names == ["text", "answer"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"question": "?"}, 400),
        ({"question": ""}, 422),
        ({"question": "tea", "filters": "("}, 400),
        ({"question": "tea", "top_k": 0}, 422),
        ({"question": "tea", "nothing": 1}, 422),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_an_unusable_question_is_refused(client, ana, place, body, status, stream):
    answer = client.post(f"{place}/answers", json=body | {"stream": stream}, headers=ana)
    assert answer.status_code == status
    assert answer.headers["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("limit", "said"),
    [
        ({"top_k": 0}, "body.top_k: must be from 1 to 1000"),
        ({"min_score_threshold": 1.5}, "body.min_score_threshold: must be from 0 to 1"),
    ],
)
def test_the_refusal_of_a_limit_names_its_range(client, ana, place, limit, said):
    for route, text in (("answers", "question"), ("search", "query"), ("replies", "question")):
        refused = client.post(f"{place}/{route}", json={text: "tea"} | limit, headers=ana)
        assert (refused.status_code, refused.json()["detail"]) == (422, said)


def test_an_error_is_an_event_without_the_installations_secrets(tmp_path, monkeypatch):
    with running(make_settings(tmp_path, generator=SLOW)) as (client, _):

        def fail(self, prompt):
            raise ComponentError("slow", "answering", "http://10.0.0.7 refuses", kind="busy")
            yield

        monkeypatch.setattr(SlowGenerator, "generate", fail)
        ana = sign_up(client, "ana")
        place = make_collection(client, ana, "course")
        upload(client, ana, place, "tea.md", TEA)
        body = QUESTION | {"stream": True}
        events = events_of(client.post(f"{place}/answers", json=body, headers=ana).text)
        assert [name for name, _, _ in events] == ["hits", "error"]
        error = events[-1][2]
        assert (error["code"], error["status"]) == ("component_busy", 503)
        assert "10.0.0.7" not in json.dumps(error) and error["request_id"]
        whole = client.post(f"{place}/answers", json=QUESTION, headers=ana)
        assert whole.status_code == 503 and int(whole.headers["Retry-After"]) > 0
        assert "10.0.0.7" not in whole.text
        # The administrator may know.
        owner = {"Authorization": f"Bearer {OWNER}"}
        assert "10.0.0.7" in client.post(f"{place}/answers", json=QUESTION, headers=owner).text


@contextmanager
def listening(settings):
    """A server at a port, which clients can leave; gives its address and its App."""
    app = App(settings)
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(make_application(app), log_config=None, ws="none")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    try:
        with httpx.Client(
            base_url=f"http://127.0.0.1:{listener.getsockname()[1]}", timeout=30
        ) as client:
            yield client, app
    finally:
        server.should_exit = True
        thread.join()
        app.close()


@pytest.fixture(scope="module")
def slow(tmp_path_factory):
    settings = make_settings(
        tmp_path_factory.mktemp("slow"),
        generator=SLOW,
        server={"waiting_answers": 2, "metrics": "open"},
    )
    SlowGenerator.reset()
    with listening(settings) as (client, app):
        ana = sign_up(client, "ana")
        place = make_collection(client, ana, "course")
        upload(client, ana, place, "tea.md", TEA)
        client.headers.update(ana)
        yield client, place, app


def wait_until(condition, seconds=60.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_leaves_before_the_first_token_stops_the_generation(slow, stream):
    client, place, _ = slow
    SlowGenerator.reset()
    body = json.dumps(QUESTION | {"stream": stream}).encode()
    address = httpx.URL(client.base_url)
    with socket.create_connection((address.host, address.port)) as leaving:
        leaving.sendall(
            f"POST {place}/answers HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            f"Authorization: {client.headers['Authorization']}\r\n"
            f"Content-Length: {len(body)}\r\n\r\n".encode()
            + body
        )
        assert SlowGenerator.began.acquire(timeout=60)
    left = time.monotonic()
    assert SlowGenerator.closed.acquire(timeout=60)
    assert time.monotonic() - left < LIMIT


def test_one_answer_is_generated_at_a_time_and_too_many_are_refused(slow):
    client, place, _ = slow
    SlowGenerator.reset()
    answers = []

    def ask():
        answers.append(client.post(f"{place}/answers", json=QUESTION))

    threads = [threading.Thread(target=ask) for _ in range(3)]
    threads[0].start()
    assert SlowGenerator.began.acquire(timeout=60)
    for thread in threads[1:]:
        thread.start()

    wait_until(lambda: 'generations{state="waiting"} 2.0' in client.get("/metrics").text)
    refused = client.post(f"{place}/answers", json=QUESTION | {"stream": True})
    assert (refused.status_code, refused.json()["code"]) == (503, "component_busy")
    assert int(refused.headers["Retry-After"]) >= 1
    SlowGenerator.allowed.set()
    for thread in threads:
        thread.join()
    assert [answer.status_code for answer in answers] == [200, 200, 200]
    assert SlowGenerator.most == 1


def test_the_connection_to_a_language_model_closes_when_the_client_leaves(tmp_path):
    closed, asked = threading.Event(), threading.Event()

    def serve(listener):
        connection, _ = listener.accept()
        with connection:
            connection.recv(65536)
            asked.set()
            # Not even the headers of an answer: the model reads the prompt.
            while connection.recv(65536):
                pass
            closed.set()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, args=(listener,), daemon=True).start()
        generator = {
            "type": "openai",
            "model": "slow",
            "base_url": f"http://127.0.0.1:{listener.getsockname()[1]}",
        }
        with listening(make_settings(tmp_path, generator=generator)) as (client, _):
            ana = sign_up(client, "ana")
            place = make_collection(client, ana, "course")
            upload(client, ana, place, "tea.md", TEA)
            with (
                httpx.Client(base_url=client.base_url, timeout=60) as leaving,
                leaving.stream(
                    "POST", f"{place}/answers", json=QUESTION | {"stream": True}, headers=ana
                ) as events,
            ):
                lines = events.iter_lines()
                assert next(lines) == "event: hits"
                assert asked.wait(60)
            left = time.monotonic()
            assert closed.wait(60)
            assert time.monotonic() - left < LIMIT


def test_an_answer_ends_at_its_deadline(tmp_path):
    SlowGenerator.reset()
    settings = make_settings(tmp_path, generator=SLOW, server={"answer_seconds": 0.3})
    with running(settings) as (client, _):
        ana = sign_up(client, "ana")
        place = make_collection(client, ana, "course")
        upload(client, ana, place, "tea.md", TEA)
        answer = client.post(f"{place}/answers", json=QUESTION, headers=ana)
        assert (answer.status_code, answer.json()["code"]) == (504, "deadline_exceeded")
        body = QUESTION | {"stream": True}
        events = events_of(client.post(f"{place}/answers", json=body, headers=ana).text)
        assert events[-1][0] == "error" and events[-1][2]["status"] == 504


def test_only_an_administrator_leaves_an_answer_out_of_the_log(client, ana, place):
    root = {"Authorization": f"Bearer {OWNER}"}
    unlogged = QUESTION | {"log": False}
    refused = client.post(f"{place}/answers", json=unlogged, headers=ana)
    assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
    for stream in (False, True):
        answer = client.post(f"{place}/answers", json=unlogged | {"stream": stream}, headers=root)
        assert answer.status_code == 200
        logged = client.get("/v1/answers/export", headers=root).text
        assert answer.headers["Kvasir-Answer"] not in logged


def test_a_collection_without_documents_says_so(client, ana):
    empty = make_collection(client, ana, "empty")
    upload(client, ana, empty, "tea.md", TEA)
    (record,) = client.get(f"{empty}/documents", headers=ana).json()
    found = client.post(f"{empty}/search", json={"query": "tea"}, headers=ana)
    assert "Kvasir-Note" not in found.headers
    client.delete(f"{empty}/documents/{record['id']}", headers=ana)
    found = client.post(f"{empty}/search", json={"query": "tea"}, headers=ana)
    assert found.json() == []
    assert found.headers["Kvasir-Note"] == "the collection has no documents"
    answer = client.post(f"{empty}/answers", json=QUESTION, headers=ana).json()
    assert (answer["refused"], "has no documents" in answer["text"]) == (True, True)


@contextmanager
def slow_stream(client, place, headers):
    """A stream whose generator has begun; gives a function that reads the last event."""
    SlowGenerator.reset()
    body = QUESTION | {"stream": True}
    with (
        httpx.Client(base_url=client.base_url, headers=headers, timeout=60) as asking,
        asking.stream("POST", f"{place}/answers", json=body) as events,
    ):
        lines = events.iter_lines()
        assert next(lines) == "event: hits"
        assert SlowGenerator.began.acquire(timeout=60)
        yield lambda: events_of("\n".join(["event: hits", *lines]))[-1]


@pytest.mark.parametrize("what", ["key revoked", "user disabled", "password changed", "login over"])
def test_a_credential_that_ends_ends_the_stream(slow, monkeypatch, what):
    client, place, app = slow
    monkeypatch.setattr("kvasir.frontends.api.streaming.CHECK_SECONDS", 0.1)
    accounts = app.services.accounts
    name = what.replace(" ", "-")
    headers, user = sign_up(client, name), accounts.user(name)
    client.put(f"{place}/access", json={"visibility": "public"}).raise_for_status()
    if what == "key revoked":
        key, secret = accounts.create_api_key(user.id, "a key", {Scope.READ})
        headers = {"X-API-Key": secret}
    if what == "login over":
        key = signing_key(None, app.settings.data_folder)
        claims = jwt.decode(headers["Authorization"].split()[1], key, algorithms=["HS256"])
        claims["exp"] = datetime.now(UTC) + timedelta(seconds=4)
        headers = {"Authorization": f"Bearer {jwt.encode(claims, key, algorithm='HS256')}"}
    with slow_stream(client, place, headers) as last_event:
        if what == "key revoked":
            accounts.revoke_api_key(user.id, key.id)
        elif what == "user disabled":
            accounts.change_user(user.id, disabled=True)
        elif what == "password changed":
            accounts.change_password(user.id, PASSWORD, "another good password")
        last = last_event()
    assert (last[0], last[2]["code"], last[2]["status"]) == ("error", "not_authenticated", 401)
    assert SlowGenerator.closed.acquire(timeout=60)


def test_a_whole_answer_is_refused_when_its_key_was_revoked_meanwhile(slow, monkeypatch):
    client, place, app = slow
    monkeypatch.setattr("kvasir.frontends.api.streaming.CHECK_SECONDS", 0.1)
    accounts = app.services.accounts
    key, secret = accounts.create_api_key(accounts.user("ana").id, "a key", {Scope.READ})
    SlowGenerator.reset()
    answers = []

    def ask():
        with httpx.Client(
            base_url=client.base_url, headers={"X-API-Key": secret}, timeout=60
        ) as asking:
            answers.append(asking.post(f"{place}/answers", json=QUESTION, timeout=60))

    thread = threading.Thread(target=ask)
    thread.start()
    assert SlowGenerator.began.acquire(timeout=60)
    accounts.revoke_api_key(accounts.user("ana").id, key.id)
    thread.join(60)
    assert answers[0].status_code == 401, answers[0].text


def test_a_stream_goes_on_when_others_lose_their_rights(slow, monkeypatch):
    client, place, app = slow
    monkeypatch.setattr("kvasir.frontends.api.streaming.CHECK_SECONDS", 0.05)
    sign_up(client, "carl")
    headers = {"Authorization": client.headers["Authorization"]}
    with slow_stream(client, place, headers) as last_event:
        app.services.accounts.change_user(app.services.accounts.user("carl").id, disabled=True)
        time.sleep(0.3)
        SlowGenerator.allowed.set()
        assert last_event()[0] == "answer"
