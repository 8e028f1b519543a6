"""Measures what memory runs of tuning take, beside what was estimated for them.

    python tests/support/tuning_memory.py FOLDER '[{"base": "base", "kind": "lora", ...}, ...]'

It prints ``[estimated, measured]`` in bytes for each. Every run has a process of its own, forked
from this one, which has imported the libraries.
"""

import json
import os
import sys
from pathlib import Path

import peft  # noqa: F401
import torch

from kvasir import tuning
from kvasir.rwkv import memory


def peak():
    # Unlike ru_maxrss it is that of this program alone, not that of who started it.
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) << 10


def measure(folder, own, options):
    """Print the estimate and the peak of one run; ``own`` is an empty folder for it."""
    found = []
    plain = memory.estimate
    memory.estimate = lambda *given: found.append(plain(*given)) or found[-1]
    # What is loaded once, whatever the model.
    small = {"steps": 1, "rank": 2, "batch": 2, "micro_batch": 2}
    few = folder / "few.jsonl"
    tuning.tune("lora", str(folder / "small.pth"), few, own / "warm", data_dir=own, options=small)
    before = peak()
    base, kind = options.pop("base", "base"), options.pop("kind")
    model, data = str(folder / f"{base}.pth"), folder / "data.jsonl"
    tuning.tune(kind, model, data, own / "run", data_dir=own, options=options)
    print(json.dumps([found[-1].total, peak() - before]), flush=True)


def main(folder, cases):
    torch.set_num_threads(1)
    for number, options in enumerate(cases):
        own = folder / f"case{number}"
        own.mkdir()
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                measure(folder, own, options)
                code = 0
            finally:
                os._exit(code)
        if os.waitpid(pid, 0)[1]:
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), json.loads(sys.argv[2])))
