"""``kvasir answers``: the log of answers."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

import click

from kvasir.core.errors import RequestError
from kvasir.core.wire import dumps
from kvasir.frontends.cli.long_work import long_work
from kvasir.frontends.cli.options import with_service
from kvasir.frontends.cli.services import Service
from kvasir.frontends.cli.terminal import echo

if TYPE_CHECKING:
    from kvasir.remote.service import RemoteService


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
@with_service
def export(service: Service, to: Path | None, since: datetime | None) -> None:
    """Write the answers of all users with questions, sources and ratings, one a line, as JSON.

    The lines are in the order of the answers, for evaluation and training. A server gives those of
    all users to administrators alone, and to others their own.
    """
    from kvasir.app import App

    after = since.replace(tzinfo=UTC) if since else None
    count = 0
    with long_work(quiet=True) as run, _output(to) as output:

        def write(lines: bytes) -> None:
            nonlocal count
            output.write(lines)
            count += lines.count(b"\n")

        if isinstance(service, App):
            for answer in service.services.answer_log.export(since=after):
                run.check()
                write(f"{dumps(answer)}\n".encode())
        else:
            cast("RemoteService", service).export_answers(write, since=after, run=run)
    if to:
        echo(f"{count} answers written to '{to}'", err=True)


@contextmanager
def _output(to: Path | None) -> Iterator[BinaryIO]:
    """Open the new file, which is deleted after an error, or standard output."""
    if to is None:
        sys.stdout.flush()
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    try:
        file = to.open("xb")
    except FileExistsError:
        raise RequestError(f"there is a file '{to}' already: name another one") from None
    except OSError as error:
        raise RequestError(f"cannot write '{to}': {error.strerror}") from error
    try:
        with file:
            yield file
    except BaseException:
        to.unlink(missing_ok=True)
        raise
