"""``kvasir`` in processes that are forked from one that has imported its libraries already.

They are processes of their own, with the command line, environment and signals of any other; only
the seconds of importing are saved. A test starts dozens of workers.
"""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
from pathlib import Path

from kvasir.frontends.cli.start import main

_PRELOADED = ["kvasir_imports"]


class ForkedKvasir:
    """What of ``subprocess.Popen`` the tests use, for ``python -m kvasir ...``."""

    def __init__(self, arguments, environment=None, cwd=None):
        context = multiprocessing.get_context("forkserver")
        # Tests that share the process of their tests may have chosen others before.
        context.set_forkserver_preload(_PRELOADED)
        receiving, sending = context.Pipe(duplex=False)
        given = (list(arguments), dict(environment or os.environ), str(cwd or Path.cwd()), sending)
        self._process = context.Process(target=_run, args=given)
        _start(self._process)
        sending.close()
        self.stderr = os.fdopen(os.dup(receiving.fileno()), encoding="utf-8", errors="replace")
        receiving.close()
        self.pid = self._process.pid

    @property
    def returncode(self):
        return self._process.exitcode

    def poll(self):
        return self._process.exitcode

    def send_signal(self, number):
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self):
        self._process.terminate()

    def kill(self):
        self._process.kill()

    def wait(self, timeout=None):
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise subprocess.TimeoutExpired("kvasir", timeout)
        return self._process.exitcode


def launch(command, environment=None, cwd=None):
    """Start ``[python, "-m", "kvasir", ...]``; its errors are ``stderr``, as text."""
    assert command[1:3] == ["-m", "kvasir"]
    return ForkedKvasir(command[3:], environment, cwd)


def _start(process):
    """Start it; the first one starts what the others are forked from, which finds modules here."""
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(Path(__file__).parent), before]))
    try:
        process.start()
    finally:
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before


def _run(arguments, environment, cwd, errors):
    os.dup2(errors.fileno(), 2)
    errors.close()
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(cwd)
    sys.argv[:] = ["kvasir", *arguments]
    main()
