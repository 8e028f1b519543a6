"""Tokens are signed with one algorithm and refused if anything about them is different."""

import base64
import json
from datetime import UTC, datetime, timedelta

import jwt
import pytest

from kvasir.accounts.tokens import Claims, Tokens
from kvasir.core.errors import NotAuthenticatedError

KEY = "0f4c2b1d9e8a7766554433221100ffee"
LATER = datetime.now(UTC) + timedelta(hours=1)
CLAIMS = {"sub": "7", "jti": "x", "ver": 3, "exp": LATER}


@pytest.fixture
def tokens():
    return Tokens(KEY, minutes=5)


def unsigned(claims):
    def part(value):
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    written = claims | {"exp": int(LATER.timestamp())}
    return f"{part({'alg': 'none', 'typ': 'JWT'})}.{part(written)}."


def test_a_token_has_the_claims_of_the_reference_and_no_secret(tokens):
    login = tokens.issue(7, 3)
    claims = jwt.decode(login.access_token, KEY, algorithms=["HS256"])
    assert set(claims) == {"sub", "jti", "ver", "exp"}
    assert (claims["sub"], claims["ver"]) == ("7", 3)
    assert claims["exp"] == login.expires.timestamp()
    assert tokens.issue(7, 3).access_token != login.access_token
    expires = login.expires.timestamp()
    read = tokens.read(login.access_token)
    assert read == Claims(7, 3, must_change_password=False, expires=expires)


def test_a_token_of_a_temporary_password_says_so(tokens):
    login = tokens.issue(7, 3, must_change_password_minutes=1)
    assert login.must_change_password
    assert tokens.read(login.access_token).must_change_password


DIFFERENT = {
    "unsigned": lambda: unsigned(CLAIMS),
    "another key": lambda: jwt.encode(CLAIMS, KEY[::-1], "HS256"),
    "another algorithm": lambda: jwt.encode(CLAIMS, KEY * 2, "HS512"),
    "expired": lambda: jwt.encode(CLAIMS | {"exp": LATER - timedelta(hours=2)}, KEY, "HS256"),
    **{
        f"without {lacking}": lambda lacking=lacking: jwt.encode(
            {key: value for key, value in CLAIMS.items() if key != lacking}, KEY, "HS256"
        )
        for lacking in CLAIMS
    },
    "a user that is no number": lambda: jwt.encode(CLAIMS | {"sub": "seven"}, KEY, "HS256"),
    "no version": lambda: jwt.encode(CLAIMS | {"ver": None}, KEY, "HS256"),
    "long": lambda: "x" * 100_000,
}


@pytest.mark.parametrize("difference", DIFFERENT)
def test_a_token_that_differs_in_anything_is_refused(tokens, difference):
    with pytest.raises(NotAuthenticatedError):
        tokens.read(DIFFERENT[difference]())


def test_a_changed_payload_is_refused(tokens):
    head, _, mark = tokens.issue(7, 3).access_token.split(".")
    _, other, _ = tokens.issue(8, 3).access_token.split(".")
    with pytest.raises(NotAuthenticatedError):
        tokens.read(f"{head}.{other}.{mark}")
