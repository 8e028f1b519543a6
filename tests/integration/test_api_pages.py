"""The pages for people: signing in, and the passage behind the link of a citation."""

import re
from html import unescape
from urllib.parse import parse_qs, urlsplit

import pytest
from account_client import OWNER, PASSWORD, forget, mailed
from service_client import documents, make_collection, make_settings, running, sign_up, upload

from kvasir.core.links import passage_url
from kvasir.frontends.api.callers import SESSION_COOKIE

HOSTILE = '<script>alert(1)</script> "quoted" & <img src=x onerror=alert(2)>'
TEXT = f"Green tea is brewed at 80 degrees.\n\nBeware of {HOSTILE} in tea.\n\nThe end of it."
HTTPS = "https://kb.example.org"


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """A client, the app, and the path of a passage of Ana's, which is hostile."""
    mail = {"send": False, "host": "127.0.0.1"}
    with running(make_settings(tmp_path_factory.mktemp("pages"), mail=mail)) as (client, app):
        ana = sign_up(client, "ana")
        sign_up(client, "bob")
        place = make_collection(client, ana, "té")
        upload(client, ana, place, "<b>tea</b>.txt", TEXT)
        (record,) = documents(client, ana, place)
        start = TEXT.index(HOSTILE)
        url = passage_url("", "té", record["id"], start, start + len(HOSTILE))
        yield client, app, url


@pytest.fixture
def browser(served):
    """A client that keeps cookies and follows nothing by itself."""
    client, _, _ = served
    client.follow_redirects = False
    client.cookies.clear()
    yield client
    client.cookies.clear()
    client.follow_redirects = True


def sign_in(browser, name="ana", password=PASSWORD, **more):
    form = {"username": name, "password": password} | more.pop("form", {})
    return browser.post("/sign-in", data=form, **more)


def test_a_link_leads_through_the_page_to_sign_in_to_the_passage(browser, served):
    _, _, url = served
    sent = browser.get(url)
    assert sent.status_code == 303
    form = browser.get(sent.headers["Location"])
    (then,) = re.findall(r'name="next" value="([^"]*)"', form.text)
    entered = sign_in(browser, form={"next": unescape(then)})
    assert (entered.status_code, entered.headers["Location"]) == (303, url)
    page = browser.get(entered.headers["Location"])
    assert page.status_code == 200
    (marked,) = re.findall(r"<mark>(.*?)</mark>", page.text, re.DOTALL)
    assert unescape(marked) == HOSTILE
    (passage,) = re.findall(r'<div class="passage">(.*?)</div>', page.text, re.DOTALL)
    assert unescape(re.sub(r"</?mark>", "", passage)) == TEXT
    (original,) = re.findall(r'href="([^"]*/original)"', page.text)
    saved = browser.get(unescape(original))
    assert saved.text == TEXT
    assert saved.headers["Content-Disposition"].startswith("attachment")
    assert saved.headers["Content-Security-Policy"] == "sandbox"


def test_nothing_of_a_document_or_its_name_becomes_html(browser, served):
    _, _, url = served
    sign_in(browser)
    page = browser.get(url)
    for part in ("<script", "<img", "<b>", "onerror=alert(2)>"):
        assert part not in page.text
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "script-src" not in policy
    assert "'unsafe-inline'" not in policy


def test_a_wrong_password_and_a_hostile_name_are_shown_as_text(browser):
    answer = sign_in(browser, '"><script>alert(1)</script>', "x")
    assert answer.status_code == 401
    assert "<script" not in answer.text
    assert "wrong" in answer.text
    assert SESSION_COOKIE not in browser.cookies


@pytest.mark.parametrize("url", ["http://testserver", HTTPS])
def test_the_cookie_is_for_our_pages_alone(browser, url):
    form = {"username": "ana", "password": PASSWORD}
    answer = browser.post(f"{url}/sign-in", data=form, headers={"Origin": url})
    attributes = {each.strip().lower() for each in answer.headers["Set-Cookie"].split(";")[1:]}
    assert {"httponly", "samesite=lax", "path=/"} <= attributes
    assert ("secure" in attributes) is (url == HTTPS)


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
    ],
)
@pytest.mark.parametrize("path", ["/sign-in", "/sign-out", "/change-password", "/register"])
def test_a_form_of_another_site_does_nothing(browser, path, headers):
    sign_in(browser)
    before = dict(browser.cookies)
    form = {"username": "bob", "password": PASSWORD, "email": "x@example.org"}
    form |= {"new_password": "another long one", "rewrite_password": "another long one"}
    answer = browser.post(path, data=form, headers=headers)
    assert answer.status_code == 403
    assert "another site" in answer.text
    assert dict(browser.cookies) == before


@pytest.mark.parametrize(
    "then",
    [
        "https://evil.example/",
        "//evil.example",
        "/\\evil.example",
        "javascript:alert(1)",
        "x",
        "/a\n",
    ],
)
def test_signing_in_leads_to_no_other_site(browser, then):
    form = browser.get("/sign-in", params={"next": then})
    assert "evil" not in form.text
    answer = sign_in(browser, form={"next": then})
    assert answer.headers["Location"] == "/signed-in"


def test_signing_out_forgets_the_session(browser, served):
    _, _, url = served
    sign_in(browser)
    page = browser.get("/signed-in")
    assert "ana" in page.text
    assert browser.post("/sign-out").headers["Location"] == "/sign-in"
    assert browser.get(url).headers["Location"].startswith("/sign-in?next=")


def test_another_user_sees_neither_the_passage_nor_that_there_is_one(browser, served):
    _, _, url = served
    sign_in(browser, "bob")
    there = browser.get(url)
    missing = browser.get("/read/nothing/none?start=0&end=3")
    assert (there.status_code, there.text) == (404, missing.text)
    assert browser.get(url.replace("?", "/original?")).status_code == 404


@pytest.mark.parametrize("query", ["start=5&end=2", "start=0&end=99999", "start=x&end=1", "end=-1"])
def test_offsets_that_fit_no_passage_are_a_page_that_says_so(browser, served, query):
    _, _, url = served
    sign_in(browser)
    answer = browser.get(f"{url.partition('?')[0]}?{query}")
    assert answer.status_code == 400
    assert 'role="alert"' in answer.text


def test_without_offsets_the_beginning_is_shown(browser, served):
    _, _, url = served
    sign_in(browser)
    page = browser.get(url.partition("?")[0])
    assert "Green tea is brewed" in page.text
    assert "<mark>" not in page.text


@pytest.mark.parametrize(
    ("language", "words"),
    [("es-UY,es;q=0.9", ("Iniciar sesión", "no son correctos")), ("fr", ("Sign in", "is wrong"))],
)
def test_the_pages_speak_the_browsers_language(browser, language, words):
    answer = sign_in(browser, "ana", "wrong", headers={"Accept-Language": language})
    for word in words:
        assert word in answer.text
    assert f'lang="{"es" if language.startswith("es") else "en"}"' in answer.text


def test_a_temporary_password_leads_to_a_new_one_and_then_to_the_passage(browser, served):
    client, app, url = served
    sign_up(client, "eve")
    forget(client, "eve")
    temporary = mailed(app).content["password"]
    entered = sign_in(browser, "eve", temporary, form={"next": url})
    address = entered.headers["Location"]
    assert urlsplit(address).path == "/change-password"
    assert parse_qs(urlsplit(address).query)["next"] == [url]
    # Nothing else is shown before.
    assert browser.get(url).headers["Location"].startswith("/change-password?next=")
    new = {"new_password": "a new long one", "rewrite_password": "a new long one", "next": url}
    refused = browser.post("/change-password", data=new | {"password": "wrong"})
    assert (refused.status_code, "present password" in refused.text) == (401, True)
    done = browser.post("/change-password", data=new | {"password": temporary})
    assert urlsplit(done.headers["Location"]).path == "/sign-in"
    assert sign_in(browser, "eve", "a new long one").headers["Location"] == "/signed-in"


def test_attempts_to_sign_in_are_limited(tmp_path):
    limits = {"rate_limits": {"login": "2/minute"}}
    with running(make_settings(tmp_path, accounts=limits)) as (client, _):
        for _ in range(2):
            assert sign_in(client, "nobody").status_code == 401
        answer = sign_in(client, "nobody", headers={"Accept-Language": "es"})
        assert answer.status_code == 429
        assert int(answer.headers["Retry-After"]) > 0
        assert "Demasiados intentos" in answer.text


def test_below_a_path_every_link_and_the_cookie_begin_with_it(tmp_path):
    server = {"public_url": f"{HTTPS}/kb", "host": "127.0.0.1"}
    settings = make_settings(tmp_path, server=server, accounts={"registration": "open"})
    with running(settings) as (client, _):
        client.follow_redirects = False
        sign_up(client, "ana")
        answer = sign_in(client)
        assert answer.headers["Location"] == "/kb/signed-in"
        cookie = answer.headers["Set-Cookie"].lower()
        assert "path=/kb/" in cookie
        assert "secure" in cookie
        assert client.get("/read/a/b").headers["Location"] == "/kb/sign-in?next=%2Fread%2Fa%2Fb"


def test_below_a_path_redirects_and_addresses_in_headers_begin_with_it(tmp_path):
    settings = make_settings(tmp_path, server={"public_url": f"{HTTPS}/kb", "host": "127.0.0.1"})
    owner = {"Authorization": f"Bearer {OWNER}"}
    with running(settings) as (client, _):
        client.follow_redirects = False
        answer = client.get("/v1/collections/?limit=2")
        assert answer.status_code == 307
        assert answer.headers["Location"] == "/kb/v1/collections?limit=2"
        answer = client.post("/uploadfile", headers=owner)
        assert (answer.status_code, answer.headers["Location"]) == (307, "/kb/uploadfile/")
        assert client.get("/v1/nothing/", headers=owner).status_code == 404
        body = {"name": "tea"}
        made = client.post("/v1/collections", json=body, headers=owner)
        assert made.headers["Location"] == "/kb/v1/collections/tea"
        files = {"file": ("tea.txt", "Green tea.")}
        sent = client.post("/v1/collections/tea/documents", files=files, headers=owner)
        assert sent.headers["Location"] == f"/kb/v1/jobs/{sent.json()['id']}"
        user = {"username": "eva", "email": "eva@example.org", "password": "a long password"}
        made = client.post("/v1/users", json=user, headers=owner)
        assert made.headers["Location"] == f"/kb/v1/users/{made.json()['id']}"
        asked = client.post("/v1/questions", json={"input": "How hot is tea?"}, headers=owner)
        assert asked.headers["Location"] == f"/kb/v1/questions/{asked.json()['id']}"
