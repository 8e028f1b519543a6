"""``kvasir convert`` and ``kvasir documents``: what is in a collection."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.text import Text

from kvasir.core.errors import DocumentNotFoundError
from kvasir.core.ledger import DocumentRecord, VersionStatus
from kvasir.core.places import is_source_code
from kvasir.core.text import one_line, printable, shown
from kvasir.core.types import Listing
from kvasir.core.wire import dumps, to_json
from kvasir.frontends.cli.folder_options import FolderOptions, with_folder_options
from kvasir.frontends.cli.interrupts import EXIT_INTERRUPTED
from kvasir.frontends.cli.long_work import long_work
from kvasir.frontends.cli.main import EXIT_SOME_FAILED
from kvasir.frontends.cli.metadata import parse_metadata
from kvasir.frontends.cli.options import with_app, with_collection
from kvasir.frontends.cli.passages import passage_lines
from kvasir.frontends.cli.paths import (
    find_document,
    find_documents,
    location,
    match_documents,
    source_name,
)
from kvasir.frontends.cli.rendering import (
    counted,
    explained_line,
    failure_line,
    print_result,
    print_table,
    printed_json,
    sizes,
)
from kvasir.frontends.cli.terminal import Terminal, echo
from kvasir.frontends.cli.wrapping import hanging

if TYPE_CHECKING:
    from kvasir.app import App
    from kvasir.collection import Collection
    from kvasir.core.reports import ConversionReport

_LONGEST_TITLE = 80
"""Most characters of a title in the list."""
_MOST_NAMED = 20
"""Deleted documents that are named."""


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
    help="Folder of docling's models, for PDF and images.  "
    "[default: models/docling in the data folder]",
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
    given = folders.sources(typed)
    sources = [each for each in given if not isinstance(each, Listing)]
    if len(sources) < len(given):
        raise click.UsageError("a bucket cannot be converted: ingest it, or convert its files")
    with long_work() as run:
        report = app.convert(sources, to.absolute(), converter=converter, models=models, run=run)
    if not printed_json(report):
        _print_converted(report)
    if report.interrupted:
        return EXIT_INTERRUPTED
    return EXIT_SOME_FAILED if report.failed else 0


def _print_converted(report: ConversionReport) -> None:
    for done in report.converted:
        for warning in done.warnings:
            echo(f"warning: {location(done.source_uri)}: {shown(warning)}", err=True)
    for failure in report.failed:
        echo(f"failed: {failure_line(failure)}", err=True)
    counts: dict[str, Sequence[object]] = {
        "converted": report.converted,
        "of them in part": [done for done in report.converted if done.warnings],
        "failed": report.failed,
        "left to do": report.left,
    }
    echo(counted(counts))


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
    from the working directory on; with a slash at its end it means that folder alone. If there is
    none, it may also be an id or a file name, or the beginning of one.
    """
    nothing = "no documents"
    try:
        records = find_documents(collection, prefix)
    except DocumentNotFoundError as error:
        records, nothing = [], str(error) if error.near else nothing
    if failed:
        records = [record for record in records if record.error_reason]
        print_result(records, *(map(_failure, records) if records else ["no failed documents"]))
        return
    rows = (
        {
            "source": source_name(record.source_uri),
            "title": one_line(record.title, _LONGEST_TITLE),
            "language": record.language,
            "chunks": record.chunk_count,
            "size": sizes(record.state.size),
            "status": _status(record),
        }
        for record in records
    )
    print_table(records, rows, empty=nothing)


@documents.command()
@click.argument("source")
@click.option("--text", "with_text", is_flag=True, help="Print the extracted text too.")
@with_collection
def show(collection: Collection, source: str, with_text: bool) -> None:
    """Show one document, by its source or id.

    A path may be given from the working directory on. The file name is enough, and so is the
    beginning of any of them, if it means one document alone.
    """
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
    terminal = Terminal()
    for key, value in details.items():
        if value not in (None, {}, ""):
            line = Text(f"{key}: ", "bold").append(shown(str(value)), "not bold")
            terminal.lines(hanging(line, terminal.width, more="    "))
    if text is not None:
        _print_text(text, record.source_uri, terminal)


@documents.command()
@click.argument("typed", nargs=-1, required=True, metavar="SOURCE...")
@click.option("--all", "every", is_flag=True, help="Delete all that a SOURCE fits.")
@with_collection
def delete(collection: Collection, typed: tuple[str, ...], every: bool) -> None:
    """Delete documents, by their source or id, from store and catalog.

    SOURCE is read as by 'kvasir documents show'. If one means several documents, nothing is
    deleted, unless --all is given: 'kvasir documents delete --all notes/' deletes a folder.
    """
    from kvasir.frontends.cli.remembered import memory_of

    if every:
        fitting = [each for source in typed for each in match_documents(collection, source)]
    else:
        fitting = [find_document(collection, source) for source in typed]
    found = list({each.id: each for each in fitting}.values())
    count = collection.delete(*(record.id for record in found))
    # A file that was given by name would come back with the next 'kvasir sync'.
    memory = memory_of(click.get_current_context(), collection.name)
    labels = {
        collection.source_uri(each.source.path): each.source.path for each in memory.sources()
    }
    memory.forget(labels[each.source_uri] for each in found if each.source_uri in labels)
    # The beginning of a name is enough, so say which documents it meant.
    named = [f"deleted: {location(each.source_uri)}" for each in found[:_MOST_NAMED]]
    print_result({"deleted": count}, *named, f"{count} deleted")


@documents.command()
@click.argument("source")
@click.argument("metadata", nargs=-1, metavar="KEY=VALUE...")
@with_collection
def metadata(collection: Collection, source: str, metadata: tuple[str, ...]) -> None:
    """Replace the metadata given for a document; nothing is embedded again."""
    collection.set_metadata(find_document(collection, source).id, parse_metadata(metadata) or {})
    print_result(find_document(collection, source), "metadata replaced")


def _print_text(text: str, source_uri: str, terminal: Terminal) -> None:
    """Print a document's text: drawn on a terminal, elsewhere to the letter."""
    if terminal.width is None:
        click.echo(f"\n{printable(text)}")
        return
    is_code = is_source_code(source_uri)
    lines = passage_lines(text, terminal.width, is_code=is_code, rule=terminal.rule)
    terminal.lines([Text(), *lines])


def _failure(record: DocumentRecord) -> str:
    from kvasir.core.reports import Failed

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
