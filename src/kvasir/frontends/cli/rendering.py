"""How the command line shows things to people, and JSON to programs."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import click
from rich.cells import cell_len

from kvasir.core.reports import Failed
from kvasir.core.text import shown
from kvasir.core.wire import dumps
from kvasir.frontends.cli.terminal import source_name

_CONTROL = re.compile(r"[\x7f-\x9f]")


def print_json(value: Any) -> None:
    """Print a public type, or a mapping or list of such, as one JSON document.

    Control characters are escaped, so that the document cannot act on a terminal.
    """
    text = dumps(value, indent=2)
    # JSON itself only requires escapes for the others.
    click.echo(_CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", text))


def print_table(rows: Sequence[Mapping[str, object]]) -> None:
    """Print rows in aligned columns, nothing cut off; the first row's keys are the heads."""
    if not rows:
        return
    cells = [list(rows[0]), *([shown(str(value)) for value in row.values()] for row in rows)]
    widths = [max(cell_len(line[column]) for line in cells) for column in range(len(rows[0]))]
    for line in cells:
        padded = (
            cell + " " * (width - cell_len(cell)) for cell, width in zip(line, widths, strict=True)
        )
        click.echo("  ".join(padded).rstrip())


def sizes(count: int) -> str:
    """Return a number of bytes as people read it."""
    size = float(count)
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"


def failure_line(failure: Failed) -> str:
    """Return what failed and what to do, for people."""
    return replace(failure, source_uri=source_name(failure.source_uri)).line
