"""The starter and changed settings: it decides about processes that only wait."""

from __future__ import annotations

import os
import signal
import sys
import time
from dataclasses import replace

import pytest
from free_ports import free_port

from kvasir.core.errors import KvasirError, StorageError
from kvasir.core.run import StopToken
from kvasir.frontends.services.control import ensure_keys
from kvasir.frontends.services.groups import Group
from kvasir.frontends.services.plans import BrokerPlan, GroupPlan, Plan, ServerPlan
from kvasir.frontends.services.servers import BrokerPart, ServerPart
from kvasir.frontends.services.starter import Starter
from kvasir.settings.zeromq_schema import WorkerRange

PATIENCE = 60
WAITS = (sys.executable, "-c", "import time; time.sleep(600)")
STAYS = (
    sys.executable,
    "-c",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)",
)


def broker(name, folder, keys=None):
    front = f"ipc://{folder}/{name}-front"
    return BrokerPlan(name, WAITS, front, (front,), (f"ipc://{folder}/{name}-back",), keys)


def group(name, command=WAITS, broker_name=""):
    one = WorkerRange(min=1, max=1)
    return GroupPlan(name, broker_name or name, command, (name, command), one, (name,))


class Changing:
    """A starter whose settings change; ``look`` is what its thread does all the time."""

    def __init__(self, folder, plan):
        self.file, self.plan, self.lines = folder / "ragq.yml", plan, []
        self.file.write_text("0")
        self.starter = Starter(lambda: self.plan, self.lines.append, file=self.file)

    def change(self, **parts):
        self.plan = replace(self.plan, **parts)
        self.file.write_text(self.file.read_text() + "0")
        self.starter._next_file = 0.0
        self.look()

    def look(self):
        self.starter._look_after()

    def look_until(self, is_true):
        end = time.monotonic() + PATIENCE
        while not is_true():
            assert time.monotonic() < end, self.lines
            self.look()
            time.sleep(0.02)

    def alive(self):
        """Return the names and processes of what runs."""
        parts = self.starter._parts()
        return {(each.name, each.process.pid) for each in parts if each.is_alive}

    def names(self):
        return sorted(name for name, _ in self.alive())


@pytest.fixture
def start(tmp_path, monkeypatch):
    # A process that only waits answers nothing over HTTP.
    monkeypatch.setattr(ServerPart, "answers", lambda self: self.is_alive)
    started = []

    def start(**parts):
        changing = Changing(tmp_path, Plan(**{"servers": (), **parts}))
        started.append(changing)
        changing.starter._prepare(changing.plan)
        changing.look()
        return changing

    yield start
    for changing in started:
        for broker_part in changing.starter._brokers.values():
            broker_part.forget()
        for _, pid in changing.alive():
            os.kill(pid, signal.SIGKILL)


@pytest.fixture
def llm(tmp_path):
    return {"brokers": (broker("llm", tmp_path),), "groups": (group("llm"),)}


@pytest.fixture
def chroma(tmp_path):
    address = f"http://127.0.0.1:{free_port()}"
    return ServerPlan("Chroma", WAITS, address, tmp_path / "chroma")


def test_keys_that_cannot_be_made_change_nothing(start, llm, tmp_path):
    changing = start(**llm)
    before = changing.alive()
    (tmp_path / "file").touch()
    keys = tmp_path / "file" / "keys"
    changing.change(brokers=(broker("llm", tmp_path, keys),), groups=(group("llm", STAYS),))
    assert "cannot be used" in changing.lines[-1]
    assert str(keys) in changing.lines[-1]
    assert changing.alive() == before
    assert changing.starter.plan.groups == llm["groups"]


def test_a_key_that_is_none_changes_nothing(start, llm, tmp_path):
    changing = start(**llm)
    before = changing.alive()
    keys = tmp_path / "keys"
    ensure_keys(keys)
    (keys / "client.key_secret").write_text("no key")
    changing.change(brokers=(broker("llm", tmp_path, keys),))
    assert "is no CURVE key" in changing.lines[-1]
    assert changing.alive() == before


def test_a_folder_that_cannot_be_written_changes_nothing(start, llm, chroma, tmp_path):
    changing = start(**llm)
    before = changing.alive()
    (tmp_path / "file").touch()
    changing.change(servers=(replace(chroma, folder=tmp_path / "file" / "chroma"),))
    assert "cannot be used" in changing.lines[-1]
    assert changing.alive() == before


def test_a_start_with_keys_that_cannot_be_made_starts_nothing(llm, tmp_path):
    (tmp_path / "keys").touch()
    plan = Plan((), (broker("llm", tmp_path, tmp_path / "keys"),), llm["groups"])
    changing = Changing(tmp_path, plan)
    with pytest.raises(StorageError, match="cannot be written"):
        changing.starter.run(StopToken())
    assert changing.alive() == set()


def test_a_broker_starts_again_though_its_queue_could_not_be_read(tmp_path, caplog):
    keys = tmp_path / "keys"
    ensure_keys(keys)
    (keys / "client.key_secret").write_text("no key")
    part = BrokerPart(broker("llm", tmp_path, keys))
    for _ in range(2):
        part.start()
        part._reader.join(PATIENCE)
        part.process.kill()
        part.process.wait()
    assert "the queue of llm cannot be read" in caplog.text


def test_a_service_that_is_turned_off_ends_and_comes_back(start, llm, tmp_path):
    index = (broker("index", tmp_path), group("index"))
    both = {"brokers": (*llm["brokers"], index[0]), "groups": (*llm["groups"], index[1])}
    changing = start(**both)
    all_names = ["index broker", "index worker 1", "llm broker", "llm worker 1"]
    assert changing.names() == all_names
    kept = {each for each in changing.alive() if each[0].startswith("llm")}

    changing.change(**llm)
    assert "index is off" in changing.lines[-1]
    changing.look_until(lambda: changing.alive() == kept)
    changing.starter.restart([])
    changing.look()
    assert not any(name.startswith("index") for name in changing.names())
    with pytest.raises(KvasirError, match="there is no service 'index'"):
        changing.starter.restart(["index"])
    assert [each["name"] for each in changing.starter.status()["services"]] == ["llm"]

    changing.change(**both)
    assert "index has a broker, index is on" in changing.lines[-1]
    changing.look_until(lambda: changing.names() == all_names)


def test_workers_end_after_the_broker_that_gives_them_its_last_requests(start, llm, tmp_path):
    slow = replace(broker("index", tmp_path), command=STAYS)
    changing = start(
        brokers=(*llm["brokers"], slow), groups=(*llm["groups"], group("index", WAITS))
    )
    pids = dict(changing.alive())
    changing.change(**llm)
    for _ in range(3):
        changing.look()
    assert {"index broker", "index worker 1"} < set(changing.names())
    index, _ = changing.starter.status()["services"]
    assert (index["name"], index["broker"]["state"]) == ("index", "ending")
    (off,) = index["groups"]
    assert (off["name"], off["is_on"], off["wanted"]) == ("index", False, 0)
    assert [(each["name"], each["state"]) for each in off["workers"]] == [
        ("index worker 1", "ending")
    ]
    os.kill(pids["index broker"], signal.SIGKILL)
    changing.look_until(lambda: changing.names() == ["llm broker", "llm worker 1"])


def test_a_part_of_a_shared_broker_is_turned_off_alone(start, tmp_path):
    tuning = broker("tuning", tmp_path)
    j2b, ft = group("j2b", broker_name="tuning"), group("ft", broker_name="tuning")
    changing = start(brokers=(tuning,), groups=(j2b, ft))
    changing.change(groups=(ft,))
    changing.look_until(lambda: changing.names() == ["ft worker 1", "tuning broker"])


def test_another_folder_has_another_chroma_when_the_one_before_has_ended(
    start, llm, chroma, tmp_path
):
    changing = start(**llm, servers=(chroma,))
    changing.look_until(lambda: changing.names() == ["Chroma", "llm broker", "llm worker 1"])
    (before,) = (pid for name, pid in changing.alive() if name == "Chroma")
    changing.change(servers=(replace(chroma, folder=tmp_path / "other", command=STAYS),))
    assert "Chroma ends, Chroma is started" in changing.lines[-1]
    changing.look_until(
        lambda: {pid for name, pid in changing.alive() if name == "Chroma"} - {before}
    )
    assert changing.names().count("Chroma") == 1
    assert (tmp_path / "other" / "server.log").is_file()


def test_chroma_ends_when_no_worker_uses_it_any_more(start, llm, chroma, tmp_path):
    changing = start(
        brokers=(*llm["brokers"], broker("index", tmp_path)),
        groups=(*llm["groups"], group("index", STAYS)),
        servers=(chroma,),
    )
    changing.look_until(lambda: "index worker 1" in changing.names())
    pids = dict(changing.alive())
    time.sleep(0.5)  # Until the worker ignores the signal.
    changing.change(servers=(), **llm)
    changing.look_until(lambda: "index broker" not in changing.names())
    for _ in range(3):
        changing.look()
    assert "Chroma" in changing.names()
    status = changing.starter.status()
    assert [(each["name"], each["state"]) for each in status["servers"]] == [("Chroma", "ending")]
    assert [each["name"] for each in status["services"]] == ["index", "llm"]
    os.kill(pids["index worker 1"], signal.SIGKILL)
    changing.look_until(lambda: changing.names() == ["llm broker", "llm worker 1"])
    changing.look()
    status = changing.starter.status()
    assert ([each["name"] for each in status["services"]], status["servers"]) == (["llm"], [])


def test_status_has_old_workers_with_the_new_ones_of_their_service(start, llm, tmp_path):
    index = group("index", STAYS, broker_name="llm")
    changing = start(brokers=llm["brokers"], groups=(*llm["groups"], index))
    time.sleep(0.5)  # Until the worker ignores the signal.
    changing.change(**llm)
    changing.change(groups=(*llm["groups"], index))
    (service,) = changing.starter.status()["services"]
    groups = {each["name"]: each for each in service["groups"]}
    assert list(groups) == ["llm", "index"]
    assert groups["index"]["is_on"]
    assert sorted(each["state"] for each in groups["index"]["workers"]) == ["ending", "starting"]


@pytest.mark.parametrize("act", [Group.restart, Group.stop, lambda each: each.scale(1)])
def test_deaths_of_before_do_not_count_after_a_command(act):
    tried = Group(group("llm", (sys.executable, "-c", "raise SystemExit(7)")), lambda _: None)
    tried.look_after(time.monotonic())
    (worker,) = tried.workers
    worker.process.wait()
    worker.deaths = 5
    act(tried)
    (state,) = tried.state(time.monotonic())["workers"]
    assert state["deaths_in_a_row"] == 0
