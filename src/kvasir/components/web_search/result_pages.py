"""Reads the results of a search engine, page by page."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from kvasir.core.types import WebResult


def collect(
    read: Callable[[int], Iterable[WebResult]], max_results: int, most_pages: int
) -> list[WebResult]:
    """Return the first ``max_results`` results, best first, each address once.

    Args:
        read: Returns the results of a page, the first of which has the number 1.
        max_results: Most results.
        most_pages: Most pages; a page without a new address is the last one.
    """
    found: dict[str, WebResult] = {}
    for page in range(1, most_pages + 1):
        before = len(found)
        for each in read(page):
            found.setdefault(each.url, each)
        if len(found) == before or len(found) >= max_results:
            break
    return list(found.values())[:max_results]
