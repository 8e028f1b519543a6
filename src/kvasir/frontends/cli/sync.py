"""``kvasir sync``: ingest the remembered sources again, once or whenever they change."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

import click

from kvasir.core.errors import CollectionNotFoundError, DocumentNotFoundError, RequestError
from kvasir.core.run import Run
from kvasir.core.wire import dumps
from kvasir.frontends.cli.ingest import finish, ingest_sources
from kvasir.frontends.cli.interrupts import EXIT_INTERRUPTED
from kvasir.frontends.cli.long_work import long_work, set_by_interrupt, stop_token
from kvasir.frontends.cli.options import settings_of, with_collection
from kvasir.frontends.cli.remembered import RememberedSource, SourceMemory, memory_of

if TYPE_CHECKING:
    from kvasir.collection import Collection
    from kvasir.core.reports import IngestReport


@click.command()
@click.option("--watch", is_flag=True, help="Go on, and follow changes until Ctrl-C.")
@click.option(
    "-v", "--verbose", is_flag=True, help="List what was moved, removed and not read, too."
)
@with_collection
def sync(collection: Collection, watch: bool, verbose: bool) -> int:
    """Ingest the sources of earlier ingests again, with their options.

    Afterwards the collection has what the folders, files, buckets and sitemaps have now: what is
    new or changed is ingested, what was moved is moved, and what is gone is removed.
    """
    memory = memory_of(click.get_current_context(), collection.name)
    if not memory.sources():
        raise RequestError("no source is remembered: 'kvasir ingest FOLDER' ingests one")
    if not watch:
        with long_work() as run:
            report = synchronize(collection, memory, run)
        return finish(collection, report, verbose=verbose)
    return _follow(collection, memory, verbose=verbose)


def _follow(collection: Collection, memory: SourceMemory, *, verbose: bool) -> int:
    from kvasir.frontends.cli.watching import changes

    own = settings_of(click.get_current_context()).own_paths
    stop = stop_token()
    is_first = True
    with set_by_interrupt(stop):
        for _ in changes(lambda: [each.source.path for each in memory.sources()], own, stop):
            with long_work(quiet=not is_first) as run:
                report = synchronize(collection, memory, run)
            if report.interrupted:
                break
            if is_first or has_changes(report):
                finish(collection, report, verbose=verbose)
            is_first = False
    return EXIT_INTERRUPTED


def synchronize(collection: Collection, memory: SourceMemory, run: Run) -> IngestReport:
    """Ingest all remembered sources; return one report of it."""
    from kvasir.core.reports import IngestReport

    started, report = perf_counter(), IngestReport()
    sources = memory.sources()
    gone = [each.source.path for each in sources if _is_gone(each, collection)]
    listings = [each for each in sources if each.is_listing]
    present = [each for each in sources if each.source.path not in gone and not each.is_listing]
    ingest = partial(ingest_sources, collection, gone=[*map(collection.source_uri, gone)], run=run)
    groups: dict[str, list[RememberedSource]] = {}
    for each in present:
        groups.setdefault(dumps(each.metadata), []).append(each)
    for group in groups.values():
        inputs, metadata = [each.input for each in group], group[0].metadata
        report.add(ingest(inputs, prune=len(groups) == 1, metadata_of_new=metadata))
        if report.interrupted:
            return report
    if len(groups) > 1:
        # What one source leaves out may be of another one, so all together say what is gone.
        last = ingest([each.input for each in present], prune=True)
        report.removed += last.removed
        report.interrupted = last.interrupted
    if not report.interrupted:
        report.removed += _remove(collection, gone)
        memory.forget(gone)
    for each in listings:
        if report.interrupted:
            report.left.append(each.source.path)
        else:
            report.add(ingest([each.input], prune=True, metadata_of_new=each.metadata))
    report.seconds["total"] = perf_counter() - started
    return report


def _remove(collection: Collection, paths: Sequence[str]) -> list[str]:
    """Delete the documents of files that are gone; return those that were not moved meanwhile."""
    removed = []
    for uri in map(collection.source_uri, paths):
        with suppress(DocumentNotFoundError):
            collection.delete(uri)
            removed.append(uri)
    return removed


def has_changes(report: IngestReport) -> bool:
    """Return True if an ingest changed something, or something failed."""
    done = (report.added, report.replaced, report.moved, report.removed, report.relabelled)
    return any(done) or bool(report.failed)


def _is_gone(source: RememberedSource, collection: Collection) -> bool:
    """Return True for a file whose folder is there, so that it is no disk that is missing."""
    path = Path(source.source.path)
    if source.is_address or source.is_listing or path.exists() or not path.parent.is_dir():
        return False
    try:
        collection.document(collection.source_uri(str(path)))
    except (CollectionNotFoundError, DocumentNotFoundError):
        return False  # It was a folder.
    return True
