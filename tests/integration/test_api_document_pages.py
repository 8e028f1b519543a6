"""Pages of PDF documents as pictures with a passage marked, and documents read again."""

import io

import numpy as np
import pytest
from pdf_files import make_pdf
from PIL import Image
from service_client import (
    documents,
    make_collection,
    make_settings,
    running,
    sign_up,
    upload,
    wait_for,
)

from kvasir.ingesting import page_picture

LINES = (
    "Black tea is brewed at 95 degrees Celsius for four minutes.",
    "Green tea is brewed at 80 degrees Celsius for two minutes.",
    "White tea needs water of 70 degrees Celsius and patience.",
)
ON_NEXT_PAGE = "Oolong is brewed at 90 degrees Celsius."


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with running(make_settings(tmp_path_factory.mktemp("pages"))) as made:
        yield made


@pytest.fixture(scope="module")
def place(client, ana):
    place = make_collection(client, ana, "pdf")
    first = [(72, 700 - 200 * number, 12, line) for number, line in enumerate(LINES)]
    upload(client, ana, place, "tea.pdf", make_pdf([first, [(72, 700, 12, ON_NEXT_PAGE)]]))
    upload(client, ana, place, "tea.md", "Tea is a drink.")
    return place


@pytest.fixture(scope="module")
def by_name(client, ana, place):
    found = documents(client, ana, place)
    return {each["source_uri"].rpartition("/")[2]: each["id"] for each in found}


@pytest.fixture(scope="module")
def text(client, ana, place, by_name):
    return client.get(f"{place}/documents/{by_name['tea.pdf']}/text", headers=ana).text


def picture(client, headers, place, document, page, **query):
    answer = client.get(
        f"{place}/documents/{document}/pages/{page}",
        params={"width": 612} | query,
        headers=headers,
    )
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"] == "image/png"
    return np.asarray(Image.open(io.BytesIO(answer.content)).convert("RGB")).astype(int)


def marked_rows(pixels):
    """Return the first and the last row that is yellow somewhere, as shares of the height."""
    yellow = (pixels[:, :, 0] > 200) & (pixels[:, :, 2] < 120)
    rows = np.flatnonzero(yellow.any(axis=1))
    return (rows[0] / len(pixels), rows[-1] / len(pixels)) if len(rows) else None


def test_the_passage_is_marked_where_it_stands(client, ana, place, by_name, text):
    start = text.index(LINES[1])
    span = {"start": start, "end": start + len(LINES[1])}
    found = picture(client, ana, place, by_name["tea.pdf"], 1, **span)
    assert found.shape == (792, 612, 3)
    first, last = marked_rows(found)
    # Its base line is at 500 of 792 points, seen from below.
    assert 0.34 < first < 0.37 < last < 0.38
    plain = picture(client, ana, place, by_name["tea.pdf"], 1)
    assert marked_rows(plain) is None
    # What is written stays legible under the mark.
    assert (found.min(axis=2) < 60).sum() >= (plain.min(axis=2) < 60).sum() * 0.9


def test_as_much_of_a_passage_is_marked_as_stands_on_the_page(client, ana, place, by_name, text):
    span = {"start": text.index(LINES[2]), "end": len(text)}
    first, last = marked_rows(picture(client, ana, place, by_name["tea.pdf"], 1, **span))
    assert 0.59 < first < last < 0.63
    first, _ = marked_rows(picture(client, ana, place, by_name["tea.pdf"], 2, **span))
    assert 0.09 < first < 0.12


def test_an_area_is_marked_where_text_was_recognized(client, ana, place, by_name):
    box = {"box": "0.25,0.5,0.75,0.6"}
    first, last = marked_rows(picture(client, ana, place, by_name["tea.pdf"], 2, **box))
    assert (round(first, 2), round(last, 2)) == (0.5, 0.6)


@pytest.mark.parametrize(
    ("name", "page", "query", "status"),
    [
        ("tea.md", 1, {}, 404),
        ("tea.pdf", 3, {}, 422),
        ("tea.pdf", 0, {}, 422),
        ("tea.pdf", 1, {"box": "1,2"}, 422),
        ("tea.pdf", 1, {"width": 100_000}, 422),
    ],
)
def test_what_cannot_be_drawn_is_a_problem(client, ana, place, by_name, name, page, query, status):
    path = f"{place}/documents/{by_name[name]}/pages/{page}"
    answer = client.get(path, params=query, headers=ana)
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"


def test_a_document_is_read_again_from_its_uploaded_bytes(client, ana, place, by_name):
    answer = client.post(f"{place}/documents/{by_name['tea.md']}/reindex", headers=ana)
    assert answer.status_code == 202, answer.text
    job = wait_for(client, ana, answer.json())
    assert job["state"] == "done", job
    assert job["result"]["unchanged"] == ["upload:ana/tea.md"]
    assert len(documents(client, ana, place)) == 2


def test_bytes_that_are_not_kept_cannot_be_read_again(tmp_path):
    settings = make_settings(tmp_path, server={"keep_originals": False})
    with running(settings) as (client, _):
        ana = sign_up(client, "ana")
        place = make_collection(client, ana, "course")
        upload(client, ana, place, "tea.md", "Tea is a drink.")
        (record,) = documents(client, ana, place)
        answer = client.post(f"{place}/documents/{record['id']}/reindex", headers=ana)
        assert answer.status_code == 404
        assert "upload it again" in answer.json()["detail"]


def test_collections_without_documents_are_listed_with_their_rights(client, ana, place):
    make_collection(client, ana, "empty", "public")
    found = {each["collection"]: each for each in client.get("/v1/access", headers=ana).json()}
    assert found.keys() == {"pdf", "empty"}
    assert (found["empty"]["owner"], found["empty"]["visibility"]) == ("ana", "public")
    bob = sign_up(client, "bob")
    assert client.get("/v1/access", headers=bob).json() == []
    assert client.delete("/v1/collections/empty", headers=ana).status_code == 204
    assert [each["collection"] for each in client.get("/v1/access", headers=ana).json()] == ["pdf"]


def test_no_more_pages_are_drawn_at_once_than_the_memory_is_for(
    client, ana, place, by_name, monkeypatch
):
    monkeypatch.setattr(page_picture, "_WAIT_SECONDS", 0.01)
    for _ in range(page_picture._AT_ONCE):
        assert page_picture._drawing.acquire(timeout=5)
    try:
        path = f"{place}/documents/{by_name['tea.pdf']}/pages/1"
        answer = client.get(path, headers=ana)
    finally:
        for _ in range(page_picture._AT_ONCE):
            page_picture._drawing.release()
    assert (answer.status_code, answer.json()["code"]) == (503, "component_busy")
    picture(client, ana, place, by_name["tea.pdf"], 1)
