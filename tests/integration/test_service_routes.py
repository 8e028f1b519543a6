"""Services, tuning and models over HTTP, with real processes and a small made model."""

import json
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import httpx
import pytest
from libraries import library
from live_server import OWNER, live_server
from small_rwkv import one_thread, random_model, write_model
from started_services import FAKE, StartedServices

from kvasir.core.services.answer_log import LoggedAnswer

library("torch", extra="torch")
library("peft", extra="torch")

PATIENCE = 240
LINES = [f"User: tea {n}?\n\nAssistant: {n % 7} minutes" for n in range(24)]
EXAMPLES = "".join(json.dumps({"text": line}) + "\n" for line in LINES)
SMALL = {"base": "base.pth", "data": "tea", "batch": 4, "rank": 2, "evaluate_every": 5}


class Client(httpx.Client):
    """The API as its administrator."""

    def ask(self, method, path, status=200, **content):
        answer = self.request(method, path, **content)
        assert answer.status_code == status, answer.text
        return answer.json() if answer.content else None

    def wait(self, path, is_it):
        end = time.monotonic() + PATIENCE
        while not is_it(found := self.ask("GET", path)):
            assert time.monotonic() < end, found
            time.sleep(0.1)
        return found

    def ended(self, part, job):
        path = f"/v1/tuning/{part}/jobs/{job['id']}"
        return self.wait(path, lambda found: found["state"] not in ("waiting", "running"))

    def submit(self, part, runner, **arguments):
        body = {"runner": runner, "arguments": arguments}
        return self.ask("POST", f"/v1/tuning/{part}/jobs", 202, json=body)

    def events(self, part, job, **query):
        path = f"/v1/tuning/{part}/jobs/{job['id']}/events"
        answer = self.get(path, params=query)
        assert answer.headers["content-type"].startswith("text/event-stream")
        for block in answer.text.split("\n\n"):
            fields = dict(line.partition(": ")[::2] for line in block.splitlines())
            if "event" in fields:
                yield fields["event"], int(fields.get("id", 0)), json.loads(fields["data"])


@pytest.fixture(scope="module")
def services(tmp_path_factory):
    folder = tmp_path_factory.mktemp("services")
    files = folder / "examples"
    files.mkdir()
    with one_thread():
        base = random_model(7, vocabulary=65_536, layers=2, width=64, head_size=32)
        write_model(base, files / "base.pth")
    llm = {"embedding_model": FAKE, "num_workers": 1}

    def runners(*names, **options):
        own = options | {"folder": str(files)}
        return {"runners": {name: {"type": name, "options": own} for name in names}}

    tuning = {"ft": runners("state", "lora", "pissa", device="cpu"), "j2b": runners("j2b")}
    with StartedServices(folder, llm=llm, index={"enabled": False}, tuning=tuning) as started:
        yield started.start()


@pytest.fixture(scope="module")
def client(services):
    data = {"data_dir": services.folder / "kvasir-data"}
    headers = {"Authorization": f"Bearer {OWNER}"}
    with (
        live_server(services.folder, **data) as server,
        Client(base_url=server.url, headers=headers, timeout=120) as made,
    ):
        made.app = server.app
        yield made


def workers(client, name):
    found = client.ask("GET", "/v1/services")
    groups = [group for each in found["services"] for group in each["groups"]]
    (group,) = (each for each in groups if each["name"] == name)
    return [(each["pid"], each["state"]) for each in group["workers"]]


def wait_for_workers(client, name, is_it):
    end = time.monotonic() + PATIENCE
    while not is_it(found := workers(client, name)):
        assert time.monotonic() < end, found
        time.sleep(0.1)
    return [pid for pid, _ in found]


def test_services_are_shown_scaled_and_started_again(client, services):
    found = client.ask("GET", "/v1/services")
    assert (found["is_running"], found["config"]) == (True, str(services.file))
    assert [each["name"] for each in found["services"]] == ["llm", "tuning"]
    (first,) = wait_for_workers(client, "llm", lambda each: [s for _, s in each] == ["ready"])
    group = client.ask("POST", "/v1/services/llm/scale", 202, json={"workers": 2})
    assert group["wanted"] == 2
    two = wait_for_workers(client, "llm", lambda each: [s for _, s in each] == ["ready"] * 2)
    assert first in two
    client.ask("POST", "/v1/services/llm/scale", 202, json={"workers": 1})
    client.ask("POST", "/v1/services/llm/restart", 202)
    is_new = lambda each: len(each) == 1 and each[0][1] == "ready" and each[0][0] not in two  # noqa: E731
    wait_for_workers(client, "llm", is_new)
    problem = client.ask("POST", "/v1/services/lm/restart", 404)
    assert problem["code"] == "not_found"
    assert problem["detail"].startswith("there is no service 'lm' (there are: llm, ")
    client.ask("POST", "/v1/services/llm/scale", 422, json={"workers": 0})


def test_examples_are_uploaded_taken_from_answers_and_prepared(client):
    sent = {"file": ("tea.jsonl", EXAMPLES.encode())}
    kept = client.ask("POST", "/v1/tuning/files", 201, files=sent)
    assert kept == {"name": "tea.jsonl", "examples": 24}
    assert client.ask("POST", "/v1/tuning/files", 409, files=sent)["code"] == "conflict"
    bad = client.ask("POST", "/v1/tuning/files", 400, files={"file": ("bad.jsonl", b"{}")})
    assert bad["detail"].startswith("line 1 has no text")
    log = client.app.services.answer_log
    for number, rating in ((1, 1), (2, None)):
        log.record(
            LoggedAnswer(
                *(str(number), 0, "tea", f"Tea {number}?", "Hot.", False, (), "x", 0.1),
                datetime.now(UTC),
                rating=rating,
            )
        )
    body = {"name": "answers.jsonl"}
    good = client.ask("POST", "/v1/tuning/files/from-answers", 201, json=body)
    assert good["examples"] == 1
    body = {"name": "every.jsonl", "only_good": False}
    assert client.ask("POST", "/v1/tuning/files/from-answers", 201, json=body)["examples"] == 2
    job = client.submit("j2b", "j2b", files=["tea.jsonl"], name="tea")
    assert client.ended("j2b", job)["result"] == {"name": "tea", "documents": 24}
    found = {each["name"]: each["kind"] for each in client.ask("GET", "/v1/tuning/files")}
    assert found == {
        **{"answers.jsonl": "jsonl", "every.jsonl": "jsonl", "tea.jsonl": "jsonl"},
        **{"base.pth": "base", "tea": "prepared"},
    }


def test_a_state_is_tuned_followed_by_two_and_used(client, services):
    assert client.ask("GET", "/v1/tuning/ft")["runners"] == ["lora", "pissa", "state"]
    body = {"runner": "state", "arguments": SMALL}
    memory = client.ask("POST", "/v1/tuning/ft/memory", json=body)
    assert memory["device"] == "cpu" and 64 << 20 < memory["needed"] < memory["free"]
    job = client.submit("ft", "state", **SMALL, steps=10, learning_rate=0.3)
    with ThreadPoolExecutor() as pool:
        first, second = pool.map(lambda _: list(client.events("ft", job)), range(2))
    assert first == second
    kinds = [kind for kind, _, _ in first]
    assert (kinds[0], kinds[-1]) == ("started", "job")
    numbers = [number for _, number, _ in first[:-1]]
    assert numbers == list(range(1, len(numbers) + 1))
    steps = [data["step"] for kind, _, data in first if kind == "report"]
    assert steps == list(range(11))
    assert list(client.events("ft", job, after=numbers[-3]))[:-1] == first[-3:-1]
    assert first[-1][2]["state"] == "done"

    listed = client.ask("GET", "/v1/llm")
    assert (listed["base"], listed["can_change"]) == ("", True)
    names = {each["name"]: each["kind"] for each in listed["files"] if each["format"] == "rwkv"}
    assert names == {"base.pth": "base", f"job/{job['id']}": "state"}
    (before,) = wait_for_workers(client, "llm", lambda each: [s for _, s in each] == ["ready"])
    client.ask("POST", f"/v1/tuning/ft/jobs/{job['id']}/use", 202)
    now = client.ask("GET", "/v1/llm")
    assert (now["base"], now["state"], now["adapter"]) == ("base.pth", f"job/{job['id']}", "")
    is_new = lambda each: len(each) == 1 and each[0][1] == "ready" and each[0][0] != before  # noqa: E731
    wait_for_workers(client, "llm", is_new)
    # Without a model answers quote the documents again.
    assert client.ask("PUT", "/v1/llm", 202, json={})["base"] == ""
    assert "base_model_file: null" in services.file.read_text("utf-8")


def test_a_job_is_cancelled_and_one_that_cannot_be_is_a_problem(client):
    client.ask("POST", "/v1/tuning/ft/jobs/none/cancel", 404)
    client.ask("GET", "/v1/tuning/ft/jobs/none/events", 404)
    long = client.submit("ft", "lora", **SMALL, steps=100_000, patience=0)
    client.wait(f"/v1/tuning/ft/jobs/{long['id']}", lambda found: found["progress"] is not None)
    present = list(client.events("ft", long, wait=False))
    assert present[-1][0] == "job" and present[-1][2]["state"] == "running"
    client.ask("POST", f"/v1/tuning/ft/jobs/{long['id']}/cancel")
    assert client.ended("ft", long)["state"] == "cancelled"
    client.ask("POST", f"/v1/tuning/ft/jobs/{long['id']}/use", 409)
    for arguments, told in (
        ({"base": "/etc/passwd"}, "base must be the name of a file or of a model"),
        ({"data": "none"}, "there is no file 'none' in the folder of tuning"),
    ):
        body = {"runner": "state", "arguments": SMALL | arguments}
        problem = client.ask("POST", "/v1/tuning/ft/jobs", 400, json=body)
        assert told in problem["detail"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"base": "/etc/passwd"}, 400),
        ({"base": "../base.pth"}, 400),
        ({"base": "owner/../x.gguf"}, 404),
        ({"base": "owner/none/x.pth"}, 404),
        ({"base": "base.pth", "tuned": "base.pth"}, 404),
        ({"base": "base.pth", "tuned": "job/none"}, 404),
        ({"tuned": "base.pth"}, 400),
    ],
)
def test_llm_takes_names_of_models_here_and_nothing_else(client, services, body, status):
    before = services.file.read_text("utf-8")
    client.ask("PUT", "/v1/llm", status, json=body)
    assert services.file.read_text("utf-8") == before


def test_models_are_listed_and_one_that_is_not_on_the_hub_is_words(client, monkeypatch):
    names = {each["name"] for each in client.ask("GET", "/v1/model-files")}
    assert "sentence-transformers/all-MiniLM-L6-v2" in names
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with client.stream("POST", "/v1/model-files/fetch", json={"name": "no/such"}) as answer:
        events = answer.read().decode()
    assert "event: error" in events and "model_not_found" in events
