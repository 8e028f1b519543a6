"""``kvasir answers``: the log of answers."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path

import click

from kvasir.core.errors import RequestError
from kvasir.core.wire import dumps
from kvasir.frontends.cli.options import make_app, with_settings
from kvasir.settings.schema import Settings


@click.group()
def answers() -> None:
    """Export the log of answers."""


@answers.command("export")
@click.option(
    "--to",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write into a new file rather than to standard output.",
)
@click.option(
    "--since",
    type=click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"]),
    help="Only later answers, in UTC.",
)
@with_settings
def export(settings: Settings, to: Path | None, since: datetime | None) -> None:
    """Write the answers of all users with questions, sources and ratings, one a line, as JSON.

    The lines are in the order of the answers, for evaluation and training.
    """
    with make_app(settings) as app:
        after = since.replace(tzinfo=UTC) if since else None
        found = app.services.answer_log.export(since=after)
        try:
            output = to.open("x", encoding="utf-8") if to else sys.stdout
        except FileExistsError:
            raise RequestError(f"there is a file '{to}' already: name another one") from None
        except OSError as error:
            raise RequestError(f"cannot write '{to}': {error.strerror}") from error
        count = 0
        try:
            for answer in found:
                output.write(dumps(answer) + "\n")
                count += 1
        finally:
            if to:
                output.close()
        if to:
            click.echo(f"{count} answers written to '{to}'", err=True)
