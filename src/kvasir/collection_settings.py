"""What the settings say for collections: the options of searches, and how sources are read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kvasir.collection_index import CollectionOptions
from kvasir.core.filters import parse_filter
from kvasir.core.types import Source
from kvasir.settings import components
from kvasir.settings.schema import Settings

if TYPE_CHECKING:
    from kvasir.ingesting.extraction import ExtractionPool
    from kvasir.ingesting.sources import Fetch
    from kvasir.ingesting.web_pages import PageFetcher, WebPages


def options_of(settings: Settings) -> CollectionOptions:
    """Return the operator's options for every collection."""
    rag, chosen = settings.rag, settings.chat.rag.retriever
    return CollectionOptions(
        top_k=chosen.top_k,
        min_score_threshold=chosen.min_score_threshold,
        filters=parse_filter(chosen.filters),
        language=rag.language,
        alpha=chosen.alpha,
        candidates=chosen.candidates,
        rerank_candidates=chosen.rerank_candidates,
        prompt=settings.chat.rag.prompt,
        refuse=settings.answer.refuse,
        check_sentences=settings.answer.check_sentences,
        on_conflict=rag.ingest.on_conflict,
        max_web_results=rag.web_search.max_results,
    )


def make_pool(settings: Settings) -> ExtractionPool:
    """Make the processes that extract text."""
    from kvasir.ingesting.extraction import ExtractionPool, OcrLimits

    rag = settings.rag.ingest
    ocr = OcrLimits(rag.ocr_page_timeout, rag.ocr_memory_mb) if rag.ocr == "auto" else None
    return ExtractionPool(rag.workers, rag.timeout, rag.memory_mb, rag.max_file_mb, ocr)


def fetcher(settings: Settings) -> Fetch:
    """Return the function that gets the bytes of an address."""

    def fetch_source(url: str) -> tuple[Source, bytes]:
        from kvasir.ingesting.fetching import fetch

        chosen = settings.rag.ingest
        private, most = chosen.allow_private_urls, chosen.max_file_mb << 20
        return fetch(url, allow_private=private, max_bytes=most)

    return fetch_source


def make_web_pages(settings: Settings) -> WebPages:
    """Make what searches the web and fetches pages."""
    from kvasir.ingesting.web_pages import WebPages

    return WebPages(components.make_web_search(settings), make_page_fetcher(settings))


def make_page_fetcher(settings: Settings) -> PageFetcher:
    """Make what fetches pages."""
    from kvasir.ingesting.web_pages import PageFetcher

    limits, seconds = settings.rag.ingest, settings.rag.web_search.page_timeout
    return PageFetcher(limits.allow_private_urls, limits.max_file_mb << 20, seconds)
