"""The starter of the services: real processes under load, under faults, and changed settings."""

from __future__ import annotations

import json
import os
import signal
import threading
import time

import pytest
from free_ports import free_port
from started_services import StartedServices, is_alive

from kvasir.core.errors import KvasirError
from kvasir.remote.zeromq.embedding import RemoteEmbedder

INDEX_OFF = {"enabled": False}
SLOW = {"type": "served_components:SlowEmbedder"}


class Load:
    """Threads that embed without a pause; each answer is checked, each error is kept."""

    def __init__(self, services, threads=6):
        self._embedder = RemoteEmbedder(services.address("llm"), keys=str(services.keys))
        self._expected = self._embedder.embed_documents(["one two"])
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._work) for _ in range(threads)]
        self.answered, self.errors = 0, []
        self._lock = threading.Lock()

    def _work(self):
        while not self._over.is_set():
            try:
                found = self._embedder.embed_documents(["one two"])
                is_right = found.shape == (1, 64) and (found == self._expected).all()
                with self._lock:
                    self.answered += 1
                    if not is_right:
                        self.errors.append("a wrong answer")
            except KvasirError as error:
                self.errors.append(repr(error))

    def wait_for_more(self, answers=20):
        """Wait until some more calls were answered."""
        end, before = time.monotonic() + 240, self.answered
        while self.answered < before + answers:
            assert time.monotonic() < end
            time.sleep(0.02)

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *error):
        self._over.set()
        for thread in self._threads:
            thread.join(240)
        self._embedder.close()


@pytest.fixture(scope="module")
def llm(tmp_path_factory):
    """The service llm with one worker; the tests leave it as it was."""
    folder = tmp_path_factory.mktemp("llm")
    options = {"seconds": 0.05}
    with StartedServices(
        folder, llm={"embedding_model": {**SLOW, "options": options}}, index=INDEX_OFF
    ) as services:
        yield services.start()


def test_workers_come_and_go_under_load_without_a_lost_request(llm):
    with Load(llm) as load:
        load.wait_for_more()
        assert llm.command("services", "scale", "llm", "3") == "llm has 3 workers\n"
        load.wait_for_more()
        three = llm.pids("llm")
        assert len(set(three)) == 4
        llm.command("services", "scale", "llm", "1")
        load.wait_for_more()
        assert llm.pids("llm") == three[:2]
        llm.command("services", "restart", "llm")
        load.wait_for_more()
        replaced = llm.pids("llm")
        assert replaced[0] == three[0]
        assert replaced[1] != three[1]
        llm.command("services", "stop", "llm")
        assert llm.group("llm")["workers"] == []
        answered = load.answered
        llm.command("services", "restart", "llm")
        load.wait_for_more()
        assert load.answered > answered
    assert load.errors == []
    assert not any(is_alive(pid) for pid in (*three[2:], three[1]))


def test_what_is_killed_is_started_again_and_its_requests_are_answered(llm):
    with Load(llm) as load:
        load.wait_for_more()
        broker, worker = llm.pids("llm")
        os.kill(worker, signal.SIGKILL)
        llm.wait_for_line("llm worker 1 has ended (SIGKILL)")
        load.wait_for_more()
        assert llm.pids("llm")[0] == broker
        os.kill(broker, signal.SIGKILL)
        llm.wait_for_line("llm broker has ended (SIGKILL)")
        load.wait_for_more()
        again = llm.pids("llm")
    assert load.errors == []
    assert not {broker, worker} & set(again)


def test_status_names_addresses_processes_and_queues(llm):
    status = json.loads(llm.command("services", "status", "--json"))
    assert status["pid"] == llm.process.pid
    assert status["config"] == str(llm.file)
    (service,) = status["services"]
    assert service["front_ends"] == [llm.address("llm")]
    assert service["broker"]["state"] == "ready"
    (group,) = service["groups"]
    assert [each["state"] for each in group["workers"]] == ["ready"]
    assert set(group["queues"]) == {"embedder", "generator"}
    shown = llm.command("services", "status")
    for part in ("llm broker", "llm worker 1", "llm: all workers", llm.address("llm")):
        assert part in shown


def test_what_cannot_be_done_is_said_in_one_line(llm, tmp_path):
    unknown = llm.command("services", "scale", "lm", "2", check=False)
    assert unknown.returncode == 2
    assert unknown.stderr == "error: there is no service 'lm' (there are: llm)\n"
    second = llm.command("services", "start", check=False)
    assert second.returncode == 2
    assert second.stderr.splitlines()[-1] == (
        f"error: the services of {llm.folder / 'kvasir-data'} run already "
        f"(process {llm.process.pid})"
    )
    other = llm.command("--data-dir", str(tmp_path / "none"), "services", "status", check=False)
    assert other.returncode == 3
    assert "'kvasir services start' starts them" in other.stderr
    taken = StartedServices(tmp_path, index=INDEX_OFF)
    taken.ports["llm"] = llm.ports["llm"]
    taken.write()
    refused = taken.command("services", "start", check=False)
    assert refused.returncode == 3
    assert refused.stderr.splitlines()[-1] == (
        f"error: port {llm.ports['llm'][0]} of 127.0.0.1 is taken by another program: set "
        "llm.front_end.port"
    )


def test_a_changed_section_restarts_that_service_alone(tmp_path):
    store = {"type": "plugin_components:PluginStore", "uri": str(tmp_path / "store")}
    with StartedServices(tmp_path, index={"vectordb": store}) as services:
        services.start()
        llm, index = services.pids("llm"), services.pids("index")
        services.write(llm={"embedding_model": {**SLOW}, "service_module": "x"})
        services.wait_for_line("the settings have changed: llm is started again")
        services.wait_until(lambda _: services.pids("llm")[1] not in (None, llm[1]))
        assert services.pids("index") == index
        assert services.pids("llm")[0] == llm[0]
        # A file that cannot be used changes nothing.
        before = len(services.lines)
        services.write(llm={"num_workers": "many"})
        line = services.wait_for_line("cannot be used", before)
        assert "llm.num_workers" in services.lines[line]
        services.write(llm={"embedding_model": {**SLOW}, "num_workers": 2})
        services.wait_for_line("the settings have changed: llm has 2 workers")
        # An address of its own takes another broker.
        services.ports["index"] = (free_port(), services.ports["index"][1])
        services.write()
        services.wait_for_line("index has another broker, index is started again")
        services.wait_until(lambda _: services.pids("index")[1] not in (None, index[1]))
        assert services.pids("index")[0] != index[0]
        assert services.pids("llm")[0] == llm[0]
        assert services.end() == 0


def test_a_service_that_dies_at_once_is_named_with_growing_delays(tmp_path):
    mark = tmp_path / "dies"
    mark.touch()
    dying = {"type": "served_components:DyingEmbedder", "options": {"file": str(mark)}}
    with StartedServices(tmp_path, llm={"embedding_model": dying}, index=INDEX_OFF) as services:
        services.start(ready=False)
        services.wait_for_line("3 times in a row; it is started again in 4 s")
        said = [line for line in services.lines if line.startswith("llm worker 1 has ended")]
        assert [line.rpartition("again in ")[2] for line in said[:3]] == ["1 s\n", "2 s\n", "4 s\n"]
        assert all("(status 7)" in line and "after its start" in line for line in said)
        (worker,) = services.group("llm")["workers"]
        assert (worker["state"], worker["last_end"]) == ("failing", "status 7")
        assert "failing: status 7, again in" in services.command("services", "status")
        waiting = services.command("services", "restart", "llm", check=False)
        assert waiting.returncode == 3
        assert "llm worker 1 dies at once (status 7)" in waiting.stderr
        mark.unlink()
        # One that was started just before may still end.
        restart = ("services", "restart", "llm")
        services.wait_until(lambda _: not services.command(*restart, check=False).returncode)
        assert [each["state"] for each in services.group("llm")["workers"]] == ["ready"]


def test_the_length_of_the_queue_starts_and_ends_workers(tmp_path):
    llm = {
        "embedding_model": {**SLOW, "options": {"seconds": 0.3}},
        "num_workers": {"min": 1, "max": 3, "idle_seconds": 0.5},
    }
    with StartedServices(tmp_path, llm=llm, index=INDEX_OFF) as services:
        services.start()
        with Load(services, threads=24) as load:
            services.wait_until(lambda _: services.group("llm")["wanted"] == 3)
            services.wait_until(
                lambda _: (
                    [each["state"] for each in services.group("llm")["workers"]] == ["ready"] * 3
                )
            )
            load.wait_for_more()
        assert load.errors == []
        services.wait_until(lambda _: len(services.group("llm")["workers"]) == 1)


def test_ctrl_c_answers_what_is_in_progress_and_leaves_no_process(tmp_path):
    llm = {"embedding_model": {**SLOW, "options": {"seconds": 1.5}}}
    with StartedServices(tmp_path, llm=llm, index=INDEX_OFF) as services:
        services.start()
        pids = services.pids("llm")
        answers = []
        with_keys = RemoteEmbedder(services.address("llm"), keys=str(services.keys))
        calls = [
            threading.Thread(target=lambda: answers.append(with_keys.embed_documents(["one"])))
            for _ in range(6)
        ]
        for call in calls:
            call.start()
        services.wait_until(lambda _: services.group("llm")["queues"]["embedder"]["running"] == 2)
        assert services.end(signal.SIGINT) == 0
        for call in calls:
            call.join(60)
        with_keys.close()
        assert len(answers) == 6
        assert not any(map(is_alive, pids))
        assert not (services.folder / "kvasir-data" / "services" / "starter.json").exists()


@pytest.mark.parametrize("workers", [1, 4])
def test_file_records_survive_a_restart_of_every_service(tmp_path, workers):
    pytest.importorskip("chromadb")
    index = {
        "num_workers": workers,
        "chroma_db_path": "./chroma",
        "sqlite_db_path": "./files.db",
    }
    if workers > 1:
        index |= {"chroma_host": "127.0.0.1", "chroma_port": free_port()}
    for number in range(3):
        (tmp_path / f"feast{number}.md").write_text(f"# Feast {number}\n\nMead number {number}.")
    with StartedServices(tmp_path, index=index, rag={"ingest": {"workers": 1}}) as services:
        services.start()
        services.command("ingest", *(f"feast{number}.md" for number in range(3)))
        before = json.loads(services.command("documents", "list", "--json"))
        assert len(before) == 3
        services.command("services", "restart")
        assert json.loads(services.command("documents", "list", "--json")) == before
        assert len(services.group("index")["workers"]) == workers
        hits = json.loads(services.command("search", "Mead number 2", "--json"))
        assert "Mead number 2." in hits[0]["chunk"]["text"]
        assert services.end() == 0
        assert (tmp_path / "files.db").is_file()
        assert (tmp_path / "chroma" / "chroma.sqlite3").is_file()
        services.lines.clear()
        services.start()
        assert json.loads(services.command("documents", "list", "--json")) == before
        if workers > 1:
            refused = services.command("services", "scale", "index", "2")
            assert refused == "index has 2 workers\n"
        else:
            refused = services.command("services", "scale", "index", "2", check=False)
            assert refused.returncode == 2
            assert "index has one worker, which opens the folder of its store" in refused.stderr
