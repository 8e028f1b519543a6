"""ddgs: public search engines (DuckDuckGo, Brave, Wikipedia and others) without a key or a server.

The library asks several engines and puts their results together. An engine that refuses because of
too many requests looks to it like one that finds nothing.

Source: https://github.com/deedy5/ddgs, version 9.16.
"""

from __future__ import annotations

from ddgs import DDGS
from ddgs.exceptions import DDGSException, RatelimitException, TimeoutException

from kvasir.components.web_search.result_pages import collect
from kvasir.core.errors import ComponentError, describe_unexpected
from kvasir.core.types import WebResult

_OPERATION = "searching the web"
_MOST_PAGES = 5
_NOTHING = "No results found."
"""The library's message where no engine failed and none found anything."""
_INSTEAD = "name another rag.web_search.options.backend, or a SearXNG server"


class DdgsSearch:
    """Searches by public engines."""

    name = "ddgs"

    def __init__(
        self,
        region: str = "us-en",
        safesearch: str = "moderate",
        timelimit: str | None = None,
        backend: str = "auto",
        proxy: str | None = None,
        timeout: int = 10,
    ) -> None:
        """Set the options, those of the library; nothing is sent yet.

        Args:
            region: Country and language, such as ``es-es``.
            safesearch: ``on``, ``moderate`` or ``off``.
            timelimit: ``d``, ``w``, ``m`` or ``y``.
            backend: Engines, separated by commas, such as ``duckduckgo,brave``; ``auto`` for all.
            proxy: A proxy's address.
            timeout: Longest wait for an engine, in seconds.
        """
        self._library = DDGS(proxy=proxy, timeout=timeout)
        self._options = {
            "region": region,
            "safesearch": safesearch,
            "timelimit": timelimit,
            "backend": backend,
        }

    def search(self, query: str, max_results: int) -> list[WebResult]:
        """Return pages, best first; see ``WebSearch``. They have no dates."""

        def read(page: int) -> list[WebResult]:
            try:
                results = self._library.text(
                    query, max_results=max_results, page=page, **self._options
                )
            except DDGSException as error:
                if page > 1 or str(error) == _NOTHING:
                    return []  # The engines have no further page.
                raise _failure(error) from error
            return [
                WebResult(str(each["href"]), str(each.get("title") or ""))
                for each in results
                if each.get("href")
            ]

        return collect(read, max_results, _MOST_PAGES)


def _failure(error: DDGSException) -> ComponentError:
    if isinstance(error, RatelimitException):
        cause, kind = f"too many requests; try again later, or {_INSTEAD}", "busy"
    elif isinstance(error, TimeoutException):
        cause, kind = f"no engine answered in time; try again later, or {_INSTEAD}", "timeout"
    else:
        said = describe_unexpected(error)
        cause, kind = (
            f"no engine answered ({said}); check the network, or {_INSTEAD}",
            "unreachable",
        )
    return ComponentError(DdgsSearch.name, _OPERATION, cause, kind=kind)
