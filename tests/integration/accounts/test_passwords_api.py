"""Passwords over HTTP: login, recovery, change, and the limits of attempts."""

import stat
import statistics
import time

import pytest
from account_client import (
    NO_LIMITS,
    OWNER,
    PASSWORD,
    as_user,
    change_password,
    forget,
    log_in,
    mailed,
    register,
)
from fastapi.testclient import TestClient
from sqlalchemy import update

from kvasir.accounts.tables import recoveries
from kvasir.core.errors import SettingsError
from kvasir.database import open_database, writing

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


def test_only_the_user_of_the_server_may_read_the_accounts(client, app, ana):
    paths = [
        *app.settings.data_folder.glob("service.db*"),
        app.settings.data_folder / "signing.key",
    ]
    assert len(paths) >= 2
    assert {stat.S_IMODE(path.stat().st_mode) for path in paths} == {0o600}


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


@pytest.mark.parametrize(("language", "word"), [("es", "no envía correo"), ("en", "no mail")])
def test_a_server_that_sends_no_mail_says_so_to_everybody_alike(start, language, word):
    client, app = start(host=None)
    register(client, "ana")
    known, unknown = (forget(client, name, language) for name in ("ana", "nobody"))
    assert (known.status_code, known.json()) == (unknown.status_code, unknown.json())
    assert word in known.json()["message"]
    assert app.services.outbox.waiting() == 0
    assert log_in(client, "ana").status_code == 200


def test_a_password_is_not_replaced_where_no_mail_is_sent(start):
    _, app = start(host=None, recovery_replace_immediately=True)
    with pytest.raises(SettingsError, match=r"mail\.host"):
        app.services.check()


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
    for number in range(17):
        assert log_in(client, f"user{number}").status_code == 401
    assert log_in(client, "another").status_code == 429


@pytest.mark.parametrize("spelling", ["ＡＮＡ", "  ana\t", "Ana", "ａna\u3000"])
def test_no_spelling_of_a_name_gets_more_attempts(start, spelling):
    client, app = start(NO_LIMITS | {"login": "2/minute", "recovery": "2/hour"})
    register(client, "ana")
    assert app.services.accounts.user(spelling).username == "ana"
    for _ in range(2):
        assert log_in(client, "ana", "wrong").status_code == 401
        assert forget(client, "ana").status_code == 202
    assert log_in(client, spelling, "wrong").status_code == 429
    assert forget(client, spelling).status_code == 429


def test_a_name_that_is_longer_than_any_is_refused(start):
    client, _ = start()
    assert log_in(client, "a" * 254, "wrong").status_code == 401
    assert log_in(client, "ana" + " " * 300, "wrong").status_code == 400


def test_attempts_from_one_address_lock_a_user_out_nowhere_else(start):
    client, _ = start(NO_LIMITS | {"login": "2/minute"})
    register(client, "ana")
    for _ in range(40):
        log_in(client, "ana", "wrong")
    assert log_in(client, "ana").status_code == 429
    elsewhere = TestClient(client.app, client=("192.0.2.7", 5000))
    assert log_in(elsewhere, "ana").status_code == 200


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


def _age_recoveries(app, seconds):
    """Let so much time pass for the temporary passwords."""
    engine = open_database(app.settings.database_url)
    with writing(engine) as connection:
        expires = recoveries.c.expires - seconds
        connection.execute(update(recoveries).values(expires=expires))
    engine.dispose()
