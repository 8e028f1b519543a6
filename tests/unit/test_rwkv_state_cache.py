"""States on disk: exact prefixes, three precisions, a budget, and use by several processes."""

import os
import stat
import threading
import time

import pytest
from libraries import library
from small_rwkv import one_thread, random_model, random_tokens

torch = library("torch", extra="torch")
state_cache = library("kvasir.rwkv.state_cache", "torch", extra="torch")


@pytest.fixture(scope="module", autouse=True)
def on_one_thread():
    with one_thread():
        yield


@pytest.fixture(scope="module", params=[6, 7])
def model(request):
    return random_model(request.param, layers=3)


@pytest.fixture(scope="module")
def state(model):
    return model.read(torch.tensor([random_tokens(200)]))[1]


def key_of(number):
    return f"{number:064x}"


@pytest.mark.parametrize(
    ("precision", "part", "error"), [("f32", 1.0, 0.0), ("f16", 0.5, 1e-3), ("int8", 0.25, 8e-3)]
)
def test_a_state_comes_back_in_the_precision_of_the_cache(tmp_path, state, precision, part, error):
    cache = state_cache.StateCache(tmp_path, 1 << 30, precision)
    cache.put(key_of(1), state)
    found = cache.get(key_of(1))
    assert torch.equal(found.shift, state.shift)
    largest = state.wkv.abs().amax((3, 4), keepdim=True)
    assert ((found.wkv - state.wkv).abs() <= error * largest).all()
    only_rounded = state_cache.StateCache(None, 0, precision).put(key_of(1), state)
    assert torch.equal(found.wkv, only_rounded.wkv)
    assert cache.used < part * state.nbytes + 10_000
    assert found.wkv.dtype == torch.float32


def test_a_zero_state_comes_back(tmp_path, model):
    for precision in state_cache.PRECISIONS:
        cache = state_cache.StateCache(tmp_path / precision, 1 << 30, precision)
        cache.put(key_of(1), model.zero_state())
        assert not cache.get(key_of(1)).wkv.any()


def test_keys_are_those_of_the_whole_prefix():
    keys = state_cache.prefix_keys("model", [[1, 2], [3], [4, 5]])
    assert len(set(keys)) == 3
    assert state_cache.prefix_keys("model", [[1, 2], [3]]) == keys[:2]
    others = [("other", [[1, 2]]), ("model", [[2, 1]]), ("model", [[1], [2]]), ("model", [[1]])]
    for start, segments in others:
        assert not set(state_cache.prefix_keys(start, segments)) & set(keys)


def test_the_longest_prefix_is_found(tmp_path, model):
    cache = state_cache.StateCache(tmp_path, 1 << 30)
    keys = state_cache.prefix_keys("model", [[1], [2], [3]])
    assert cache.longest(keys) == (0, None)
    assert cache.longest([]) == (0, None)
    cache.put(keys[0], model.zero_state())
    cache.put(keys[1], model.zero_state())
    count, found = cache.longest(keys)
    assert count == 2
    assert found is not None
    assert (cache.hits, cache.misses) == (1, 2)


def test_the_least_recently_used_states_are_deleted_first(tmp_path, state):
    one = state_cache.StateCache(tmp_path / "one", 1 << 30)
    one.put(key_of(0), state)
    size = one.used
    cache = state_cache.StateCache(tmp_path / "many", 10 * size + 10)
    for number in range(10):
        cache.put(key_of(number), state)
        path = cache._path(key_of(number))
        os.utime(path, ns=(number, number))  # Written long ago, in this order.
    assert cache.used == 10 * size
    assert cache.get(key_of(0)) is not None  # Used now.
    cache.put(key_of(10), state)
    assert cache.used <= 10 * size
    assert cache.get(key_of(0)) is not None
    assert cache.get(key_of(10)) is not None
    assert cache.get(key_of(1)) is None


def test_a_state_larger_than_the_budget_is_not_kept(tmp_path, state):
    cache = state_cache.StateCache(tmp_path, 1000)
    cache.put(key_of(1), state)
    assert cache.used == 0
    assert cache.get(key_of(1)) is None


def test_the_budget_counts_what_other_processes_wrote(tmp_path, state):
    first = state_cache.StateCache(tmp_path, 1 << 30)
    for number in range(5):
        first.put(key_of(number), state)
    budget = first.used
    second = state_cache.StateCache(tmp_path, budget)
    second.put(key_of(9), state)
    assert second.used <= budget
    assert second.get(key_of(9)) is not None


def test_caches_of_several_processes_keep_one_budget_together(tmp_path, state):
    probe = state_cache.StateCache(tmp_path / "probe", 1 << 30)
    probe.put(key_of(0), state)
    budget = 20 * probe.used
    caches = [state_cache.StateCache(tmp_path / "shared", budget) for _ in range(4)]
    largest = 0
    for number in range(80):
        caches[number % 4].put(key_of(number), state)
        largest = max(largest, caches[0].used)
    assert budget / 2 < largest <= budget * 1.2


def test_a_state_of_another_precision_is_another_state(tmp_path, state):
    caches = [state_cache.StateCache(tmp_path, 1 << 30, p) for p in state_cache.PRECISIONS]
    keys = state_cache.prefix_keys("model", [[1]])
    caches[2].put(keys[0], state)
    assert caches[0].longest(keys) == caches[1].longest(keys) == (0, None)
    for cache in caches:
        cache.put(keys[0], state)
    assert torch.equal(caches[0].get(keys[0]).wkv, state.wkv)


def test_a_damaged_or_strange_file_is_a_miss_and_is_replaced(tmp_path, state):
    cache = state_cache.StateCache(tmp_path, 1 << 30)
    for damage in (b"", b"not a state", None):
        cache.put(key_of(1), state)
        path = cache._path(key_of(1))
        data = path.read_bytes()
        path.write_bytes(data[:-100] if damage is None else damage)
        assert cache.get(key_of(1)) is None
        assert not path.exists()
    cache.put(key_of(1), state)
    assert cache.get(key_of(1)) is not None


def test_states_can_be_read_by_their_user_only(tmp_path, state):
    cache = state_cache.StateCache(tmp_path / "states", 1 << 30)
    cache.put(key_of(1), state)
    path = cache._path(key_of(1))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "states").stat().st_mode) == 0o700


def test_threads_that_write_read_and_make_room_do_not_disturb_each_other(tmp_path, state):
    size = 0
    probe = state_cache.StateCache(tmp_path / "probe", 1 << 30)
    probe.put(key_of(0), state)
    size = probe.used
    failures = []

    def work(start):
        cache = state_cache.StateCache(tmp_path / "shared", 8 * size)
        try:
            for number in range(40):
                cache.put(key_of((start * 7 + number) % 20), state)
                found = cache.get(key_of((start + number * 3) % 20))
                if found is not None and not torch.equal(found.shift, state.shift):
                    failures.append("another state")
        except OSError as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    last = state_cache.StateCache(tmp_path / "shared", 8 * size)
    last.put(key_of(99), state)
    assert last.used <= 8 * size
    assert not list((tmp_path / "shared").rglob("tmp*"))


def test_clearing_deletes_all(tmp_path, state):
    cache = state_cache.StateCache(tmp_path, 1 << 30)
    cache.put(key_of(1), state)
    cache.clear()
    assert cache.used == 0
    assert cache.get(key_of(1)) is None


def test_using_a_state_renews_it(tmp_path, state):
    cache = state_cache.StateCache(tmp_path, 1 << 30)
    cache.put(key_of(1), state)
    path = cache._path(key_of(1))
    os.utime(path, (1, 1))
    cache.get(key_of(1))
    assert path.stat().st_mtime > time.time() - 3600
