"""``kvasir ingest``: ingest sources, with a progress bar and a report."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from functools import partial

import click
from rich.console import Console

from kvasir.collection import Collection
from kvasir.core.errors import ComponentError, RequestError, StoppedError, StoreIncompleteError
from kvasir.core.reports import IngestReport
from kvasir.core.run import Run
from kvasir.core.types import MetadataValue
from kvasir.frontends.cli.interrupts import long_work
from kvasir.frontends.cli.main import EXIT_INTERRUPTED, EXIT_SOME_FAILED
from kvasir.frontends.cli.options import (
    SPLIT_LENGTHS,
    STORE_AND_MODEL,
    json_option,
    setting_option,
    setting_options,
    with_collection,
)
from kvasir.frontends.cli.paths import sources
from kvasir.frontends.cli.remedies import explain_source
from kvasir.frontends.cli.rendering import failure_line, print_json, sizes
from kvasir.frontends.cli.terminal import location


@click.command()
@click.argument("sources", nargs=-1, required=True, metavar="PATH|URL...")
@setting_option(
    "--on-conflict",
    key="rag.ingest.on_conflict",
    help_text="For a source that changed since: replace, skip or error.",
    type=click.Choice(["replace", "skip", "error"]),
)
@click.option("--prune", is_flag=True, help="Remove documents whose file is gone from the folder.")
@click.option(
    "--metadata", multiple=True, metavar="KEY=VALUE", help="Give every document this metadata."
)
@setting_options(
    ("--language", "rag.language", "Language of the documents, such as es."),
    (
        "--split-by",
        "rag.splitter.split_by",
        "Unit of a chunk: page, passage, sentence, word or line.",
    ),
    *SPLIT_LENGTHS,
    (
        "--split-threshold",
        "rag.splitter.split_threshold",
        "Fewest units in the last chunk.",
        {"type": int},
    ),
    ("--vectordb-type", "rag.vectordb.type", "Kind of store."),
    ("--vectordb-uri", "rag.vectordb.uri", "Its folder, file or address."),
    *STORE_AND_MODEL,
)
@json_option
@with_collection
def ingest(
    collection: Collection,
    sources: tuple[str, ...],
    prune: bool,
    metadata: tuple[str, ...],
    as_json: bool,
) -> int:
    """Read files, folders and URLs into a collection.

    A source that did not change costs nothing but a look; of one that changed, only the changed
    passages are embedded. What cannot be read is listed at the end, and the rest goes on.
    """
    return run_ingest(
        collection, sources, prune=prune, metadata=parse_metadata(metadata), as_json=as_json
    )


def run_ingest(
    collection: Collection,
    typed: tuple[str, ...],
    *,
    prune: bool = False,
    metadata: dict[str, MetadataValue] | None = None,
    as_json: bool = False,
) -> int:
    """Ingest, show progress and report, and return the exit code."""
    restored = 0
    with long_work(quiet=as_json) as run:
        ingest_all = partial(
            collection.ingest,
            *sources(typed),
            prune=prune,
            metadata=metadata,
            run=run,
            build_graph=False,
        )
        try:
            report = ingest_all()
        except StoreIncompleteError:
            restored = collection.restore(run=run)
            report = ingest_all()
    report.chunks_restored = restored
    report.chunks_embedded += restored
    if as_json:
        print_json(report)
    else:
        _print(report)
    if report.interrupted:
        return EXIT_INTERRUPTED
    try:
        with long_work(quiet=True) as run:
            _build_graph(collection, run, quiet=as_json)
    except (StoppedError, KeyboardInterrupt):
        # Handled here: the report is printed, and programs read one document.
        said = "interrupted: what is ingested is kept; the next ingest builds the search graph"
        click.echo(said, err=True)
        return EXIT_INTERRUPTED
    return EXIT_SOME_FAILED if report.failed else 0


def _build_graph(collection: Collection, run: Run, *, quiet: bool) -> None:
    """Build the search graph where it is due; a failure only makes searches slower."""
    console = Console(stderr=True)
    try:
        if quiet or not console.is_terminal:
            collection.optimize(wait=True, run=run)
        else:
            with console.status("building the search graph"):
                collection.optimize(wait=True, run=run)
    except ComponentError as error:
        click.echo(f"warning: {error}; searches are slower until the next ingest", err=True)


def parse_metadata(pairs: tuple[str, ...]) -> dict[str, MetadataValue] | None:
    """Read ``key=value`` pairs; values may be numbers and truth values."""
    metadata: dict[str, MetadataValue] = {}
    for pair in pairs:
        key, separator, value = pair.partition("=")
        if not separator or not key.strip():
            raise RequestError(f"metadata '{pair}' is not of the form key=value")
        metadata[key.strip()] = _scalar(value)
    return metadata or None


def _scalar(text: str) -> MetadataValue:
    """Return a number or truth value in JSON's spelling, else the text."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return value if isinstance(value, (str, int, float, bool)) else text


def _print(report: IngestReport) -> None:
    counts = [
        (len(report.added), "added"),
        (len(report.replaced), "replaced"),
        (len(report.unchanged), "unchanged"),
        (len(report.relabelled), "with new metadata"),
        (len(report.skipped), "changed but skipped"),
        (len(report.removed), "removed"),
        (len(report.failed), "failed"),
        (len(report.left), "left to do"),
    ]
    done = ", ".join(f"{count} {what}" for count, what in counts if count) or "nothing to do"
    total = report.seconds.get("total", 0.0)
    if report.recovered:
        click.echo(f"recovered from an interrupted run: {report.recovered} half-written versions")
    if report.chunks_restored:
        click.echo(
            f"written again, because the store had lost them: {report.chunks_restored} chunks"
        )
    known = report.chunks_reused + report.chunks_repeated
    embedded = f"{report.chunks_embedded} chunks embedded" + (f", {known} known" if known else "")
    click.echo(f"{done}; {embedded}; {sizes(report.bytes_read)} in {total:.1f} s")
    for folder in report.without_files:
        click.echo(f"no files in {location(folder)}", err=True)
    for failure in report.failed:
        explained = replace(failure, message=explain_source(failure.reason, failure.message))
        click.echo(f"failed: {failure_line(explained)}", err=True)
    if report.chunks_unknown:
        click.echo(
            f"the store has {report.chunks_unknown} chunks that no document has; "
            "'kvasir doctor' lists them",
            err=True,
        )
    if report.interrupted:
        click.echo("interrupted: what is finished is kept; run the same command again", err=True)
        sys.stderr.flush()
