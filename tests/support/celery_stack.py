"""``kvasir serve`` and ``kvasir worker`` in processes of their own, over a broker and Chroma."""

import os
import signal
import sys
import threading
import time
from collections import Counter

import forked_kvasir
import httpx
from service_process import SUPPORT, ServiceProcess, launch

from kvasir.app import App
from kvasir.core.services.accounts import Role, Scope
from kvasir.settings.loading import load_settings


class WorkerProcess:
    """``kvasir worker``, which a test may kill."""

    def __init__(self, command, environment=None, cwd=None, launch=launch):
        self.lines = []
        self._command, self._cwd, self._launch = command, cwd, launch
        self._environment = os.environ | {"PYTHONPATH": str(SUPPORT)} | (environment or {})
        self.process = None

    def start(self):
        self.process = self._launch(self._command, self._environment, self._cwd)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        return self

    def _read(self):
        for line in self.process.stderr:
            self.lines.append(line)

    @property
    def log(self):
        return "".join(self.lines)

    def wait_until_ready(self, seconds=120.0):
        wait_for(lambda: " ready." in self.log or self.process.poll() is not None, seconds)
        assert self.process.poll() is None, self.log
        return self

    def end(self, number=signal.SIGTERM, seconds=90.0):
        """Send a signal; return the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        code = self.process.wait(seconds)
        self._reader.join(60)
        self.process.stderr.close()
        return code

    def kill(self):
        if self.process is not None and not self.process.stderr.closed:
            self.end(signal.SIGKILL)


class CeleryStack:
    """A server and its workers; use it in a ``with``."""

    def __init__(
        self, folder, broker, store, *, jobs=None, launch=forked_kvasir.launch, **sections
    ):
        """Choose its settings; ``launch`` starts its processes."""
        self._launch = launch
        chosen = {"backend": "celery", "broker": broker, "resend_seconds": 2} | (jobs or {})
        rag = {
            "vectordb": {"type": "chroma", "uri": store},
            "embedding_model": {"type": "kvasir.testing.fakes:FakeEmbedder"},
            "ingest": {"workers": 1},
        }
        base = {"rag": rag, "jobs": chosen, "questions": {"workers": 1}, "collection": "tea"}
        self.server = ServiceProcess(folder, launch, **(base | sections))
        self.workers = []
        self.client = None

    @property
    def settings(self):
        return load_settings(self.server.file)

    def __enter__(self):
        with App(self.settings) as app:
            accounts = app.services.accounts
            user = accounts.register("ana@example.org", "ana", "correct horse", role=Role.ADMIN)
            _, key = accounts.create_api_key(user.id, "a test", set(Scope))
        self.url = self.server.start(seconds=180.0)
        headers = {"X-API-Key": key}
        self.client = httpx.Client(base_url=self.url, timeout=120.0, headers=headers)
        return self

    def __exit__(self, *_):
        if self.client is not None:
            self.client.close()
        for worker in self.workers:
            worker.kill()
        self.server.kill()

    def worker_command(self, *options):
        return [
            sys.executable,
            "-m",
            "kvasir",
            "--config",
            str(self.server.file),
            "worker",
            *options,
        ]

    def worker(self, *options, **environment):
        """Start a worker; it may not be ready yet."""
        command = self.worker_command(*options)
        worker = WorkerProcess(command, environment, launch=self._launch)
        self.workers.append(worker.start())
        return worker

    def upload(self, name, text):
        """Upload a text as document 002 does; return the job's address."""
        reply = self.client.post("/uploadfile/", files={"file": (name, text, "text/markdown")})
        assert reply.status_code == 200, reply.text
        return reply.json()["new_file_path"]

    def ask(self, query):
        """Return the answer of document 002's route."""
        reply = self.client.post("/completion/", json={"query": query})
        assert reply.status_code == 200, reply.text
        return reply.text

    def job(self, address, wait=0.0):
        reply = self.client.get(address, params={"wait": wait})
        assert reply.status_code == 200, reply.text
        return reply.json()

    def jobs(self):
        """Return all jobs."""
        found, before = [], ""
        while page := self.client.get("/v1/jobs", params={"limit": 1000, "before": before}).json():
            found, before = found + page, page[-1]["id"]
        return found

    def states(self):
        """Return the number of jobs by state."""
        return Counter(job["state"] for job in self.jobs())

    def wait_until_ended(self, count, seconds=300.0):
        """Wait until so many jobs are done or have failed; return the number by state."""
        wait_for(lambda: (s := self.states())["done"] + s["failed"] >= count, seconds, 0.2)
        return self.states()


def wait_for(check, seconds=300.0, pause=0.05):
    """Wait until a check is true; return what it returned."""
    end = time.monotonic() + seconds
    while not (found := check()):
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(pause)
    return found
