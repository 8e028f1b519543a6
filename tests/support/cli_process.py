"""The command ``kvasir`` in a process of its own, whose lines on stderr are read as they come."""

import os
import re
import signal
import subprocess
import sys
import threading
import time


class CliProcess:
    """A running command, in a process group of its own if that is wanted, as of a shell.

    Attributes:
        lines: What it has said so far.
    """

    def __init__(self, *arguments, folder=None, has_group=False):
        self.lines = []
        self.process = subprocess.Popen(
            [sys.executable, "-m", "kvasir", *arguments],
            cwd=folder,
            process_group=0 if has_group else None,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        for line in self.process.stderr:
            self.lines.append(line)

    def wait_for(self, pattern, first=0, seconds=120.0):
        """Return the match of a pattern in a line from a number on."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for line in self.lines[first:]:
                if found := re.search(pattern, line):
                    return found
            if self.process.poll() is not None:
                break
            time.sleep(0.05)
        raise AssertionError(f"no {pattern} in {''.join(self.lines)}")

    def signal(self, number=signal.SIGTERM):
        """Send a signal, if it runs."""
        if self.process.poll() is None:
            self.process.send_signal(number)

    def press_ctrl_c(self):
        """Send SIGINT to the process group, as a terminal does."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGINT)

    def end(self, seconds=120.0):
        """Return the exit code when it has ended, and all that it said was read."""
        code = self.process.wait(seconds)
        self._reader.join(seconds)
        self.process.stderr.close()
        return code
