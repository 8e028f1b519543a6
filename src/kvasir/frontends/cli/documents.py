"""``kvasir ingest``, ``kvasir convert`` and ``kvasir documents``: what is in a collection."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console

from kvasir.core.errors import ComponentError, RequestError, StoppedError, StoreIncompleteError
from kvasir.core.ledger import DocumentRecord, VersionStatus
from kvasir.core.reports import ConversionReport, IngestReport
from kvasir.core.run import Run
from kvasir.core.text import one_line, printable, shown
from kvasir.core.types import MetadataValue
from kvasir.core.wire import to_json
from kvasir.frontends.cli.interrupts import EXIT_INTERRUPTED
from kvasir.frontends.cli.long_work import is_drawn_on, long_work
from kvasir.frontends.cli.main import EXIT_SOME_FAILED
from kvasir.frontends.cli.options import (
    SPLIT_LENGTHS,
    STORE_AND_MODEL,
    setting_options,
    with_app,
    with_collection,
)
from kvasir.frontends.cli.paths import find_document, find_documents, location, source_name, sources
from kvasir.frontends.cli.remedies import explain_source
from kvasir.frontends.cli.rendering import failure_line, print_result, printed_json, sizes, table

if TYPE_CHECKING:
    from kvasir.app import App
    from kvasir.collection import Collection


@click.command()
@click.argument("typed", nargs=-1, required=True, metavar="PATH|URL...")
@setting_options(
    (
        "--on-conflict",
        "rag.ingest.on_conflict",
        "For a source that changed since: replace, skip or error.",
        click.Choice(["replace", "skip", "error"]),
    )
)
@setting_options(
    (
        "--ocr",
        "rag.ingest.ocr",
        "Recognize the text of pages that are pictures.",
        click.Choice(["auto", "off"]),
    )
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
    ("--split-threshold", "rag.splitter.split_threshold", "Fewest units in the last chunk."),
    ("--vectordb-type", "rag.vectordb.type", "Kind of store."),
    ("--vectordb-uri", "rag.vectordb.uri", "Its folder, file or address."),
    *STORE_AND_MODEL,
)
@with_collection
def ingest(
    collection: Collection, typed: tuple[str, ...], prune: bool, metadata: tuple[str, ...]
) -> int:
    """Read files, folders and URLs into a collection.

    A source that did not change costs nothing but a look; of one that changed, only the changed
    passages are embedded. What cannot be read is listed at the end, and the rest goes on.
    """
    restored = 0
    with long_work() as run:
        ingest_all = partial(
            collection.ingest,
            *sources(typed),
            prune=prune,
            metadata=_parse_metadata(metadata),
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
    if not printed_json(report):
        _print_ingested(report)
    if report.interrupted:
        return EXIT_INTERRUPTED
    try:
        with long_work(quiet=True) as run:
            _build_graph(collection, run)
    except (StoppedError, KeyboardInterrupt):
        # Handled here: the report is printed, and programs read one document.
        said = "interrupted: what is ingested is kept; the next ingest builds the search graph"
        click.echo(said, err=True)
        return EXIT_INTERRUPTED
    return EXIT_SOME_FAILED if report.failed else 0


def _build_graph(collection: Collection, run: Run) -> None:
    """Build the search graph where it is due; a failure only makes searches slower."""
    console = Console(stderr=True)
    try:
        with console.status("building the search graph") if is_drawn_on(console) else nullcontext():
            collection.optimize(wait=True, run=run)
    except ComponentError as error:
        click.echo(f"warning: {error}; searches are slower until the next ingest", err=True)


def _parse_metadata(pairs: tuple[str, ...]) -> dict[str, MetadataValue] | None:
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


def _print_ingested(report: IngestReport) -> None:
    counts: dict[str, Sequence[object]] = {
        "added": report.added,
        "replaced": report.replaced,
        "unchanged": report.unchanged,
        "with new metadata": report.relabelled,
        "changed but skipped": report.skipped,
        "removed": report.removed,
        "failed": report.failed,
        "left to do": report.left,
    }
    done = _counted(counts) or "nothing to do"
    total = report.seconds.get("total", 0.0)
    if report.recovered:
        click.echo(f"recovered from an interrupted run: {report.recovered} half-written versions")
    if report.chunks_restored:
        why = "written again, because the store had lost them"
        click.echo(f"{why}: {report.chunks_restored} chunks")
    known = report.chunks_reused + report.chunks_repeated
    embedded = f"{report.chunks_embedded} chunks embedded" + (f", {known} known" if known else "")
    click.echo(f"{done}; {embedded}; {sizes(report.bytes_read)} in {total:.1f} s")
    for folder in report.without_files:
        click.echo(f"no files in {location(folder)}", err=True)
    for warned in report.warnings:
        named = replace(warned, source_uri=source_name(warned.source_uri))
        click.echo(f"note: {named.line}", err=True)
    for failure in report.failed:
        explained = replace(failure, message=explain_source(failure.reason, failure.message))
        click.echo(f"failed: {failure_line(explained)}", err=True)
    if report.chunks_unknown:
        unknown = f"the store has {report.chunks_unknown} chunks that no document has"
        click.echo(f"{unknown}; 'kvasir doctor' lists them", err=True)
    if report.interrupted:
        click.echo("interrupted: what is finished is kept; run the same command again", err=True)
        sys.stderr.flush()


@click.command()
@click.argument("typed", nargs=-1, required=True, metavar="PATH|URL...")
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
@with_app
def convert(app: App, typed: tuple[str, ...], to: Path, models: Path | None, converter: str) -> int:
    """Convert documents to docling JSON, which 'kvasir ingest' reads.

    What cannot be converted is listed at the end, and the rest goes on; where only a part was
    converted, the part is kept and a warning names what is missing. Needs the extra docling.
    """
    with long_work() as run:
        report = app.convert(
            sources(typed), to.absolute(), converter=converter, models=models, run=run
        )
    if not printed_json(report):
        _print_converted(report)
    if report.interrupted:
        return EXIT_INTERRUPTED
    return EXIT_SOME_FAILED if report.failed else 0


def _print_converted(report: ConversionReport) -> None:
    for done in report.converted:
        for warning in done.warnings:
            click.echo(f"warning: {location(done.source_uri)}: {shown(warning)}", err=True)
    for failure in report.failed:
        click.echo(f"failed: {failure_line(failure)}", err=True)
    counts: dict[str, Sequence[object]] = {
        "converted": report.converted,
        "of them in part": [done for done in report.converted if done.warnings],
        "failed": report.failed,
        "left to do": report.left,
    }
    click.echo(_counted(counts))


def _counted(parts: Mapping[str, Sequence[object]]) -> str:
    return ", ".join(f"{len(part)} {what}" for what, part in parts.items() if part)


@click.group()
def documents() -> None:
    """List, show, change or delete documents."""


@documents.command("list")
@click.argument("prefix", default="")
@with_collection
def list_documents(collection: Collection, prefix: str) -> None:
    """List the collection's documents, those whose source begins with PREFIX.

    PREFIX is the beginning of an address, of an upload's name or of a path. A path may be given
    from the working directory on; with a slash at its end it means that folder alone.
    """
    records = find_documents(collection, prefix)
    rows = (
        {
            "source": source_name(record.source_uri),
            "title": one_line(record.title, 40),
            "language": record.language,
            "chunks": record.chunk_count,
            "size": sizes(record.state.size),
            "status": _status(record),
        }
        for record in records
    )
    print_result(records, *table(rows))


@documents.command()
@click.argument("source")
@click.option("--text", "with_text", is_flag=True, help="Print the extracted text too.")
@with_collection
def show(collection: Collection, source: str, with_text: bool) -> None:
    """Show one document, by its source or id."""
    record = find_document(collection, source)
    text = collection.text(record.id) if with_text else None
    if printed_json(to_json(record) | ({"text": text} if with_text else {})):
        return
    details = {
        "id": record.id,
        "source": record.source_uri,
        "title": record.title,
        "status": record.status,
        "language": record.language,
        "media_type": record.state.media_type,
        "bytes": record.state.size,
        "sha256": record.state.content_hash,
        "chunks": record.chunk_count,
        "indexed": record.indexed.isoformat(),
        "metadata": record.metadata,
        "error_reason": record.error_reason,
        "error": record.error_message,
    }
    for key, value in details.items():
        if value not in (None, {}, ""):
            click.echo(f"{key}: {shown(str(value))}")
    if text is not None:
        click.echo(f"\n{printable(text)}")


@documents.command()
@click.argument("typed", nargs=-1, required=True, metavar="SOURCE...")
@with_collection
def delete(collection: Collection, typed: tuple[str, ...]) -> None:
    """Delete documents, by their source or id, from store and catalog."""
    count = collection.delete(*(find_document(collection, source).id for source in typed))
    print_result({"deleted": count}, f"{count} deleted")


@documents.command()
@click.argument("source")
@click.argument("metadata", nargs=-1, metavar="KEY=VALUE...")
@with_collection
def metadata(collection: Collection, source: str, metadata: tuple[str, ...]) -> None:
    """Replace the metadata given for a document; nothing is embedded again."""
    collection.set_metadata(find_document(collection, source).id, _parse_metadata(metadata) or {})
    print_result(find_document(collection, source), "metadata replaced")


def _status(record: DocumentRecord) -> str:
    if not record.error_reason:
        return record.status
    if record.status is VersionStatus.LIVE:
        return f"{record.status}, last attempt failed: {record.error_reason}"
    return f"{record.status}: {record.error_reason}"
