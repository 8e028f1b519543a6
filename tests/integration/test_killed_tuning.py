"""A run of tuning is killed at ten moments: it ends with the losses of one that was not.

Run as a program, this file does the runs, each in a process of its own. It forks them before
anything is computed, so that PyTorch is imported once and not eleven times.
"""

import importlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from libraries import library
from small_rwkv import one_thread
from small_tuning import tune

tuning = library("kvasir.rwkv.tuning", "peft", extra="torch")


def run(folder):
    with one_thread():
        tune("lora", folder, steps=60, evaluate_every=5).run()


def lines(file):
    return len(file.read_bytes().splitlines()) if file.is_file() else 0


def start(folder):
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            run(folder)
            code = 0
        finally:
            os._exit(code)
    return pid


def main(folder):
    """Kill ten runs, each later than the one before, and let the last one end."""
    for name in ("kvasir.rwkv.tuning", "peft"):
        importlib.import_module(name)
    for kill in range(10):
        process, wanted = start(folder), 1 + 5 * kill + kill % 4
        while lines(folder / "metrics.jsonl") <= wanted:
            if os.waitpid(process, os.WNOHANG)[0]:
                break
            time.sleep(0.02)
        else:
            os.kill(process, signal.SIGKILL)
            os.waitpid(process, 0)
    return os.waitstatus_to_exitcode(os.waitpid(start(folder), 0)[1])


def test_a_run_that_is_killed_at_ten_moments_ends_with_the_undisturbed_losses(tmp_path):
    run(tmp_path / "whole")
    expected = tuning.read_metrics(tmp_path / "whole" / "metrics.jsonl")
    folder = tmp_path / "killed"
    command = [sys.executable, "-W", "ignore", __file__, str(folder)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    assert subprocess.run(command, env=environment, check=True).returncode == 0
    found = tuning.read_metrics(folder / "metrics.jsonl")
    assert [line["step"] for line in found] == [line["step"] for line in expected]
    for line, other in zip(found, expected, strict=True):
        assert line == pytest.approx(other, abs=1e-3)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
