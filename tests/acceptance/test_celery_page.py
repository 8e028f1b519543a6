"""The manual's page on Celery, and document 002's commands, do what they say."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
import yaml
from celery_stack import WorkerProcess, wait_for
from chroma_server import chroma_server
from free_ports import free_port
from manual_commands import commands_of, run_as_reader, section_of
from own_brokers import own_broker

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/celery.md"
DEPLOY = ROOT / "deploy/celery"
ACCOUNT = {"email": "ana@example.org", "username": "ana", "password": "correct horse"}


def environment_of(home):
    """Return the environment of a reader with an empty home folder."""
    own = {name: v for name, v in os.environ.items() if not name.startswith("KVASIR")}
    return own | {"HOME": str(home), "XDG_DATA_HOME": str(home / "data")}


@pytest.fixture
def redis():
    with own_broker("redis") as broker:
        yield broker


def test_the_pages_commands_lead_from_an_empty_folder_to_an_answer(tmp_path, redis):
    commands = commands_of(section_of(PAGE, "How do I try it on one machine?"))
    port = str(free_port())
    assert sum(command.startswith("chroma run") for command in commands) == 1
    programs = Path(sys.executable).parent
    changed = [
        command.replace("redis://localhost:6379/0", redis.url)
        .replace("8001", port)
        .replace("chroma run", f"{programs}/chroma run")
        .replace("kvasir worker", f"{programs}/kvasir worker")
        for command in commands
    ]
    # What the shell has started must end with it.
    ends = "trap 'kill $(jobs -p) 2> /dev/null; wait' EXIT"
    index = changed.index("kvasir serve &") + 1
    (tmp_path / "docs").symlink_to(ROOT / "docs")
    done = run_as_reader(
        tmp_path, [*changed[:index], ends, *changed[index:]], environment_of(tmp_path), pasted=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert '"state":"done"' in done.stdout.replace('": "', '":"'), done.stdout
    assert "A file that needs a password to open is reported as" in done.stdout


def test_the_documents_two_commands_work_as_printed(tmp_path, redis):
    """``uvicorn main:app --reload`` and ``celery -A worker.celery_worker.celery_app worker``.

    The store is Chroma and the models are small: neither a Qdrant server nor the model is here.
    """
    folder = tmp_path / "celery"
    shutil.copytree(DEPLOY, folder, ignore=shutil.ignore_patterns("__pycache__"))
    printed = commands_of(section_of(PAGE, "How do I start it as document 002 does?"))
    serve, work = (
        "uvicorn main:app --reload",
        ("celery -A worker.celery_worker.celery_app worker --loglevel=info"),
    )
    assert printed == ["pip3 install -r requirements.txt", serve, work]
    (tmp_path / "chroma").mkdir()
    programs = Path(sys.executable).parent
    with chroma_server(tmp_path / "chroma") as store:
        environment = environment_of(tmp_path) | {
            "UPLOAD_DIR": str(tmp_path / "uploads"),
            "DATABASE_URL": f"sqlite:///{tmp_path}/service.db",
            "CELERY_BROKER_URL": redis.url,
            "QDRANT_CLIENT_URL": store,
            "LLM_BASE_MODEL": "fake",
            "KVASIR__RAG__VECTORDB__TYPE": "chroma",
            "KVASIR__RAG__EMBEDDING_MODEL__TYPE": "kvasir.testing.fakes:FakeEmbedder",
            "KVASIR__GENERATOR__TYPE": "extractive",
            "KVASIR__GENERATOR__MODEL": "null",
            "KVASIR__GENERATOR__OPTIONS": "{}",
        }
        port = free_port()
        served = subprocess.Popen(
            [str(programs / "uvicorn"), *serve.split()[1:], "--port", str(port)],
            cwd=folder,
            env=environment,
            start_new_session=True,
        )
        worker = None
        try:
            command = [str(programs / "celery"), *work.split()[1:]]
            worker = WorkerProcess(command, environment, cwd=folder).start()
            client = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60)
            wait_for(lambda: is_up(client))
            assert client.post("/user/", json=ACCOUNT).is_success
            form = {"username": "ana", "password": "correct horse"}
            token = client.post("/login", data=form).json()["access_token"]
            client.headers["Authorization"] = f"Bearer {token}"
            assert client.post("/v1/collections", json={"name": "default"}).is_success
            text = "# Tea\n\nGreen tea is brewed at 80 degrees Celsius.\n"
            uploaded = client.post("/uploadfile/", files={"file": ("tea.md", text)}).json()
            job = client.get(uploaded["new_file_path"], params={"wait": 60}).json()
            assert job["state"] == "done", job
            answer = client.post("/completion/", json={"query": "How hot is green tea?"})
            assert "80 degrees" in answer.text
            client.close()
            assert list((tmp_path / "uploads").glob("??/*"))
            wait_for(lambda: "succeeded in" in worker.log)
            assert worker.end() == 0
        finally:
            if worker is not None:
                worker.kill()
            os.killpg(served.pid, 15)
            served.wait(60)


def is_up(client):
    try:
        return client.get("/health").is_success
    except httpx.TransportError:
        return False


def test_the_folders_settings_are_the_preset_and_its_modules_have_three_lines():
    preset = (ROOT / "presets/celery-qdrant.yaml").read_text("utf-8")
    assert (DEPLOY / "kvasir.yaml").read_text("utf-8") == preset
    for module in ("main.py", "worker/celery_worker.py"):
        assert len((DEPLOY / module).read_text("utf-8").splitlines()) == 3
    chosen = yaml.safe_load(preset)
    assert chosen["jobs"]["backend"] == "celery"


def test_the_requirements_are_what_is_tested_together():
    lines = (DEPLOY / "requirements.txt").read_text("utf-8").splitlines()
    assert re.fullmatch(r"\.\./\.\.\[celery,[\w,]+\]", lines[1])
    pinned = set((ROOT / "constraints.txt").read_text("utf-8").splitlines())
    assert len(lines) > 50
    assert set(lines[2:]) <= pinned
    assert {line.split("==")[0] for line in lines} > {"celery", "redis", "qdrant-client", "uvicorn"}


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--pool", "processes"], "needs the pool 'threads' or 'solo'"),
        (["--prefetch-multiplier", "4"], "worker_prefetch_multiplier must be 1, not 4"),
    ],
)
def test_a_worker_whose_command_line_does_not_go_with_kvasir_ends(
    tmp_path, redis, options, sentence
):
    program = str(Path(sys.executable).parent / "celery")
    environment = environment_of(tmp_path) | {
        "KVASIR__JOBS__BACKEND": "celery",
        "KVASIR__JOBS__BROKER": redis.url,
        "KVASIR__RAG__VECTORDB__TYPE": "chroma",
        "KVASIR__RAG__VECTORDB__URI": "http://127.0.0.1:9",
    }
    done = subprocess.run(
        [
            program,
            "-A",
            "kvasir.frontends.worker.celery_app",
            "worker",
            "--loglevel=info",
            *options,
        ],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 3, done.stderr
    assert "the worker cannot start: " in done.stderr
    assert sentence in done.stderr


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (
            {"KVASIR__RAG__VECTORDB__URI": "./store"},
            "error: jobs.backend 'celery' needs a store server, because one process at a time can",
        ),
        ({"KVASIR__JOBS__DEVICE": "cuda"}, "cuda"),
        ({"KVASIR__JOBS__BACKEND": "database"}, "error: a worker needs jobs.backend 'celery'"),
    ],
)
def test_kvasir_worker_says_in_one_sentence_why_it_cannot_start(tmp_path, settings, sentence):
    environment = environment_of(tmp_path) | {
        "KVASIR__JOBS__BACKEND": "celery",
        "KVASIR__RAG__VECTORDB__TYPE": "qdrant-server",
        "KVASIR__RAG__VECTORDB__URI": "http://127.0.0.1:9",
    }
    if "KVASIR__RAG__VECTORDB__URI" in settings:
        environment["KVASIR__RAG__VECTORDB__TYPE"] = "qdrant"
    if "KVASIR__JOBS__DEVICE" in settings and has_card():
        pytest.skip("there is a graphics card")
    done = subprocess.run(
        [sys.executable, "-m", "kvasir", "worker"],
        cwd=tmp_path,
        env=environment | settings,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 3, done.stderr
    assert sentence in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def has_card():
    torch = pytest.importorskip("torch")
    return torch.cuda.is_available()
