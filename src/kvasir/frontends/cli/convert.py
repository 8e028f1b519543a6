"""``kvasir convert``: documents to docling JSON, by docling."""

from __future__ import annotations

from pathlib import Path

import click

from kvasir.app import App
from kvasir.core.reports import ConversionReport
from kvasir.core.text import shown
from kvasir.frontends.cli.interrupts import long_work
from kvasir.frontends.cli.main import EXIT_INTERRUPTED, EXIT_SOME_FAILED
from kvasir.frontends.cli.options import json_option, with_app
from kvasir.frontends.cli.paths import sources as given
from kvasir.frontends.cli.rendering import failure_line, print_json
from kvasir.frontends.cli.terminal import location


@click.command()
@click.argument("sources", nargs=-1, required=True, metavar="PATH|URL...")
@click.option(
    "--to",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Folder to write the JSON files to.",
)
@click.option(
    "--models",
    type=click.Path(file_okay=False, path_type=Path),
    envvar="DOCLING_ARTIFACTS_PATH",
    metavar="DIR",
    help="Folder of docling's models, for PDF and images.  [default: models/docling in data_dir]",
)
@click.option("--converter", default="docling", show_default=True, help="What converts.")
@json_option
@with_app
def convert(
    app: App, sources: tuple[str, ...], to: Path, models: Path | None, converter: str, as_json: bool
) -> int:
    """Convert documents to docling JSON, which 'kvasir ingest' reads.

    What cannot be converted is listed at the end, and the rest goes on; where only a part was
    converted, the part is kept and a warning names what is missing. Needs the extra docling.
    """
    with long_work(quiet=as_json) as run:
        report = app.convert(
            given(sources), to.absolute(), converter=converter, models=models, run=run
        )
    if as_json:
        print_json(report)
    else:
        _print(report)
    if report.interrupted:
        return EXIT_INTERRUPTED
    return EXIT_SOME_FAILED if report.failed else 0


def _print(report: ConversionReport) -> None:
    for done in report.converted:
        for warning in done.warnings:
            click.echo(f"warning: {location(done.source_uri)}: {shown(warning)}", err=True)
    for failure in report.failed:
        click.echo(f"failed: {failure_line(failure)}", err=True)
    partial = sum(1 for done in report.converted if done.warnings)
    counts = [
        (len(report.converted), "converted"),
        (partial, "of them in part"),
        (len(report.failed), "failed"),
        (len(report.left), "left to do"),
    ]
    click.echo(", ".join(f"{count} {what}" for count, what in counts if count))
