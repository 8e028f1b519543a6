"""Rate limits count in memory and in Redis alike."""

import os
import sys
import time
from uuid import uuid4

import pytest

from kvasir.accounts.rate_limits import WindowRateLimits
from kvasir.core.errors import ComponentError, MissingExtraError, RateLimitedError, SettingsError
from kvasir.core.services.rate_limits import LimitedAction

LOGIN, RECOVERY = LimitedAction.LOGIN, LimitedAction.RECOVERY
REDIS = os.environ.get("KVASIR_TEST_REDIS", "redis://127.0.0.1:6379/0")


@pytest.fixture
def redis_url():
    redis = pytest.importorskip("redis")
    try:
        redis.from_url(REDIS).ping()
    except redis.ConnectionError as error:
        message = f"no Redis answers at {REDIS}: {error}"
        if os.environ.get("CI") or os.environ.get("KVASIR_TEST_EVERYTHING"):
            pytest.fail(message)
        pytest.skip(message)
    return REDIS


@pytest.fixture(params=["memory", "redis"])
def storage(request):
    return "memory://" if request.param == "memory" else request.getfixturevalue("redis_url")


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


def test_after_the_window_it_is_allowed_again(me):
    limits = WindowRateLimits({LOGIN: "1/second"})
    limits.hit(LOGIN, me)
    with pytest.raises(RateLimitedError) as refused:
        limits.hit(LOGIN, me)
    time.sleep(refused.value.retry_after + 0.05)
    limits.hit(LOGIN, me)


def test_two_servers_share_the_limits_of_redis(redis_url, me):
    first, second = (WindowRateLimits({LOGIN: "1/minute"}, redis_url) for _ in range(2))
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
    monkeypatch.setitem(sys.modules, "redis", None)
    with pytest.raises(MissingExtraError, match="extra 'redis'"):
        WindowRateLimits({LOGIN: "1/minute"}, REDIS)
