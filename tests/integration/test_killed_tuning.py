"""Runs of tuning are killed at ten random moments: they end with the losses of undisturbed ones.

Run as a program with a folder and a seed, such as one that was printed, this file does the runs,
each in a process of its own. It forks them before anything is computed, so that PyTorch is imported
once.
"""

import importlib
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from libraries import library
from small_rwkv import one_thread
from small_tuning import tune

from kvasir.core.run import Run

tuning = library("kvasir.rwkv.tuning", "peft", extra="torch")

KILLS = {"lora": 6, "state": 2, "pissa": 2}
STEPS = 60
MOST_STEPS, MOST_SECONDS = 8, 0.05
"""A run is killed so many steps after it began or went on, and that much later."""


def run(kind, folder, progress=lambda _: None):
    with one_thread():
        tune(kind, folder, steps=STEPS, evaluate_every=5).run(Run(progress=progress))


def start(kind, folder):
    """Start a run; return its process, and a pipe that gets a byte with each step."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.close(reading)
            run(kind, folder, lambda _: os.write(writing, b"."))
            code = 0
        finally:
            os._exit(code)
    os.close(writing)
    return pid, reading


def main(place, seed):
    """Kill runs of each kind at moments that follow from the seed, and let the last one end."""
    for name in ("kvasir.rwkv.tuning", "peft"):
        importlib.import_module(name)
    draw = random.Random(seed)
    for kind, kills in KILLS.items():
        folder = place / kind
        for _ in range(kills):
            steps, seconds = draw.randint(1, MOST_STEPS), draw.uniform(0, MOST_SECONDS)
            process, pipe = start(kind, folder)
            for _ in range(steps):
                os.read(pipe, 1)
            time.sleep(seconds)
            os.kill(process, signal.SIGKILL)
            ended = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
            os.close(pipe)
            print(f"{kind}: {steps} steps and {seconds:.3f} s, ended with {ended}", flush=True)
        process, pipe = start(kind, folder)
        while os.read(pipe, 64):
            pass
        os.close(pipe)
        if code := os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]):
            return code
    return 0


def test_runs_that_are_killed_at_random_moments_end_with_the_undisturbed_losses(tmp_path):
    seed = random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}")
    killed = tmp_path / "killed"
    command = [sys.executable, "-W", "ignore", __file__, str(killed), str(seed)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=False)
    print(done.stdout)
    assert done.returncode == 0
    for kind in KILLS:
        assert re.search(rf"{kind}: .* ended with {-signal.SIGKILL}\n", done.stdout)
        run(kind, tmp_path / kind)
        expected = tuning.read_metrics(tmp_path / kind / "metrics.jsonl")
        found = tuning.read_metrics(killed / kind / "metrics.jsonl")
        assert [line["step"] for line in found] == [line["step"] for line in expected]
        for line, other in zip(found, expected, strict=True):
            assert line == pytest.approx(other, abs=1e-3)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), int(sys.argv[2])))
