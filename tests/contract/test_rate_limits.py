"""Rate limits count in memory and in Redis alike."""

import os
import socket
from uuid import uuid4

import pytest

from kvasir.accounts.rate_limits import WindowRateLimits
from kvasir.core.errors import ComponentError, MissingExtraError, RateLimitedError, SettingsError
from kvasir.core.services.rate_limits import LimitedAction

LOGIN, RECOVERY = LimitedAction.LOGIN, LimitedAction.RECOVERY
REDIS = os.environ.get("KVASIR_TEST_REDIS", "redis://127.0.0.1:6379/0")


@pytest.fixture(params=["memory", "redis"])
def storage(request):
    if request.param == "memory":
        return "memory://"
    redis = pytest.importorskip("redis")
    try:
        redis.from_url(REDIS).ping()
    except redis.ConnectionError as error:
        message = f"no Redis answers at {REDIS}: {error}"
        if os.environ.get("CI") or os.environ.get("KVASIR_TEST_EVERYTHING"):
            pytest.fail(message)
        pytest.skip(message)
    return REDIS


@pytest.fixture
def me():
    """A key that no other run has used."""
    return f"user {uuid4()}"


def test_one_more_than_allowed_is_refused_with_the_time_to_wait(storage, me):
    limits = WindowRateLimits({LOGIN: "3/minute"}, storage)
    for _ in range(3):
        limits.hit(LOGIN, me)
    with pytest.raises(RateLimitedError, match=r"wait [56]\d seconds") as refused:
        limits.hit(LOGIN, me)
    assert 50 < refused.value.retry_after <= 60


def test_keys_and_actions_are_counted_apart(storage, me):
    limits = WindowRateLimits({LOGIN: "1/minute", RECOVERY: "1/minute"}, storage)
    limits.hit(LOGIN, me)
    limits.hit(LOGIN, f"{me}2")
    limits.hit(RECOVERY, me)
    with pytest.raises(RateLimitedError):
        limits.hit(LOGIN, me)


def test_every_one_of_several_limits_holds(storage, me):
    limits = WindowRateLimits({LOGIN: "5/second; 2/hour"}, storage)
    limits.hit(LOGIN, me)
    limits.hit(LOGIN, me)
    with pytest.raises(RateLimitedError) as refused:
        limits.hit(LOGIN, me)
    assert refused.value.retry_after > 3000


def test_a_key_may_be_allowed_a_multiple(storage, me):
    limits = WindowRateLimits({LOGIN: "1/minute"}, storage)
    for _ in range(3):
        limits.hit(LOGIN, me, times=3)
    with pytest.raises(RateLimitedError):
        limits.hit(LOGIN, me, times=3)


def test_no_limit_is_no_limit(storage, me):
    limits = WindowRateLimits({LOGIN: " "}, storage)
    for _ in range(100):
        limits.hit(LOGIN, me)
        limits.hit(RECOVERY, me)


def test_the_time_is_over_when_the_window_has_passed(storage, me):
    limits = WindowRateLimits({LOGIN: "1/second"}, storage)
    limits.hit(LOGIN, me)
    with pytest.raises(RateLimitedError):
        limits.hit(LOGIN, me)
    deadline = socket.create_server(("127.0.0.1", 0))
    deadline.settimeout(1.05)
    with deadline, pytest.raises(TimeoutError):
        deadline.accept()
    limits.hit(LOGIN, me)


def test_two_servers_share_the_limits_of_redis(me):
    pytest.importorskip("redis")
    first, second = (WindowRateLimits({LOGIN: "1/minute"}, REDIS) for _ in range(2))
    first.hit(LOGIN, me)
    with pytest.raises(RateLimitedError):
        second.hit(LOGIN, me)


@pytest.mark.parametrize(
    ("limits", "storage", "what"),
    [
        ({LOGIN: "often"}, "memory://", "accounts.rate_limits.login"),
        ({LOGIN: "1/fortnight"}, "memory://", "accounts.rate_limits.login"),
        ({}, "memcached://127.0.0.1", "accounts.rate_limits.storage"),
        ({}, "redis://127.0.0.1:port", "accounts.rate_limits.storage"),
    ],
)
def test_unusable_limits_are_one_sentence_that_names_the_setting(limits, storage, what):
    with pytest.raises(SettingsError, match=what):
        WindowRateLimits(limits, storage)


def test_a_redis_that_does_not_answer_refuses_and_shows_no_password():
    pytest.importorskip("redis")
    limits = WindowRateLimits({LOGIN: "1/minute"}, "redis://:hush@127.0.0.1:1")
    with pytest.raises(ComponentError) as failed:
        limits.hit(LOGIN, "me")
    assert failed.value.code == "component_unreachable"
    assert "hush" not in str(failed.value)


def test_a_missing_client_names_the_extra(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "redis", None)
    with pytest.raises(MissingExtraError, match="extra 'redis'"):
        WindowRateLimits({LOGIN: "1/minute"}, REDIS)
