"""How the command line shows things to people, and JSON to programs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import click
from rich.cells import cell_len
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as ProgressBar

from kvasir.core.text import shown
from kvasir.core.types import Progress
from kvasir.core.wire import dumps
from kvasir.frontends.cli.terminal import source_name
from kvasir.ingesting.report import Failed

_CONTROL = re.compile(r"[\x7f-\x9f]")


def print_json(value: Any) -> None:
    """Print a public type, or a mapping or list of such, as one JSON document.

    Control characters are escaped, so that the document cannot act on a terminal.
    """
    text = dumps(value, indent=2)
    # JSON itself only requires escapes for the others.
    click.echo(_CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", text))


def print_table(rows: Sequence[Mapping[str, object]]) -> None:
    """Prints rows in aligned columns, nothing cut off; the first row's keys are the heads."""
    if not rows:
        return
    cells = [list(rows[0]), *([shown(str(value)) for value in row.values()] for row in rows)]
    widths = [max(cell_len(line[column]) for line in cells) for column in range(len(rows[0]))]
    for line in cells:
        padded = (
            cell + " " * (width - cell_len(cell)) for cell, width in zip(line, widths, strict=True)
        )
        click.echo("  ".join(padded).rstrip())


@contextmanager
def stages(*, quiet: bool = False) -> Iterator[Progress]:
    """A progress bar a stage, with rate and remaining time; called with stage, done, total."""
    console = Console(stderr=True)
    if quiet or not console.is_terminal:
        yield lambda stage, done, total: None
        return
    bar = ProgressBar(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}/s"),
        TimeRemainingColumn(),
        console=console,
        transient=True,
    )
    tasks: dict[str, TaskID] = {}

    def on_progress(stage: str, done: int, total: int) -> None:
        # Only now: before the first stage the line may be that of a download.
        bar.start()
        if stage not in tasks:
            tasks[stage] = bar.add_task(stage, total=total, rate="-")
        task = tasks[stage]
        elapsed = bar.tasks[bar.task_ids.index(task)].elapsed or 0.0
        bar.update(task, completed=done, total=total, rate=rate(done, elapsed))

    try:
        yield on_progress
    finally:
        bar.stop()


def sizes(count: int) -> str:
    """Returns a number of bytes as people read it."""
    size = float(count)
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"


def rate(count: int, seconds: float) -> str:
    """Returns how many a second."""
    return f"{count / seconds:.0f}" if seconds > 0 else "-"


def failure_line(failure: Failed) -> str:
    """Returns what failed and what to do, for people."""
    return replace(failure, source_uri=source_name(failure.source_uri)).line
