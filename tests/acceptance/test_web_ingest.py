"""A web search whose pages are ingested, as a person does it on the command line."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from pdf_files import make_pdf
from web_site import BOILERPLATE, Page, Searxng, Site, article, serving_searxng, serving_site

TEA = "Green tea is steeped for two minutes in water of eighty degrees."


@pytest.fixture
def site() -> Iterator[Site]:
    with serving_site() as site:
        site.pages["/tea"] = Page(
            article("Steeping tea", TEA, published="2024-03-15T08:30:00+00:00"),
            headers={"ETag": '"tea-1"', "Last-Modified": "Fri, 15 Mar 2024 08:30:00 GMT"},
        )
        site.pages["/paper.pdf"] = Page(
            make_pdf([[(72, 700, 12, "Oolong rests between green and black tea.")]]),
            "application/pdf",
        )
        site.pages["/old"] = Page(status=302, headers={"Location": "/tea"})
        yield site


@pytest.fixture
def other_site() -> Iterator[Site]:
    with serving_site("127.0.0.2") as site:
        site.pages["/hangs"] = Page(waits=True)
        yield site


@pytest.fixture
def searxng() -> Iterator[Searxng]:
    with serving_searxng() as server:
        yield server


def _options(searxng: Searxng, *more: str) -> list[str]:
    given = (
        f"rag.web_search.base_url={searxng.url}",
        "rag.web_search.page_timeout=1",
        "rag.ingest.allow_private_urls=true",
        *more,
    )
    return [word for each in given for word in ("--set", each)]


def test_pages_are_found_fetched_and_searched(
    kvasir: Any, site: Site, other_site: Site, searxng: Searxng
) -> None:
    hangs, missing = f"{other_site.url}/hangs", f"{site.url}/missing"
    tea, paper, old = (f"{site.url}/{name}" for name in ("tea", "paper.pdf", "old"))
    searxng.finds(hangs, tea, old, paper, missing, f"{tea}#again")
    searxng.results[3]["publishedDate"] = "2023-05-04T00:00:00"
    options = _options(searxng)

    done = kvasir("ingest", "--web", "steeping tea", "--json", *options, code=4)

    pages = {page["url"]: page for page in done.json["pages"]}
    assert [page["url"] for page in done.json["pages"]] == [hangs, tea, old, paper, missing]
    assert done.json["query"] == "steeping tea"
    assert done.json["engine"] == "searxng"
    assert pages[tea]["outcome"] == pages[paper]["outcome"] == "added"
    assert (pages[old]["outcome"], pages[old]["source_uri"]) == ("repeated", tea)
    assert tea in pages[old]["message"]
    assert (pages[hangs]["outcome"], pages[hangs]["reason"]) == ("failed", "fetch")
    assert "1 s" in pages[hangs]["message"]
    assert "404" in pages[missing]["message"]
    assert done.json["seconds"]["total"] < 20
    assert site.most_at_once == 1
    assert all("kvasir" in agent for agent in site.agents)

    hits = kvasir("search", "green tea steeped minutes", "--json").json
    metadata = hits[0]["chunk"]["metadata"]
    assert hits[0]["chunk"]["text"].endswith(TEA)
    assert (metadata["source_uri"], metadata["title"]) == (tea, "Steeping tea")
    assert metadata["published"] == "2024-03-15T08:30:00+00:00"
    assert metadata["fetched"][:2] == "20"
    texts = " ".join(hit["chunk"]["text"] for hit in hits)
    assert not [words for words in BOILERPLATE if words in texts]
    (oolong,) = [hit for hit in hits if "Oolong" in hit["chunk"]["text"]]
    assert oolong["chunk"]["metadata"]["published"] == "2023-05-04T00:00:00Z"


def test_a_second_search_reads_only_what_changed(kvasir: Any, site: Site, searxng: Searxng) -> None:
    tea, paper, old = (f"{site.url}/{name}" for name in ("tea", "paper.pdf", "old"))
    searxng.finds(old, paper)
    options = _options(searxng)
    kvasir("ingest", "--web", "tea", *options)
    first = kvasir("documents", "show", tea, "--json").json
    site.asked.clear()

    again = kvasir("ingest", "--web", "tea", "--json", *options).json

    assert sorted(again["unchanged"]) == sorted([tea, paper])
    assert (again["bytes_read"], again["chunks_embedded"]) == (
        len(site.pages["/paper.pdf"].body),
        0,
    )
    assert ("/tea", 304) in site.asked
    assert kvasir("documents", "show", tea, "--json").json == first

    site.pages["/tea"] = Page(article("Steeping tea", "Tea is steeped longer now."))
    changed = kvasir("ingest", "--web", "tea", "--json", *options).json
    assert changed["replaced"] == [tea]
    assert "longer now" in kvasir("documents", "show", tea, "--text").out


def test_pages_of_the_own_network_are_refused(kvasir: Any, site: Site, searxng: Searxng) -> None:
    searxng.finds(f"{site.url}/tea")
    options = _options(searxng, "rag.ingest.allow_private_urls=false")
    done = kvasir("ingest", "--web", "tea", "--json", *options, code=4)
    (page,) = done.json["pages"]
    assert page["outcome"] == "failed"
    assert "not a public address" in page["message"]
    assert site.asked == []


def test_people_read_what_was_found_and_why_pages_are_left_out(
    kvasir: Any, site: Site, searxng: Searxng
) -> None:
    searxng.finds(f"{site.url}/tea", f"{site.url}/old", f"{site.url}/missing")
    done = kvasir("ingest", "--web", "tea", *_options(searxng), code=4)
    assert "pages found by searxng for 'tea': 3" in done.out
    assert f"repeated: {site.url}/old (it leads to the same page as {site.url}/tea)" in done.out
    assert f"failed: {site.url}/missing: the server answered 404 Not Found" in done.err
    searxng.finds()
    nothing = kvasir("ingest", "--web", "teapots", *_options(searxng))
    assert "pages found by searxng for 'teapots': 0; use other words" in nothing.out


def test_most_results_limits_the_search(kvasir: Any, site: Site, searxng: Searxng) -> None:
    searxng.finds(f"{site.url}/tea", f"{site.url}/paper.pdf")
    options = ["--max-results", "1", "--metadata", "topic=tea", *_options(searxng)]
    done = kvasir("ingest", "--web", "tea", "--json", *options).json
    assert done["added"] == [f"{site.url}/tea"]
    record = kvasir("documents", "show", f"{site.url}/tea", "--json").json
    assert record["given"] == {"topic": "tea"}


def test_an_engine_that_fails_is_one_sentence(kvasir: Any, searxng: Searxng) -> None:
    searxng.reply = 429, {"Retry-After": "7"}, b""
    done = kvasir("ingest", "--web", "tea", *_options(searxng), code=3)
    assert "searxng: searching the web failed" in done.err
    assert "too many requests (429); try again later" in done.err
    assert done.err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "name a PATH or URL, or --web QUERY"),
        (["notes", "--web", "tea"], "--web is given without PATH or URL"),
        (["--web", "tea", "--prune"], "--web is given without --prune"),
        (["--web", "tea", "--include", "*.md"], "--web is given without --include"),
        (["notes", "--max-results", "3"], "--max-results needs --web"),
        (["--web", " "], "the query is empty"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(
    kvasir: Any, arguments: list[str], message: str
) -> None:
    options = ["--set", "rag.web_search.base_url=http://127.0.0.1:9"]
    assert message in kvasir("ingest", *arguments, *options, code=2).err
