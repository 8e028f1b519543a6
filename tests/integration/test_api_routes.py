"""Every route x every kind of caller x every way to carry a credential."""

import itertools
from datetime import UTC, datetime, timedelta

import jwt
import pytest
from fastapi.routing import iter_route_contexts
from route_table import (
    ADMIN,
    ANSWERING,
    LOGGED_IN,
    METRICS,
    OPEN,
    OPTIONAL,
    READ,
    ROUTES,
    SIGNED_IN,
    WRITE,
)
from service_client import (
    TEA,
    documents,
    make_admin,
    make_collection,
    make_settings,
    running,
    sign_up,
    upload,
)

from kvasir.accounts.signing import signing_key
from kvasir.core.services.accounts import Scope
from kvasir.frontends.api.callers import SESSION_COOKIE

USERS = {"ana", "bob", "root"}
KEYS = {"read key", "write key", "answering key", "admin key"}
MAY = {
    OPEN: USERS | KEYS,
    OPTIONAL: USERS | KEYS,
    SIGNED_IN: USERS | KEYS,
    LOGGED_IN: USERS,
    READ: USERS | {"read key", "write key", "admin key"},
    WRITE: USERS | {"write key", "admin key"},
    ANSWERING: {"root", "answering key", "admin key"},
    ADMIN: {"root", "admin key"},
    METRICS: {"root", "admin key"},
}
"""Who may call the routes of a rule."""
OF_ANA = {"ana", "root", "read key", "write key", "admin key"}
"""Who sees what is Ana's: the first two keys are hers."""
REFUSED = {"disabled user", "expired token", "revoked key", "malformed token"}


class World:
    """A server, its callers, and something of Ana's."""

    def __init__(self, client, app):
        self.client, self.app = client, app
        self.tokens = {name: self._token(sign_up(client, name)) for name in ("ana", "bob", "eve")}
        self.tokens["root"] = self._token(make_admin(client, app))
        accounts = app.services.accounts
        self.ids = {name: accounts.user(name).id for name in self.tokens}
        for scope, owner in (("read", "ana"), ("write", "ana"), ("answering", "root")):
            self.tokens[f"{scope} key"] = self._key(owner, scope)
        self.tokens["admin key"] = self._key("root", "admin")
        self.tokens["revoked key"] = self._key("ana", "read", revoke=True)
        accounts.change_user(self.ids["eve"], disabled=True)
        self.tokens["disabled user"] = self.tokens.pop("eve")
        self.tokens["expired token"] = self._expired()
        self.tokens["malformed token"] = "x.y.z"
        ana = self.bearer("ana")
        place = make_collection(client, ana, "ana-course")
        job = upload(client, ana, place, "tea.md", TEA)
        (record,) = documents(client, ana, place)
        question = {"question": "How hot is green tea?"}
        answer = client.post(f"{place}/answers", json=question, headers=ana)
        self.values = {
            "collection": "ana-course",
            "document": record["id"],
            "job": job["id"],
            "ana": self.ids["ana"],
            "answer": answer.headers["Kvasir-Answer"],
        }
        asked = client.post("/v1/questions", json={"input": "How hot?"}, headers=ana)
        self.values["question"] = asked.json()["id"]
        self._numbers = itertools.count()

    def _token(self, headers):
        return headers["Authorization"].removeprefix("Bearer ")

    def _key(self, owner, scope, *, revoke=False):
        accounts, user_id = self.app.services.accounts, self.ids[owner]
        key, secret = accounts.create_api_key(user_id, scope, {Scope(scope)})
        if revoke:
            accounts.revoke_api_key(user_id, key.id)
        return secret

    def _expired(self):
        key = signing_key(None, self.app.settings.data_folder)
        claims = jwt.decode(self.tokens["ana"], key, algorithms=["HS256"])
        claims["exp"] = datetime.now(UTC) - timedelta(minutes=5)
        return jwt.encode(claims, key, algorithm="HS256")

    def bearer(self, caller):
        return {"Authorization": f"Bearer {self.tokens[caller]}"}

    def call(self, route, headers, params=None):
        """Send a route's request."""
        method, path = route
        rule = ROUTES[route]
        values = dict(self.values)
        if "{spare}" in rule.path.values():
            values["spare"] = f"spare-{next(self._numbers)}"
            make_collection(self.client, self.bearer("ana"), values["spare"])
        filled = {key: str(value).format(**values) for key, value in rule.path.items()}
        request = dict(rule.request)
        if params:
            request["params"] = request.get("params", {}) | params
        plain = path.replace(":path", "").format(**filled)
        return self.client.request(
            method, plain, headers=headers, follow_redirects=False, **request
        )


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    questions = {"collection": "ana-course"}
    settings = make_settings(tmp_path_factory.mktemp("routes"), questions=questions)
    with running(settings) as (client, app):
        yield World(client, app)


def check_allowed(answer, rule):
    if rule.allowed:
        assert answer.status_code in rule.allowed, answer.text
    else:
        assert 200 <= answer.status_code < 300, answer.text


def check_refused(answer, status, rule):
    assert answer.status_code == status, answer.text
    assert answer.headers["X-Request-ID"]
    if rule.page:
        assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
        return
    if "error" in answer.json():
        # The form of OpenAI's clients.
        assert answer.json()["error"].keys() >= {"message", "type", "code"}
        return
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json()["request_id"] == answer.headers["X-Request-ID"]


def check_sent_to_sign_in(answer):
    assert answer.status_code == 303, answer.text
    assert answer.headers["Location"].startswith("/sign-in")


def test_every_route_has_a_rule(world):
    found = set()
    for route in iter_route_contexts(world.client.app.routes):
        for method in (route.methods or {"*"}) - {"HEAD"}:
            found.add((method, route.path))
    assert found == set(ROUTES), "add the new routes to tests/support/route_table.py"


@pytest.mark.parametrize("route", ROUTES, ids=" ".join)
def test_a_route_answers_those_who_may_and_nobody_else(world, route):
    rule = ROUTES[route]
    for caller in sorted(USERS | KEYS):
        token = world.tokens[caller]
        for headers in ({"Authorization": f"Bearer {token}"}, {"X-API-Key": token}):
            answer = world.call(route, headers)
            context = f"{caller} by {next(iter(headers))}"
            if caller not in MAY[rule.who]:
                check_refused(answer, 403, rule)
            elif rule.own and caller not in OF_ANA:
                assert answer.status_code == 404, f"{context}: {answer.text}"
            else:
                check_allowed(answer, rule)


@pytest.mark.parametrize("route", ROUTES, ids=" ".join)
def test_a_route_refuses_what_is_no_valid_credential(world, route):
    rule = ROUTES[route]
    ana, bob = world.tokens["ana"], world.tokens["bob"]
    bad = [{}, {"Authorization": "Bearer "}, {"Authorization": "Basic YTpi"}, {"X-API-Key": ""}]
    for caller in sorted(REFUSED):
        token = world.tokens[caller]
        bad += [{"Authorization": f"Bearer {token}"}, {"X-API-Key": token}]
    # Of two different credentials none counts, whichever comes first.
    bad += [{"Authorization": f"Bearer {ana}", "X-API-Key": bob}]
    bad += [{"Authorization": f"Bearer {world.tokens['expired token']}", "X-API-Key": ana}]
    for headers in bad:
        answer = world.call(route, headers)
        if rule.who == OPEN or (rule.who == OPTIONAL and not headers):
            check_allowed(answer, rule)
        elif rule.page and not headers:
            check_sent_to_sign_in(answer)
        else:
            check_refused(answer, 401, rule)
            assert answer.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize("route", ROUTES, ids=" ".join)
def test_a_credential_in_both_headers_is_one(world, route):
    rule = ROUTES[route]
    if "root" in MAY[rule.who]:
        token = world.tokens["root"]
        both = {"Authorization": f"Bearer {token}", "X-API-Key": token}
        check_allowed(world.call(route, both), rule)


@pytest.mark.parametrize("name", ["token", "access_token", "api_key", "key", "X-API-Key"])
@pytest.mark.parametrize("route", ROUTES, ids=" ".join)
def test_a_credential_in_the_address_is_refused(world, route, name):
    rule = ROUTES[route]
    if rule.who != OPEN:
        token = world.tokens["ana"]
        for headers in ({}, world.bearer("ana")):
            answer = world.call(route, headers, {name: token})
            assert answer.status_code == 400, answer.text
            assert token not in answer.text


@pytest.mark.parametrize("route", ROUTES, ids=" ".join)
def test_a_cookie_is_a_credential_for_pages_only(world, route):
    rule = ROUTES[route]
    if rule.who in (OPEN, OPTIONAL):
        return
    for caller, token in world.tokens.items():
        cookie = {"Cookie": f"token={token}; session={token}; {SESSION_COOKIE}={token}"}
        answer = world.call(route, cookie)
        if not rule.page:
            check_refused(answer, 401, rule)
        elif caller not in USERS:
            # Neither an API key nor what is valid nowhere.
            check_sent_to_sign_in(answer)
        elif rule.own and caller not in OF_ANA:
            check_refused(answer, 404, rule)
        else:
            check_allowed(answer, rule)


@pytest.mark.parametrize("route", [each for each in ROUTES if ROUTES[each].page], ids=" ".join)
def test_a_cookie_saves_no_header_that_is_not_valid(world, route):
    cookie = {"Cookie": f"{SESSION_COOKIE}={world.tokens['ana']}"}
    for bad in ({"Authorization": "Bearer x.y.z"}, {"X-API-Key": world.tokens["revoked key"]}):
        check_refused(world.call(route, cookie | bad), 401, ROUTES[route])
