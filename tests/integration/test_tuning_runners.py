"""RWKV models are tuned by jobs of the services: prepared, followed, cancelled, refused."""

import json
import os
import signal
import time

import pytest
from libraries import library
from small_rwkv import one_thread, random_model, write_model
from started_services import StartedServices

from kvasir.core.errors import RequestError
from kvasir.core.services.jobs import JobState
from kvasir.remote.zeromq.tuning_jobs import RemoteTuningJobs
from kvasir.tuning import tune

library("torch", extra="torch")
tuning = library("kvasir.rwkv.tuning", "peft", extra="torch")
library("peft", extra="torch")

OFF = {"enabled": False}
PATIENCE = 240
SMALL = {"base": "base.pth", "data": "tea", "batch": 4, "rank": 2, "evaluate_every": 5}


@pytest.fixture(scope="module")
def services(tmp_path_factory):
    place = tmp_path_factory.mktemp("tuning")
    files = place / "kvasir-data" / "tuning"
    files.mkdir(parents=True)
    with one_thread():
        write_model(
            random_model(7, vocabulary=65_536, layers=2, width=64, head_size=32), files / "base.pth"
        )
    lines = [f"User: tea {n}?\n\nAssistant: {n % 7} minutes" for n in range(24)]
    text = "".join(json.dumps({"text": line}) + "\n" for line in lines)
    (files / "tea.jsonl").write_text(text, "utf-8")
    (place / "secret.jsonl").write_text(text, "utf-8")
    with StartedServices(place, llm=OFF, index=OFF, tuning={}) as started:
        yield started.start()


@pytest.fixture
def jobs(services):
    made = [
        RemoteTuningJobs(services.address("tuning"), part, keys=str(services.keys))
        for part in ("j2b", "ft")
    ]
    yield made
    for each in made:
        each.close()


def ended(jobs, job, patience=PATIENCE):
    end = time.monotonic() + patience
    while (found := jobs.job(job.id)).state in (JobState.WAITING, JobState.RUNNING):
        assert time.monotonic() < end, found
        time.sleep(0.05)
    return found


def test_data_are_prepared_and_a_state_is_tuned_with_its_losses_in_view(jobs, services):
    j2b, ft = jobs
    assert (j2b.runners, ft.runners) == (["j2b"], ["lora", "pissa", "state"])
    prepared = ended(j2b, j2b.submit("j2b", {"files": ["tea.jsonl"], "name": "tea"}))
    assert prepared.result == {"name": "tea", "documents": 24}
    job = ft.submit("state", {**SMALL, "steps": 10, "learning_rate": 0.3})
    events = list(ft.follow(job.id))
    reports = [each.data for each in events if each.kind == "report"]
    assert reports, ft.job(job.id)
    assert [each["step"] for each in reports] == list(range(11))
    assert reports[-1]["held_out"] < reports[0]["held_out"]
    done = ended(ft, job)
    assert (done.state, done.result["steps"]) == (JobState.DONE, 10)
    assert done.result["loss"] == min(each.get("held_out", 99) for each in reports)
    assert list(services.folder.glob(f"kvasir-data/**/{job.id}/{done.result['file']}"))


def test_a_long_tuning_is_cancelled(jobs):
    j2b, ft = jobs
    ended(j2b, j2b.submit("j2b", {"files": ["tea.jsonl"], "name": "tea"}))
    job = ft.submit("lora", {**SMALL, "steps": 100_000, "patience": 0})
    next(each for each in ft.follow(job.id) if each.kind == "report")
    ft.cancel(job.id)
    # Ten times the seconds that it should take: this machine may be busy.
    assert ended(ft, job, patience=50).state == JobState.CANCELLED


def test_a_job_whose_worker_is_killed_ends_with_the_losses_of_an_undisturbed_run(
    jobs, services, tmp_path
):
    ft = jobs[1]
    chosen = {"steps": 30, "batch": 4, "rank": 2, "evaluate_every": 5, "patience": 0}
    (worker,) = services.group("ft")["workers"]
    job = ft.submit("lora", {"base": "base.pth", "data": "tea.jsonl", **chosen})
    next(each for each in ft.follow(job.id) if each.data.get("step") == 7)
    os.kill(worker["pid"], signal.SIGKILL)
    files = services.folder / "kvasir-data" / "tuning"
    with one_thread():
        tune(
            "lora", str(files / "base.pth"), files / "tea.jsonl", tmp_path / "whole",
            data_dir=tmp_path, options=chosen,
        )  # fmt: skip
    done = ended(ft, job)
    assert (done.state, done.attempts, done.result["steps"]) == (JobState.DONE, 2, 30)
    (file,) = services.folder.glob(f"kvasir-data/**/{job.id}/lora/metrics.jsonl")
    found = tuning.read_metrics(file)
    expected = tuning.read_metrics(tmp_path / "whole" / "metrics.jsonl")
    assert [line["step"] for line in found] == list(range(31))
    for line, other in zip(found, expected, strict=True):
        assert line == pytest.approx(other, abs=1e-3)


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"base": "/etc/passwd"}, "base must be the name of a file or of a model"),
        ({"base": "../base.pth"}, "base must be the name of a file or of a model"),
        ({"base": "; rm -rf"}, "base must be the name of a file or of a model"),
        ({"data": "../../secret.jsonl"}, "data must be the name of a file in the folder"),
        ({"data": "none.jsonl"}, "there is no file 'none.jsonl' in the folder of tuning"),
        ({"steps": "many"}, "steps has a value of another type than int"),
        ({"steps": 0}, "steps, batch, micro_batch, rank and evaluate_every must be at least 1"),
        ({"context": 0}, "context must be a whole number from 1"),
        ({"shell": "true"}, "unknown arguments: shell"),
    ],
)
def test_what_a_job_must_not_name_is_refused(jobs, changed, told):
    with pytest.raises(RequestError, match=told):
        jobs[1].submit("pissa", {**SMALL, "data": "tea.jsonl"} | changed)
