"""``kvasir serve`` in a process of its own, which a test may kill."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import yaml

SUPPORT = Path(__file__).parent


def launch(command, environment=None, cwd=None):
    """Start a program whose errors are ``stderr``, as text."""
    return subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        encoding="utf-8",
        env=environment,
        cwd=cwd,
    )


class ServiceProcess:
    """A server at a free port, over the data of a folder."""

    def __init__(self, folder, launch=launch, **sections):
        self.folder = Path(folder)
        self._launch = launch
        settings = {
            "data_dir": str(self.folder / "kvasir-data"),
            "rag": {
                "embedding_model": {"type": "kvasir.testing.fakes:FakeEmbedder"},
                "ingest": {"workers": 1},
            },
            "questions": {"workers": 0},
            "mail": {"send": False},
            "accounts": {"rate_limits": dict.fromkeys(("login", "registration", "questions"), "")},
        }
        self.settings = settings | sections
        self.file = self.folder / "kvasir.yaml"
        self.file.write_text(yaml.safe_dump(self.settings), "utf-8")
        self.process = None
        self.lines = []

    def command(self, *options):
        return [sys.executable, "-m", "kvasir", "--config", str(self.file), "serve", *options]

    def start(self, *options, seconds=60.0):
        """Start the server; return its address when it listens."""
        self.lines = []
        command = self.command("--port", "0", *options)
        self.process = self._launch(command, os.environ | {"PYTHONPATH": str(SUPPORT)})
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for line in list(self.lines):
                if found := re.search(r"Kvasir serves at (http://\S+?),", line):
                    return found[1]
            if self.process.poll() is not None:
                break
            time.sleep(0.02)
        raise AssertionError("the server did not start: " + "".join(self.lines))

    def _read(self):
        for line in self.process.stderr:
            self.lines.append(line)

    def signal(self, number):
        self.process.send_signal(number)

    def wait(self, seconds=30.0):
        """Return the exit code."""
        code = self.process.wait(seconds)
        self._reader.join(60)
        self.process.stderr.close()
        return code

    def kill(self):
        """End it without notice."""
        if self.process is not None and self.process.poll() is None:
            self.signal(signal.SIGKILL)
        if self.process is not None and not self.process.stderr.closed:
            self.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kill()
