"""Output of the command line: tables for people, JSON for programs."""

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
    """Print public types, also in mappings and lists, as JSON with control characters escaped."""
    text = dumps(value, indent=2)
    # JSON itself escapes the other control characters.
    click.echo(_CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", text))


def print_table(rows: Sequence[Mapping[str, object]]) -> None:
    """Print rows in aligned columns, uncut, under the first row's keys."""
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
    """Return a number of bytes with a unit."""
    size = float(count)
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"


def failure_line(failure: Failed) -> str:
    """Return one line about a failed source."""
    return replace(failure, source_uri=source_name(failure.source_uri)).line
