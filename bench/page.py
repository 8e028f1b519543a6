"""Measures everything on the manual's benchmark page again, and writes the page.

    python bench/page.py fn/bin/python

The argument is the interpreter of an environment as the image for Lambda has it (``docs/aws.md``).
It takes a quarter of an hour on two cores that do nothing else. A step that fails ends it; the
figures of the earlier ones are kept.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
PAGE = HERE.parent / "docs" / "benchmark.md"
RESULTS = HERE / "results"


def main() -> None:
    """Run every step."""
    function = ["--python", sys.argv[1]]
    load = ["load_lambda.py", *function]
    latency, throughput = RESULTS / "latency.json", RESULTS / "throughput.json"
    kept = ["--keep", RESULTS / "lambda.json"]
    for step in (
        ["lambda_cold_start.py", *function, *kept],
        [*load, "--rate", "58", *kept, "--page", PAGE],
        [*load, "--route", "answers", "--rate", "20", "--seconds", "30", *kept],
        [*load, "--rate", "10,20,30,40,50,58,65", "--seconds", "10", "--json", latency],
        [*load, "--throughput", "300", "--instances", "1,2,4", "--json", throughput],
        ["peers/run.py", "--page", PAGE],
        ["plots.py"],
    ):
        command = [sys.executable, HERE / str(step[0]), *step[1:]]
        print(" ".join(map(str, step)), flush=True)
        subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
