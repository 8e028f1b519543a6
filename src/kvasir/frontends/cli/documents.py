"""``kvasir convert`` and ``kvasir documents``: what is in a collection."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kvasir.core.ledger import DocumentRecord, VersionStatus
from kvasir.core.reports import ConversionReport, Failed
from kvasir.core.text import one_line, printable, shown
from kvasir.core.wire import dumps, to_json
from kvasir.frontends.cli.folder_options import FolderOptions, with_folder_options
from kvasir.frontends.cli.interrupts import EXIT_INTERRUPTED
from kvasir.frontends.cli.long_work import long_work
from kvasir.frontends.cli.main import EXIT_SOME_FAILED
from kvasir.frontends.cli.metadata import parse_metadata
from kvasir.frontends.cli.options import with_app, with_collection
from kvasir.frontends.cli.paths import find_document, find_documents, location, source_name
from kvasir.frontends.cli.rendering import (
    counted,
    explained_line,
    failure_line,
    print_result,
    printed_json,
    sizes,
    table,
)

if TYPE_CHECKING:
    from kvasir.app import App
    from kvasir.collection import Collection


@click.command()
@click.argument("typed", nargs=-1, required=True, metavar="PATH|URL...")
@with_folder_options
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
def convert(
    app: App,
    typed: tuple[str, ...],
    to: Path,
    models: Path | None,
    converter: str,
    folders: FolderOptions,
) -> int:
    """Convert documents to docling JSON, which 'kvasir ingest' reads.

    What cannot be converted is listed at the end, and the rest goes on; where only a part was
    converted, the part is kept and a warning names what is missing. Needs the extra docling.
    """
    with long_work() as run:
        report = app.convert(
            folders.sources(typed), to.absolute(), converter=converter, models=models, run=run
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
    click.echo(counted(counts))


@click.group()
def documents() -> None:
    """List, show, change or delete documents."""


@documents.command("list")
@click.argument("prefix", default="")
@click.option("--failed", is_flag=True, help="Only those that could not be read, and why.")
@with_collection
def list_documents(collection: Collection, prefix: str, failed: bool) -> None:
    """List the collection's documents, those whose source begins with PREFIX.

    PREFIX is the beginning of an address, of an upload's name or of a path. A path may be given
    from the working directory on; with a slash at its end it means that folder alone.
    """
    records = find_documents(collection, prefix)
    if failed:
        records = [record for record in records if record.error_reason]
        print_result(records, *(map(_failure, records) if records else ["no failed documents"]))
        return
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
    print_result(records, *(table(rows) or ["no documents"]))


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
        "metadata": dumps(record.metadata) if record.metadata else "",
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
    from kvasir.frontends.cli.remembered import memory_of

    found = [find_document(collection, source) for source in typed]
    count = collection.delete(*(record.id for record in found))
    # A file that was given by name would come back with the next 'kvasir sync'.
    memory = memory_of(click.get_current_context(), collection.name)
    labels = {
        collection.source_uri(each.source.path): each.source.path for each in memory.sources()
    }
    memory.forget(labels[each.source_uri] for each in found if each.source_uri in labels)
    print_result({"deleted": count}, f"{count} deleted")


@documents.command()
@click.argument("source")
@click.argument("metadata", nargs=-1, metavar="KEY=VALUE...")
@with_collection
def metadata(collection: Collection, source: str, metadata: tuple[str, ...]) -> None:
    """Replace the metadata given for a document; nothing is embedded again."""
    collection.set_metadata(find_document(collection, source).id, parse_metadata(metadata) or {})
    print_result(find_document(collection, source), "metadata replaced")


def _failure(record: DocumentRecord) -> str:
    reason, message = record.error_reason or "", record.error_message or ""
    line = explained_line(Failed(record.source_uri, reason, message))
    is_live = record.status is VersionStatus.LIVE
    return f"{line} (its version of {record.indexed:%Y-%m-%d} is searched)" if is_live else line


def _status(record: DocumentRecord) -> str:
    if not record.error_reason:
        return record.status
    if record.status is VersionStatus.LIVE:
        return f"{record.status}, last attempt failed: {record.error_reason}"
    return f"{record.status}: {record.error_reason}"
