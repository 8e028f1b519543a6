"""Progress drawn on a terminal: a bar for each stage of the work, one line for a download.

Apart from ``long_work``, because most commands draw none, and need not wait for the import.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic

from rich import progress
from rich.console import Console
from rich.text import Text

from kvasir.core.run import Progress
from kvasir.core.text import shown
from kvasir.frontends.cli.rates import duration, rate

_PAUSE = 0.1
"""Seconds between two drawings of the same download."""


@contextmanager
def stage_bars(console: Console) -> Iterator[Callable[[Progress], None]]:
    """Draw a bar for each stage of a run, with rate and remaining time, until the block ends."""
    bars = progress.Progress(
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        progress.MofNCompleteColumn(),
        progress.TextColumn("{task.fields[rate]}/s"),
        _Remaining(),
        console=console,
        transient=True,
    )
    tasks: dict[str, progress.TaskID] = {}
    line = DownloadLine(console)

    def show(event: Progress) -> None:
        if event.stage == "download":
            line(event)
            return
        # Not before the first stage, because a download may still use the line.
        bars.start()
        if event.stage not in tasks:
            tasks[event.stage] = bars.add_task(
                event.stage, total=event.total, rate="-", remaining=None
            )
        task = tasks[event.stage]
        elapsed = bars.tasks[bars.task_ids.index(task)].elapsed or 0.0
        bars.update(
            task,
            completed=event.done,
            total=event.total,
            rate=rate(event.done, elapsed),
            remaining=event.remaining,
        )

    try:
        yield show
    finally:
        line.clear()
        bars.stop()


class _Remaining(progress.TimeRemainingColumn):
    """The remaining time as the work estimates it, else as the bar's own speed says."""

    def render(self, task: progress.Task) -> Text:
        """Return the time of one bar."""
        seconds = task.fields.get("remaining")
        return super().render(task) if seconds is None else Text(f"about {duration(seconds)} left")


class DownloadLine:
    """One line that is overwritten, and removed at the end.

    It is drawn only during a call: no thread writes into the output of a chat or an answer.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bars = progress.Progress(
            progress.TextColumn("{task.description}", markup=False),
            progress.BarColumn(),
            progress.DownloadColumn(),
            progress.TransferSpeedColumn(),
            progress.TimeRemainingColumn(),
            console=console,
            auto_refresh=False,
        )
        self._drawn = 0.0
        self._written = False

    def __call__(self, event: Progress) -> None:
        """Draw how much of a download has come."""
        if not event.total:
            self._write(shown(event.item)[: self._console.width - 1])
            return
        finished = event.done >= event.total
        self._update(shown(event.item), event.done, event.total)
        if finished or monotonic() - self._drawn > _PAUSE:
            with self._console.capture() as captured:
                self._console.print(self._bars.get_renderable())
            self._write(captured.get().splitlines()[0])
        if finished:
            self.clear()

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

    def _write(self, line: str) -> None:
        # Not print: the bars of an ingest would keep it above themselves.
        self._console.file.write(f"\r{line}\x1b[K")
        self._console.file.flush()
        self._drawn, self._written = monotonic(), True
