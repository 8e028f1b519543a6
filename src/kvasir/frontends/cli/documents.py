"""``kvasir documents``: list, show, change, delete."""

from __future__ import annotations

import click

from kvasir.collection import Collection
from kvasir.core.ledger import DocumentRecord, VersionStatus
from kvasir.core.text import one_line, printable, shown
from kvasir.core.wire import to_json
from kvasir.frontends.cli.ingest import parse_metadata
from kvasir.frontends.cli.options import with_collection
from kvasir.frontends.cli.paths import find_document, find_documents, source_name
from kvasir.frontends.cli.rendering import print_result, printed_json, sizes, table


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
@click.argument("sources", nargs=-1, required=True, metavar="SOURCE...")
@with_collection
def delete(collection: Collection, sources: tuple[str, ...]) -> None:
    """Delete documents, by their source or id, from store and catalog."""
    count = collection.delete(*(find_document(collection, source).id for source in sources))
    print_result({"deleted": count}, f"{count} deleted")


@documents.command()
@click.argument("source")
@click.argument("metadata", nargs=-1, metavar="KEY=VALUE...")
@with_collection
def metadata(collection: Collection, source: str, metadata: tuple[str, ...]) -> None:
    """Replace the metadata given for a document; nothing is embedded again."""
    collection.set_metadata(find_document(collection, source).id, parse_metadata(metadata) or {})
    print_result(find_document(collection, source), "metadata replaced")


def _status(record: DocumentRecord) -> str:
    if not record.error_reason:
        return record.status
    if record.status is VersionStatus.LIVE:
        return f"{record.status}, last attempt failed: {record.error_reason}"
    return f"{record.status}: {record.error_reason}"
