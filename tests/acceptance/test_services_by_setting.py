"""The command line and the REST service use the services by their settings alone."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
import yaml
from account_client import as_user, register
from free_ports import free_port
from service_client import make_collection, upload
from service_process import ServiceProcess
from started_services import FAKE, StartedServices

EXAMPLE = Path(__file__).parents[2] / "examples" / "aiirwkv"
FEASTS = "# Feasts\n\nThe mead of poetry is made of honey.\n"
OWLS = "# Owls\n\nOwls hunt at night.\n"
RAG = {"ingest": {"workers": 1}}


@pytest.fixture(params=["embedded", "services"])
def settings(request, tmp_path):
    """The sections of a settings file; with services they run meanwhile."""
    if request.param == "embedded":
        yield {"rag": {"embedding_model": FAKE, **RAG}}
        return
    pytest.importorskip("chromadb")
    index = {"chroma_db_path": str(tmp_path / "chroma"), "sqlite_db_path": str(tmp_path / "f.db")}
    with StartedServices(tmp_path, index=index, rag=RAG) as started:
        started.start()
        tree = yaml.safe_load(started.file.read_text("utf-8"))
        yield {name: tree[name] for name in ("data_dir", "rag", "llm", "index", "tuning")}
        queues = started.group("llm")["queues"]
        assert queues["embedder"]["served"] > 5
        assert queues["generator"]["served"] >= 2
        assert started.group("index")["queues"]["store"]["served"] > 5


def test_the_same_commands_and_requests_give_the_same_results(tmp_path, settings):
    folder = tmp_path / "user"
    folder.mkdir()
    with ServiceProcess(folder, **settings) as served:
        (folder / "feasts.md").write_text(FEASTS)
        (folder / "owls.md").write_text(OWLS)

        def kvasir(*arguments):
            command = [sys.executable, "-m", "kvasir", "--config", str(served.file), *arguments]
            done = subprocess.run(
                [*command, "--json"], cwd=folder, capture_output=True, text=True, timeout=240
            )
            assert done.returncode == 0, done.stderr
            return json.loads(done.stdout)

        # The command line alone.
        assert len(kvasir("ingest", "feasts.md", "owls.md")["added"]) == 2
        assert len(kvasir("ingest", "feasts.md", "owls.md")["unchanged"]) == 2
        hits = kvasir("search", "mead of poetry")
        assert "The mead of poetry is made of honey." in hits[0]["chunk"]["text"]
        answer = kvasir("ask", "What is the mead of poetry made of?")
        assert answer["text"] == "The mead of poetry is made of honey. [1]"
        assert [each["quote"] for each in answer["citations"]] == [
            "The mead of poetry is made of honey."
        ]
        kvasir("documents", "delete", "owls.md")
        assert [each["title"] for each in kvasir("documents", "list")] == ["Feasts"]

        # The REST service.
        address = served.start(seconds=120)
        with httpx.Client(base_url=address, timeout=240, trust_env=False) as client:
            assert register(client, "ana").status_code == 201
            ana = as_user(client, "ana")
            place = make_collection(client, ana, "library")
            upload(client, ana, place, "feasts.md", FEASTS)
            upload(client, ana, place, "owls.md", OWLS)
            found = client.post(f"{place}/search", json={"query": "owls at night"}, headers=ana)
            assert "Owls hunt at night." in found.json()[0]["chunk"]["text"]
            asked = {"question": "When do owls hunt?"}
            answer = client.post(f"{place}/answers", json=asked, headers=ana).json()
            assert answer["text"] == "Owls hunt at night. [1]"
            documents = client.get(f"{place}/documents", headers=ana).json()
            assert sorted(each["title"] for each in documents) == ["Feasts", "Owls"]
            removed = client.delete(f"{place}/documents/{documents[0]['id']}", headers=ana)
            assert removed.status_code in (200, 204)
            assert len(client.get(f"{place}/documents", headers=ana).json()) == 1


def test_the_example_starts_with_its_two_commands(tmp_path):
    pytest.importorskip("chromadb")
    pytest.importorskip("streamlit")
    folder = tmp_path / "aiirwkv"
    shutil.copytree(EXAMPLE, folder)
    ports = {f"{name}_{end}": free_port() for name in ("LLM", "INDEX") for end in ("FRONT", "BACK")}
    page, api = free_port(), free_port()
    # As written, but at ports of this test.
    environment = {
        **os.environ,
        **{f"KVASIR__{key.replace('_', '__')}_END__PORT": str(port) for key, port in ports.items()},
        "KVASIR__INDEX__CHROMA_PORT": str(free_port()),
        "KVASIR__LLM__EMBEDDING_MODEL__TYPE": FAKE["type"],
        "KVASIR__TUNING__ENABLED": "false",
        "KVASIR__SERVER__PORT": str(api),
        "STREAMLIT_SERVER_PORT": str(page),
        "HOME": str(tmp_path),
    }

    def start(*command):
        return subprocess.Popen(
            [sys.executable, *command], cwd=folder, env=environment, stdin=subprocess.DEVNULL
        )

    with ExitStack() as opened:
        for command in (("service.py",), ("-m", "streamlit", "run", "client.py")):
            process = start(*command)
            opened.callback(process.wait, 120)
            opened.callback(process.send_signal, signal.SIGINT)
        wait_for(f"http://127.0.0.1:{page}/_stcore/health")
        wait_for(f"http://127.0.0.1:{api}/health")
        # Nobody signs in where one user alone reaches the client.
        assert wait_for(f"http://127.0.0.1:{page}/").url.path == "/"
        (folder / "feasts.md").write_text(FEASTS)
        for arguments in (("ingest", "feasts.md"), ("ask", "What is the mead of poetry made of?")):
            done = subprocess.run(
                [sys.executable, "-m", "kvasir", *arguments],
                cwd=folder,
                env=environment,
                capture_output=True,
                text=True,
                timeout=240,
            )
            assert done.returncode == 0, done.stderr
        assert done.stdout.startswith("The mead of poetry is made of honey. [1]")
        assert (folder / "files.db").is_file()
        assert (folder / "chroma" / "chroma.sqlite3").is_file()


def wait_for(address):
    """Return the answer of a server that is starting."""
    end = time.monotonic() + 240
    while time.monotonic() < end:
        try:
            answer = httpx.get(address, timeout=60, trust_env=False)
            if answer.is_success:
                return answer
        except httpx.HTTPError:
            pass
        time.sleep(0.2)
    raise AssertionError(f"nothing answers at {address}")
