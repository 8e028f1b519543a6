"""How long a new instance of the Lambda function takes to its first answer, and its memory.

    python bench/lambda_cold_start.py [--runs 5] [--json] [--python fn/bin/python]

Lambda's own runtime client starts the handler with the default embedding model, as in the image,
and gets its events from a small runtime API on the loopback. ``--python`` names an environment with
only what the image has, ``pip install '.[aws,qdrant,postgres,mysql]' awslambdaric`` and the model:
a library imports what else it finds. Documents are in a server that speaks Qdrant's REST interface
and in an SQLite file, the generator is ``extractive``. Seconds count from the start of the process:
until it asks for its first event (the initialization), until that event's answer, and for later
ones.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path
from secrets import token_hex
from statistics import median
from time import monotonic
from typing import Any

from kvasir.app import App
from kvasir.core.services.accounts import Role, Scope
from kvasir.core.types import Source
from kvasir.settings.loading import load_settings
from tables import keep, table

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "support"))

from lambda_runtime import LambdaFunction  # noqa: E402
from qdrant_server import qdrant_server  # noqa: E402

QUESTION = {"query": "What happens to a file that needs a password?"}
WARM = 20


def measure(folder: Path, settings: dict[str, Any], key: str, python: str) -> dict[str, float]:
    """Start an instance and ask it; return seconds and megabytes."""
    with LambdaFunction(folder, settings, python=python) as function:
        function.asked_first.wait(120)
        ready = monotonic() - function.started
        ask = {"headers": {"x-api-key": key}, "body": QUESTION}
        status, _, _ = function.request("POST", "/api/v1/predict", **ask)
        first = monotonic() - function.started
        spent = _processor_seconds(function.process.pid)
        assert status == 200, status
        warm = []
        for _ in range(WARM):
            begun = monotonic()
            function.request("POST", "/api/v1/predict", **ask)
            warm.append(monotonic() - begun)
        status_lines = Path(f"/proc/{function.process.pid}/status").read_text().splitlines()
        peak = next(int(line.split()[1]) for line in status_lines if line.startswith("VmHWM"))
    return {
        "ready": ready,
        "first": first,
        "processor": spent,
        "warm": median(warm),
        "memory": peak / 1024,
    }


def _processor_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--keep", type=Path, help="put the figures there, under cold_start")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as kept:
        folder = Path(kept)
        (folder / "store").mkdir()
        with qdrant_server(folder / "store") as (store, _):
            settings = {
                "data_dir": str(folder / "kvasir-data"),
                "rag": {"vectordb": {"type": "qdrant-server", "uri": store}},
                "server": {"signing_key": token_hex(32)},
            }
            with App(load_settings(settings, {}, {})) as app:
                accounts = app.services.accounts
                user = accounts.register("a@example.org", "ana", "correct horse", role=Role.ADMIN)
                _, key = accounts.create_api_key(user.id, "bench", set(Scope))
                with app.collection() as collection:
                    text = (ROOT / "docs" / "documents.md").read_bytes()
                    collection.ingest((Source("documents.md", "text/markdown"), text))
            every = range(options.runs + 1)
            runs = [measure(folder, settings, key, options.python) for _ in every][1:]
    found = {name: median(run[name] for run in runs) for name in runs[0]}
    if options.keep:
        keep(options.keep, "cold_start", found)
    if options.json:
        print(json.dumps(found))
        return
    rows = [
        ["start to the first event asked for", f"{found['ready']:.2f} s"],
        ["start to the first answer", f"{found['first']:.2f} s"],
        ["processor time until then", f"{found['processor']:.2f} s"],
        ["a later answer", f"{1000 * found['warm']:.0f} ms"],
        ["most memory", f"{found['memory']:.0f} MB"],
    ]
    print(table(["cold start of the Lambda function", ""], rows))


if __name__ == "__main__":
    main()
