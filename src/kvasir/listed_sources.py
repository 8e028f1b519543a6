"""Keeps a collection equal to a list elsewhere: a bucket's folder, or the pages of a sitemap.

What did not change is not fetched: an object is left alone if the bucket lists the tag (ETag) that
its document has, a page if its server says that it is the one that its document was made of. Works
with collections of this process and of a server.

Source: RFC 9110, section 13.1 (conditional requests).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property, partial
from time import perf_counter
from typing import TYPE_CHECKING, Protocol

from kvasir.core.batches import batches
from kvasir.core.errors import (
    CollectionNotFoundError,
    DocumentNotFoundError,
    MissingExtraError,
    RequestError,
)
from kvasir.core.ledger import DocumentRecord
from kvasir.core.reports import Failed, Finished, IngestReport, Outcome
from kvasir.core.run import Run
from kvasir.core.text import is_bucket
from kvasir.core.types import Metadata, Source, WebResult
from kvasir.ingesting.kinds import is_named_otherwise, not_read
from kvasir.ingesting.sitemaps import read_page_list
from kvasir.ingesting.sources import KeptBytes, Upload
from kvasir.ingesting.web_pages import ETAG, PageFetcher, conditions_of, is_live_with

if TYPE_CHECKING:
    from kvasir.ingesting.buckets import BucketFolder

LISTED_IN, LISTED_AS = "listed_in", "listed_as"
"""Metadata fields of a page: the sitemap that names it, and its address there."""
_PAGES_TOGETHER = 64
"""Pages that are fetched before they are ingested: an interruption loses at most these."""


class Target(Protocol):
    """The collection that is kept equal to a list."""

    def documents(self, prefix: str = "") -> list[DocumentRecord]:
        """Return documents whose source URI begins with ``prefix``."""

    def delete(self, *sources: str) -> int:
        """Delete documents by source URI."""

    def split_check(self) -> Callable[[DocumentRecord], bool]:
        """Return what tells whether an ingest of now would split a document as it is."""


Ingest = Callable[..., IngestReport]
"""``ingest`` of a collection, with ``run`` and everything that is the same for all sources."""


@dataclass(frozen=True)
class ListedSources:
    """The documents of one list.

    Attributes:
        collection: Where they are indexed.
        ingest: Ingests sources into it; gets ``gone``.
        fetcher: Fetches pages.
        run: Stops the work.
        metadata: For every document; None keeps what each one has.
        re_split: Read all of them again.
        prune: Remove documents that are not in the list any more.
    """

    collection: Target
    ingest: Ingest
    fetcher: PageFetcher
    run: Run
    metadata: Metadata | None = None
    re_split: bool = False
    prune: bool = False

    def ingest_all(self, address: str) -> IngestReport:
        """Ingest what a list has: ``s3://BUCKET/FOLDER``, or the place of a sitemap.

        A list that cannot be read, or is empty, is a failure of the report; nothing is removed
        then.

        Raises:
            MissingExtraError: The library of buckets is missing.
            ComponentError: The storage does not answer.
        """
        started, report = perf_counter(), IngestReport()
        work = self._ingest_bucket if is_bucket(address) else self._ingest_pages
        try:
            work(address, report)
        except RequestError as error:
            report.failed.append(Failed(address, "fetch", str(error)))
        report.sort()
        report.seconds["total"] = perf_counter() - started
        return report

    def _ingest_bucket(self, address: str, report: IngestReport) -> None:
        try:
            from kvasir.ingesting.buckets import BucketFolder
        except ImportError as error:
            raise MissingExtraError("a bucket", "s3") from error
        with BucketFolder(address) as folder:
            known = {
                record.source_uri: record
                for record in self._documents(folder.prefix)
                if folder.contains(record.source_uri)
            }
            listed: set[str] = set()
            uploads = list(self._changed_objects(folder, known, listed, report))
            if not listed:
                raise RequestError("there is no object: check the name")
            gone = sorted(known.keys() - listed) if self.prune else []
            if uploads:
                report.add(self.ingest(*uploads, gone=gone))
            self._remove(gone, report)

    def _changed_objects(
        self,
        folder: BucketFolder,
        known: Mapping[str, DocumentRecord],
        listed: set[str],
        report: IngestReport,
    ) -> Iterator[Upload]:
        for each in folder.objects():
            self.run.check()
            listed.add(each.uri)
            record = known.get(each.uri)
            if record is None and is_named_otherwise(each.uri):
                report.note(not_read(each.uri, ""))
            elif record is not None and self._is_current(record, each.etag):
                report.note(Finished(each.uri, Outcome.UNCHANGED))
            else:
                source = Source(
                    each.uri, "", in_folder=True, modified=each.modified, known={ETAG: each.etag}
                )
                yield source, KeptBytes(each.size, partial(folder.read, each.key))

    def _ingest_pages(self, place: str, report: IngestReport) -> None:
        listed = self.run.call(lambda: read_page_list(place, self.fetcher.read))
        report.failed += listed.failed
        known = {record.source_uri: record for record in self._documents("http")}
        urls = set(listed.urls)
        # A page to which another address led may be listed by its own one now.
        own = {
            uri if uri in urls else str(record.metadata.get(LISTED_AS)): uri
            for uri, record in known.items()
            if record.metadata.get(LISTED_IN) == place
        }
        # A part of the list that cannot be read says of no page that it is gone.
        is_whole = self.prune and not listed.failed
        gone = {own[url] for url in own.keys() - urls} if is_whole else set()
        for part in batches(listed.urls, _PAGES_TOGETHER):
            if report.interrupted:
                report.left += part
            else:
                gone |= self._ingest_part(part, place, known, own, gone, report)
        present = {*report.added, *report.replaced, *report.unchanged, *report.relabelled}
        self._remove(sorted(gone - present), report)

    def _ingest_part(
        self,
        urls: Sequence[str],
        place: str,
        known: Mapping[str, DocumentRecord],
        own: Mapping[str, str],
        gone: set[str],
        report: IngestReport,
    ) -> set[str]:
        """Ingest some pages; return the documents whose page does not exist any more."""

        def conditions(uri: str) -> Mapping[str, str]:
            record = known.get(uri)
            return conditions_of(record) if record and self._is_current(record) else {}

        results = [WebResult(url) for url in urls]
        with self.fetcher.fetch(results, conditions, self.run) as fetched:
            if self.run.stop.is_set():
                report.interrupted = True
                report.left += urls
                return set()
            as_listed = {page.source_uri: page.url for page in reversed(fetched.pages)}
            uploads = [
                (_listed(source, place, as_listed[source.uri]), kept)
                for source, kept in fetched.uploads
            ]
            if uploads:
                report.add(self.ingest(*uploads, gone=sorted(gone)))
        removed = fetched.gone & own.keys() if self.prune else set()
        for page in fetched.pages:
            if page.outcome == Outcome.UNCHANGED:
                report.note(Finished(page.source_uri, Outcome.UNCHANGED))
            elif page.outcome == "failed" and page.url not in removed:
                report.note(Failed(page.url, page.reason, page.message))
        return {own[url] for url in removed}

    def _documents(self, prefix: str) -> list[DocumentRecord]:
        with suppress(CollectionNotFoundError):
            return self.collection.documents(prefix)
        return []

    def _is_current(self, record: DocumentRecord, etag: str | None = None) -> bool:
        """Return True if a source of which nothing else changed needs nothing."""
        is_same = etag is None or record.metadata.get(ETAG) == etag
        return (
            is_same
            and not self.re_split
            and is_live_with(record, self.metadata)
            and self._is_split(record)
        )

    @cached_property
    def _is_split(self) -> Callable[[DocumentRecord], bool]:
        return self.collection.split_check()

    def _remove(self, uris: Sequence[str], report: IngestReport) -> None:
        """Delete documents that are gone, except those that were moved meanwhile."""
        if report.interrupted:
            return
        for uri in uris:
            with suppress(DocumentNotFoundError):
                self.collection.delete(uri)
                report.note(Finished(uri, Outcome.REMOVED))


def _listed(source: Source, place: str, url: str) -> Source:
    return replace(source, known={**source.known, LISTED_IN: place, LISTED_AS: url})
