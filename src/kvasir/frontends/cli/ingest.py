"""``kvasir ingest``: read files, folders and addresses into a collection, and report it."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from operator import attrgetter
from typing import TYPE_CHECKING, Any, TypeVar

import click
from rich.console import Console

from kvasir.core.errors import (
    CollectionNotFoundError,
    ComponentError,
    StoppedError,
    StoreIncompleteError,
)
from kvasir.core.run import Run
from kvasir.core.text import has_scheme, shown
from kvasir.core.types import Listing, LocalFile, Metadata
from kvasir.frontends.cli.folder_options import FolderOptions, with_folder_options
from kvasir.frontends.cli.interrupts import EXIT_INTERRUPTED
from kvasir.frontends.cli.long_work import is_drawn_on, long_work
from kvasir.frontends.cli.main import EXIT_SOME_FAILED
from kvasir.frontends.cli.metadata import parse_metadata
from kvasir.frontends.cli.options import (
    SPLIT_LENGTHS,
    STORE_AND_MODEL,
    server_of,
    setting_options,
    settings_of,
    with_collection,
)
from kvasir.frontends.cli.paths import home_name, identity, location, source_name
from kvasir.frontends.cli.remembered import memory_of, path_of
from kvasir.frontends.cli.rendering import (
    counted,
    explained_line,
    printed_json,
    sizes,
    wants_json,
)
from kvasir.frontends.cli.terminal import echo

if TYPE_CHECKING:
    from kvasir.collection import Collection
    from kvasir.core.reports import IngestReport, NotRead, WebIngestReport

R = TypeVar("R", bound="IngestReport")


@click.command()
@click.argument("typed", nargs=-1, metavar="PATH|URL...")
@click.option("--web", metavar="QUERY", help="Search the web, and read the pages found.")
@click.option(
    "--max-results",
    type=click.IntRange(1, 100),
    metavar="N",
    help="Most pages of --web; default: rag.web_search.max_results.",
)
@click.option(
    "--sitemap",
    "sitemaps",
    multiple=True,
    metavar="URL|FILE",
    help="Read the pages of a sitemap, or of a file with an address on each line.",
)
@with_folder_options
@click.option(
    "-v", "--verbose", is_flag=True, help="List what was moved, removed and not read, too."
)
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
@click.option(
    "--re-split",
    is_flag=True,
    help="Split as the options and settings say, not as the collection remembers.",
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
    collection: Collection,
    typed: tuple[str, ...],
    prune: bool,
    re_split: bool,
    metadata: tuple[str, ...],
    verbose: bool,
    folders: FolderOptions,
    web: str | None,
    max_results: int | None,
    sitemaps: tuple[str, ...],
) -> int:
    """Read files, folders, URLs, buckets and the results of a web search into a collection.

    A source that did not change costs nothing but a look; of one that changed, only the changed
    passages are embedded. What cannot be read is listed at the end, and the rest goes on. Files of
    a folder whose kind Kvasir does not read, and hidden and ignored ones, are counted.

    A collection remembers how its documents were split, and goes on so.
    """
    given = parse_metadata(metadata)
    if web is not None:
        unused = {
            "PATH or URL": typed,
            "--sitemap": sitemaps,
            "--prune": prune,
            "--re-split": re_split,
            "--include, --exclude or --no-ignore": folders != FolderOptions(),
        }
        if surplus := [name for name, is_given in unused.items() if is_given]:
            raise click.UsageError(f"--web is given without {surplus[0]}; run them one by one")
        return _ingest_web(collection, web, max_results, given, verbose=verbose)
    if max_results is not None:
        raise click.UsageError("--max-results needs --web")
    if not typed and not sitemaps:
        raise click.UsageError("name a PATH or URL, or --web QUERY")
    sources = folders.sources(typed)
    sources += (Listing(text if has_scheme(text) else identity(text)) for text in sitemaps)
    memory = memory_of(click.get_current_context(), collection.name)
    memory.sources()  # A file that cannot be read is refused before the work, not after it.
    made = _is_made(collection)
    with long_work() as run:
        report = ingest_sources(
            collection, sources, prune=prune, re_split=re_split, metadata=given, run=run
        )
    missing = {failed.source_uri for failed in report.failed if failed.reason == "missing"}
    missing |= {path_of(each) for each in sources if isinstance(each, Listing)} & {
        failed.source_uri for failed in report.failed
    }
    found = [each for each in sources if collection.source_uri(path_of(each)) not in missing]
    memory.remember(found, given)
    return finish(collection, report, verbose=verbose, is_new=not made)


def ingest_sources(
    collection: Collection,
    sources: Sequence[LocalFile | Listing | str],
    *,
    run: Run,
    prune: bool = False,
    re_split: bool = False,
    metadata: Metadata | None = None,
    metadata_of_new: Metadata | None = None,
    gone: Sequence[str] = (),
) -> IngestReport:
    """Ingest sources; chunks that the store lost are restored before."""

    def ingest(*given: Any, **more: Any) -> IngestReport:
        ingest_all = partial(
            collection.ingest,
            *given,
            re_split=re_split,
            metadata=metadata,
            metadata_of_new=metadata_of_new,
            run=run,
            build_graph=False,
            **more,
        )
        return _restoring(collection, ingest_all, run)

    from kvasir.core.reports import IngestReport

    report = IngestReport()
    listings = [each for each in sources if isinstance(each, Listing)]
    if others := [each for each in sources if not isinstance(each, Listing)]:
        report = ingest(*others, prune=prune, gone=gone)
    if listings:
        from kvasir.collection_settings import make_page_fetcher
        from kvasir.listed_sources import ListedSources

        fetcher = make_page_fetcher(settings_of(click.get_current_context()))
        listed = ListedSources(
            collection, ingest, fetcher, run, metadata=metadata, re_split=re_split, prune=prune
        )
        for each in listings:
            if report.interrupted:
                report.left.append(each.path)
            else:
                report.add(listed.ingest_all(each.path))
    return report


def _restoring(collection: Collection, ingest: Callable[[], R], run: Run) -> R:
    """Ingest; chunks that the store lost are restored before, and counted."""
    try:
        return ingest()
    except StoreIncompleteError:
        restored = collection.restore(run=run)
        report = ingest()
    report.chunks_restored = restored
    report.chunks_embedded += restored
    return report


def _ingest_web(
    collection: Collection,
    query: str,
    max_results: int | None,
    metadata: Metadata | None,
    *,
    verbose: bool,
) -> int:
    """Search the web and ingest the pages; print the report and return the exit code."""
    made = _is_made(collection)
    with long_work() as run:
        search = partial(
            collection.ingest_web,
            query,
            max_results=max_results,
            metadata=metadata,
            run=run,
            build_graph=False,
        )
        report = _restoring(collection, search, run)
    if not wants_json():
        _print_found(report, verbose=verbose)
    return finish(collection, report, verbose=verbose, is_new=not made)


def _print_found(report: WebIngestReport, *, verbose: bool) -> None:
    pages = report.pages
    nothing = "" if pages else "; use other words"
    echo(f"pages found by {report.engine} for '{shown(report.query)}': {len(pages)}{nothing}")
    repeated = [page for page in pages if page.outcome == "repeated"]
    for page in pages if verbose else repeated:
        why = f" ({shown(page.message)})" if page.message else ""
        echo(f"{page.outcome}: {shown(page.url)}{why}")


def _is_made(collection: Collection) -> bool:
    """Return True if a collection is there already."""
    try:
        collection.record()
    except CollectionNotFoundError:
        return False
    return True


def finish(
    collection: Collection, report: IngestReport, *, verbose: bool, is_new: bool = False
) -> int:
    """Print the report and build the search graph; return the exit code.

    Where the run made the collection, or with ``verbose``, it says in which library.
    """
    if not printed_json(report):
        if is_new or verbose:
            _print_library(collection, is_new=is_new)
        _print_ingested(report, verbose=verbose)
    if report.interrupted:
        return EXIT_INTERRUPTED
    try:
        with long_work(quiet=True) as run:
            _build_graph(collection, run)
    except (StoppedError, KeyboardInterrupt):
        # Handled here: the report is printed, and programs read one document.
        said = "interrupted: what is ingested is kept; the next ingest builds the search graph"
        echo(said, err=True)
        return EXIT_INTERRUPTED
    return EXIT_SOME_FAILED if report.failed else 0


def _build_graph(collection: Collection, run: Run) -> None:
    """Build the search graph where it is due; a failure only makes searches slower."""
    console = Console(stderr=True)
    try:
        with console.status("building the search graph") if is_drawn_on(console) else nullcontext():
            collection.optimize(wait=True, run=run)
    except ComponentError as error:
        echo(f"warning: {error}; searches are slower until the next ingest", err=True)


def _print_library(collection: Collection, *, is_new: bool) -> None:
    """Say which collection of which library was written into."""
    ctx = click.get_current_context()
    server = server_of(ctx)
    where = shown(server) if server else home_name(settings_of(ctx).data_folder)
    echo(f"{'new ' if is_new else ''}collection '{shown(collection.name)}' in {where}")


def _print_ingested(report: IngestReport, *, verbose: bool) -> None:
    counts: dict[str, Sequence[object]] = {
        "added": report.added,
        "replaced": report.replaced,
        "unchanged": report.unchanged,
        "moved": report.moved,
        "with new metadata": report.relabelled,
        "changed but skipped": report.skipped,
        "removed": report.removed,
        "failed": report.failed,
        "left to do": report.left,
    }
    done = counted(counts) or "nothing to do"
    total = report.seconds.get("total", 0.0)
    if report.recovered:
        echo(f"recovered from an interrupted run: {report.recovered} half-written versions")
    if report.chunks_restored:
        why = "written again, because the store had lost them"
        echo(f"{why}: {report.chunks_restored} chunks")
    known = report.chunks_reused + report.chunks_repeated
    embedded = f"{report.chunks_embedded} chunks embedded" + (f", {known} known" if known else "")
    echo(f"{done}; {embedded}; {sizes(report.bytes_read)} in {total:.1f} s")
    for each in report.moved if verbose else ():
        echo(f"moved: {location(each.former_uri)} -> {location(each.source_uri)}")
    for uri in report.removed if verbose else ():
        echo(f"removed: {location(uri)}")
    _print_not_read(report.not_read, verbose=verbose)
    for folder in report.without_files:
        echo(f"no files to read in {location(folder)}", err=True)
    for warned in report.warnings:
        named = replace(warned, source_uri=source_name(warned.source_uri))
        echo(f"note: {named.line}", err=True)
    for failure in report.failed:
        echo(f"failed: {explained_line(failure)}", err=True)
    if report.split_otherwise:
        documents = f"documents that were not ingested now: {report.split_otherwise}"
        again = "ingest their sources with --re-split, too"
        echo(f"note: split as before are {documents}; {again}", err=True)
    if report.chunks_unknown:
        unknown = f"the store has {report.chunks_unknown} chunks that no document has"
        echo(f"{unknown}; 'kvasir doctor' lists them", err=True)
    if report.interrupted:
        echo("interrupted: what is finished is kept; run the same command again", err=True)
        sys.stderr.flush()


def _print_not_read(not_read: Sequence[NotRead], *, verbose: bool) -> None:
    if not not_read:
        return
    kinds = Counter(each.kind for each in not_read)
    counted = ", ".join(f"{shown(kind)} {count}" for kind, count in sorted(kinds.items()))
    more = "" if verbose else "; --verbose lists them"
    echo(f"not read: {counted}{more}")
    for each in sorted(not_read, key=attrgetter("source_uri")) if verbose else ():
        echo(f"not read: {location(each.source_uri)}: {shown(each.kind)}")
