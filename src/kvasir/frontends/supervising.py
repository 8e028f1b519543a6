"""Programs that run together: started in their order, started again when they die, ended as one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import IO

from kvasir.core.errors import StorageError
from kvasir.core.operating_system import end_with_parent
from kvasir.core.run import StopToken

FIRST_DELAY = 1.0
"""Seconds until a program that died is started again; doubled with each death in a row."""
_LONGEST_DELAY = 30.0
_HEALTHY_SECONDS = 60.0
"""After that, an earlier death counts no more."""
_LOOK_SECONDS = 0.2
_END_SECONDS = 25.0
"""Longest wait for a program to end, which finishes the requests in progress."""
_REFUSED = (2, 3)
"""Exit codes of a program that says what is wrong: to start it again would not help."""


@dataclass
class Program:
    """A program of a group.

    Attributes:
        name: What it is called in messages.
        command: Its arguments.
        is_ready: Returns True when the next one may be started.
        output: Takes what it prints; by default that goes where ours goes.
    """

    name: str
    command: Sequence[str]
    is_ready: Callable[[], bool] = lambda: True
    output: IO[bytes] | None = None
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    due: float = 0.0
    deaths: int = 0
    was_ready: bool = False

    def start(self) -> None:
        """Start it in a process group of its own: Ctrl-C goes to its parent, which ends it."""
        self.process = subprocess.Popen(
            self.command,
            stdin=subprocess.DEVNULL,
            stdout=self.output,
            stderr=subprocess.STDOUT if self.output is not None else None,
            process_group=0 if os.name == "posix" else None,
            preexec_fn=_die_with_parent if sys.platform == "linux" else None,
        )
        self.started = time.monotonic()

    @property
    def status(self) -> int | None:
        """The exit status of the process that was started last; None while it runs."""
        return self.process.poll() if self.process is not None else None

    def end(self) -> None:
        """Ask it to end."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()

    def wait(self, seconds: float) -> None:
        """Wait for its end, and then kill it."""
        if self.process is None:
            return
        try:
            self.process.wait(max(0.1, seconds))
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def run_together(
    programs: Sequence[Program],
    stop: StopToken,
    *,
    say: Callable[[str], object],
    when_ready: Callable[[], object] = lambda: None,
) -> None:
    """Run programs until the token is set, then end them, the last one first.

    Args:
        programs: Each is started when those before it are ready.
        stop: Ends them all.
        say: Gets the lines for the operator.
        when_ready: Called once when all are ready.

    Raises:
        StorageError: A program refused to start; it has said why.
    """
    try:
        for program in programs:
            program.start()
            while not program.is_ready() and not stop.is_set():
                _look_after(programs, say)
                stop.wait(_LOOK_SECONDS)
            program.was_ready = True
        if not stop.is_set():
            when_ready()
        while not stop.wait(_LOOK_SECONDS):
            _look_after(programs, say)
    finally:
        until = time.monotonic() + _END_SECONDS
        for program in reversed(programs):
            program.end()
            program.wait(until - time.monotonic())


def _look_after(programs: Sequence[Program], say: Callable[[str], object]) -> None:
    """Start again what died, in its time."""
    now = time.monotonic()
    for program in programs:
        if program.process is None or (status := program.status) is None:
            continue
        if not program.due:
            if status in _REFUSED and not program.was_ready:
                raise StorageError(f"{program.name} did not start: the lines above say why")
            delay = restart_delay(program, now)
            how = signal.Signals(-status).name if status < 0 else f"status {status}"
            say(f"{program.name} has ended ({how}); it is started again in {delay:g} s")
        elif now >= program.due:
            program.due = 0.0
            program.start()


def restart_delay(program: Program, now: float) -> float:
    """Count a death; return the seconds until the program is started again, and set its ``due``."""
    program.deaths = 1 if now - program.started > _HEALTHY_SECONDS else program.deaths + 1
    delay: float = min(_LONGEST_DELAY, FIRST_DELAY * 2 ** min(program.deaths - 1, 16))
    program.due = now + delay
    return delay


def _die_with_parent() -> None:
    """Have the system end this process when its parent is killed, so that no port stays taken."""
    end_with_parent(signal.SIGTERM)
