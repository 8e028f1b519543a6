"""Who may register over HTTP."""

import pytest
from account_client import PASSWORD, as_user, register
from fastapi.testclient import TestClient

from kvasir.core.services.accounts import Role
from kvasir.frontends.api.application import make_application
from kvasir.frontends.api.registration import first_admin_link

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
