"""What an operator needs: readiness, metrics, traces, headers, several servers on one database."""

import threading
import time
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from account_client import OWNER
from chroma_server import chroma_server
from databases import ENGINES, database
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from prometheus_client.parser import text_string_to_metric_families
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
from smtp_server import SmtpServer
from sqlalchemy import create_engine, text

ROOT = {"Authorization": f"Bearer {OWNER}"}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    settings = make_settings(
        tmp_path_factory.mktemp("operation"),
        server={"allowed_origins": ["https://school.example"]},
    )
    with running(settings) as made:
        yield made


def until(condition, seconds=60.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def checks(client):
    answer = client.get("/ready")
    body = answer.json()
    assert answer.status_code == (200 if body["ready"] else 503)
    return body["checks"]


def test_a_server_with_everything_is_ready(client, place):
    assert checks(client) == dict.fromkeys(("store", "database", "queue", "mail"), "ok")
    assert client.get("/health").json() == {"status": "ok"}


def test_readiness_follows_the_store_and_nothing_is_told_of_it(tmp_path):
    folder = tmp_path / "chroma"
    folder.mkdir()
    with ExitStack() as stack:
        with chroma_server(folder) as address:
            settings = make_settings(tmp_path, rag={"vectordb": {"type": "chroma", "uri": address}})
            client, _ = stack.enter_context(running(settings))
            ana = sign_up(client, "ana")
            place = make_collection(client, ana, "course")
            upload(client, ana, place, "tea.md", TEA)
            assert checks(client)["store"] == "ok"
        until(lambda: checks(client)["store"] != "ok")
        search = client.post(f"{place}/search", json={"query": "tea"}, headers=ana)
        assert search.status_code in (500, 503)
        assert address not in search.text and address not in client.get("/ready").text
        assert client.get("/health").status_code == 200
        stack.enter_context(chroma_server(folder, int(address.rsplit(":", 1)[1])))
        until(lambda: checks(client)["store"] == "ok")
        search = client.post(f"{place}/search", json={"query": "tea"}, headers=ana)
        assert search.json()


def test_readiness_follows_the_mail_server(tmp_path):
    with SmtpServer() as smtp:
        mail = {
            "host": "127.0.0.1",
            "port": smtp.port,
            "security": "none",
            "sender": "kvasir@example.org",
        }
        with running(make_settings(tmp_path, mail=mail)) as (client, _):
            assert checks(client)["mail"] == "ok"
            smtp.stop()
            until(lambda: checks(client)["mail"] == "component_unreachable")
            smtp.start()
            until(lambda: checks(client)["mail"] == "ok")


def test_readiness_follows_the_database_and_the_queues_in_it(tmp_path):
    with database("postgresql", tmp_path) as url:
        settings = make_settings(tmp_path, database={"url": url})
        with running(settings) as (client, _):
            assert checks(client)["database"] == "ok"
            name, server = url.rsplit("/", 1)[1], url.rsplit("/", 1)[0]
            admin = create_engine(
                server.replace("://", "+psycopg://") + "/postgres", isolation_level="AUTOCOMMIT"
            )
            with admin.connect() as connection:
                connection.execute(text(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false"))
                connection.execute(
                    text(
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                        f"WHERE datname = '{name}'"
                    )
                )
                until(lambda: checks(client)["database"] != "ok")
                assert checks(client)["queue"] != "ok"
                # Alive all the same, and a caller is told nothing of the installation.
                assert client.get("/health").status_code == 200
                refused = client.get("/v1/jobs", headers={"X-API-Key": "kvasir_x"})
                assert refused.status_code in (401, 500, 503) and url not in refused.text
                assert client.get("/metrics", headers=ROOT).status_code == 200
                connection.execute(text(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true"))
            admin.dispose()
            until(lambda: set(checks(client).values()) == {"ok"})


def test_readiness_is_red_when_a_thread_of_the_queues_has_ended(tmp_path, monkeypatch):
    monkeypatch.setattr("kvasir.jobs.worker.JobWorker.run", lambda self: None)
    with running(make_settings(tmp_path)) as (client, _):
        until(lambda: checks(client)["queue"] == "error")


def test_a_check_that_hangs_is_waited_for_once(tmp_path, monkeypatch):
    released = threading.Event()
    monkeypatch.setattr("kvasir.frontends.api.readiness._LONGEST", 1.0)
    monkeypatch.setattr("kvasir.frontends.api.readiness._store", lambda app: released.wait(30))
    with running(make_settings(tmp_path)) as (client, _):
        try:
            assert checks(client)["store"] == "component_timeout"
            begun = time.monotonic()
            for _ in range(10):
                assert checks(client)["store"] == "component_timeout"
            # Not a second each.
            assert time.monotonic() - begun < 8.0
        finally:
            released.set()
        until(lambda: checks(client)["store"] == "ok")


def test_all_threads_together_are_waited_for_as_long_as_the_settings_say(tmp_path, monkeypatch):
    released = threading.Event()
    monkeypatch.setattr("kvasir.jobs.worker.JobWorker.run", lambda self: released.wait(30))
    settings = make_settings(tmp_path, server={"job_workers": 20, "shutdown_seconds": 0.5})
    try:
        with running(settings) as (client, _):
            assert client.get("/health").status_code == 200
            begun = time.monotonic()
        # Not half a second each.
        assert time.monotonic() - begun < 8.0
    finally:
        released.set()


def test_checks_are_not_made_for_every_request(tmp_path, monkeypatch):
    with running(make_settings(tmp_path, server={"check_seconds": 60})) as (client, app):
        counted = []
        counts = type(app.services.jobs).counts

        def count(self):
            counted.append(1)
            return counts(self)

        monkeypatch.setattr(type(app.services.jobs), "counts", count)
        for _ in range(20):
            assert client.get("/ready").status_code == 200
        assert len(counted) == 1


def series(client):
    answer = client.get("/metrics", headers=ROOT)
    assert answer.status_code == 200
    families = text_string_to_metric_families(answer.text)
    return {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in families
        for sample in family.samples
    }


def test_metrics_count_requests_stages_queues_ingests_and_refusals(client, ana, place):
    before = series(client)
    for question in ("How hot is green tea?", "Who painted the Mona Lisa in winter?"):
        body = {"question": question}
        assert client.post(f"{place}/answers", json=body, headers=ana).status_code == 200
    client.post(f"{place}/search", json={"query": "tea"}, headers=ana)
    client.get("/v1/jobs/none", headers=ana)
    upload(client, ana, place, "more.md", f"{TEA} More.")
    after = series(client)

    def grew(*name):
        return after.get(name, 0) - before.get(name, 0)

    answers = "/v1/collections/{name}/answers"
    # Templates, not paths: names would be without number.
    assert grew("kvasir_requests_total", *sorted(("POST", answers, "200"))) == 2
    assert grew("kvasir_requests_total", *sorted(("GET", "/v1/jobs/{job_id}", "404"))) == 1
    assert grew("kvasir_request_seconds_count", *sorted(("POST", answers))) == 2
    for stage, times in (("search", 1), ("retrieve", 2), ("total", 2), ("wait", 2)):
        assert grew("kvasir_stage_seconds_count", stage) == times, stage
    outcomes = [grew("kvasir_answers_total", name) for name in ("answered", "refused")]
    assert sum(outcomes) == 2 and outcomes[1] >= 1
    assert grew("kvasir_documents_total", "added") == 1
    assert grew("kvasir_ingested_bytes_total") == len(f"{TEA} More.")
    for name in (
        ("kvasir_jobs", "waiting"),
        ("kvasir_jobs_oldest_waiting_seconds",),
        ("kvasir_questions", "waiting"),
        ("kvasir_questions", "unsent"),
        ("kvasir_questions_oldest_waiting_seconds",),
        ("kvasir_mails", "waiting"),
        ("kvasir_generations", "running"),
        ("kvasir_answers_turned_away_total",),
        ("process_resident_memory_bytes",),
    ):
        assert name in after, name


def test_the_age_of_a_waiting_job_is_a_metric(tmp_path):
    with running(make_settings(tmp_path, server={"job_workers": 0})) as (client, _):
        ana = sign_up(client, "ana")
        place = make_collection(client, ana, "course")
        first = send(client, ana, place, "a.md", TEA).json()
        second = send(client, ana, place, "b.md", TEA).json()
        assert (first["position"], second["position"]) == (0, 1)
        assert "1 job before it" in second["reason"] and first["reason"]
        time.sleep(0.05)
        found = series(client)
        assert found["kvasir_jobs", "waiting"] == 2
        assert found[("kvasir_jobs_oldest_waiting_seconds",)] > 0.04
        cancelled = client.post(f"/v1/jobs/{first['id']}/cancel", headers=ana).json()
        assert cancelled["state"] == "cancelled"
        again = client.post(f"/v1/jobs/{first['id']}/retry", headers=ana).json()
        assert (again["state"], again["position"]) == ("waiting", 1)


def test_metrics_are_open_only_if_the_settings_say_so(tmp_path):
    with running(make_settings(tmp_path, server={"metrics": "open"})) as (client, _):
        assert client.get("/metrics").status_code == 200


def test_every_response_has_an_id_and_headers_that_protect(client, ana, place):
    for path, headers in (("/health", {}), ("/v1/jobs", ana), ("/nothing", {}), ("/docs", {})):
        answer = client.get(path, headers=headers)
        assert len(answer.headers["X-Request-ID"]) == 32
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert "Server" not in answer.headers
    given = client.get("/nothing", headers={"X-Request-ID": "abc-123"})
    assert given.headers["X-Request-ID"] == given.json()["request_id"] == "abc-123"
    forged = client.get("/health", headers={"X-Request-ID": "a b\tc"})
    assert len(forged.headers["X-Request-ID"]) == 32


def test_what_nobody_foresaw_is_a_problem_document_without_details(client, ana, monkeypatch):
    def fail(*_, **__):
        raise RuntimeError("the secret path /srv/kvasir")

    monkeypatch.setattr("kvasir.jobs.sql.SqlJobQueue.jobs", fail)
    answer = client.get("/v1/jobs", headers=ana)
    assert answer.status_code == 500
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json()["request_id"] == answer.headers["X-Request-ID"]
    assert "/srv" not in answer.text


def test_only_the_pages_of_the_settings_may_call(client):
    def preflight(origin):
        headers = {
            "Origin": origin,
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization",
        }
        return client.options("/v1/collections", headers=headers).headers

    allowed = preflight("https://school.example")
    assert allowed["Access-Control-Allow-Origin"] == "https://school.example"
    assert "Access-Control-Allow-Origin" not in preflight("https://evil.example")
    assert "Access-Control-Allow-Credentials" not in allowed


def test_the_manual_needs_no_other_server_and_can_log_in(client):
    page = client.get("/docs")
    assert "//" not in page.text.replace("<!doctype html>", "").replace("http://testserver", "")
    for name in ("swagger-ui-bundle.js", "swagger-ui.css", "favicon.png", "start.js"):
        assert client.get(f"/docs/{name}").status_code == 200
        assert f"docs/{name}" in page.text
    assert client.get("/docs/..%2f..%2fetc%2fpasswd").status_code == 404
    described = client.get("/openapi.json").json()
    schemes = described["components"]["securitySchemes"]
    assert schemes["OAuth2PasswordBearer"]["flows"]["password"]["tokenUrl"] == "login"
    assert schemes["APIKeyHeader"]["name"] == "x-api-key"
    for path, item in described["paths"].items():
        for method, operation in item.items():
            problems = [int(status) for status in operation["responses"] if int(status) >= 400]
            assert 503 in problems, (method, path)
            if operation.get("security"):
                assert {401, 403} <= set(problems), (method, path)
            # Nobody can send null in an address or a header.
            for parameter in operation.get("parameters", ()):
                assert "null" not in str(parameter["schema"]), (method, path)
            if "requestBody" in operation:
                assert {413, 422} <= set(problems), (method, path)
    # Named in the document that Swagger shows.
    names = {tag["name"] for tag in described["tags"]}
    assert {"documents", "answers"} <= names


class _Collector(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        found = ExportTraceServiceRequest.FromString(body)
        for resource in found.resource_spans:
            for scope in resource.scope_spans:
                self.server.spans.extend(scope.spans)
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_):
        """Keep the test's output clean."""


def test_traces_join_the_callers_and_show_the_stages(tmp_path):
    collector = ThreadingHTTPServer(("127.0.0.1", 0), _Collector)
    collector.spans = []
    thread = threading.Thread(target=collector.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    trace = "0af7651916cd43dd8448eb211c80319c"
    try:
        address = f"http://127.0.0.1:{collector.server_port}/v1/traces"
        with running(make_settings(tmp_path, server={"tracing": address})) as (client, _):
            ana = sign_up(client, "ana")
            place = make_collection(client, ana, "course")
            upload(client, ana, place, "tea.md", TEA)
            headers = ana | {"traceparent": f"00-{trace}-b7ad6b7169203331-01"}
            body = {"question": "How hot is green tea?"}
            client.post(f"{place}/answers", json=body, headers=headers)
    finally:
        collector.shutdown()
        thread.join()
        collector.server_close()
    mine = [span for span in collector.spans if span.trace_id.hex() == trace]
    assert {"POST /v1/collections/{name}/answers", "retrieve", "generate"} <= {
        span.name for span in mine
    }
    assert "job ingest_upload" in {span.name for span in collector.spans}
    told = str(collector.spans)
    assert "green tea" not in told and ana["Authorization"].split()[1] not in told


@pytest.mark.parametrize("engine", ENGINES)
def test_two_servers_share_one_database(tmp_path, engine):
    memory = {"vectordb": {"type": "kvasir.testing.fakes:MemoryStore", "uri": str(tmp_path)}}
    with database(engine, tmp_path) as url:

        def settings(workers):
            chosen = {"job_workers": workers}
            return make_settings(
                tmp_path,
                rag=memory,
                server=chosen,
                catalog={"url": url},
                database={"url": url if engine != "sqlite" else f"sqlite:///{tmp_path}/s.db"},
            )

        with (
            running(settings(0)) as (first, app),
            running(settings(1)) as (second, _),
        ):
            ana = sign_up(first, "ana")
            place = make_collection(first, ana, "course")
            # What one accepts, the other one indexes, and both show.
            job = send(first, ana, place, "tea.md", TEA).json()
            assert wait_for(first, ana, job)["state"] == "done"
            assert len(documents(second, ana, place)) == 1
            body = {"query": "How hot is green tea?"}
            assert second.post(f"{place}/search", json=body, headers=ana).json()
            # Rights that are taken at one are gone at the other, on SQLite a moment later.
            app.services.accounts.change_user(app.services.accounts.user("ana").id, disabled=True)
            until(lambda: second.get("/v1/jobs", headers=ana).status_code != 200, seconds=10.0)
            assert second.get("/v1/jobs", headers=ana).status_code == 401
            root = make_admin(second, app)
            assert first.get("/v1/users", headers=root).status_code == 200
