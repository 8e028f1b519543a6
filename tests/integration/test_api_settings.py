"""Settings that come with a request: unusable ones are the caller's error and name their key."""

import json

import pytest
from account_client import OWNER
from service_client import TEA, make_settings, running, upload

from kvasir.core.error_forms import error_from
from kvasir.frontends.cli.main import exit_code_of

ROOT = {"Authorization": f"Bearer {OWNER}"}
QUESTION = {"question": "How hot is green tea?"}
UNUSABLE = [
    ({"generator.type": "nothing"}, "unknown_component", "generator.type"),
    ({"generator.options": {"max_words": "many"}}, "invalid_settings", "generator.options"),
    ({"chat.rag.retriever.top_k": "many"}, "invalid_settings", "chat.rag.retriever.top_k"),
    ({"chat.rag.retriever.alpha": 7}, "invalid_settings", "chat.rag.retriever.alpha"),
    ({"chat.rag.retriever.tok_k": 3}, "invalid_settings", "chat.rag.retriever.tok_k"),
    ({"chat.rag.retriever.reranker.type": "x"}, "unknown_component", "reranker.type"),
    ({"chat.rag.prompt": "no placeholder"}, "invalid_settings", "chat.rag.prompt"),
    ({"rag.language.es": True}, "invalid_settings", "rag.language"),
    ({"rag.splitter.type": "nothing"}, "unknown_component", "rag.splitter.type"),
    ({"rag.splitter.split_length": -1}, "invalid_settings", "rag.splitter.split_length"),
    ({"rag.ingest.max_file_mb": "large"}, "invalid_settings", "rag.ingest.max_file_mb"),
    ({"rag.ingest.max_file_mb": 10**400}, "invalid_settings", "rag.ingest.max_file_mb"),
    ({"rag.embedding_model.options": {"x": 1}}, "invalid_settings", "rag.embedding_model"),
]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with running(make_settings(tmp_path_factory.mktemp("settings"))) as made:
        client, _ = made
        client.post("/v1/collections", json={"name": "course"}, headers=ROOT)
        upload(client, ROOT, "/v1/collections/course", "tea.md", TEA)
        yield made


def with_settings(settings):
    sent = settings if isinstance(settings, str) else json.dumps(settings)
    return ROOT | {"Kvasir-Settings": sent}


def requests(client, settings):
    """Send each kind of request that takes settings; yield the answers."""
    place, headers = "/v1/collections/course", with_settings(settings)
    yield client.post(f"{place}/search", json={"query": "tea"}, headers=headers)
    yield client.post(f"{place}/answers", json=QUESTION, headers=headers)
    yield client.post(f"{place}/replies", json=QUESTION, headers=headers)
    yield client.post(f"{place}/calibrate", json={}, headers=headers)
    yield client.post(
        f"{place}/documents/batch", data={"batch": '{"sources": []}'}, headers=headers
    )


@pytest.mark.parametrize(("settings", "code", "key"), UNUSABLE, ids=lambda each: str(each)[:40])
def test_an_unusable_setting_is_a_problem_document_that_names_its_key(client, settings, code, key):
    for answer in requests(client, settings):
        assert answer.status_code == 422, answer.text
        problem = answer.json()
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert problem["code"] == code
        assert any(key in each for each in problem["settings"])
        # The command line, which sends typed options so, ends as it does without a server.
        error = error_from(code, problem["detail"], problem.get("fields"))
        assert exit_code_of(error) == 3


@pytest.mark.parametrize(
    "sent",
    [
        "{",
        "[]",
        "7",
        "null",
        '{"rag.x": NaN}',
        "[" * 5000,
        '{"rag.ingest.x":' * 900 + "1" + "}" * 900,
    ],
    ids=lambda each: each[:20],
)
def test_a_header_that_is_no_object_of_settings_is_refused(client, sent):
    for answer in requests(client, sent):
        assert answer.status_code in (400, 422), answer.text
        assert answer.headers["Content-Type"] == "application/problem+json"


def test_settings_of_places_and_classes_are_refused_by_name(client):
    for settings in ({"data_dir": "/x"}, {"generator.type": "os:system"}):
        for answer in requests(client, settings):
            assert answer.status_code == 400, answer.text
            assert next(iter(settings)) in answer.json()["detail"]


def test_a_fault_of_the_server_s_own_settings_stays_the_server_s(tmp_path):
    settings = make_settings(tmp_path, generator={"type": "nothing"})
    with running(settings) as (client, _):
        client.post("/v1/collections", json={"name": "course"}, headers=ROOT)
        upload(client, ROOT, "/v1/collections/course", "tea.md", TEA)
        answer = client.post("/v1/collections/course/answers", json=QUESTION, headers=ROOT)
        assert (answer.status_code, answer.json()["code"]) == (500, "unknown_component")
