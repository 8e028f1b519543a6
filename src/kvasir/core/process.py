"""Detects use after a fork, which files, threads and connections do not survive."""

from __future__ import annotations

import os

from kvasir.core.errors import ForkedProcessError


class OwnerProcess:
    """Remembers the process in which it was made."""

    def __init__(self) -> None:
        """Remember this process."""
        self._id = os.getpid()

    @property
    def is_this(self) -> bool:
        """True unless this process was forked from the remembered one."""
        return os.getpid() == self._id

    def check(self) -> None:
        """Check that this is the remembered process.

        Raises:
            ForkedProcessError: This process was forked from it.
        """
        if not self.is_this:
            raise ForkedProcessError(
                f"the application was opened in process {self._id} and cannot be used in process "
                f"{os.getpid()}, which was forked from it: open one in each process"
            )
