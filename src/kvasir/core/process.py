"""The process that opened something: files, threads and connections do not survive a fork."""

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
        """True unless this process was forked from the one that is remembered."""
        return os.getpid() == self._id

    def check(self) -> None:
        """Refuse to go on in a forked child.

        Raises:
            ForkedProcessError: This process is a fork of the one that is remembered.
        """
        if not self.is_this:
            raise ForkedProcessError(
                f"the application was opened in process {self._id} and cannot be used in process "
                f"{os.getpid()}, which was forked from it: open one in each process"
            )
