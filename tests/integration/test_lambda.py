"""The function of AWS Lambda, driven by Lambda's own runtime client; S3 is moto's server."""

import io
import json
import subprocess
import sys
from datetime import timedelta

import boto3
import pytest
from chroma_server import chroma_server
from fastapi.testclient import TestClient
from free_ports import free_port
from lambda_runtime import (
    LambdaFunction,
    function_url,
    load_balancer,
    rest_api,
    s3_record,
    sns_event,
    sqs_event,
)
from moto.server import ThreadedMotoServer

from kvasir.app import App
from kvasir.core.services.accounts import Role, Scope
from kvasir.core.services.jobs import BATCH, JobState, NewJob, digests_of
from kvasir.frontends.api.application import make_application
from kvasir.frontends.aws_lambda.objects import Change, changes_of
from kvasir.frontends.aws_lambda.process import LambdaProcess, unshared
from kvasir.settings.loading import derive_settings, load_settings

pytestmark = pytest.mark.xdist_group("lambda")

QUESTION = {"query": "How hot is green tea?"}
TEA = "# Tea\n\nGreen tea is brewed at 80 degrees Celsius.\n"


@pytest.fixture(scope="module")
def s3():
    server = ThreadedMotoServer("127.0.0.1", free_port())
    server.start()
    address = "http://{}:{}".format(*server.get_host_and_port())
    client = boto3.client(
        "s3",
        endpoint_url=address,
        region_name="eu-west-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )
    where = {"LocationConstraint": "eu-west-1"}
    client.create_bucket(Bucket="docs", CreateBucketConfiguration=where)
    yield client
    client.close()
    server.stop()


@pytest.fixture(scope="module")
def function(tmp_path_factory, s3):
    folder = tmp_path_factory.mktemp("lambda")
    (folder / "chroma").mkdir()
    with chroma_server(folder / "chroma") as store:
        settings = {
            "environment": "lambda",
            "data_dir": str(folder / "kvasir-data"),
            "collection": "tea",
            "rag": {
                "vectordb": {"type": "chroma"},
                "embedding_model": {"type": "kvasir.testing.fakes:FakeEmbedder"},
                "ingest": {"workers": 1},
            },
        }
        environment = {
            "QDRANT_URL": store,
            "PROJECT_NAME": "scalable-rag",
            "DEBUG": "True",
            "AWS_ENDPOINT_URL_S3": s3.meta.endpoint_url,
        }
        with LambdaFunction(folder, settings, environment) as running:
            with App(load_settings(folder / "kvasir.yaml", {}, environment)) as app:
                accounts = app.services.accounts
                user = accounts.register("ana@example.org", "ana", "secret horse", role=Role.ADMIN)
                running.key = accounts.create_api_key(user.id, "a test", set(Scope))[1]
            yield running


@pytest.fixture
def ask(function):
    def ask(method, path, body=None, **options):
        headers = {"x-api-key": function.key} | options.pop("headers", {})
        return function.request(method, path, headers=headers, body=body, **options)

    return ask


@pytest.fixture
def documents(ask):
    def documents():
        status, _, body = ask("GET", "/v1/collections/tea/documents")
        return {each["source_uri"] for each in json.loads(body)} if status == 200 else set()

    return documents


def put(s3, key, text):
    s3.put_object(Bucket="docs", Key=key, Body=text)
    return s3_record("docs", key)


def test_an_object_is_indexed_answered_and_forgotten_again(function, s3, ask, documents):
    assert function.invoke({"Records": [put(s3, "tea.md", TEA)]}) == ("response", {"done": 1})
    status, _, body = ask("GET", "/api/v1/health")
    assert (status, json.loads(body)) == (200, {"status": True})
    for kind in ("function url", "rest", "load balancer"):
        status, headers, body = ask("POST", "/api/v1/predict", QUESTION, kind=kind)
        assert status == 200, body
        assert list(json.loads(body)) == ["response"]
        assert "80 degrees" in json.loads(body)["response"]
        assert headers["kvasir-answer"]
    question = {"question": QUESTION["query"]}
    status, _, body = ask("POST", "/v1/collections/tea/answers", question, kind="rest")
    assert status == 200, body
    assert json.loads(body)["citations"][0]["source_uri"] == "s3://docs/tea.md"
    status, _, body = ask("GET", "/openapi.json")
    assert json.loads(body)["info"]["title"] == "scalable-rag"
    by_topic = sns_event({"Records": [put(s3, "tea.md", TEA)]})
    assert function.invoke(by_topic) == ("response", {"done": 1})
    s3.delete_object(Bucket="docs", Key="tea.md")
    gone = s3_record("docs", "tea.md", "ObjectRemoved:Delete")
    assert function.invoke({"Records": [gone]})[0] == "response"
    assert documents() == set()
    # Events come twice.
    assert function.invoke({"Records": [gone]})[0] == "response"


def test_of_a_batch_only_the_messages_that_failed_are_repeated(function, s3, documents):
    good = put(s3, "a folder/green tea.md", TEA) | s3_record("docs", "a+folder/green+tea.md")
    damaged = put(s3, "damaged.pdf", "%PDF-1.7\nthe rest is missing")
    deleted = s3_record("docs", "never-there.md")
    by_topic = {"Type": "Notification", "Message": json.dumps({"Records": [deleted]})}
    by_bridge = {
        "source": "aws.s3",
        "detail-type": "Object Created",
        "detail": {"bucket": {"name": "docs"}, "object": {"key": "white.md"}},
    }
    put(s3, "white.md", "# White tea\n\nWhite tea needs 70 degrees Celsius.\n")
    batch = sqs_event(
        {"Records": [good]},
        {"Records": [damaged]},
        by_topic,
        "not JSON",
        by_bridge,
        {"Event": "s3:TestEvent", "Bucket": "docs"},
        {"url": "http://127.0.0.1:9/private.html"},
    )
    outcome, reply = function.invoke(batch)
    assert outcome == "response"
    failed = [each["itemIdentifier"] for each in reply["batchItemFailures"]]
    assert failed == ["1", "3", "6"]
    # It is listed as failed, with the reason.
    good = documents() - {"s3://docs/damaged.pdf"}
    assert good == {"s3://docs/a folder/green tea.md", "s3://docs/white.md"}
    log = function.output
    assert "message 1 failed: " in log
    assert "Traceback" not in log


def test_a_schedule_keeps_the_index_equal_to_a_bucket(function, s3, documents):
    for name in ("oolong", "black"):
        put(s3, f"lists/{name}.md", f"# Tea\n\nThe {name} tea needs 85 degrees Celsius.\n")
    assert function.invoke({"sync": "s3://docs/lists"}) == ("response", {"done": 1})
    assert {"s3://docs/lists/oolong.md", "s3://docs/lists/black.md"} <= documents()
    s3.delete_object(Bucket="docs", Key="lists/black.md")
    assert function.invoke({"sync": "s3://docs/lists"}) == ("response", {"done": 1})
    assert {uri for uri in documents() if "/lists/" in uri} == {"s3://docs/lists/oolong.md"}
    assert "0 added, 0 replaced, 1 unchanged, 1 removed, 0 failed, 0 left" in function.output
    outcome, reply = function.invoke({"sync": "/etc/passwd"})
    assert outcome == "error"
    assert "neither a bucket nor the address" in reply["errorMessage"]


def test_a_fifo_queue_keeps_its_order_behind_a_failure(function, s3, documents):
    before = documents()
    late = put(s3, "late.md", TEA)
    outcome, reply = function.invoke(
        sqs_event("not JSON", {"Records": [late]}, queue_name="documents.fifo")
    )
    assert outcome == "response"
    assert [each["itemIdentifier"] for each in reply["batchItemFailures"]] == ["0", "1"]
    assert documents() == before


def test_an_upload_is_indexed_before_its_request_is_answered(function, ask, documents):
    form = (
        b"--limit\r\nContent-Disposition: form-data; name=file; filename=black.md\r\n"
        b"Content-Type: text/markdown\r\n\r\n# Black tea\n\nBlack tea: 95 degrees.\n"
        b"\r\n--limit--\r\n"
    )
    headers = {"content-type": "multipart/form-data; boundary=limit"}
    status, _, body = ask("POST", "/uploadfile/", form, headers=headers)
    assert status == 200, body
    job = json.loads(ask("GET", json.loads(body)["new_file_path"])[2])
    assert job["state"] == "done", job
    assert any(uri.endswith("black.md") for uri in documents())


def instance(folder, name):
    """Return an instance of the function: the databases are shared, its disk is its own."""
    database = f"sqlite:///{folder}/shared.db"
    chosen = {
        "environment": "lambda",
        "data_dir": str(folder / name),
        "catalog.url": database,
        "database.url": database,
        "rag.embedding_model.type": "kvasir.testing.fakes:FakeEmbedder",
        "rag.ingest.workers": 1,
        "server.job_workers": 0,
        "server.share_index": False,
    }
    return App(load_settings({}, chosen, {}))


def test_an_instance_leaves_an_upload_to_the_one_that_has_its_bytes(tmp_path):
    with instance(tmp_path, "mine") as mine, instance(tmp_path, "other") as other:
        digest, size = mine.services.spool.put(io.BytesIO(TEA.encode()), max_bytes=1000)
        source = {"uri": "upload:ana/tea.md", "media_type": "", "digest": digest, "size": size}
        jobs = mine.services.jobs
        job = jobs.add(NewJob("ingest_upload", source, collection="tea", digest=digest)).id
        batch = {"sources": [source | {"uri": "upload:ana/more.md"}]}
        batch = jobs.add(NewJob("ingest_batch", batch, collection="tea", digest=BATCH)).id
        for app, state in ((other, JobState.WAITING), (mine, JobState.DONE)):
            process = LambdaProcess(app)
            process._has_job.set()
            process._do_jobs()
            assert [jobs.job(each).state for each in (job, batch)] == [state, state]


def test_an_instance_leaves_the_jobs_that_are_of_workers_to_them(tmp_path):
    with instance(tmp_path, "mine") as app:
        jobs, spool = app.services.jobs, app.services.spool
        texts, _ = spool.put(io.BytesIO(b"{}"), max_bytes=1000)
        chunks = jobs.add(NewJob("embed_chunks", {"texts": texts}, collection="tea"))
        folder = jobs.add(NewJob("ingest_folder", {"folder": "/course"}, collection="tea"))
        assert digests_of(chunks.arguments) == [texts]
        process = LambdaProcess(app)
        process._has_job.set()
        process._do_jobs()
        assert [jobs.job(each.id).attempts for each in (chunks, folder)] == [0, 0]


def test_an_upload_is_found_behind_a_hundred_jobs_of_others(tmp_path):
    """The bytes of the others are on the disks of instances that have ended."""
    with instance(tmp_path, "mine") as app:
        jobs = app.services.jobs
        digest, _ = app.services.spool.put(io.BytesIO(TEA.encode()), max_bytes=1000)
        source = {"uri": "upload:ana/tea.md", "media_type": "", "digest": digest}
        mine = jobs.add(NewJob("ingest_upload", source, collection="tea", digest=digest))
        for number in range(100):
            lost = source | {"digest": f"{number:064}"}
            jobs.add(NewJob("ingest_upload", lost, collection="tea", digest=lost["digest"]))
        process = LambdaProcess(app)
        process._has_job.set()
        process._do_jobs()
        assert jobs.job(mine.id).state is JobState.DONE


@pytest.mark.parametrize("is_of_a_server", [False, True])
def test_an_upload_fails_whose_instance_has_ended(tmp_path, monkeypatch, is_of_a_server):
    """A server with a long queue on the same database may still have the bytes of its own."""
    with instance(tmp_path, "ended") as ended, instance(tmp_path, "other") as other:
        api = LambdaProcess(ended)._http.app if not is_of_a_server else make_application(ended)
        api.state.takes_jobs = True
        user = ended.services.accounts.register("ana@x.org", "ana", "secret horse", role=Role.ADMIN)
        _, key = ended.services.accounts.create_api_key(user.id, "a test", set(Scope))
        client = TestClient(api, headers={"x-api-key": key})
        file = {"file": ("tea.md", TEA, "text/markdown")}
        assert client.post("/v1/collections/default/documents", files=file).status_code == 202
        process, jobs = LambdaProcess(other), other.services.jobs

        def state_after_a_request():
            process._has_job.set()
            process._do_jobs()
            return jobs.jobs()[0].state

        assert state_after_a_request() is JobState.WAITING
        monkeypatch.setattr("kvasir.frontends.aws_lambda.process._LOST_AFTER", timedelta(0))
        if is_of_a_server:
            assert state_after_a_request() is JobState.WAITING
        else:
            assert state_after_a_request() is JobState.FAILED
            assert "send it again" in jobs.jobs()[0].message


def test_a_folder_of_uploads_that_other_instances_do_not_see_is_told(tmp_path):
    with instance(tmp_path, "mine") as app:
        assert any("bytes of uploads for itself" in each for each in unshared(app.settings))
        chosen = derive_settings(app.settings, {"server.spool": "s3://bucket/uploads"})
        assert not any("bytes of uploads" in each for each in unshared(chosen))


def test_the_image_that_only_streams_refuses_uploads(tmp_path):
    """Its server has no worker, and nobody else has its folder of uploads."""
    with instance(tmp_path, "stream") as app:
        user = app.services.accounts.register("ana@x.org", "ana", "secret horse", role=Role.ADMIN)
        _, key = app.services.accounts.create_api_key(user.id, "a test", set(Scope))
        with TestClient(make_application(app), headers={"x-api-key": key}) as client:
            file = {"file": ("tea.md", TEA, "text/markdown")}
            address = {"url": "https://x.example/"}
            for reply in (
                client.post("/v1/collections/default/documents", files=file),
                client.post("/uploadfile/", files=file),
                client.post("/v1/collections/default/documents/from-url", json=address),
            ):
                assert reply.status_code == 400, reply.text
                assert "only answers" in reply.text
        assert not list(app.services.spool.digests())
        assert app.services.jobs.jobs() == []


@pytest.mark.parametrize("make", [function_url, rest_api, load_balancer])
def test_errors_are_sent_as_text_and_bytes_in_base64(function, ask, make):
    """What receives it decodes Base64 only where the types of binary bodies say so."""
    _, refused = function.invoke(make("POST", "/api/v1/predict", {}, QUESTION))
    assert (refused["statusCode"], refused["isBase64Encoded"]) == (401, False)
    assert json.loads(refused["body"])["code"] == "not_authenticated"
    headers = {"x-api-key": function.key, "content-type": "application/json"}
    # As API Gateway sends it where all types may be binary.
    body = json.dumps({"name": make.__name__}).encode()
    _, made = function.invoke(make("POST", "/v1/collections", headers, body))
    assert (made["statusCode"], made["isBase64Encoded"]) == (201, False)
    _, exported = function.invoke(make("GET", "/v1/backup", headers, None))
    assert (exported["statusCode"], exported["isBase64Encoded"]) == (200, True)


_LOADED = """
import gc, json, sys
from kvasir.frontends.aws_lambda import handler
names = ("kvasir.answering.answers", "kvasir.components.stores.qdrant_server", "openvino")
print(json.dumps([gc.isenabled(), [name in sys.modules for name in names]]))
"""


def test_model_and_code_are_loaded_before_the_first_event(tmp_path):
    settings = {"rag": {"vectordb": {"type": "qdrant-server", "uri": "http://127.0.0.1:9"}}}
    (tmp_path / "kvasir.yaml").write_text(json.dumps(settings), "utf-8")
    command = [sys.executable, "-c", _LOADED]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout.splitlines()[-1]) == [True, [True, True, True]]


def test_what_is_no_event_of_ours_is_an_error_of_the_function(function):
    outcome, reply = function.invoke({"hello": "world"})
    assert outcome == "error"
    assert reply["errorType"] == "RequestError"
    assert "API Gateway" in reply["errorMessage"]


def test_a_request_without_a_key_is_refused_and_logged_once(function):
    assert function.request("POST", "/api/v1/predict", body=QUESTION)[0] == 401
    log = function.output
    assert log.count("each instance has a catalog and accounts of its own in SQLite") == 1
    assert log.count("each instance signs logins with a key of its own") == 1
    assert "each instance has an index of its own" not in log


@pytest.mark.parametrize(
    ("event", "found"),
    [
        ({"Records": [s3_record("b", "a%2Fb+c%C3%B1.md")]}, [Change("b", "a/b cñ.md")]),
        (
            {"url": "https://x.example/", "collection": "c"},
            [Change("", "", "https://x.example/", "c")],
        ),
        ({"sync": "s3://b/docs"}, [Change(listing="s3://b/docs")]),
        (sns_event({"Records": [s3_record("b", "tea.md")]}), [Change("b", "tea.md")]),
        (sns_event({"Event": "s3:TestEvent", "Bucket": "b"}), []),
        (sns_event({"sync": "s3://b/docs"}), [Change(listing="s3://b/docs")]),
        ({"Records": [{"eventSource": "aws:kinesis"}]}, None),
        ({"source": "aws.s3", "detail-type": "Object Tags Added", "detail": {}}, None),
        ({}, None),
    ],
)
def test_events_name_objects_and_addresses(event, found):
    assert changes_of(event) == found
