"""Users, API keys and rights on collections over HTTP."""

from urllib.parse import quote

import pytest
from account_client import OWNER, as_user, log_in, register

from kvasir.core.types import Source

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


@pytest.mark.parametrize("end", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
def test_an_api_key_ends_in_a_year_that_there_is(client, ana, end):
    body = {"name": "mine", "scopes": ["read"], "expires": end}
    assert client.post("/v1/users/me/api-keys", json=body, headers=ana).status_code == 400


def test_another_users_key_cannot_be_revoked(client, ana):
    body = {"name": "key", "scopes": ["read"]}
    key = client.post("/v1/users/me/api-keys", json=body, headers=ana).json()["key"]
    register(client, "bo1")
    bo = as_user(client, "bo1")
    assert client.delete(f"/v1/users/me/api-keys/{key['id']}", headers=bo).status_code == 404


# Rights on collections


@pytest.mark.parametrize("name", ["tea-1", "té", "茶"])
def test_the_address_of_a_new_collection_is_one(client, ana, name):
    made = client.post("/v1/collections", json={"name": name}, headers=ana)
    assert made.status_code == 201
    assert made.headers["Location"] == f"/v1/collections/{quote(name, safe='')}"


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


def test_an_administrator_takes_no_collection_by_making_it_again(client, app, ana, admin):
    client.post("/v1/collections", json={"name": "mine"}, headers=ana)
    with app.collection("mine") as collection:
        collection.ingest((Source("a.txt", "text/plain"), b"Tea is green."))
    again = client.post("/v1/collections", json={"name": "mine"}, headers=admin)
    assert (again.status_code, again.json()["code"]) == (409, "name_taken")
    assert client.get("/v1/collections/mine/access", headers=ana).json()["owner"] == "ana"


@pytest.mark.parametrize("uri", ["{outside}", "file://{outside}", "{inside}/../../outside"])
def test_a_copy_goes_to_no_folder_outside_of_the_data_folder(client, app, admin, tmp_path, uri):
    with app.collection("mine") as collection:
        collection.ingest((Source("a.txt", "text/plain"), b"Tea is green."))
    outside = tmp_path / "outside"
    to = {"type": "chroma", "uri": uri.format(outside=outside, inside=tmp_path / "kvasir-data")}
    refused = client.post("/v1/collections/mine/copy", json={"to": to}, headers=admin)
    assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
    assert not outside.exists()


@pytest.mark.parametrize(
    "name", ["{folder}/model", "near/model", "../other", "~/model", "C:\\model", "\\\\host\\share"]
)
def test_no_administrator_of_a_server_makes_it_open_a_folder(client, app, admin, tmp_path, name):
    with app.collection("mine") as collection:
        collection.ingest((Source("a.txt", "text/plain"), b"Tea is green."))
        before = collection.record()
        (tmp_path / "near/model").mkdir(parents=True)
        path, body = "/v1/collections/mine/model", {"name": name.format(folder=tmp_path)}
        refused = client.post(path, json=body, headers=admin)
        assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
        assert "OWNER/MODEL on the hub" in refused.json()["detail"]
        assert collection.record() == before
        owner = {"Authorization": f"Bearer {OWNER}"}
        assert client.post(path, json=body, headers=owner).status_code == 200
        # The fake model has one name for all.
        body = {"name": "acme/model"}
        assert client.post(path, json=body, headers=admin).status_code == 200


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
