"""Uploads that fail, as a person at the web client sees them: words of the page's language."""

import pytest
from account_client import NO_LIMITS, PASSWORD
from chromium import chromium
from live_server import TEA, live_server
from web_client import WORDS_OF_FAULTS, Person, WebClientProcess

from kvasir.accounts import passwords
from kvasir.core.services.accounts import Role
from kvasir.frontends.api import observing
from kvasir.frontends.ui.texts import LANGUAGES, table

pytestmark = pytest.mark.xdist_group("web client")

MB = 1 << 20


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    passwords._MEMORY_KIB = 64
    embedder = {"type": "kvasir.testing.fakes:FakeEmbedder"}
    with live_server(
        tmp_path_factory.mktemp("service"),
        rag={"embedding_model": embedder, "ingest": {"max_file_mb": 2}},
        accounts={"rate_limits": NO_LIMITS},
    ) as running:
        ana = running.add_user("ana", role=Role.ADMIN)
        running.add_document("tea", "tea.md", TEA, owner=ana)
        yield running


@pytest.fixture(scope="module")
def signed_in(server, tmp_path_factory):
    with (
        WebClientProcess(server.url) as client,
        chromium(tmp_path_factory.mktemp("browser")) as browser,
    ):
        person = Person(browser, client.url)
        person.go("/knowledge")
        person.sign_in("ana", PASSWORD)
        person.see("//h1")
        yield person


@pytest.fixture(params=LANGUAGES)
def row(request, signed_in):
    """The texts of the language in which the page to add documents is open."""
    person, language = signed_in, request.param
    person.browser.driver.add_cookie({"name": "kvasir_ui_language", "value": language})
    person.go("/knowledge")
    row = {key: each[language] for key, each in table().items()}
    person.press(row["knowledge.open"].format(name="tea"))
    person.choose(row["knowledge.add"])
    yield row
    assert not any(each in person.page() for each in WORDS_OF_FAULTS)
    if language != "en":
        person.is_translated(language)


@pytest.fixture
def small(tmp_path):
    file = tmp_path / "mate.md"
    file.write_text("Mate is drunk from a gourd.")
    return file


@pytest.fixture
def large(tmp_path):
    file = tmp_path / "large.md"
    file.write_text("word " * (MB // 4))
    return file


def test_a_file_above_the_limit_is_refused_in_words_before_it_is_sent(
    signed_in, row, small, tmp_path
):
    signed_in.settle()
    said = row["knowledge.refused_file"].format(size=2)
    assert said not in signed_in.page()
    too_large = tmp_path / "too-large.md"
    too_large.write_bytes(b"x" * (2 * MB + 1))
    signed_in.upload(small, too_large)
    signed_in.read(said)
    assert "or smaller" not in signed_in.page()
    signed_in.press(row["knowledge.upload_button"].format(count=1))
    signed_in.read(row["knowledge.uploaded_ready"].format(count=1, ready=1))


def test_a_file_that_the_server_finds_too_large_is_named_with_the_reason(
    signed_in, row, small, large, monkeypatch
):
    monkeypatch.setattr(observing.Observing, "_limit", lambda *_: MB)
    signed_in.upload(large, small)
    signed_in.press(row["knowledge.upload_button"].format(count=2))
    reason = row["error.too_large"]
    signed_in.read(row["knowledge.not_uploaded"].format(name="large.md", reason=reason))
    signed_in.read(row["knowledge.uploaded_ready"].format(count=1, ready=1))


def test_an_upload_that_a_proxy_finds_too_large_is_words(signed_in, row, large, monkeypatch):
    """Such as nginx, which answers in HTML and reads no more."""

    async def answer(self, scope, headers, receive, send, attributes):
        if scope["method"] != "POST":
            await whole(self, scope, headers, receive, send, attributes)
            return
        sent = [(b"content-type", b"text/html"), (b"connection", b"close")]
        await send({"type": "http.response.start", "status": 413, "headers": sent})
        await send({"type": "http.response.body", "body": b"<h1>413 Too Large</h1>"})

    whole = observing.Observing._answer
    monkeypatch.setattr(observing.Observing, "_answer", answer)
    signed_in.upload(large)
    signed_in.press(row["knowledge.upload_button"].format(count=1))
    reason = row["error.too_large"]
    signed_in.read(row["knowledge.not_uploaded"].format(name="large.md", reason=reason))
