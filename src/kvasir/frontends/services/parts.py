"""One process of the starter: started, watched, started again with growing delay, and ended."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from kvasir.frontends.supervising import Program, restart_delay

_AT_ONCE_SECONDS = 10.0
"""A process that ends within that time has died at once."""

Say = Callable[[str], object]


class Part(Program):
    """A process that runs until it is ended.

    Attributes:
        is_ending: It was asked to end.
        last_end: How it ended the last time; empty if it never did.
    """

    def __init__(self, name: str, command: Sequence[str]) -> None:
        """Start nothing yet."""
        super().__init__(name, command)
        self.is_ending = False
        self.last_end = ""
        self._kill_at = 0.0
        self._restarts = 0

    def start(self) -> None:
        """Start the process."""
        self.due, self.is_ending = 0.0, False
        super().start()

    @property
    def is_alive(self) -> bool:
        """True while the process runs."""
        return self.process is not None and self.status is None

    def ask_to_end(self, seconds: float) -> None:
        """Ask the process to end, and kill it if it has not after some seconds."""
        if not self.is_ending:
            self.is_ending, self._kill_at = True, time.monotonic() + seconds
            self.end()

    def has_ended(self, now: float) -> bool:
        """Return True if the process that was asked to end has done so."""
        if not self.is_alive:
            return True
        if self.is_ending and now > self._kill_at:
            self.wait(0.1)
        return False

    def look_after(self, now: float, say: Say) -> None:
        """Start it again if it died, in its time."""
        if self.is_ending or self.is_alive:
            return
        if self.process is None:
            self.start()
        elif self.due:
            if now >= self.due:
                self._restarts += 1
                self.start()
        else:
            lived = now - self.started
            delay = restart_delay(self, now)
            self.last_end = _how(self.status or 0)
            often = f", {self.deaths} times in a row" if self.deaths > 1 else ""
            when = f" {lived:.1f} s after its start" if lived < _AT_ONCE_SECONDS else ""
            say(
                f"{self.name} has ended ({self.last_end}){when}{often}; "
                f"it is started again in {delay:g} s"
            )

    def state(self, now: float, *, is_ready: bool) -> Mapping[str, Any]:
        """Return what ``status`` says of it."""
        if self.is_ending:
            word = "ending"
        elif not self.is_alive:
            word = "failing" if self.process is not None else "waiting"
        else:
            word = "ready" if is_ready else "starting"
        alive = self.process is not None and self.is_alive
        return {
            "name": self.name,
            "state": word,
            "pid": self.process.pid if alive and self.process else None,
            "seconds": round(now - self.started, 1) if alive else None,
            "restarts": self._restarts,
            "deaths_in_a_row": self.deaths,
            "last_end": self.last_end or None,
            "starts_in": round(max(0.0, self.due - now), 1) if self.due else None,
        }


def _how(status: int) -> str:
    return signal.Signals(-status).name if status < 0 else f"status {status}"
