"""A web search over HTTP: one job, whose result says of every page what became of it."""

import time

import pytest
from service_client import (
    documents,
    make_admin,
    make_collection,
    make_settings,
    running,
    sign_up,
    wait_for,
)
from web_site import Page, article, serving_searxng, serving_site

from kvasir.ingesting import fetching


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    with serving_site() as site, serving_site("127.0.0.2") as own, serving_searxng() as searxng:
        rag = {"web_search": {"base_url": searxng.url, "page_timeout": 5}}
        with running(make_settings(tmp_path_factory.mktemp("web"), rag=rag)) as (client, app):
            ana = sign_up(client, "ana")
            place = make_collection(client, ana, "course")
            yield client, app, ana, place, site, own, searxng


@pytest.fixture(autouse=True)
def public_site(world, monkeypatch):
    """Count one address of this machine as public."""
    real, host = fetching.is_public, world[4].host
    monkeypatch.setattr(fetching, "is_public", lambda each: str(each) == host or real(each))


def search(world, headers=None, **body):
    client, _, ana, place, *_ = world
    return client.post(f"{place}/documents/from-web", json=body, headers=ana | (headers or {}))


def test_a_user_ingests_what_a_search_finds(world):
    client, _, ana, place, site, own, searxng = world
    site.pages["/tea"] = Page(article("Tea", "Green tea is steeped for two minutes."))
    site.pages["/inside"] = Page(status=302, headers={"Location": f"{own.url}/secret"})
    searxng.finds(f"{site.url}/tea", f"{site.url}/inside", f"{own.url}/secret")

    answer = search(world, query="tea", metadata={"topic": "tea"})

    assert answer.status_code == 202, answer.text
    assert answer.headers["Location"] == f"/v1/jobs/{answer.json()['id']}"
    job = wait_for(client, ana, answer.json())
    assert job["state"] == "done", job
    pages = [(page["url"], page["outcome"]) for page in job["result"]["pages"]]
    assert pages == [
        (f"{site.url}/tea", "added"),
        (f"{site.url}/inside", "failed"),
        (f"{own.url}/secret", "failed"),
    ]
    assert own.asked == []
    (found,) = documents(client, ana, place, source=f"{site.url}/tea")
    assert (found["title"], found["given"]) == ("Tea", {"topic": "tea"})


def test_the_same_key_searches_once(world):
    site, searxng = world[4], world[6]
    site.pages["/mead"] = Page(article("Mead", "Two dwarfs brewed mead."))
    searxng.finds(f"{site.url}/mead")
    searxng.asked.clear()
    key = {"Idempotency-Key": "mead"}
    first = search(world, key, query="mead").json()
    assert wait_for(world[0], world[2], first)["state"] == "done"
    assert search(world, key, query="mead").json()["id"] == first["id"]
    assert search(world, key, query="moon").status_code == 409
    assert len(searxng.asked) == 2  # Two pages of results; the second one is empty.


def test_an_engine_that_refuses_is_tried_again_and_the_administrator_reads_what_to_do(world):
    client, app, ana, _, _, _, searxng = world
    root = make_admin(client, app)
    searxng.reply = 403, {}, b""
    try:
        place = f"/v1/jobs/{search(world, query='tea').json()['id']}"
        end = time.monotonic() + 20
        while not (job := client.get(place, headers=root).json())["code"]:
            assert time.monotonic() < end, job
            time.sleep(0.02)
        client.post(f"{place}/cancel", headers=root)
    finally:
        searxng.reply = None
    assert job["code"] == "component_failed"
    assert "add json to search.formats" in job["message"]
    # The server's address is no business of other users.
    assert searxng.url not in client.get(place, headers=ana).text


@pytest.mark.parametrize(
    "body", [{}, {"query": " "}, {"query": "x", "max_results": 0}, {"query": "x", "more": 1}]
)
def test_a_request_that_does_not_fit_is_refused(world, body):
    assert search(world, **body).status_code == 422


def test_only_administrators_choose_the_engine(world):
    settings = {"Kvasir-Settings": '{"rag.web_search.base_url": "http://127.0.0.1:9"}'}
    assert search(world, settings, query="tea").status_code == 403
