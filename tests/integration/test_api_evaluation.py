"""Evaluations over HTTP: a data set is sent, and measured with the server's settings."""

import json

import pytest
from account_client import OWNER
from service_client import make_settings, running

ROOT = {"Authorization": f"Bearer {OWNER}"}
CORPUS = [
    {"_id": "tea", "title": "Tea", "text": "Green tea is brewed at 80 degrees."},
    {"_id": "rockets", "title": "Rockets", "text": "The first stage burns kerosene."},
]
QUERIES = [{"_id": "q1", "text": "How hot is green tea brewed?", "answers": ["80 degrees"]}]
QRELS = "query-id\tcorpus-id\tscore\nq1\ttea\t1\n"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("evaluation")
    with running(make_settings(folder, answer={"refuse": False})) as made:
        yield made


def measured(client, kind, qrels=QRELS, settings=None, **form):
    lines = ["\n".join(map(json.dumps, rows)) for rows in (CORPUS, QUERIES)]
    files = dict(zip(("corpus", "queries", "qrels"), [*lines, qrels], strict=True))
    headers = ROOT | ({"Kvasir-Settings": json.dumps(settings)} if settings else {})
    return client.post(f"/v1/evaluation/{kind}", files=files, data=form, headers=headers)


def result_of(answer):
    assert answer.status_code == 200, answer.text
    (last,) = [
        block
        for block in answer.text.split("\n\n")
        if block.startswith(("event: result", "event: error"))
    ]
    assert last.startswith("event: result"), last
    return json.loads(last.partition("data: ")[2])


def test_retrieval_is_measured_on_a_data_set_that_is_sent(client):
    result = result_of(measured(client, "retrieval"))
    (part,) = result["datasets"]
    assert (part["documents"], part["queries"]) == (2, 1)
    assert part["metrics"]["ndcg@10"] == 1.0
    # Nothing of it stays.
    assert client.get("/v1/collections", headers=ROOT).json() == []


def test_answers_are_measured_with_the_settings_of_the_request(client):
    asked = {"off_topic": ["Who wrote the constitution of the sea?"]}
    given = result_of(measured(client, "answers", **asked))
    assert (given["answer_recall"], given["refused_off_topic"]) == (1.0, 0.0)
    refusing = result_of(measured(client, "answers", settings={"answer.refuse": True}, **asked))
    assert refusing["refused_off_topic"] == 1.0


def test_questions_are_sent_as_a_question_file_or_the_log_has_them(client):
    text = "Green tea is brewed at 80 degrees.\n"
    job = client.post("/v1/collections/book/documents", files={"file": text}, headers=ROOT).json()
    client.get(f"/v1/jobs/{job['id']}", params={"wait": 60}, headers=ROOT)
    passage = {"document": "upload", "text": "80 degrees"}
    logged = {"id": "7", "answer": "80", "refused": False, "sources": [], "rating": 1}
    rows = [
        {"question": "How hot is green tea?", "passages": [passage], "must": ["80", ["C", "deg"]]},
        {"question": "How hot is it brewed?", **logged},
    ]
    path = "/v1/collections/book/evaluate"
    result = result_of(client.post(path, json={"questions": rows}, headers=ROOT))
    assert [case["id"] for case in result["cases"]] == ["1", "7"]
    assert result["cases"][0]["satisfying"]
    refused = client.post(path, json={"questions": [{"question": "a", "must": 1}]}, headers=ROOT)
    assert (refused.status_code, refused.json()["code"]) == (400, "invalid_request")
    assert "question 1: 'must' must be a list" in refused.json()["detail"]
    assert client.delete("/v1/collections/book", headers=ROOT).is_success


TEA_BOOK = "# Tea\n\nGreen tea is brewed at 80 degrees.\n\nBlack tea needs boiling water.\n"
QUOTE = "Green tea is brewed at 80 degrees."


def chunking(client, corpora, settings=None, **form):
    start = TEA_BOOK.index(QUOTE)
    reference = {"start_index": start, "end_index": start + len(QUOTE)}
    row = {"corpus_id": "tea", "question": "How hot is green tea?", "references": [reference]}
    files = [("questions", ("questions.jsonl", json.dumps(row)))]
    files += [("corpora", (name, TEA_BOOK)) for name in corpora]
    headers = ROOT | ({"Kvasir-Settings": json.dumps(settings)} if settings else {})
    return client.post("/v1/evaluation/chunking", files=files, data=form, headers=headers)


def test_chunking_is_measured_with_the_splitter_of_the_request(client):
    by_line = {"rag.splitter.split_by": "line", "rag.splitter.split_length": 1}
    result = result_of(chunking(client, ["tea.md"], by_line, top_k=1))
    assert result["questions"] == 1 and result["chunks"] > 1
    assert result["metrics"]["recall"] == 1.0
    whole = result_of(chunking(client, ["tea.md"]))
    assert whole["metrics"]["precision"] < result["metrics"]["precision"]


@pytest.mark.parametrize("names", [["../tea.md"], ["tea.txt"], ["tea.md", "tea.md"], ["a/tea.md"]])
def test_corpora_have_plain_and_different_names(client, names):
    refused = chunking(client, names)
    assert (refused.status_code, refused.json()["code"]) == (400, "invalid_request")


def test_a_missing_corpus_is_named_without_the_server_s_folder(client):
    refused = chunking(client, ["coffee.md"])
    assert refused.status_code == 400
    assert "tea.md is missing" in refused.json()["detail"]
    assert "/tmp" not in refused.json()["detail"]


def test_a_malformed_data_set_is_named_by_file_and_line(client):
    refused = measured(client, "retrieval", qrels="query-id\tcorpus-id\tscore\nq1\tnothing\n")
    assert (refused.status_code, refused.json()["code"]) == (400, "invalid_request")
    assert "qrels/test.tsv" in refused.json()["detail"]
    assert "/tmp" not in refused.json()["detail"]
