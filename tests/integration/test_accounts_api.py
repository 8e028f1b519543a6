"""Accounts over HTTP: registration, login, recovery, change of password, keys and rights."""

import statistics
import time

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import update

from kvasir.accounts import passwords
from kvasir.accounts.tables import recoveries
from kvasir.app import App
from kvasir.core.services.accounts import Role
from kvasir.core.types import Source
from kvasir.database import open_database, writing
from kvasir.frontends.api.application import make_application
from kvasir.frontends.api.registration import first_admin_link
from kvasir.settings.schema import Settings

PASSWORD = "correct horse"
OWNER = "owner-token-of-the-data-folder"
NO_LIMITS = dict.fromkeys(("login", "registration", "recovery", "questions"), "")


@pytest.fixture
def start(tmp_path, monkeypatch):
    """Starts a server with settings; returns its client and App."""
    monkeypatch.setattr(passwords, "_MEMORY_KIB", 64)
    opened = []

    def start(limits=NO_LIMITS, server=None, **accounts):
        settings = Settings(
            data_dir=tmp_path / "kvasir-data",
            rag={"embedding_model": {"type": "kvasir.testing.fakes:FakeEmbedder"}},
            server={"job_workers": 0} | (server or {}),
            questions={"workers": 0},
            mail={"send": False},
            accounts={"rate_limits": limits} | accounts,
        )
        app = App(settings)
        opened.append(app)
        return TestClient(make_application(app, owner_token=OWNER)), app

    yield start
    for app in opened:
        app.close()


@pytest.fixture
def server(start):
    return start()


@pytest.fixture
def client(server):
    return server[0]


@pytest.fixture
def app(server):
    return server[1]


def register(client, name, **more):
    body = {"email": f"{name}@example.org", "username": name, "password": PASSWORD} | more
    return client.post("/user/", json=body)


def log_in(client, name, password=PASSWORD):
    return client.post("/login", data={"username": name, "password": password})


def as_user(client, name, password=PASSWORD):
    answer = log_in(client, name, password)
    assert answer.status_code == 200, answer.text
    return {"Authorization": f"Bearer {answer.json()['access_token']}"}


def forget(client, name, language="es"):
    form = {"username_or_email": name, "language": language}
    return client.post("/auth/forgot-password/", data=form)


def change_password(client, headers, old, new, again=None):
    body = {"password": old, "new_password": new, "rewrite_password": again or new}
    return client.post("/auth/change-password/", json=body, headers=headers)


def mailed(app):
    """Return the content of the next mail."""
    return app.services.outbox.claim(lease_seconds=60).mail


@pytest.fixture
def ana(client):
    assert register(client, "ana").status_code == 201
    return as_user(client, "ana")


@pytest.fixture
def admin(client, app):
    app.services.accounts.register("root@example.org", "root", PASSWORD, role=Role.ADMIN)
    return as_user(client, "root")


# The shapes of document 004


def test_a_user_registers_and_logs_in_as_document_004_has_it(client):
    answer = register(client, "ana")
    assert answer.status_code == 201
    assert answer.json() == {"id": 1, "email": "ana@example.org", "username": "ana"}
    answer = log_in(client, "ana@example.org")
    assert answer.status_code == 200
    assert set(answer.json()) == {"access_token", "token_type"}
    assert answer.json()["token_type"] == "bearer"
    assert answer.headers["cache-control"] == "no-store"


def test_swagger_has_the_login_behind_authorize(client):
    api = client.get("/openapi.json").json()
    schemes = api["components"]["securitySchemes"].values()
    [flow] = [each["flows"]["password"] for each in schemes if each["type"] == "oauth2"]
    assert flow["tokenUrl"] == "login"
    form = {"grant_type": "password", "username": "ana", "password": PASSWORD, "scope": ""}
    register(client, "ana")
    assert client.post("/login", data=form).status_code == 200


@pytest.mark.parametrize(
    "change",
    [
        {"email": "none"},
        {"email": "ana@example.org\nBcc: x@example.org"},
        {"username": "an"},
        {"username": "a" * 51},
        {"password": "short"},
        {"password": "p" * 65},
        {"language": "tlh"},
    ],
)
def test_unacceptable_values_are_the_callers_mistake(client, change):
    answer = register(client, "ana", **change)
    assert answer.status_code in (400, 422)
    assert answer.headers["content-type"] == "application/problem+json"
    assert PASSWORD not in answer.text
    assert log_in(client, "ana").status_code == 401


def test_a_taken_name_is_a_conflict(client, ana):
    answer = register(client, "ANA", email="other@example.org")
    assert (answer.status_code, answer.json()["code"]) == (409, "conflict")


def test_a_wrong_login_says_nothing_about_the_user(client, ana):
    unknown, wrong = log_in(client, "nobody"), log_in(client, "ana", "wrong password")
    assert (unknown.status_code, unknown.text) == (401, wrong.text)
    assert unknown.headers["www-authenticate"] == "Bearer"


# Recovery


def test_a_temporary_password_is_mailed_and_used_once_to_choose_another(client, app, ana):
    answer = forget(client, "ana@example.org")
    assert answer.status_code == 202
    mail = mailed(app)
    assert (mail.kind, mail.recipient, mail.language) == ("recovery", "ana@example.org", "es")
    temporary = mail.content["password"]
    # Until it is used, the old one goes on working.
    assert client.get("/v1/users/me", headers=ana).status_code == 200
    as_user(client, "ana")
    limited = as_user(client, "ana", temporary)
    assert log_in(client, "ana", temporary).status_code == 401
    assert log_in(client, "ana").status_code == 401
    assert client.get("/v1/users/me", headers=ana).status_code == 401
    me = client.get("/v1/users/me", headers=limited).json()
    assert (me["must_change_password"], me["scopes"]) == (True, [])
    refused = [
        client.get("/v1/collections", headers=limited),
        client.get("/v1/users/me/api-keys", headers=limited),
        client.patch("/v1/users/me", json={"language": "es"}, headers=limited),
        client.post("/v1/users", json={}, headers=limited),
    ]
    assert {(each.status_code, each.json()["code"]) for each in refused} == {(403, "forbidden")}
    assert change_password(client, limited, "wrong one", "another horse").status_code == 401
    answer = change_password(client, limited, temporary, "another horse")
    assert answer.status_code == 200
    assert set(answer.json()) == {"message"}
    assert client.get("/v1/users/me", headers=limited).status_code == 401
    assert client.get("/v1/collections", headers=as_user(client, "ana", "another horse")).is_success


def test_a_temporary_password_expires(start):
    client, app = start(recovery_minutes=1)
    register(client, "ana")
    forget(client, "ana")
    temporary = mailed(app).content["password"]
    _age_recoveries(app, 61)
    assert log_in(client, "ana", temporary).status_code == 401
    assert log_in(client, "ana").status_code == 200


def test_five_wrong_passwords_end_a_temporary_one(client, app, ana):
    forget(client, "ana")
    temporary = mailed(app).content["password"]
    for _ in range(5):
        assert log_in(client, "ana", "wrong password").status_code == 401
    assert log_in(client, "ana", temporary).status_code == 401
    assert log_in(client, "ana").status_code == 200


def test_an_unknown_user_gets_the_same_reply_and_no_mail(client, app, ana):
    known, unknown = forget(client, "ana"), forget(client, "nobody@example.org")
    assert (known.status_code, known.json()) == (unknown.status_code, unknown.json())
    assert dict(known.headers) == dict(unknown.headers)
    assert mailed(app).recipient == "ana@example.org"
    assert app.services.outbox.claim(lease_seconds=60) is None


def test_an_unknown_user_takes_the_same_time(start, monkeypatch):
    # With hashes of full strength.
    monkeypatch.undo()
    client, _ = start()
    register(client, "ana")

    def seconds(call, name):
        started = time.perf_counter()
        call(client, name)
        return time.perf_counter() - started

    def ratio(call, rounds):
        times = [(seconds(call, "ana"), seconds(call, "nobody")) for _ in range(rounds)]
        known, unknown = (statistics.median(each) for each in zip(*times, strict=True))
        return known / unknown

    wrong_password = ratio(lambda client, name: log_in(client, name, "wrong password"), 9)
    assert 0.5 < wrong_password < 2
    assert 0.8 < ratio(forget, 3) < 1.25


@pytest.mark.parametrize(("language", "word"), [("es", "contraseña"), ("en", "password")])
def test_the_reply_to_a_recovery_has_its_language(client, app, ana, language, word):
    assert word in forget(client, "ana", language).json()["message"]
    assert mailed(app).language == language


def test_the_literal_recovery_of_document_004_replaces_the_password_at_once(start):
    client, app = start(recovery_replace_immediately=True)
    register(client, "ana")
    forget(client, "ana")
    assert log_in(client, "ana").status_code == 401
    temporary = mailed(app).content["password"]
    for _ in range(2):
        headers = as_user(client, "ana", temporary)
    assert client.get("/v1/collections", headers=headers).status_code == 200


# Change of password


def test_a_change_of_password_ends_older_tokens(client, ana):
    other = as_user(client, "ana")
    assert change_password(client, ana, PASSWORD, "another horse").status_code == 200
    for headers in (ana, other):
        assert client.get("/v1/users/me", headers=headers).status_code == 401
    assert log_in(client, "ana").status_code == 401
    as_user(client, "ana", "another horse")


@pytest.mark.parametrize(
    ("old", "new", "again", "status"),
    [
        ("wrong password", "another horse", None, 401),
        (PASSWORD, "another horse", "another hearse", 400),
        (PASSWORD, PASSWORD, None, 400),
        (PASSWORD, "short", None, 422),
    ],
)
def test_a_refused_change_of_password_changes_nothing(client, ana, old, new, again, status):
    assert change_password(client, ana, old, new, again).status_code == status
    assert client.get("/v1/users/me", headers=ana).status_code == 200
    as_user(client, "ana")


def test_an_api_key_and_the_owner_token_change_no_password(client, ana):
    key = client.post(
        "/v1/users/me/api-keys", json={"name": "k", "scopes": ["read", "write"]}, headers=ana
    ).json()
    for credential in (key["secret"], OWNER):
        headers = {"x-api-key": credential}
        assert change_password(client, headers, PASSWORD, "another horse").status_code == 403


# Registration


@pytest.mark.parametrize(
    ("server", "headers"),
    [
        ({"host": "0.0.0.0"}, {}),
        ({"host": "::"}, {}),
        ({"host": "192.0.2.1"}, {}),
        ({"public_url": "https://kb.example.org"}, {}),
        ({}, {"X-Forwarded-For": "192.0.2.1"}),
        ({}, {"Forwarded": "for=192.0.2.1"}),
    ],
)
def test_registration_is_closed_where_other_machines_can_ask(start, server, headers):
    client, app = start(server=server)
    client.headers.update(headers)
    answer = register(client, "ana")
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    assert "closed" in answer.json()["detail"]
    assert app.services.accounts.users() == []


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "::1", "localhost"])
def test_registration_is_open_on_loopback(start, host):
    client, _ = start(server={"host": host})
    assert register(client, "ana").status_code == 201


def test_registration_is_closed_if_another_program_started_the_server_elsewhere(start):
    _, app = start()
    outside = TestClient(make_application(app), base_url="http://192.0.2.1:8000")
    assert register(outside, "ana").status_code == 403


def test_a_setting_opens_or_closes_registration_anywhere(start):
    client, _ = start(server={"host": "0.0.0.0"}, registration="open")
    assert register(client, "ana").status_code == 201
    client, _ = start(registration="closed")
    assert register(client, "bo1").status_code == 403


def test_closed_registration_and_an_invitation(start):
    client, app = start(registration="invitation")
    app.services.accounts.register("root@example.org", "root", PASSWORD, role=Role.ADMIN)
    admin = as_user(client, "root")
    answer = register(client, "ana")
    assert (answer.status_code, "invitation" in answer.json()["detail"]) == (403, True)
    made = client.post("/v1/invitations", json={}, headers=admin)
    assert made.status_code == 201
    invitation = made.json()["invitation"]
    assert made.json()["link"] == f"http://127.0.0.1:8000/register#{invitation}"
    assert register(client, "ana", invitation=invitation).status_code == 201
    assert register(client, "bo1", invitation=invitation).status_code == 403
    ana = as_user(client, "ana")
    assert client.get("/v1/users", headers=ana).status_code == 403
    assert client.post("/v1/invitations", json={}, headers=ana).status_code == 403


def test_where_registration_is_closed_by_setting_nobody_is_invited(start):
    client, app = start(registration="closed")
    app.services.accounts.register("root@example.org", "root", PASSWORD, role=Role.ADMIN)
    admin = as_user(client, "root")
    assert client.post("/v1/invitations", json={}, headers=admin).status_code == 403
    body = {"email": "ana@example.org", "username": "ana", "password": PASSWORD}
    assert client.post("/v1/users", json=body, headers=admin).status_code == 201


def test_the_one_time_link_makes_the_first_administrator(start):
    client, app = start(server={"host": "0.0.0.0", "public_url": "https://kb.example.org/"})
    link = first_admin_link(app)
    address, _, invitation = link.partition("#")
    assert address == "https://kb.example.org/register"
    page = client.get("/register")
    assert page.status_code == 200
    assert "default-src 'none'" in page.headers["content-security-policy"]
    form = {"email": "root@example.org", "username": "root", "password": PASSWORD}
    refused = client.post("/register", data=form)
    assert (refused.status_code, 'role="alert"' in refused.text) == (403, True)
    assert PASSWORD not in refused.text
    assert client.post("/register", data=form | {"invitation": invitation}).status_code == 201
    me = client.get("/v1/users/me", headers=as_user(client, "root")).json()
    assert me["user"]["role"] == "admin"
    assert first_admin_link(app) is None
    again = {"email": "bo@example.org", "username": "bo1", "invitation": invitation}
    assert client.post("/register", data=form | again).status_code == 403


def test_the_page_escapes_what_was_typed_and_refuses_forms_of_other_sites(client):
    form = {"email": '"><script>alert(1)</script>', "username": "ana", "password": PASSWORD}
    answer = client.post("/register", data=form)
    assert answer.status_code == 400
    assert "<script>alert" not in answer.text
    form["email"] = "ana@example.org"
    headers = {"Sec-Fetch-Site": "cross-site"}
    assert client.post("/register", data=form, headers=headers).status_code == 403
    assert client.post("/register", data=form).status_code == 201


def test_the_page_is_in_the_language_of_the_browser(client, app):
    headers = {"Accept-Language": "es-AR,es;q=0.9"}
    assert "Contraseña" in client.get("/register", headers=headers).text
    form = {"email": "ana@example.org", "username": "ana", "password": PASSWORD}
    assert client.post("/register", data=form, headers=headers).status_code == 201
    assert app.services.accounts.user("ana").language == "es"


def test_nobody_makes_an_administrator_by_registering(client, ana):
    body = {"email": "bo@example.org", "username": "bo1", "password": PASSWORD, "role": "admin"}
    for headers in ({}, ana):
        assert client.post("/v1/users", json=body, headers=headers).status_code == 403
    # The document's route knows no role.
    assert register(client, "bo1", role="admin").status_code == 201
    assert client.get("/v1/users", headers=as_user(client, "bo1")).status_code == 403


def test_an_invalid_credential_does_not_register_as_nobody(client):
    body = {"email": "bo@example.org", "username": "bo1", "password": PASSWORD}
    for headers in ({"Authorization": "Bearer x"}, {"x-api-key": ""}, {"Authorization": "Basic x"}):
        assert client.post("/v1/users", json=body, headers=headers).status_code == 401


# Rate limits


def test_attempts_to_log_in_are_limited_with_the_time_to_wait(start):
    client, _ = start(NO_LIMITS | {"login": "2/minute"})
    register(client, "ana")
    for _ in range(2):
        assert log_in(client, "ana", "wrong password").status_code == 401
    answer = log_in(client, "ana")
    assert (answer.status_code, answer.json()["code"]) == (429, "rate_limited")
    assert 50 < int(answer.headers["retry-after"]) <= 60
    # In a school, all come from one address: the others may go on.
    assert log_in(client, "bo1").status_code == 401
    for number in range(16):
        assert log_in(client, f"user{number}").status_code == 401
    assert log_in(client, "another").status_code == 429


def test_registrations_are_limited_by_address(start):
    client, _ = start(NO_LIMITS | {"registration": "1/hour"})
    assert register(client, "ana").status_code == 201
    answer = register(client, "bo1")
    assert answer.status_code == 429
    assert int(answer.headers["retry-after"]) > 3500
    assert client.post("/register", data={"username": "bo1"}).status_code == 429


def test_recoveries_are_limited_by_user_known_or_not(start):
    client, app = start(NO_LIMITS | {"recovery": "1/hour"})
    register(client, "ana")
    for name in ("ana", "nobody"):
        assert forget(client, name).status_code == 202
        answer = forget(client, name.upper())
        assert (answer.status_code, "retry-after" in answer.headers) == (429, True)
    assert mailed(app).recipient == "ana@example.org"
    assert app.services.outbox.claim(lease_seconds=60) is None


def test_changes_of_password_are_limited(start):
    client, _ = start(NO_LIMITS | {"login": "2/minute"})
    register(client, "ana")
    ana = as_user(client, "ana")
    statuses = [
        change_password(client, ana, "wrong password", "another horse").status_code
        for _ in range(3)
    ]
    assert statuses == [401, 401, 429]


# Users


def test_an_administrator_lists_changes_and_disables_users(client, ana, admin):
    users = client.get("/v1/users", headers=admin).json()
    assert [user["username"] for user in users] == ["ana", "root"]
    assert "password" not in users[0]
    assert client.get("/v1/users?after=1&limit=1", headers=admin).json() == users[1:]
    assert client.get("/v1/users/1", headers=admin).json() == users[0]
    assert client.get("/v1/users/99", headers=admin).status_code == 404
    changed = client.patch("/v1/users/1", json={"disabled": True}, headers=admin)
    assert changed.json()["disabled"] is True
    assert client.get("/v1/users/me", headers=ana).status_code == 401
    assert log_in(client, "ana").status_code == 401
    client.patch("/v1/users/1", json={"disabled": False, "role": "admin"}, headers=admin)
    assert client.get("/v1/users", headers=as_user(client, "ana")).status_code == 200


def test_the_last_administrator_cannot_leave(client, admin):
    for change in ({"disabled": True}, {"role": "user"}):
        answer = client.patch("/v1/users/1", json=change, headers=admin)
        assert (answer.status_code, answer.json()["code"]) == (409, "conflict")


def test_users_see_and_change_only_themselves(client, ana):
    register(client, "bo1")
    for answer in (
        client.get("/v1/users", headers=ana),
        client.get("/v1/users/2", headers=ana),
        client.patch("/v1/users/1", json={"role": "admin"}, headers=ana),
    ):
        assert answer.status_code == 403
    assert client.patch("/v1/users/me", json={"language": "es"}, headers=ana).status_code == 200
    assert client.patch("/v1/users/me", json={"role": "admin"}, headers=ana).status_code == 422
    me = client.get("/v1/users/me", headers=ana).json()
    assert me["user"]["language"] == "es"
    assert me["scopes"] == ["read", "write"]


def test_the_owner_token_is_an_administrator_without_a_user(client, ana):
    owner = {"Authorization": f"Bearer {OWNER}"}
    assert client.get("/v1/users/me", headers=owner).json()["user"] is None
    assert client.get("/v1/users", headers=owner).status_code == 200
    assert client.get("/v1/users/me/api-keys", headers=owner).status_code == 403


# API keys


def test_an_api_key_is_shown_once_and_works_until_it_is_revoked(client, ana):
    made = client.post(
        "/v1/users/me/api-keys", json={"name": "my script", "scopes": ["read"]}, headers=ana
    )
    assert made.status_code == 201
    secret, key = made.json()["secret"], made.json()["key"]
    assert secret.startswith("kvasir_")
    for headers in ({"x-api-key": secret}, {"Authorization": f"Bearer {secret}"}):
        assert client.get("/v1/collections", headers=headers).status_code == 200
        # It may neither write nor make other keys.
        body = {"name": "mine"}
        assert client.post("/v1/collections", json=body, headers=headers).status_code == 403
        assert client.get("/v1/users/me/api-keys", headers=headers).status_code == 403
        body = {"name": "x", "scopes": ["read"]}
        answer = client.post("/v1/users/me/api-keys", json=body, headers=headers)
        assert answer.status_code == 403
    listed = client.get("/v1/users/me/api-keys", headers=ana)
    assert [each["id"] for each in listed.json()] == [key["id"]]
    assert secret not in listed.text
    assert client.delete(f"/v1/users/me/api-keys/{key['id']}", headers=ana).status_code == 204
    assert client.delete(f"/v1/users/me/api-keys/{key['id']}", headers=ana).status_code == 404
    assert client.get("/v1/collections", headers={"x-api-key": secret}).status_code == 401


@pytest.mark.parametrize("scope", ["answering", "admin"])
def test_a_user_gives_no_rights_of_an_administrator(client, ana, admin, scope):
    body = {"name": "key", "scopes": ["read", scope]}
    assert client.post("/v1/users/me/api-keys", json=body, headers=ana).status_code == 403
    assert client.post("/v1/users/me/api-keys", json=body, headers=admin).status_code == 201


def test_another_users_key_cannot_be_revoked(client, ana):
    body = {"name": "key", "scopes": ["read"]}
    key = client.post("/v1/users/me/api-keys", json=body, headers=ana).json()["key"]
    register(client, "bo1")
    bo = as_user(client, "bo1")
    assert client.delete(f"/v1/users/me/api-keys/{key['id']}", headers=bo).status_code == 404


# Rights on collections


def test_the_owner_of_a_collection_shares_it(client, ana):
    register(client, "bo1")
    bo = as_user(client, "bo1")
    assert client.post("/v1/collections", json={"name": "tea"}, headers=ana).status_code == 201
    assert client.post("/v1/collections", json={"name": "tea"}, headers=ana).status_code == 409
    assert client.post("/v1/collections", json={"name": "tea"}, headers=bo).status_code == 409
    path = "/v1/collections/tea/access"
    shown = client.get(path, headers=ana).json()
    assert shown == {
        "collection": "tea",
        "owner": "ana",
        "visibility": "private",
        "readers": [],
        "writers": [],
    }
    # A stranger learns nothing, a reader only that there is an owner.
    unknown = client.get("/v1/collections/other/access", headers=bo)
    assert client.get(path, headers=bo).status_code == unknown.status_code == 404
    body = {"visibility": "shared", "readers": ["bo@example.org", "bo1@example.org"]}
    assert client.put(path, json=body, headers=ana).status_code == 404
    body = {"visibility": "shared", "readers": ["bo1"]}
    assert client.put(path, json=body, headers=bo).status_code == 404
    assert client.put(path, json=body, headers=ana).json()["readers"] == ["bo1"]
    for answer in (client.get(path, headers=bo), client.put(path, json=body, headers=bo)):
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")


def test_a_collection_of_the_command_line_is_for_administrators_until_they_give_it_away(
    client, app, ana, admin
):
    with app.collection("course") as collection:
        collection.ingest(_upload())
    path = "/v1/collections/course/access"
    assert client.get(path, headers=ana).status_code == 404
    assert client.get("/v1/collections", headers=ana).json() == []
    assert client.get(path, headers=admin).json()["owner"] is None
    assert client.get("/v1/collections/none/access", headers=admin).status_code == 404
    body = {"name": "course"}
    assert client.post("/v1/collections", json=body, headers=ana).status_code == 409
    body = {"visibility": "private", "owner": "ana"}
    assert client.put(path, json=body, headers=ana).status_code == 404
    assert client.put(path, json=body, headers=admin).json()["owner"] == "ana"
    shown = client.get("/v1/collections", headers=ana).json()
    assert [each["name"] for each in shown] == ["course"]
    body = {"visibility": "public", "owner": "root"}
    assert client.put(path, json=body, headers=ana).status_code == 403


def _upload():
    return Source("upload:tea.txt", "text/plain"), b"Green tea is steeped for two minutes."


def _age_recoveries(app, seconds):
    """Let so much time pass for the temporary passwords."""
    engine = open_database(app.settings.database_url)
    with writing(engine) as connection:
        expires = recoveries.c.expires - seconds
        connection.execute(update(recoveries).values(expires=expires))
    engine.dispose()
