"""SearXNG, a metasearch engine that one runs oneself, by its JSON API.

Source: https://docs.searxng.org/dev/search_api.html. The server's ``search.formats`` must have
``json``; it refuses other formats with the status 403, and too many requests with 429.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import httpx

from kvasir.components.web_search.result_pages import collect
from kvasir.core import dates
from kvasir.core.errors import ComponentError, SettingsError
from kvasir.core.types import WebResult

_OPERATION = "searching the web"
_MOST_PAGES = 10
_SETTING = "rag.web_search.base_url"


class SearxngSearch:
    """Searches by a SearXNG server."""

    name = "searxng"

    def __init__(
        self,
        base_url: str = "",
        api_key: str | None = None,
        language: str = "all",
        categories: str = "general",
        time_range: str | None = None,
        safesearch: int | None = None,
        timeout: float = 30.0,
    ) -> None:
        """Set the server; nothing is sent yet.

        Args:
            base_url: The server's address, such as ``http://localhost:8888``.
            api_key: Sent as a bearer token, for a server behind a proxy that asks for one.
            language: A code such as ``en`` or ``es-ES``; ``all`` for every language.
            categories: Categories of the server, separated by commas.
            time_range: ``day``, ``month`` or ``year``.
            safesearch: 0 (off), 1 or 2 (strict); by default what the server does.
            timeout: Longest wait for an answer, in seconds.

        Raises:
            SettingsError: The address is missing or no address.
        """
        if not _is_address(base_url):
            raise SettingsError(
                f"search_engine 'searxng' needs {_SETTING}, such as http://localhost:8888, "
                f"not '{base_url}'"
            )
        self._base_url = base_url.rstrip("/").removesuffix("/search")
        self._headers = {"User-Agent": "kvasir", "Accept": "application/json"}
        if api_key:
            self._headers["Authorization"] = f"Bearer {api_key}"
        self._timeout = timeout
        given = {
            "language": language,
            "categories": categories,
            "time_range": time_range,
            "safesearch": safesearch,
        }
        self._parameters = {key: value for key, value in given.items() if value is not None}

    def search(self, query: str, max_results: int) -> list[WebResult]:
        """Return pages, best first; see ``WebSearch``. The server's pages are read one by one."""
        with httpx.Client(headers=self._headers, timeout=self._timeout) as client:

            def read(page: int) -> list[WebResult]:
                answer = self._ask(client, query, page)
                results = self._results(answer)
                if page == 1 and not results:
                    self._check_engines(answer)
                return results

            return collect(read, max_results, _MOST_PAGES)

    def _ask(self, client: httpx.Client, query: str, page: int) -> Mapping[str, Any]:
        asked = {"q": query, "format": "json", "pageno": page, **self._parameters}
        try:
            response = client.get(f"{self._base_url}/search", params=asked)
        except httpx.TimeoutException as error:
            cause = f"no answer within {self._timeout:g} s; try again later"
            raise self._failure(cause, "timeout") from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            cause = f"it cannot be reached ({error}); start it, or correct {_SETTING}"
            raise self._failure(cause, "unreachable") from error
        if response.status_code != 200:
            raise self._refused(response)
        try:
            answer = response.json()
        except ValueError as error:
            cause = f"its answer is not JSON; is {_SETTING} the address of a SearXNG server?"
            raise self._failure(cause) from error
        if not isinstance(answer, dict) or not isinstance(answer.get("results"), list):
            raise self._failure(
                f"its answer has no list of results; is {_SETTING} the address of a SearXNG server?"
            )
        return answer

    def _refused(self, response: httpx.Response) -> ComponentError:
        status = response.status_code
        if status == 403:
            return self._failure(
                "it refuses JSON (403); add json to search.formats in its settings"
            )
        if status == 429:
            cause = "too many requests (429); try again later, or let its limiter pass this machine"
            return self._failure(cause, "busy", _seconds(response.headers.get("retry-after")))
        if status >= 500:
            return self._failure(f"the server failed (status {status}); look at its log", "busy")
        return self._failure(f"it answered with the status {status}; check {_SETTING}")

    def _results(self, answer: Mapping[str, Any]) -> list[WebResult]:
        found = []
        for each in answer["results"]:
            if not isinstance(each, dict) or not isinstance(each.get("url"), str):
                continue  # Some engines give results without a page, such as answers and keys.
            published = str(each.get("publishedDate") or "").strip()
            title = " ".join(str(each.get("title") or "").split())
            found.append(WebResult(each["url"], title, dates.normal(published) or ""))
        return found

    def _check_engines(self, answer: Mapping[str, Any]) -> None:
        """Raise an error if nothing was found and engines of the server failed.

        Its answer does not say which others were asked.
        """
        failed = answer.get("unresponsive_engines") or []
        if failed:
            names = ", ".join(" ".join(map(str, each)) for each in failed if isinstance(each, list))
            raise self._failure(
                f"nothing was found, and these of its engines failed: {names}; try again later",
                "busy",
            )

    def _failure(
        self, cause: str, kind: str = "failed", retry_after: float | None = None
    ) -> ComponentError:
        cause = f"{self._base_url}: {cause}"
        return ComponentError(self.name, _OPERATION, cause, kind=kind, retry_after=retry_after)


def _is_address(text: str) -> bool:
    try:
        parts = urlsplit(text)
    except ValueError:
        return False  # An address in brackets that is none.
    return parts.scheme in ("http", "https") and bool(parts.netloc)


def _seconds(header: str | None) -> float | None:
    try:
        return None if header is None else max(0.0, float(header))
    except ValueError:
        return None  # A date.
