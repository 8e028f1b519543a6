"""Documents over HTTP: an upload is accepted and then indexed, shown, replaced and deleted."""

import asyncio
import errno
import hashlib
import itertools
import json
import threading
import time
import unicodedata
from io import BytesIO
from pathlib import Path

import pytest
from service_client import (
    TEA,
    documents,
    make_admin,
    make_collection,
    make_settings,
    running,
    send,
    sign_up,
    upload,
    wait_for,
)

from kvasir.core.run import Run
from kvasir.core.services.jobs import JobState, NewJob
from kvasir.core.types import Source
from kvasir.tasks import tidy


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    settings = make_settings(tmp_path_factory.mktemp("service"), server={"max_body_mb": 1})
    with running(settings) as made:
        yield made


_numbers = itertools.count()


@pytest.fixture
def place(client, ana):
    return make_collection(client, ana, f"course-{next(_numbers)}")


def spooled(app, content):
    return app.services.spool.has(hashlib.sha256(content.encode()).hexdigest())


def test_an_upload_is_accepted_and_then_found(client, ana, place):
    answer = send(client, ana, place, "tea.md", TEA, metadata='{"year": 2026}')
    assert answer.status_code == 202
    assert answer.headers["Location"] == f"/v1/jobs/{answer.json()['id']}"
    job = wait_for(client, ana, answer.json())
    assert job["result"]["added"] == ["upload:ana/tea.md"]
    (record,) = documents(client, ana, place)
    assert record["metadata"]["year"] == 2026
    body = {"query": "How hot is green tea?", "filters": "year=2026"}
    (hit, *_) = client.post(f"{place}/search", json=body, headers=ana).json()
    assert "80 degrees" in hit["chunk"]["text"]


def test_an_upload_and_a_look_at_its_job_can_wait_for_its_end(client, ana, place):
    answer = client.post(
        f"{place}/documents",
        params={"wait": 20},
        files={"file": ("tea.md", TEA.encode())},
        headers=ana,
    )
    assert (answer.status_code, answer.json()["state"]) == (202, "done")
    job = send(client, ana, place, "more.md", f"{TEA} More.").json()
    ended = client.get(answer.headers["Location"], params={"wait": 20}, headers=ana)
    assert ended.json()["state"] == "done"
    ended = client.get(f"/v1/jobs/{job['id']}", params={"wait": 20}, headers=ana)
    assert ended.json()["state"] == "done" and ended.headers["ETag"]


def test_text_passage_and_original_are_shown_without_rights_in_the_browser(client, ana, place):
    page = "<html><body><script>alert(1)</script><p>Green tea at 80 degrees.</p></body></html>"
    upload(client, ana, place, "a é\u202e.html", page)
    (record,) = documents(client, ana, place)
    one = f"{place}/documents/{record['id']}"
    text = client.get(f"{one}/text", headers=ana)
    assert text.headers["Content-Type"] == "text/plain; charset=utf-8"
    start = text.text.index("80 degrees")
    query = {"start": start, "end": start + 10, "around": 5}
    passage = client.get(f"{one}/passage", params=query, headers=ana).json()
    assert (passage["before"], passage["quote"]) == ("a at ", "80 degrees")
    original = client.get(f"{one}/original", headers=ana)
    assert original.text == page
    assert original.headers["Content-Type"] == "application/octet-stream"
    assert original.headers["Content-Disposition"].startswith('attachment; filename="a _.html"')
    for answer in (text, original):
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Content-Security-Policy"] == "sandbox"


def test_a_passage_beyond_the_text_is_refused(client, ana, place):
    upload(client, ana, place, "tea.md", TEA)
    (record,) = documents(client, ana, place)
    query = {"start": 5, "end": 5000}
    one = f"{place}/documents/{record['id']}/passage"
    assert client.get(one, params=query, headers=ana).status_code == 400


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("../../etc/passwd", "passwd"),
        ("..\\..\\boot.ini", "boot.ini"),
        ("/absolute/notes.md", "notes.md"),
        ("C:\\Users\\ana\\tea.md", "tea.md"),
        ("línea\u202e verde.md", "línea verde.md"),
    ],
)
def test_only_the_last_part_of_a_name_is_kept(client, ana, place, given, kept):
    answer = send(client, ana, place, given, TEA)
    assert answer.json()["arguments"]["uri"] == f"upload:ana/{kept}"


@pytest.mark.parametrize("first", ["NFC", "NFD"])
def test_a_name_in_composed_and_decomposed_letters_is_one_document(client, ana, place, first):
    forms = (first, "NFD" if first == "NFC" else "NFC")
    for number, form in enumerate(forms):
        name = unicodedata.normalize(form, "Gebühr.md")
        upload(client, ana, place, name, f"{TEA} Version {number}.")
    (record,) = documents(client, ana, place)
    assert record["source_uri"] == "upload:ana/Gebühr.md"


def test_a_document_with_a_decomposed_name_keeps_it(client, ana, place, server):
    name = unicodedata.normalize("NFD", "Gebühr.md")
    with server[1].collection(place.rpartition("/")[2]) as collection:
        collection.ingest((Source(f"upload:ana/{name}", "text/markdown"), TEA.encode()))
    upload(client, ana, place, "Gebühr.md", f"{TEA} Again.")
    (record,) = documents(client, ana, place)
    assert record["source_uri"] == f"upload:ana/{name}"


@pytest.mark.parametrize("name", ["..", ".", "a/..", "\u202e"])
def test_a_name_without_a_name_is_refused(client, ana, place, name):
    assert send(client, ana, place, name, TEA).status_code == 400


def test_the_source_names_the_document_and_is_never_opened(client, ana, place):
    upload(client, ana, place, "x.md", TEA, source="/etc/passwd")
    (record,) = documents(client, ana, place, source="/etc/passwd")
    assert "tea" in client.get(f"{place}/documents/{record['id']}/text", headers=ana).text


@pytest.mark.parametrize("form", [{"source": "a\x00b"}, {"source": "x" * 5000}])
def test_a_source_that_cannot_be_stored_is_refused(client, ana, place, form):
    assert send(client, ana, place, "a.md", TEA, **form).status_code in (400, 422)


@pytest.mark.parametrize(
    "metadata", ["[]", "{", '{"a": [[1]]}', '{"title": "x"}', '{"a": NaN}', '{"": 1}', "[" * 9000]
)
def test_metadata_that_cannot_be_kept_are_refused_before_anything_is_accepted(
    client, ana, place, metadata
):
    assert send(client, ana, place, "a.md", TEA, metadata=metadata).status_code in (400, 422)
    jobs = client.get("/v1/jobs", params={"collection": place.split("/")[-1]}, headers=ana).json()
    assert jobs == []


def test_a_wrong_type_fails_with_its_reason(client, ana, place):
    answer = send(client, ana, place, "photo.png", b"\x89PNG\r\n\x1a\n" + bytes(100))
    job = wait_for(client, ana, answer.json())
    assert (job["state"], job["code"]) == ("failed", "unreadable_source")
    assert job["message"]
    (record,) = documents(client, ana, place)
    assert record["status"] == "failed" and record["error_message"] == job["message"]
    # What failed can be deleted.
    one = f"{place}/documents/{record['id']}"
    assert client.delete(one, headers=ana).status_code == 204
    assert documents(client, ana, place) == []


def test_a_failed_job_can_be_tried_again_and_a_waiting_one_says_why(client, app, ana, place):
    answer = send(client, ana, place, "broken.pdf", b"%PDF-1.4 nothing")
    job = wait_for(client, ana, answer.json())
    assert job["state"] == "failed"
    # Its bytes are kept for the next try.
    tidy(app, Run())
    assert app.services.spool.has(job["arguments"]["digest"])
    again = client.post(f"/v1/jobs/{job['id']}/retry", headers=ana).json()
    assert again["state"] in ("waiting", "running", "failed")
    if again["state"] == "waiting":
        assert again["reason"]
    ended = wait_for(client, ana, again)
    assert (ended["state"], ended["code"]) == ("failed", "unreadable_source")
    tidy(app, Run())
    assert app.services.spool.has(job["arguments"]["digest"])
    assert client.post(f"/v1/jobs/{job['id']}/cancel", headers=ana).json()["state"] == "failed"


def test_bytes_that_cannot_be_deleted_stop_no_tidying(tmp_path, monkeypatch):
    with running(make_settings(tmp_path)) as (client, app):
        spool = app.services.spool
        digests = sorted(spool.put(BytesIO(data), max_bytes=9)[0] for data in (b"tea", b"coffee"))
        delete, tried = Path.unlink, []

        def refuse(path, **options):
            tried.append(path.name)
            if path.name == digests[0]:
                raise PermissionError(13, "Permission denied")
            if path.name == digests[1] and tried.count(path.name) == 1:
                raise ZeroDivisionError
            delete(path, **options)

        monkeypatch.setattr(Path, "unlink", refuse)
        for times in (1, 2):
            client.app.state.tidy_up()
            end = time.monotonic() + 60
            while tried.count(digests[1]) < times and time.monotonic() < end:
                time.sleep(0.01)
        while spool.has(digests[1]) and time.monotonic() < end:
            time.sleep(0.01)
        assert list(spool.digests()) == digests[:1]
        assert client.get("/ready").status_code == 200


def test_a_file_above_the_limit_is_refused_before_it_is_read(tmp_path):
    settings = make_settings(tmp_path, rag={"ingest": {"max_file_mb": 1, "workers": 1}})
    with running(settings) as (client, app):
        ana = sign_up(client, "ana")
        place = make_collection(client, ana, "small")
        # The form itself may be larger than the file.
        answer = send(client, ana, place, "big.txt", b"a" * (3 << 20))
        assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
        answer = send(client, ana, place, "big.txt", b"a" * ((1 << 20) + 1))
        assert (answer.status_code, answer.json()["code"]) == (413, "too_large")

        def endless():
            yield b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
            for _ in range(64):
                yield b"a" * (1 << 20)

        headers = ana | {"Content-Type": "multipart/form-data; boundary=x"}
        answer = client.post(f"{place}/documents", content=endless(), headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
        assert client.get("/v1/jobs", headers=ana).json() == []
        assert list(app.services.spool.digests()) == []


def sent_in_pieces(client, path, **headers):
    """Send a form of 8 MB; return the status, and how many of its pieces were read."""
    read, statuses = [], []
    head = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'

    async def receive():
        read.append(len(read))
        body = head if len(read) == 1 else b"a" * (1 << 20)
        return {"type": "http.request", "body": body, "more_body": len(read) < 9}

    async def answered(message):
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    given = {"content-type": "multipart/form-data; boundary=x", "host": "x"} | headers
    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": "POST",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in given.items()],
        "client": ("testclient", 1),
        "server": ("testserver", 80),
        "scheme": "http",
    }
    asyncio.run(client.app(scope, receive, answered))
    return statuses[0], len(read)


@pytest.mark.parametrize(
    "path",
    [
        "/v1/collections/any/documents",
        "/v1/collections/any/documents/batch",
        "/uploadfile/",
    ],
)
def test_a_file_of_nobody_is_refused_before_it_is_read(client, path):
    assert sent_in_pieces(client, path) == (401, 0)
    assert sent_in_pieces(client, path, authorization="Bearer nonsense") == (401, 0)


@pytest.mark.parametrize("path", ["/login", "/auth/forgot-password/", "/register"])
def test_a_form_without_a_file_may_not_be_as_large_as_a_file(client, path):
    assert sent_in_pieces(client, path) == (413, 2)


def test_a_full_disk_is_no_fault_of_the_caller(client, ana, place, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("kvasir.frontends.api.uploads._SharedFile.append", full)
    answer = send(client, ana, place, "a.txt", "A text.")
    assert (answer.status_code, answer.json()["code"]) == (500, "storage_unusable")
    assert "No space" not in answer.text


def test_another_body_above_the_limit_is_refused(client, ana, place):
    body = json.dumps({"query": "a" * (1 << 20)})
    headers = ana | {"Content-Type": "application/json"}
    assert client.post(f"{place}/search", content=body, headers=headers).status_code == 413


def test_an_upload_with_the_same_idempotency_key_is_one(client, ana, place):
    key = {"Idempotency-Key": place}
    first = send(client, ana, place, "a.md", TEA, more=key).json()
    second = send(client, ana, place, "a.md", TEA, more=key).json()
    assert first["id"] == second["id"]
    other = send(client, ana, place, "b.md", TEA, more=key)
    assert (other.status_code, other.json()["code"]) == (409, "conflict")
    wait_for(client, ana, first)
    assert len(documents(client, ana, place)) == 1


def test_replaced_and_deleted_bytes_leave_the_spool(client, app, ana, place):
    old, new = f"{TEA} Old.", f"{TEA} New."
    upload(client, ana, place, "a.md", old)
    upload(client, ana, place, "copy.md", old)
    assert spooled(app, old)
    upload(client, ana, place, "a.md", new)
    assert spooled(app, old), "the copy needs them"
    assert len(documents(client, ana, place)) == 2
    for record in documents(client, ana, place):
        client.delete(f"{place}/documents/{record['id']}", headers=ana)
    assert not spooled(app, old) and not spooled(app, new)


def test_a_deleted_collection_leaves_neither_bytes_nor_jobs(client, app, ana, place):
    content = f"{TEA} {place}"
    upload(client, ana, place, "a.md", content)
    assert client.delete(place, headers=ana).status_code == 204
    tidy(app, Run())
    assert not spooled(app, content)
    assert client.get(place, headers=ana).status_code == 404


def test_a_job_of_a_deleted_collection_does_not_write_into_the_next_one(client, app, ana):
    place = make_collection(client, ana, "passed-on")
    bob = sign_up(client, "bobby")
    upload(client, ana, place, "a.md", TEA)
    job = app.services.jobs.jobs(collection="passed-on")[0]
    client.delete(place, headers=ana)
    make_collection(client, bob, "passed-on")
    late = send(client, bob, place, "b.md", TEA).json()
    wait_for(client, bob, late)
    # Ana's job is tried again, as after a crash.
    again = app.services.jobs.add(NewJob(job.task, job.arguments, job.user_id, "passed-on"))
    ended = wait_for(client, ana, {"id": again.id})
    assert (ended["state"], ended["code"]) == ("failed", "forbidden")
    assert [each["source_uri"] for each in documents(client, bob, place)] == ["upload:bobby/b.md"]


def test_what_was_deleted_answers_no_more(client, ana, place):
    upload(client, ana, place, "a.md", TEA)
    (record,) = documents(client, ana, place)
    client.delete(f"{place}/documents/{record['id']}", headers=ana)
    hits = client.post(f"{place}/search", json={"query": "green tea"}, headers=ana).json()
    assert hits == []


@pytest.mark.parametrize(("conflict", "state"), [("skip", "done"), ("error", "failed")])
def test_on_conflict_holds(client, ana, place, conflict, state):
    upload(client, ana, place, "a.md", TEA)
    answer = send(client, ana, place, "a.md", f"{TEA} More.", on_conflict=conflict)
    job = wait_for(client, ana, answer.json())
    assert job["state"] == state
    assert job["code"] == ("conflict" if state == "failed" else "")
    (record,) = documents(client, ana, place)
    assert "More" not in client.get(f"{place}/documents/{record['id']}/text", headers=ana).text


def test_metadata_can_be_replaced(client, ana, place):
    upload(client, ana, place, "a.md", TEA)
    (record,) = documents(client, ana, place)
    one = f"{place}/documents/{record['id']}"
    answer = client.put(f"{one}/metadata", json={"metadata": {"year": 1}}, headers=ana)
    assert answer.json()["metadata"]["year"] == 1
    tags = {"tags": ["pump", 3], "date": "2024-03-15"}
    answer = client.put(f"{one}/metadata", json={"metadata": tags}, headers=ana)
    assert answer.json()["given"] == tags
    for wrong in ({"title": "x"}, {"a": 2**70}, {"a": [[1]]}):
        answer = client.put(f"{one}/metadata", json={"metadata": wrong}, headers=ana)
        assert answer.status_code in (400, 422), wrong


def test_pages_neither_skip_nor_repeat_while_the_list_changes(client, ana, place):
    for name in "bdfh":
        upload(client, ana, place, f"{name}.md", f"{TEA} {name}")
    first = documents(client, ana, place, limit=2)
    upload(client, ana, place, "a.md", f"{TEA} a")
    upload(client, ana, place, "g.md", f"{TEA} g")
    rest = documents(client, ana, place, after=first[-1]["source_uri"], limit=10)
    names = [each["source_uri"][-4:-3] for each in [*first, *rest]]
    assert names == list("bdfgh")


def test_a_body_that_did_not_change_is_not_sent_twice(client, ana, place):
    upload(client, ana, place, "a.md", TEA)
    for path in (f"{place}/documents", place, "/v1/collections", "/v1/jobs"):
        first = client.get(path, headers=ana)
        second = client.get(path, headers=ana | {"If-None-Match": first.headers["ETag"]})
        assert (second.status_code, second.content) == (304, b""), path
    upload(client, ana, place, "b.md", TEA)
    third = client.get(f"{place}/documents", headers=ana | {"If-None-Match": first.headers["ETag"]})
    assert third.status_code == 200


def test_two_hundred_uploads_at_once_are_all_indexed_once(tmp_path):
    # A store without files: this is about the queue.
    memory = {"type": "kvasir.testing.fakes:MemoryStore", "uri": str(tmp_path)}
    with running(make_settings(tmp_path, rag={"vectordb": memory})) as (client, app):
        ana = sign_up(client, "ana")
        place = make_collection(client, ana, "course")
        answers = []

        def one(number):
            content = f"Note {number} is about item{number}."
            answers.append(send(client, ana, place, f"{number:03}.txt", content))

        threads = [threading.Thread(target=one, args=(n,)) for n in range(200)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert {answer.status_code for answer in answers} == {202}
        for answer in answers:
            assert wait_for(client, ana, answer.json(), seconds=120)["state"] == "done"
        assert len(documents(client, ana, place, limit=1000)) == 200
        body = {"query": "item137", "top_k": 3}
        hits = client.post(f"{place}/search", json=body, headers=ana).json()
        assert "item137" in hits[0]["chunk"]["text"]
        assert app.services.jobs.counts()[JobState.WAITING] == 0


def test_an_administrator_sees_all_jobs_and_others_their_own(client, app, ana, place):
    job = upload(client, ana, place, "a.md", TEA)
    bob = sign_up(client, "robert")
    assert client.get(f"/v1/jobs/{job['id']}", headers=bob).status_code == 404
    assert client.get("/v1/jobs", headers=bob).json() == []
    root = make_admin(client, app, "chief")
    assert job["id"] in [each["id"] for each in client.get("/v1/jobs", headers=root).json()]
