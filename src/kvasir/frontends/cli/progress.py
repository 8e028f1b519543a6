"""Progress: a bar for each stage of long work, and one line for a model's download."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.progress import Progress as Bars

from kvasir.core.run import Progress
from kvasir.core.text import shown

_PAUSE = 0.1
"""Seconds between two drawings of the same download."""


@contextmanager
def stages(*, quiet: bool = False) -> Iterator[Callable[[Progress], None]]:
    """Show a bar for each stage, with rate and remaining time, on a terminal, unless quiet."""
    console = Console(stderr=True)
    if quiet or not console.is_terminal:
        yield lambda _: None
        return
    bars = Bars(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}/s"),
        TimeRemainingColumn(),
        console=console,
        transient=True,
    )
    tasks: dict[str, TaskID] = {}

    def show(event: Progress) -> None:
        # Not before the first stage, because a download may still use the line.
        bars.start()
        if event.stage not in tasks:
            tasks[event.stage] = bars.add_task(event.stage, total=event.total, rate="-")
        task = tasks[event.stage]
        elapsed = bars.tasks[bars.task_ids.index(task)].elapsed or 0.0
        speed = rate(event.done, elapsed)
        bars.update(task, completed=event.done, total=event.total, rate=speed)

    try:
        yield show
    finally:
        bars.stop()


def rate(count: int, seconds: float) -> str:
    """Return the number per second."""
    return f"{count / seconds:.0f}" if seconds > 0 else "-"


@contextmanager
def download(*, quiet: bool = False) -> Iterator[Callable[[Progress], None]]:
    """Show downloads, in bytes, if standard error is a terminal, unless quiet."""
    console = Console(stderr=True)
    if quiet or not console.is_terminal:
        yield lambda _: None
        return
    line = _Line(console)
    try:
        yield line
    finally:
        line.clear()


class _Line:
    """One line that is overwritten, and removed at the end.

    It is drawn only during a call: no thread writes into the output of a chat or an answer.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bars = Bars(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
            console=console,
            auto_refresh=False,
        )
        self._drawn = 0.0
        self._written = False

    def __call__(self, event: Progress) -> None:
        if event.total:
            finished = event.done >= event.total
            self._update(shown(event.item), event.done, event.total)
            if finished or monotonic() - self._drawn > _PAUSE:
                self._write(self._bar())
            if finished:
                self.clear()
        else:
            self._write(shown(event.item)[: self._console.width - 1])

    def clear(self) -> None:
        """Remove the line."""
        if self._written:
            self._write("")
            self._written = False

    def _update(self, what: str, done: int, total: int) -> None:
        bars = self._bars
        if not bars.tasks or bars.tasks[0].total != total or bars.tasks[0].finished:
            for task in bars.task_ids:
                bars.remove_task(task)
            # An earlier run's bytes do not count for the rate.
            bars.add_task(what, total=total, completed=done)
        bars.update(bars.task_ids[0], description=what, completed=done)

    def _bar(self) -> str:
        with self._console.capture() as captured:
            self._console.print(self._bars.get_renderable())
        return captured.get().splitlines()[0]

    def _write(self, line: str) -> None:
        # Not print: the bars of an ingest would keep it above themselves.
        self._console.file.write(f"\r{line}\x1b[K")
        self._console.file.flush()
        self._drawn, self._written = monotonic(), True
