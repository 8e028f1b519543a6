"""Uploads documents while the server is killed again and again: is every accepted one found once?

    python bench/kills.py                      200 uploads, 10 times SIGKILL
    python bench/kills.py --uploads 40 --kills 3

An upload counts as accepted when its answer arrived. One whose answer was lost is sent again with
the same Idempotency-Key. In the end every accepted document must be found by a search, once, and
``kvasir doctor`` must find no fault. Small files, a small model without meaning.
"""

from __future__ import annotations

import argparse
import random
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import httpx
import yaml

PASSWORD = "a password of the benchmark"


class Server:
    """A server at the same data that is started again after each kill."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "kvasir.yaml"
        settings = {
            "data_dir": str(folder / "data"),
            "rag": {"embedding_model": {"type": "kvasir.testing.fakes:FakeEmbedder"}},
            "questions": {"workers": 0},
            "accounts": {"rate_limits": {"login": "", "registration": ""}},
        }
        self.file.write_text(yaml.safe_dump(settings), "utf-8")
        self.address = ""
        self.start()

    def command(self, *words: str) -> list[str]:
        """Return a command of kvasir with the settings."""
        return [sys.executable, "-m", "kvasir", "--config", str(self.file), *words]

    def start(self) -> None:
        """Start it at a free port."""
        command = self.command("serve", "--port", "0")
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        assert self.process.stderr is not None
        for line in self.process.stderr:
            if found := re.search(r"serves at (http://\S+?),", line):
                self.address = found[1]
                break
        else:
            raise SystemExit("the server did not start")
        threading.Thread(target=self.process.stderr.read, daemon=True).start()

    def kill(self) -> None:
        """End it without notice, and start it again."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.start()


def request(server: Server, method: str, path: str, **arguments: object) -> httpx.Response:
    """Send a request until an answer arrives, whichever server is there."""
    while True:
        try:
            return httpx.request(method, server.address + path, timeout=60, **arguments)  # type: ignore[arg-type]
        except httpx.TransportError:
            time.sleep(0.05)


def main() -> None:
    """Upload, kill, and look."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--uploads", type=int, default=200)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=7)
    given = parser.parse_args()
    rng = random.Random(given.seed)
    with tempfile.TemporaryDirectory(prefix="kvasir-kills-") as folder:
        server = Server(Path(folder))
        user = {"email": "a@example.org", "username": "ana", "password": PASSWORD}
        request(server, "POST", "/user/", json=user)
        form = {"username": "ana", "password": PASSWORD}
        token = request(server, "POST", "/login", data=form).json()["access_token"]
        headers = {"Authorization": f"Bearer {token}"}
        request(server, "POST", "/v1/collections", json={"name": "course"}, headers=headers)
        place = "/v1/collections/course"
        accepted: list[str] = []
        finished = threading.Event()

        def upload() -> None:
            for number in range(given.uploads):
                files = {"file": (f"{number:04}.txt", f"Note about item{number}x.".encode())}
                key = headers | {"Idempotency-Key": f"upload {number}"}
                answer = request(server, "POST", f"{place}/documents", files=files, headers=key)
                assert answer.status_code == 202, answer.text
                accepted.append(f"{number:04}.txt")
                time.sleep(0.05)
            finished.set()

        uploading = threading.Thread(target=upload)
        began = time.perf_counter()
        uploading.start()
        for _ in range(given.kills):
            time.sleep(rng.uniform(0.3, 2.0))
            server.kill()
        uploading.join()
        open_states = {"state": ["waiting", "running"], "limit": 1}
        while request(server, "GET", "/v1/jobs", params=open_states, headers=headers).json():
            time.sleep(0.3)
        took = time.perf_counter() - began
        failed = request(
            server, "GET", "/v1/jobs", params={"state": "failed"}, headers=headers
        ).json()
        listed = request(
            server, "GET", f"{place}/documents", params={"limit": 1000}, headers=headers
        ).json()
        once = 0
        for number in range(given.uploads):
            body = {"query": f"item{number}x", "top_k": 1000}
            hits = request(server, "POST", f"{place}/search", json=body, headers=headers).json()
            once += sum(f"item{number}x" in hit["chunk"]["text"] for hit in hits) == 1
        server.process.send_signal(signal.SIGTERM)
        server.process.wait(60)
        doctor = subprocess.run(
            server.command("--collection", "course", "doctor"), capture_output=True, text=True
        )
        print(
            f"{len(accepted)} accepted, {len(listed)} listed, {once} found once, {len(failed)} "
            f"failed, {given.kills} kills, {took:.0f} s; doctor: exit {doctor.returncode}"
        )
        sound = len(accepted) == len(listed) == once and not failed and not doctor.returncode
        sys.exit(0 if sound else 1)


if __name__ == "__main__":
    main()
