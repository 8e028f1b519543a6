"""Programs in a pseudo-terminal, started without forking the Python of the tests.

``pexpect.spawn`` forks this process, which by then has threads of several native engines; the child
may die before it becomes the program. ``subprocess`` runs no Python code in between, and
``setsid --ctty`` gives the program the terminal.
"""

import fcntl
import os
import struct
import subprocess
import termios

from pexpect import fdpexpect


class PtyProcess(fdpexpect.fdspawn):
    """A program in a terminal of its own, with the methods of ``pexpect`` for what it writes."""

    def __init__(self, command, *, dimensions=(24, 80), cwd=None, env=None, **options):
        terminal, side = os.openpty()
        self._resize(side, *dimensions)
        self.program = subprocess.Popen(
            ["setsid", "--ctty", *command], stdin=side, stdout=side, stderr=side, cwd=cwd, env=env
        )
        os.close(side)
        super().__init__(terminal, **options)

    @staticmethod
    def _resize(terminal, rows, columns):
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def setwinsize(self, rows, columns):
        """Changes the size of the window; the kernel tells the program."""
        self._resize(self.child_fd, rows, columns)

    def kill(self, number):
        """Sends a signal to the program."""
        self.program.send_signal(number)

    def close(self, force=False):
        """Closes the terminal, waits for the program, and keeps its exit code."""
        if force and self.program.poll() is None:
            self.program.kill()
        if self.child_fd >= 0:
            super().close()
        self.exitstatus = self.program.wait(60)
