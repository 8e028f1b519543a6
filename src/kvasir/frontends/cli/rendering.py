"""Output of the command line: lines and tables for people, JSON for programs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click
from rich.cells import cell_len
from rich.text import Text

from kvasir.core.text import ACTIVE, shown
from kvasir.core.types import Answer, Certainty
from kvasir.core.wire import dumps
from kvasir.frontends.cli.paths import source_name
from kvasir.frontends.cli.remedies import explain_source
from kvasir.frontends.cli.terminal import Terminal, echo
from kvasir.frontends.cli.wrapping import columns

if TYPE_CHECKING:
    from kvasir.core.reports import Failed
    from kvasir.core.types import Answer


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
            echo(line)


def print_table(value: Any, rows: Iterable[Mapping[str, object]], empty: str = "") -> None:
    """Print a result as a table of rows under the first row's keys, or as JSON.

    On a terminal its cells are wrapped to fit; elsewhere each row is one line. ``empty`` is said
    where there are no rows.
    """
    if printed_json(value):
        return
    cells = [{name: shown(str(each)) for name, each in row.items()} for row in rows]
    if not cells:
        if empty:
            echo(empty)
        return
    table = [list(cells[0]), *(list(row.values()) for row in cells)]
    terminal = Terminal()
    if terminal.width is None:
        click.echo("\n".join(_aligned(table)))
        return
    head = [Text(name, "bold") for name in table[0]]
    body = [[Text(cell) for cell in row] for row in table[1:]]
    terminal.lines(columns([head, *body], terminal.width))


def _aligned(table: Sequence[Sequence[str]]) -> Iterator[str]:
    """Yield rows as lines of aligned columns; lists may have many thousands."""
    widths = [max(map(cell_len, column)) for column in zip(*table, strict=True)]
    for row in table:
        cells = zip(row, widths, strict=True)
        yield "  ".join(cell + " " * (width - cell_len(cell)) for cell, width in cells).rstrip()


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


def explained_line(failure: Failed) -> str:
    """Return one line about a source that could not be ingested, with advice if there is any."""
    message = explain_source(failure.reason, failure.message)
    return failure_line(replace(failure, message=message))


def counted(parts: Mapping[str, Sequence[object]]) -> str:
    """Return the number of each kind that there is, in one line."""
    return ", ".join(f"{len(part)} {what}" for what, part in parts.items() if part)


def nearest_title(answer: Answer) -> str:
    """Return the line over the nearest passages of an answer that is refused or not sure."""
    likely = f"(confidence {answer.confidence:.2f})"
    if answer.certainty is Certainty.NOT_SURE:
        if answer.doubt:
            # A high confidence beside "not sure" would read as a contradiction.
            doubt = shown(answer.doubt)
            return f"Not sure that this answers the question: {doubt}. The nearest passages:"
        return f"Not sure that this answers the question {likely}. The nearest passages:"
    return f"The nearest passages {likely}:"


def unsupported(answer: Answer) -> str:
    """Return how many sentences of a language model's answer the sources do not support."""
    return (
        f"{answer.unsupported_sentences} of {answer.checked_sentences} sentences were not found "
        "in the sources, and are marked"
    )
