"""What a collection does with the web: it searches, and ingests the pages that are found."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Protocol

from kvasir.collection_index import Index
from kvasir.core.run import Run
from kvasir.core.types import Metadata, document_id

if TYPE_CHECKING:
    from kvasir.core.reports import IngestReport, WebIngestReport
    from kvasir.ingesting.preparing import OnConflict
    from kvasir.ingesting.sources import Input


class _Target(Protocol):
    """The collection that pages are ingested into."""

    name: str

    def _call(self) -> AbstractContextManager[Index]: ...

    def ingest(
        self,
        *sources: Input,
        on_conflict: OnConflict | None,
        metadata: Metadata | None,
        run: Run | None,
        build_graph: bool,
    ) -> IngestReport: ...


class WebIngesting:
    """The part of ``Collection`` that searches the web."""

    def ingest_web(
        self: _Target,
        query: str,
        *,
        max_results: int | None = None,
        on_conflict: OnConflict | None = None,
        metadata: Metadata | None = None,
        run: Run | None = None,
        build_graph: bool = True,
    ) -> WebIngestReport:
        """Search the web, and read the pages that are found into the collection.

        A page is the document of its address after redirects. Its metadata have ``published``, if
        the page or the engine says it, and ``fetched``, both dates. A page that was fetched before
        is read again only if its server says that it changed, or says nothing about that.

        Args:
            query: What to search for.
            max_results: Most pages; by default what the settings say.
            on_conflict: As of ``ingest``, as the others.
            metadata: For every page.
            run: Its stages are ``pages`` (fetching), then those of ``ingest``.
            build_graph: Build the search graph in the background where it is due.

        Returns:
            What was done; its ``pages`` say of every result what became of it and why. A page that
            cannot be fetched does not stop the others.

        Raises:
            RequestError: The query is empty, or ``max_results`` below 1.
            ComponentError: The search engine failed; the message says what to do.
            SettingsError, MissingExtraError: No search engine is set, or its library is missing.
            WrongEmbedderError, SplitConflictError, StoreLockedError, StoppedError: As ``ingest``.
        """
        from kvasir.ingesting.web_pages import conditions_of, is_current, web_report

        run = run or Run()
        with self._call() as index:
            web = index.components.make_web_pages()
            most = index.options.max_web_results if max_results is None else max_results
            # What an ingest would refuse is refused before anything is fetched.
            run.call(lambda: index.embedder)
            settings_hash = index.make_pipeline().settings_hash
        found = web.search(query, most, run)

        def conditions(uri: str) -> Mapping[str, str]:
            with self._call() as index:
                record = index.components.catalog.document(self.name, document_id(uri))
            if record is None:
                return {}
            shape = settings_hash(record.state.media_type)
            return conditions_of(record) if is_current(record, shape, metadata) else {}

        # Not within one call, so that the network does not hold up the deletion of the collection.
        with web.fetcher.fetch(found, conditions, run) as fetched:
            if run.stop.is_set():
                from kvasir.core.reports import IngestReport

                report = IngestReport(interrupted=True)
            else:
                report = self.ingest(
                    *fetched.uploads,
                    on_conflict=on_conflict,
                    metadata=metadata,
                    run=run,
                    build_graph=build_graph,
                )
        return web_report(report, query, web.engine.name, fetched.pages)
