"""The interfaces of requirement documents 002 and 003, driven by curl."""

import json
import subprocess
import time

import pytest
from live_server import ROCKETS

pytestmark = pytest.mark.xdist_group("clients")

QUESTION = json.dumps({"query": "At how many degrees is green tea brewed?"})
JSON = ("-H", "Content-Type: application/json")


@pytest.fixture(scope="module")
def curl(server):
    """Run curl; return status, body and media type."""

    def run(path, *arguments, user=None):
        key = ("-H", f"x-api-key: {server.keys[user]}") if user else ()
        written = "\n%{http_code} %{content_type}"
        done = subprocess.run(
            ["curl", "-sS", "-w", written, *key, *arguments, server.url + path],
            capture_output=True,
            text=True,
            check=True,
        )
        body, _, last = done.stdout.rpartition("\n")
        status, _, media_type = last.partition(" ")
        return int(status), body, media_type

    return run


@pytest.fixture(scope="module")
def swagger(curl):
    return json.loads(curl("/openapi.json")[1])


def titles(swagger, path, method):
    """Return an operation's summary and the titles of its body's and answer's schemas."""
    operation = swagger["paths"][path][method]

    def title(content):
        schema = next(iter(content.values()))["schema"]
        name = schema.get("$ref", "").rpartition("/")[2]
        return swagger["components"]["schemas"][name]["title"] if name else schema.get("title")

    body = operation.get("requestBody")
    return (
        operation["summary"],
        title(body["content"]) if body else None,
        title(operation["responses"]["200"]["content"]),
    )


# Document 002


def test_uploadfile_takes_a_file_as_document_002_has_it(server, curl, tmp_path):
    (tmp_path / "engines.md").write_text(ROCKETS)
    form = ("-F", f"file=@{tmp_path}/engines.md;type=text/markdown")
    status, body, media_type = curl("/uploadfile/", *form, user="ana")
    assert (status, media_type) == (200, "application/json")
    answer = json.loads(body)
    assert set(answer) == {"status", "original_filename", "new_filename", "new_file_path"}
    assert (answer["status"], answer["original_filename"]) == ("success", "engines.md")
    assert answer["new_filename"].endswith(".md")
    for _ in range(300):
        job = json.loads(curl(answer["new_file_path"], user="ana")[1])
        if job["state"] not in ("waiting", "running"):
            break
        time.sleep(0.02)
    assert job["state"] == "done", job
    question = json.dumps({"query": "What is the chamber pressure?"})
    assert "250 bar" in curl("/completion/", *JSON, "-d", question, user="ana")[1]
    with server.app.collection("tea") as collection:
        collection.delete("upload:ana/engines.md")


def test_completion_streams_text_as_document_002_has_it(server, curl):
    status, body, media_type = curl("/completion/", *JSON, "-N", "-d", QUESTION, user="ana")
    assert (status, media_type) == (200, "text/plain; charset=utf-8")
    assert "80 degrees" in body
    assert list(server.app.services.answer_log.export())[-1].answer == body


def test_health_is_as_document_002_has_it(curl):
    status, body, _ = curl("/health")
    assert (status, json.loads(body)) == (200, {"status": "ok"})


def test_swagger_has_the_titles_of_document_002(swagger):
    summary, form, _ = titles(swagger, "/uploadfile/", "post")
    assert (summary, form) == ("Upload File", "Body_upload_file_uploadfile__post")
    fields = swagger["components"]["schemas"][form]["properties"]
    assert {name: field["title"] for name, field in fields.items()} == {"file": "File"}
    summary, query, _ = titles(swagger, "/completion/", "post")
    assert (summary, query) == ("Search Similar", "SearchQuery")
    assert swagger["components"]["schemas"][query]["properties"]["query"]["title"] == "Query"
    assert titles(swagger, "/health", "get")[0] == "Health Check"


# Document 003


def test_predict_answers_as_document_003_has_it(server, curl):
    status, body, media_type = curl("/api/v1/predict", *JSON, "-d", QUESTION, user="ana")
    assert (status, media_type) == (200, "application/json")
    answer = json.loads(body)
    assert set(answer) == {"response"}
    assert "80 degrees" in answer["response"]
    assert list(server.app.services.answer_log.export())[-1].answer == answer["response"]


def test_health_is_as_document_003_has_it(curl):
    status, body, _ = curl("/api/v1/health")
    assert (status, json.loads(body)) == (200, {"status": True})


def test_swagger_has_the_titles_of_document_003(swagger):
    expected = ("Predict:Get-Data", "MachineLearningDataInput", "MachineLearningResponse")
    assert titles(swagger, "/api/v1/predict", "post") == expected
    assert titles(swagger, "/api/v1/health", "get") == ("Health:Get-Data", None, "HealthResponse")
    assert swagger["paths"]["/api/v1/predict"]["post"]["tags"] == ["predict"]


# Rights


@pytest.mark.parametrize("path", ["/completion/", "/api/v1/predict"])
def test_questions_need_the_right_to_read_the_collection(curl, path):
    assert curl(path, *JSON, "-d", QUESTION)[0] == 401
    status, body, media_type = curl(path, *JSON, "-d", QUESTION, user="bob")
    assert (status, media_type) == (404, "application/problem+json")
    assert "80 degrees" not in body
    assert curl(path, *JSON, "-d", '{"query": ""}', user="ana")[0] == 422
    assert curl(path, *JSON, "-d", '{"query": "?"}', user="ana")[0] == 400


def test_uploads_need_the_right_to_write(server, curl, tmp_path):
    (tmp_path / "a.md").write_text(ROCKETS)
    form = ("-F", f"file=@{tmp_path}/a.md")
    assert curl("/uploadfile/", *form)[0] == 401
    assert curl("/uploadfile/", *form, user="bob")[0] == 403
    assert curl("/uploadfile/", "-X", "POST", user="ana")[0] == 422
