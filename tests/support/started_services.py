"""``kvasir services start`` in a process of its own, at free ports, and its other commands."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import yaml
from free_ports import free_port

from kvasir.remote.zeromq.starter import StarterClient
from kvasir.settings.running_services import read_record

SUPPORT = Path(__file__).parent
FAKE = {"type": "kvasir.testing.fakes:FakeEmbedder"}
PATIENCE = 240


class StartedServices:
    """The services of a ``ragq.yml`` in a folder."""

    def __init__(self, folder, **sections):
        self.folder = Path(folder)
        self.file = self.folder / "ragq.yml"
        self.ports = {name: (free_port(), free_port()) for name in ("llm", "index", "tuning")}
        self.sections = {"tuning": {"enabled": False}, **sections}
        self.lines = []
        self.process = None
        self.write()

    def write(self, **changed):
        """Write the settings, with some sections changed."""
        self.sections |= changed
        tree = {"data_dir": str(self.folder / "kvasir-data"), **self.sections}
        for name, (front, back) in self.ports.items():
            ends = {"front_end": {"port": front}, "back_end": {"port": back}}
            tree[name] = ends | tree.get(name, {})
        if "enabled" not in tree["llm"]:
            tree["llm"] = {"embedding_model": FAKE, **tree["llm"]}
        draft = self.file.with_suffix(".new")
        draft.write_text(yaml.safe_dump(tree), "utf-8")
        draft.replace(self.file)

    @property
    def environment(self):
        return {**os.environ, "PYTHONPATH": str(SUPPORT)}

    def start(self, *options, ready=True):
        self.process = subprocess.Popen(
            [sys.executable, "-m", "kvasir", "services", "start", *options],
            cwd=self.folder,
            env=self.environment,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        if ready:
            self.wait_for_line("The services are ready")
        return self

    def _read(self):
        for line in self.process.stderr:
            self.lines.append(line)

    def wait_for_line(self, text, after=0):
        """Return the number of the first line with a text; one after the line ``after``."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            for number, line in list(enumerate(self.lines))[after:]:
                if text in line:
                    return number
            if self.process.poll() is not None and not self._reader.is_alive():
                break
            time.sleep(0.02)
        raise AssertionError(f"no line has '{text}':\n{''.join(self.lines)}")

    def command(self, *arguments, seconds=PATIENCE, check=True):
        """Run another command of ``kvasir`` in the folder; return what it printed."""
        done = subprocess.run(
            [sys.executable, "-m", "kvasir", *arguments],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
        if check:
            assert done.returncode == 0, done.stderr + "".join(self.lines)
            return done.stdout
        return done

    def status(self):
        folder = self.folder / "kvasir-data" / "services"
        record = read_record(folder.parent)
        with StarterClient(record.address, folder, patience=60) as client:
            return client.status()

    def group(self, name):
        """Return the state of the workers of a service."""
        groups = [group for each in self.status()["services"] for group in each["groups"]]
        return next(each for each in groups if each["name"] == name)

    def pids(self, name):
        """Return the processes of a service: broker first, then workers."""
        services = self.status()["services"]
        found = next(each for each in services if each["name"] == name)
        workers = [each["pid"] for group in found["groups"] for each in group["workers"]]
        return [found["broker"]["pid"], *workers]

    def wait_until(self, is_true):
        """Wait until a condition on the status holds; return the status."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            status = self.status()
            if is_true(status):
                return status
            time.sleep(0.1)
        raise AssertionError(f"not in time: {json.dumps(status, indent=1)}\n{''.join(self.lines)}")

    def address(self, name):
        return f"tcp://127.0.0.1:{self.ports[name][0]}"

    @property
    def keys(self):
        return self.folder / "kvasir-data" / "services" / "keys"

    def end(self, number=signal.SIGTERM):
        """End it; return its exit status."""
        if self.process is None:
            return None
        if self.process.poll() is None:
            self.process.send_signal(number)
        status = self.process.wait(PATIENCE)
        self._reader.join(60)
        self.process.stderr.close()
        return status

    def __enter__(self):
        return self

    def __exit__(self, *error):
        if self.process is not None and self.process.poll() is None:
            self.end()


def is_alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
