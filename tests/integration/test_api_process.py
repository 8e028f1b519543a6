"""``kvasir serve`` as a process: its start, its logs, and how it ends."""

import asyncio
import json
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import closing

import httpx
import pytest
from account_client import PASSWORD, as_user
from free_ports import free_port
from service_client import TEA, documents, make_collection, send, sign_up, upload, wait_for
from service_process import SUPPORT, ServiceProcess

from kvasir.app import App
from kvasir.core.services.jobs import JobState
from kvasir.frontends.api.listening import take_last_connections
from kvasir.frontends.process import listen
from kvasir.settings.loading import load_settings

TIMED = {"type": "slow_generator:TimedGenerator"}


@pytest.fixture(scope="module")
def started(tmp_path_factory):
    """A server with JSON logs and its first administrator."""
    service = ServiceProcess(tmp_path_factory.mktemp("process"), server={"log_format": "json"})
    with service:
        address = service.start()
        with httpx.Client(base_url=address, timeout=30) as client:
            yield service, client


def test_the_one_time_link_makes_the_first_administrator_once(started):
    service, client = started
    (line,) = [line for line in service.lines if "no administrator" in line]
    link = httpx.URL(line.split("once: ")[1].strip())
    assert link.copy_with(fragment=None) == client.base_url.copy_with(path="/register")
    form = {
        "email": "root@example.org",
        "username": "root",
        "password": PASSWORD,
        "invitation": link.fragment,
    }
    assert client.post("/register", data=form).status_code == 201
    assert client.get("/v1/users", headers=as_user(client, "root")).status_code == 200
    again = form | {"email": "eve@example.org", "username": "eve"}
    assert client.post("/register", data=again).status_code == 403


def test_a_page_whose_name_resolves_to_this_machine_cannot_register(started):
    _, client = started
    user = {"email": "mallory@example.org", "username": "mallory", "password": PASSWORD}
    port = client.base_url.port
    for host, status in ((f"evil.example:{port}", 403), (f"localhost:{port}", 201)):
        answer = client.post("/user/", json=user, headers={"Host": host})
        assert answer.status_code == status, answer.text


def test_one_id_leads_from_the_access_log_to_the_answer(started):
    service, client = started
    ana = sign_up(client, "ana")
    place = make_collection(client, ana, "course")
    upload(client, ana, place, "tea.md", TEA)
    known = ana | {"X-Request-ID": "lesson-7"}
    question = {"question": "How hot is green tea brewed?"}
    answer = client.post(f"{place}/answers", json=question, headers=known)
    assert answer.headers["X-Request-ID"] == "lesson-7"
    client.get("/v1/jobs/none", headers=known)
    end = time.monotonic() + 20
    while "/v1/jobs/none" not in "".join(service.lines) and time.monotonic() < end:
        time.sleep(0.02)
    entries = [json.loads(line) for line in service.lines if line.startswith("{")]
    mine = [each for each in entries if each.get("request_id") == "lesson-7"]
    assert [(each["path"], each["status"]) for each in mine] == [
        (f"{place}/answers", 200),
        ("/v1/jobs/none", 404),
    ]
    assert mine[0]["user_id"] > 0 and mine[0]["milliseconds"] > 0
    log = "".join(service.lines)
    assert "green tea" not in log and ana["Authorization"].split()[1] not in log
    with App(load_settings(service.file)) as app:
        (record,) = app.services.answer_log.export()
    assert (record.request_id, record.id) == ("lesson-7", answer.headers["Kvasir-Answer"])


def test_a_port_that_is_taken_is_one_sentence(started, tmp_path):
    _, client = started
    command = ServiceProcess(tmp_path).command("--port", str(client.base_url.port))
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 3
    (line,) = ended.stderr.splitlines()
    assert f"port {client.base_url.port} of 127.0.0.1 is taken" in line
    assert line.endswith("choose another with --port N or the setting server.port")


def test_a_published_signing_key_is_refused_in_one_sentence(tmp_path):
    known = "6b3d75e968f26f3be3443503efefd761e22d5e173fea95646a3659e673ebb97b"
    service = ServiceProcess(tmp_path, server={"signing_key": known})
    ended = subprocess.run(
        service.command("--port", "0"), capture_output=True, text=True, timeout=60
    )
    assert ended.returncode == 3
    (line,) = ended.stderr.splitlines()
    assert "server.signing_key" in line and known not in line


def test_uvicorn_starts_the_same_application(tmp_path):
    ServiceProcess(tmp_path)
    port = free_port()
    server = subprocess.Popen(
        [sys.executable, "-m", "uvicorn", "kvasir.frontends.api:app", "--port", str(port)],
        cwd=tmp_path,
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
            end = time.monotonic() + 60
            while True:
                try:
                    assert client.get("/ready").json()["ready"]
                    break
                except httpx.ConnectError:
                    assert time.monotonic() < end and server.poll() is None
                    time.sleep(0.1)
            ana = sign_up(client, "ana")
            assert client.get("/v1/collections", headers=ana).json() == []
    finally:
        server.terminate()
        server.wait(30)


class Load:
    """Clients that search without a pause, until the port is closed."""

    def __init__(self, address, place, headers):
        self.statuses, self.lost, self.stopped = [], [], threading.Event()
        self._arguments = (address, place, headers)
        self._threads = [threading.Thread(target=self._run) for _ in range(6)]
        for thread in self._threads:
            thread.start()

    def _run(self):
        address, place, headers = self._arguments
        with httpx.Client(base_url=address, headers=headers, timeout=30) as client:
            while not self.stopped.is_set():
                try:
                    answer = client.post(f"{place}/search", json={"query": "tea"})
                    self.statuses.append(answer.status_code)
                except httpx.ConnectError:
                    return  # Not accepted: the client knows that it was not answered.
                except httpx.TransportError as error:
                    self.lost.append(repr(error))

    def join(self):
        for thread in self._threads:
            thread.join(30)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_under_load_loses_no_request(tmp_path, number):
    # Long enough to see that it is red, also on a machine that does other work besides.
    service = ServiceProcess(tmp_path, generator=TIMED, server={"drain_seconds": 1.5})
    with service:
        address = service.start()
        client = httpx.Client(base_url=address, timeout=30)
        ana = sign_up(client, "ana")
        place = make_collection(client, ana, "course")
        upload(client, ana, place, "tea.md", TEA)
        load = Load(address, place, ana)
        answers = []

        def ask():
            body = {"question": "How hot is green tea brewed?", "stream": True}
            answers.append(
                httpx.post(f"{address}{place}/answers", json=body, headers=ana, timeout=60)
            )

        asking = threading.Thread(target=ask)
        asking.start()
        for name in "abcdefgh":
            assert send(client, ana, place, f"{name}.txt", f"Note {name}").status_code == 202
        while len(load.statuses) <= 20 and not load.lost:
            time.sleep(0.02)
        service.signal(number)
        # The server looks at signals ten times a second.
        while (red := client.get("/ready")).status_code == 200:
            time.sleep(0.02)
        assert (red.status_code, red.json()["checks"]["server"]) == (503, "stopping")
        assert red.headers["Connection"] == "close"
        assert service.wait() == 0
        load.join()
        asking.join()
        client.close()
        assert load.lost == [] and set(load.statuses) == {200} and len(load.statuses) > 20
        assert "event: answer" in answers[0].text
        assert "Kvasir has stopped" in service.lines[-1]
    # Jobs in progress were given back.
    with App(load_settings(service.file)) as app:
        counts = app.services.jobs.counts()
        assert counts[JobState.RUNNING] == 0 and counts[JobState.FAILED] == 0
        assert sum(counts.values()) == 9


def test_requests_that_still_wait_when_the_server_stops_get_an_answer_and_no_traceback(tmp_path):
    rag = {
        "embedding_model": {"type": "sleeping_embedder:SleepingEmbedder"},
        "ingest": {"workers": 1},
    }
    slow = {"type": "slow_generator:SlowGenerator"}
    service = ServiceProcess(tmp_path, rag=rag, generator=slow, server={"shutdown_seconds": 1})
    with service:
        address = service.start()
        with httpx.Client(base_url=address, timeout=30) as client:
            ana = sign_up(client, "ana")
            place = make_collection(client, ana, "course")
            upload(client, ana, place, "tea.md", TEA)
        answers = {}

        def ask(name, path, **body):
            answer = httpx.post(address + path, headers=ana, timeout=60, **body)
            answers[name] = answer, time.monotonic()

        file = {"file": ("slow.txt", b"Please take your time.")}
        question = {"question": "How hot is green tea brewed?"}
        asking = [
            threading.Thread(target=ask, args=arguments, kwargs=body)
            for arguments, body in (
                (("upload", f"{place}/documents?wait=30"), {"files": file}),
                (("question", f"{place}/answers"), {"json": question}),
            )
        ]
        for each in asking:
            each.start()
        time.sleep(1)
        stopped = time.monotonic()
        service.signal(signal.SIGINT)
        assert service.wait() == 0
        for each in asking:
            each.join(30)
    uploaded, when = answers["upload"]
    assert uploaded.status_code == 202 and uploaded.json()["state"] in ("waiting", "running")
    assert when - stopped < 2
    refused, _ = answers["question"]
    assert (refused.status_code, refused.json()["code"]) == (503, "closed")
    assert refused.headers["content-type"] == "application/problem+json"
    assert not any("Traceback" in line for line in service.lines), "".join(service.lines)
    assert any(line.startswith("Stopping") for line in service.lines)


def test_every_upload_that_was_accepted_is_found_once_however_often_the_server_is_killed(
    tmp_path,
):
    service = ServiceProcess(tmp_path, server={"job_lease_seconds": 3})
    command = [sys.executable, "-m", "kvasir", "--config", str(service.file), "doctor"]
    accepted = {}
    with service:
        for round_ in range(4):
            address = service.start()
            with httpx.Client(base_url=address, timeout=30) as client:
                if round_ == 0:
                    headers = sign_up(client, "ana")
                    place = make_collection(client, headers, "course")
                for number in range(10):
                    name = f"{round_}-{number}.txt"
                    body = f"Note {name} is about item{round_}x{number}."
                    answer = send(client, headers, place, name, body)
                    assert answer.status_code == 202
                    accepted[name] = answer.json()
                if round_ < 3:
                    time.sleep(0.15 * round_)
                    service.kill()
                    continue
                for job in accepted.values():
                    assert wait_for(client, headers, job, seconds=90)["state"] == "done"
                found = documents(client, headers, place, limit=1000)
                assert sorted(each["source_uri"] for each in found) == sorted(
                    f"upload:ana/{name}" for name in accepted
                )
                for name in accepted:
                    item = f"item{name.removesuffix('.txt').replace('-', 'x')}"
                    body = {"query": item, "top_k": 100}
                    hits = client.post(f"{place}/search", json=body, headers=headers).json()
                    assert sum(item in hit["chunk"]["text"] for hit in hits) == 1
        service.signal(signal.SIGTERM)
        assert service.wait() == 0
    doctor = subprocess.run(
        [*command, "--collection", "course"], capture_output=True, text=True, timeout=60
    )
    assert doctor.returncode == 0, doctor.stdout + doctor.stderr
    assert SUPPORT.is_dir()


def test_the_parts_of_a_response_are_sent_at_once():
    async def no_delay():
        loop = asyncio.get_running_loop()
        accepted = loop.create_future()

        class Accepting(asyncio.Protocol):
            def connection_made(self, transport):
                connection = transport.get_extra_info("socket")
                option = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
                accepted.set_result(option)
                transport.close()

        async with await loop.create_server(Accepting, sock=listen("127.0.0.1", 0)) as server:
            _, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            writer.close()
            return await accepted

    assert asyncio.run(no_delay())


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the queue is made short only")
def test_no_connection_is_made_after_the_last_look():
    async def close_while_clients_come():
        listener = listen("127.0.0.1", 0)
        listener.setblocking(False)
        address = listener.getsockname()
        loop = asyncio.get_running_loop()
        with closing(listener), closing(socket.create_connection(address)):
            looking = asyncio.create_task(take_last_connections([listener]))
            await asyncio.sleep(0.02)
            with closing(socket.socket()) as late:
                late.setblocking(False)
                connecting = asyncio.create_task(loop.sock_connect(late, address))
                (taken,) = await looking
                assert not connecting.done()
                taken.close()
                listener.close()
                with pytest.raises(ConnectionRefusedError):
                    await connecting

    asyncio.run(close_while_clients_come())
