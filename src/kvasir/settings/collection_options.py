"""What the settings say to every collection."""

from __future__ import annotations

from kvasir.collection_index import CollectionOptions
from kvasir.core.filters import parse_filter
from kvasir.settings.schema import Settings


def collection_options(settings: Settings) -> CollectionOptions:
    """Return the options of collections; raise FilterError if a filter is malformed."""
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
