"""Output of the command line: lines and tables for people, JSON for programs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import click
from rich.cells import cell_len

from kvasir.core.reports import Failed
from kvasir.core.text import ACTIVE, shown
from kvasir.core.types import Answer
from kvasir.core.wire import dumps
from kvasir.frontends.cli.paths import source_name


def _remember_json(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    # Errors of the command are printed in the same form.
    ctx.ensure_object(dict)["as_json"] = value


json_option = click.option(
    "--json",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_remember_json,
    help="Print JSON for programs.",
)


def wants_json() -> bool:
    """Return True if the running command was given ``--json``."""
    ctx = click.get_current_context(silent=True)
    state = ctx.find_object(dict) if ctx else None
    return bool(state and state.get("as_json"))


def printed_json(value: Any) -> bool:
    """Print a result as JSON, control characters escaped, and return True; only if it is wanted."""
    if not wants_json():
        return False
    # JSON itself escapes the other control characters.
    click.echo(ACTIVE.sub(lambda found: f"\\u{ord(found[0]):04x}", dumps(value, indent=2)))
    return True


def print_result(value: Any, *lines: str) -> None:
    """Print a result: its lines, or with ``--json`` the value of public types as JSON."""
    if not printed_json(value):
        for line in lines:
            click.echo(line)


def table(rows: Iterable[Mapping[str, object]]) -> list[str]:
    """Return rows as lines of aligned columns, uncut, under the first row's keys."""
    filled = list(rows)
    cells = [[shown(str(value)) for value in row.values()] for row in filled]
    cells = [*map(list, filled[:1]), *cells]
    widths = [max(map(cell_len, column)) for column in zip(*cells, strict=True)]
    return [
        "  ".join(
            cell + " " * (width - cell_len(cell)) for cell, width in zip(line, widths, strict=True)
        ).rstrip()
        for line in cells
    ]


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


def counted(parts: Mapping[str, Sequence[object]]) -> str:
    """Return the number of each kind that there is, in one line."""
    return ", ".join(f"{len(part)} {what}" for what, part in parts.items() if part)


def unsupported(answer: Answer) -> str:
    """Return how many sentences of a language model's answer the sources do not support."""
    return (
        f"{answer.unsupported_sentences} of {answer.checked_sentences} sentences were not found "
        "in the sources, and are marked"
    )
