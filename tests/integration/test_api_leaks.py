"""Nothing of one user's documents reaches another one: their documents differ in one word."""

import json
import time

import pytest
from service_client import (
    make_admin,
    make_collection,
    make_settings,
    running,
    send,
    sign_up,
    upload,
)

from kvasir.core.errors import ComponentError, StorageError

TEXT = "The password of the observatory is {}. It was chosen on a Tuesday."
SECRETS = {"ana": "nightingale", "bob": "woodpecker"}
QUESTION = "What is the password of the observatory?"


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    settings = make_settings(tmp_path_factory.mktemp("leaks"))
    with running(settings) as (client, app):
        callers = {name: sign_up(client, name) for name in SECRETS}
        places = {}
        for name, secret in SECRETS.items():
            headers = callers[name]
            places[name] = make_collection(client, headers, f"{name}-only")
            upload(client, headers, places[name], f"{secret}.txt", TEXT.format(secret))
        root = make_admin(client, app)
        yield client, app, callers, places, root


def both(world):
    _, _, callers, places, _ = world
    for me, other in (("ana", "bob"), ("bob", "ana")):
        yield callers[me], places[me], places[other], SECRETS[me], SECRETS[other], other


def test_searches_and_answers_have_ones_own_word_alone(world):
    client = world[0]
    for headers, mine, _, own, foreign, _ in both(world):
        for path, body in (
            ("search", {"query": QUESTION, "top_k": 100}),
            ("search", {"query": foreign, "top_k": 100}),
            ("answers", {"question": QUESTION, "top_k": 100}),
            ("answers", {"question": QUESTION, "stream": True}),
            ("answers", {"question": f"Who is {foreign}?"}),
        ):
            answer = client.post(f"{mine}/{path}", json=body, headers=headers)
            assert answer.status_code == 200
            text = answer.text.replace(body.get("query", ""), "")
            text = text.replace(body.get("question", ""), "")
            assert foreign not in text, (path, body)
            if QUESTION in body.values():
                assert own in text


def test_other_programs_interfaces_and_the_export_have_ones_own_word_alone(world):
    client = world[0]
    for headers, mine, theirs, own, foreign, other in both(world):
        my_name, their_name = (place.rsplit("/", 1)[1] for place in (mine, theirs))
        client.post(f"{mine}/answers", json={"question": QUESTION}, headers=headers)
        for path in ("/v1/models", "/v1/answers/export", "/v1/questions"):
            text = client.get(path, headers=headers).text
            # A question of one's own has the word.
            text = text.replace(f"Who is {foreign}?", "")
            assert foreign not in text and their_name not in text, path
            if "export" in path:
                assert own in text
        for stream in (False, True):
            chat = {"messages": [{"role": "user", "content": QUESTION}], "stream": stream}
            answer = client.post(
                "/v1/chat/completions", json=chat | {"model": my_name}, headers=headers
            )
            assert own in answer.text and foreign not in answer.text
            texts = []
            for name in (their_name, "does-not-exist"):
                refused = client.post(
                    "/v1/chat/completions", json=chat | {"model": name}, headers=headers
                )
                assert refused.status_code == 404
                texts.append(refused.text.replace(name, "NAME"))
            assert texts[0] == texts[1]
        asked = {"input": QUESTION, "collection": their_name}
        assert client.post("/v1/questions", json=asked, headers=headers).status_code == 404
        call = {"name": "search", "arguments": {"query": QUESTION}}
        request = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": call}
        version = {"MCP-Protocol-Version": "2025-11-25", "Accept": "application/json"}
        found = client.post("/mcp", json=request, headers=headers | version)
        assert foreign not in found.text and other + "-only" not in found.text


def test_another_users_collection_looks_like_one_that_does_not_exist(world):
    client = world[0]
    for headers, _, theirs, _, foreign, other in both(world):
        unknown = theirs.replace(f"{other}-only", "does-not-exist")
        for method, path, body in (
            ("GET", "", None),
            ("GET", "/documents", None),
            ("GET", "/documents?source=" + f"upload:{other}/{foreign}.txt", None),
            ("GET", "/documents/x/text", None),
            ("GET", "/access", None),
            ("DELETE", "", None),
            ("POST", "/search", {"query": QUESTION}),
            ("POST", "/answers", {"question": QUESTION}),
            ("POST", "/answers", {"question": QUESTION, "stream": True}),
            ("POST", "/documents/from-url", {"url": "https://example.org/"}),
            ("POST", "/documents/from-web", {"query": QUESTION}),
        ):
            answers = [
                client.request(method, place + path, json=body, headers=headers)
                for place in (theirs, unknown)
            ]
            texts = []
            for answer, name in zip(answers, (f"{other}-only", "does-not-exist"), strict=True):
                assert answer.status_code == 404, (method, path)
                found = answer.json()
                found.pop("request_id")
                texts.append(json.dumps(found).replace(name, "NAME"))
            assert texts[0] == texts[1]
            assert foreign not in texts[0] and "-only" not in texts[0]


def test_lists_errors_and_jobs_do_not_name_what_is_another_users(world):
    client = world[0]
    for headers, mine, _, _, foreign, other in both(world):
        paths = ["/v1/collections", "/v1/jobs", f"/v1/jobs?collection={other}-only"]
        paths += [f"{mine}/documents", mine, f"{mine}/access"]
        # An empty collection of one's own: the catalog's error would name all.
        for path in paths:
            text = client.get(path, headers=headers).text
            assert foreign not in text and f"{other}-only" not in text, path
        empty = f"empty-{other}"
        make_collection(client, headers, empty)
        for method, path, body in (
            ("POST", "search", {"query": "tea"}),
            ("POST", "answers", {"question": "tea?"}),
            ("POST", "answers", {"question": "tea?", "stream": True}),
            ("GET", "documents", None),
        ):
            answer = client.request(
                method, f"/v1/collections/{empty}/{path}", json=body, headers=headers
            )
            assert f"{other}-only" not in answer.text, path


def test_another_users_job_and_answer_do_not_exist(world):
    client, app, callers, _, _ = world
    for headers, _, theirs, _, _, other in both(world):
        (job,) = app.services.jobs.jobs(collection=f"{other}-only")
        for method, action in (("GET", ""), ("POST", "/retry"), ("POST", "/cancel")):
            answer = client.request(method, f"/v1/jobs/{job.id}{action}", headers=headers)
            assert answer.status_code == 404
        asked = client.post(
            f"{theirs}/answers", json={"question": QUESTION}, headers=callers[other]
        )
        feedback = f"/v1/answers/{asked.headers['Kvasir-Answer']}/feedback"
        assert client.post(feedback, json={"rating": 1}, headers=headers).status_code == 404


def test_the_same_bytes_are_kept_once_and_stay_for_the_other_user(world):
    client, _, callers, places, _ = world
    for name in SECRETS:
        upload(client, callers[name], places[name], "same.txt", "The same note for both.")
    ana, mine = callers["ana"], places["ana"]
    (record,) = client.get(
        f"{mine}/documents", params={"source": "upload:ana/same.txt"}, headers=ana
    ).json()
    client.delete(f"{mine}/documents/{record['id']}", headers=ana)
    bob, theirs = callers["bob"], places["bob"]
    (other,) = client.get(
        f"{theirs}/documents", params={"source": "upload:bob/same.txt"}, headers=bob
    ).json()
    original = client.get(f"{theirs}/documents/{other['id']}/original", headers=bob)
    assert original.text == "The same note for both."


def test_sharing_and_taking_back_hold_at_once(world):
    client, _, callers, places, _ = world
    ana, bob, place = callers["ana"], callers["bob"], places["ana"]

    def status():
        return client.post(f"{place}/search", json={"query": "password"}, headers=bob).status_code

    def share(**rights):
        changed = {"visibility": "shared", **rights}
        assert client.put(f"{place}/access", json=changed, headers=ana).status_code == 200

    assert status() == 404
    share(readers=["bob"])
    assert status() == 200
    # A reader may not write, and may not see the rights.
    files = {"file": ("a.txt", b"x")}
    assert client.post(f"{place}/documents", files=files, headers=bob).status_code == 403
    assert client.delete(place, headers=bob).status_code == 403
    share(visibility="private")
    assert status() == 404


@pytest.mark.parametrize(
    "error",
    [
        ComponentError("store", "writing", "http://10.9.8.7:6333 refuses", kind="unreachable"),
        StorageError("http://10.9.8.7:6333 is full"),
        ZeroDivisionError("http://10.9.8.7:6333"),
    ],
)
def test_a_failed_job_shows_its_user_nothing_of_the_installation(world, monkeypatch, error):
    client, _, callers, places, root = world
    ana = callers["ana"]

    def fail(*_):
        raise error

    monkeypatch.setattr("kvasir.frontends.api.background.perform", fail)
    job = send(client, ana, places["ana"], "x.txt", "A text.").json()["id"]
    paths = (f"/v1/jobs/{job}", "/v1/jobs?limit=1")
    while "10.9.8.7" not in client.get(paths[0], headers=root).text:
        time.sleep(0.02)
    for answer in (
        *(client.get(path, headers=ana) for path in paths),
        client.post(f"{paths[0]}/cancel", headers=ana),
    ):
        assert answer.status_code == 200 and "10.9.8.7" not in answer.text
        assert "a part of the service" in answer.text or "has a fault" in answer.text


def test_logs_have_neither_questions_nor_credentials(world, caplog):
    client, _, callers, places, _ = world
    caplog.set_level("INFO")
    ana, place = callers["ana"], places["ana"]
    client.post(f"{place}/search", json={"query": "where is the flamingo"}, headers=ana)
    client.post(f"{place}/answers", json={"question": "where is the flamingo?"}, headers=ana)
    client.get(f"{place}/documents?prefix=flamingo", headers=ana)
    client.get("/v1/jobs?token=flamingo", headers=ana)
    client.post("/login", data={"username": "ana", "password": "flamingo flamingo"})
    client.post("/login", data={"username": "flamingo", "password": "x"})
    client.post("/user/", json={"email": "x", "username": "f", "password": "flamingo"})
    # The test's own client logs addresses.
    records = [record for record in caplog.records if not record.name.startswith("httpx")]
    logged = "".join(f"{record.getMessage()} {vars(record)}" for record in records)
    assert "/v1/collections/ana-only/search 200" in logged
    token = ana["Authorization"].removeprefix("Bearer ")
    for secret in ("flamingo", token, SECRETS["ana"]):
        assert secret not in logged
