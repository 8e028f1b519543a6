"""Questions over HTTP: asked, answered by a worker or a service, and mailed."""

import threading
import time
from contextlib import contextmanager

import pytest
import uvicorn
from account_client import NO_LIMITS, OWNER, PASSWORD, as_user, register
from fastapi.testclient import TestClient
from free_ports import free_port
from smtp_server import SmtpServer, body_of

from kvasir.accounts import passwords
from kvasir.app import App
from kvasir.core.run import StopToken
from kvasir.core.services.accounts import CollectionAccess, Role, Scope, Visibility
from kvasir.core.types import Answer, Source
from kvasir.frontends.api.application import make_application
from kvasir.questions.answering import AnsweringWorker
from kvasir.questions.remote import RemoteQuestions
from kvasir.settings.schema import Settings
from kvasir.tasks import answer_question

TEA = "Green tea is brewed at 80 degrees. Black tea needs boiling water."
QUESTION = {"input": "How is green tea brewed?"}


def make_app(folder, **options):
    settings = Settings(
        data_dir=folder / "kvasir-data",
        rag={
            "embedding_model": {"type": "kvasir.testing.fakes:FakeEmbedder"},
            "ingest": {"workers": 1},
        },
        answer={"refuse": False},
        accounts={"rate_limits": NO_LIMITS},
        server={"job_workers": 0, "drain_seconds": 0.0},
        **({"questions": {"workers": 0}, "mail": {"send": False}} | options),
    )
    app = App(settings)
    with app.collection() as collection:
        collection.ingest((Source("tea.txt", "text/plain"), TEA.encode()))
    share(app, Visibility.PUBLIC)
    return app


def share(app, visibility):
    app.services.accounts.set_access(CollectionAccess("default", visibility=visibility))


@pytest.fixture(scope="module")
def app(tmp_path_factory):
    passwords._MEMORY_KIB = 64
    app = make_app(tmp_path_factory.mktemp("service"))
    yield app
    app.close()


@pytest.fixture(scope="module")
def client(app):
    with TestClient(make_application(app, owner_token=OWNER)) as client:
        yield client


@pytest.fixture(scope="module")
def ana(client):
    assert register(client, "ana", language="es").status_code == 201
    return as_user(client, "ana")


@pytest.fixture(scope="module")
def bob(client):
    assert register(client, "bob").status_code == 201
    return as_user(client, "bob")


@pytest.fixture(scope="module")
def service(app):
    """The headers of an answering service."""
    admin = app.services.accounts.register("r@example.org", "root", PASSWORD, role=Role.ADMIN)
    _, key = app.services.accounts.create_api_key(admin.id, "rag", {Scope.ANSWERING})
    return {"x-api-key": key}


@pytest.fixture(autouse=True)
def empty_queue(app):
    yield
    queue = app.services.questions
    for question in queue.questions():
        if question.state in ("waiting", "answering"):
            queue.cancel(question.id)
    share(app, Visibility.PUBLIC)


def ask(client, headers, text="How is green tea brewed?", **more):
    answer = client.post("/v1/questions", json={"input": text} | more, headers=headers)
    assert answer.status_code == 202, answer.text
    return answer.json()


def show(client, headers, question):
    answer = client.get(f"/v1/questions/{question['id']}", headers=headers)
    assert answer.status_code == 200, answer.text
    return answer.json()


def answer_one(app, **options):
    worker = AnsweringWorker(
        app.services.questions,
        lambda question, stop: answer_question(app, question, stop),
        stop=StopToken(),
        first_delay=0.0,
        **options,
    )
    assert worker.work_once()


# The routes of requirement document 004


def test_the_service_says_that_it_is_up(client):
    assert client.get("/").json() == {"Status": "API is up!"}


@pytest.mark.parametrize(("host", "where"), [(None, "GET /v1/questions/{}"), ("mx", "ana@")])
def test_a_question_is_stored_and_a_message_says_so(client, ana, app, monkeypatch, host, where):
    mail = app.settings.mail.model_copy(update={"host": host})
    monkeypatch.setattr(app, "settings", app.settings.model_copy(update={"mail": mail}))
    answer = client.post("/", json=QUESTION, headers=ana)
    assert answer.status_code == 201
    assert "almacenada" in answer.json()["message"]
    assert where.format(answer.json()["id"]) in answer.json()["message"]
    stored = app.services.questions.question(answer.json()["id"])
    assert (stored.input, stored.email) == (QUESTION["input"], "ana@example.org")
    assert (stored.output, stored.status, stored.language) == (None, None, "es")


def test_the_route_is_called_input_prompt_in_the_manual(client):
    paths = client.get("/openapi.json").json()["paths"]
    assert paths["/"]["post"]["summary"] == "Input Prompt"
    assert paths["/receive-prompt"]["get"]["summary"] == "Receive Prompt"


def test_nobody_asks_or_takes_a_question_without_a_credential(client):
    for call in (
        lambda: client.post("/", json=QUESTION),
        lambda: client.post("/v1/questions", json=QUESTION),
        lambda: client.get("/v1/questions"),
        lambda: client.get("/receive-prompt"),
    ):
        assert call().status_code == 401


def test_users_do_not_take_questions_of_others(client, ana, bob):
    asked = ask(client, ana)
    assert client.get("/receive-prompt", headers=bob).status_code == 403
    body = {"token": "x", "output": "mine"}
    for action in ("answer", "heartbeat", "fail", "release"):
        path = f"/v1/questions/{asked['id']}/{action}"
        assert client.post(path, json=body, headers=bob).status_code in (403, 422)


def test_a_service_takes_the_oldest_question_and_answers_it(client, ana, service):
    first, second = ask(client, ana), ask(client, ana)
    taken = client.get("/receive-prompt", headers=service)
    assert taken.headers["cache-control"] == "no-store"
    prompt = taken.json()
    assert (prompt["_id"], prompt["input"]) == (first["id"], QUESTION["input"])
    assert (prompt["output"], prompt["status"]) == (None, None)
    # The service needs no address.
    assert "ana@example.org" not in taken.text
    assert show(client, ana, first)["state"] == "answering"
    assert show(client, ana, second)["position"] == 1
    path = f"/v1/questions/{first['id']}"
    beat = {"token": prompt["token"], "lease_seconds": 30}
    assert client.post(f"{path}/heartbeat", json=beat, headers=service).status_code == 204
    given = {"token": prompt["token"], "output": "At 80 degrees."}
    assert client.post(f"{path}/answer", json=given, headers=service).status_code == 204
    found = show(client, ana, first)
    assert (found["state"], found["output"]) == ("answered", "At 80 degrees.")
    assert client.post(f"{path}/answer", json=given, headers=service).status_code == 409
    assert client.post(f"{path}/heartbeat", json=beat, headers=service).status_code == 409


def test_a_service_reports_a_failure_or_gives_a_question_back(client, ana, service):
    asked = ask(client, ana)
    path = f"/v1/questions/{asked['id']}"
    prompt = client.get("/receive-prompt", headers=service).json()
    back = {"token": prompt["token"]}
    assert client.post(f"{path}/release", json=back, headers=service).status_code == 204
    prompt = client.get("/receive-prompt", headers=service).json()
    assert prompt["attempts"] == 1
    failed = {"token": prompt["token"], "reason": "model broke", "retry_after": None}
    assert client.post(f"{path}/fail", json=failed, headers=service).status_code == 204
    found = show(client, ana, asked)
    assert (found["state"], found["reason"], found["output"]) == ("dead", "model broke", None)


def test_an_empty_queue_gives_null(client, service):
    taken = client.get("/receive-prompt", headers=service)
    assert (taken.status_code, taken.json()) == (200, None)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"output": "a", "answer": {"text": "b"}},
        {"output": " \n"},
        {"output": "a\x00b"},
        {"answer": {"text": 5}},
        {"answer": {"nothing": "x"}},
    ],
)
def test_a_malformed_answer_is_refused(client, ana, service, body):
    asked = ask(client, ana)
    token = client.get("/receive-prompt", headers=service).json()["token"]
    path = f"/v1/questions/{asked['id']}/answer"
    refused = client.post(path, json={"token": token} | body, headers=service)
    assert refused.status_code in (400, 422)
    assert show(client, ana, asked)["output"] is None


# /v1/questions


def test_a_question_shows_its_position_then_its_answer_with_sources(client, ana, app):
    first, second = ask(client, ana), ask(client, ana)
    assert (first["position"], second["position"]) == (0, 1)
    assert first["email"] == "ana@example.org"
    answer_one(app)
    found = show(client, ana, first)
    assert found["state"] == "answered"
    assert "80 degrees" in found["output"]
    assert found["answer"]["citations"][0]["source_uri"] == "tea.txt"
    assert show(client, ana, second)["position"] == 0


def test_users_see_and_cancel_their_own_questions_only(client, ana, bob):
    asked = ask(client, ana)
    path = f"/v1/questions/{asked['id']}"
    missing = client.get("/v1/questions/x", headers=bob)
    for answer in (
        client.get(path, headers=bob),
        client.post(f"{path}/cancel", headers=bob),
        client.get("/v1/questions", params={"before": asked["id"]}, headers=bob),
    ):
        assert answer.status_code == 404
        assert answer.json()["code"] == missing.json()["code"]
    listed = client.get("/v1/questions", headers=bob).json()
    assert asked["id"] not in [each["id"] for each in listed]
    assert client.post(f"{path}/cancel", headers=ana).json()["state"] == "cancelled"


def test_an_answered_question_cannot_be_cancelled(client, ana, app):
    asked = ask(client, ana)
    answer_one(app)
    refused = client.post(f"/v1/questions/{asked['id']}/cancel", headers=ana)
    assert refused.status_code == 409


def test_the_same_key_asks_once(client, ana):
    keyed = ana | {"Idempotency-Key": "k-1"}
    first = ask(client, keyed)
    assert ask(client, keyed)["id"] == first["id"]
    assert client.post("/", json=QUESTION, headers=keyed).json()["id"] == first["id"]
    other = client.post("/v1/questions", json={"input": "Another?"}, headers=keyed)
    assert other.status_code == 409


def test_a_poller_gets_a_body_only_when_it_changed(client, ana, app):
    asked = ask(client, ana)
    path = f"/v1/questions/{asked['id']}"
    tag = client.get(path, headers=ana).headers["etag"]
    again = client.get(path, headers=ana | {"If-None-Match": tag})
    assert (again.status_code, again.content) == (304, b"")
    answer_one(app)
    assert client.get(path, headers=ana | {"If-None-Match": tag}).status_code == 200


def test_pages_neither_skip_nor_repeat_while_questions_are_asked(client, bob):
    ids = [ask(client, bob, f"question {n}")["id"] for n in range(5)]
    seen, before = [], ""
    while page := client.get(
        "/v1/questions", params={"limit": 2, "before": before}, headers=bob
    ).json():
        seen += [each["id"] for each in page]
        before = seen[-1]
        ask(client, bob, "meanwhile")
    assert [key for key in seen if key in ids] == ids[::-1]
    assert len(seen) == len(set(seen))


@pytest.mark.parametrize(
    "body",
    [{"input": ""}, {"input": "x" * 20_001}, {"input": " \n"}, {"input": "a", "more": 1}, {}],
)
def test_a_malformed_question_is_refused(client, ana, body):
    refused = client.post("/v1/questions", json=body, headers=ana)
    assert refused.status_code in (400, 422)


def test_a_collection_that_may_not_be_read_answers_nothing(client, ana, app):
    share(app, Visibility.PRIVATE)
    assert client.post("/v1/questions", json=QUESTION, headers=ana).status_code == 404
    assert client.post("/", json=QUESTION, headers=ana).status_code == 404
    body = QUESTION | {"collection": "nothing"}
    assert client.post("/v1/questions", json=body, headers=ana).status_code == 404


def test_rights_are_those_of_the_time_of_the_answer(client, ana, app):
    asked = ask(client, ana)
    share(app, Visibility.PRIVATE)
    answer_one(app)
    found = show(client, ana, asked)
    assert found["output"] is None
    assert "80 degrees" not in str(found)


def test_a_question_of_a_disabled_user_is_not_answered(client, app):
    assert register(client, "eve").status_code == 201
    asked = ask(client, as_user(client, "eve"))
    app.services.accounts.change_user(app.services.accounts.user("eve").id, disabled=True)
    answer_one(app)
    found = app.services.questions.question(asked["id"])
    assert (found.state, found.output) == ("dead", None)


def test_a_question_without_mail_is_not_mailed(client, ana, app):
    ask(client, ana, mail=False)
    before = app.services.questions.counts()["unsent"]
    answer_one(app)
    assert app.services.questions.counts()["unsent"] == before


# Whole ways


def wait_for(check, seconds=60.0):
    end = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_the_server_answers_and_mails_by_itself_and_logs_the_answer(tmp_path, monkeypatch):
    monkeypatch.setattr(passwords, "_MEMORY_KIB", 64)
    with SmtpServer() as smtp:
        mail = {"host": "127.0.0.1", "port": smtp.port, "security": "none", "sender": "k@e.org"}
        app = make_app(tmp_path, questions={"workers": 1}, mail=mail)
        try:
            with TestClient(make_application(app, owner_token=OWNER)) as client:
                assert register(client, "ana", language="es").status_code == 201
                ana = as_user(client, "ana")
                asked = client.post("/", json=QUESTION, headers=ana).json()
                wait_for(lambda: show(client, ana, asked)["status"] == "sent")
                form = {"username_or_email": "ana", "language": "es"}
                client.post("/auth/forgot-password/", data=form)
                wait_for(lambda: len(smtp.mails) == 2)
                logged = list(app.services.answer_log.export())
        finally:
            app.close()
    answer, recovery = smtp.mails
    assert (answer["To"], answer["Message-ID"]) == (
        "ana@example.org",
        f"<answer-{asked['id']}@e.org>",
    )
    assert answer["Subject"].startswith("Respuesta: ")
    assert "80 degrees" in body_of(answer, "plain")
    assert "tea.txt" in body_of(answer, "html")
    assert recovery["Subject"] == "Contraseña temporal"
    assert [(each.id, each.question) for each in logged] == [(asked["id"], QUESTION["input"])]


@contextmanager
def serving(api):
    """Serve an application at a real port; gives its address."""
    port = free_port()
    server = uvicorn.Server(uvicorn.Config(api, port=port, log_config=None))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        wait_for(lambda: server.started)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(60)


def test_a_worker_on_another_machine_answers_through_the_server(client, app, ana, service):
    first, second, third = (ask(client, ana) for _ in range(3))
    with serving(client.app) as address:
        questions = RemoteQuestions(address, service["x-api-key"])
        worker = AnsweringWorker(
            questions,
            lambda question, _: Answer(f"remote to {question.input}"),
            stop=StopToken(),
        )
        assert worker.work_once()
        taken = questions.claim(lease_seconds=30)
        assert taken.question.id == second["id"]
        assert questions.heartbeat(second["id"], taken.token, lease_seconds=30)
        client.post(f"/v1/questions/{second['id']}/cancel", headers=ana)
        assert not questions.heartbeat(second["id"], taken.token, lease_seconds=30)
        assert not questions.answer(second["id"], taken.token, Answer("late"))
        taken = questions.claim(lease_seconds=30)
        questions.release(third["id"], taken.token)
        assert worker.work_once()
        assert not worker.work_once()
        questions.close()
    assert show(client, ana, first)["output"] == f"remote to {QUESTION['input']}"
    assert show(client, ana, second)["state"] == "cancelled"
    assert show(client, ana, third)["state"] == "answered"
