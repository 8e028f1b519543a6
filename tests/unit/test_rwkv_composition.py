"""States of passages that were read apart are composed: what of it is exact, and what is kept."""

import itertools

import pytest
from libraries import library
from small_rwkv import one_thread, random_model, random_tokens

from kvasir.core.types import Chunk, Hit

torch = library("torch", extra="torch")
composition = library("kvasir.rwkv.composition", "torch", extra="torch")
state_cache = library("kvasir.rwkv.state_cache", "torch", extra="torch")
states = library("kvasir.rwkv.state", "torch", extra="torch")

BEGINNING = random_tokens(20, seed=1)
PASSAGES = [random_tokens(length, seed=length) for length in (70, 25, 41)]


@pytest.fixture(scope="module", autouse=True)
def on_one_thread():
    with one_thread():
        yield


@pytest.fixture(params=[6, 7])
def model(request):
    return random_model(request.param)


def read(model, tokens, state=None):
    with torch.inference_mode():
        return model.read(torch.tensor([tokens]), state)[1]


def changes(model, start, passages=PASSAGES):
    before = composition.with_transition(start)
    return [composition.change_of(read(model, passage, before)) for passage in passages]


def test_a_passage_is_read_as_without_its_transition(model):
    start = read(model, BEGINNING)
    for passage, change in zip(PASSAGES, changes(model, start), strict=True):
        expected = read(model, passage, start)
        torch.testing.assert_close(change.after.wkv, expected.wkv, atol=1e-4, rtol=0)
        torch.testing.assert_close(change.after.shift, expected.shift, atol=1e-4, rtol=0)
    composed = composition.composed(start, changes(model, start)[:1])
    expected = read(model, PASSAGES[0], start)
    torch.testing.assert_close(composed.wkv, expected.wkv, atol=1e-4, rtol=0)


@pytest.mark.parametrize("chunk", [1, 16])
def test_the_first_layer_changes_any_state_as_the_transition_says(model, chunk):
    start, other = read(model, BEGINNING), read(model, PASSAGES[1])
    with torch.inference_mode():
        before = composition.with_transition(start)
        tokens = torch.tensor([PASSAGES[2]])
        change = composition.change_of(model.read(tokens, before, chunk=chunk)[1])
        # The last inputs also decide what a passage does.
        changed = model.read(tokens, states.State(start.shift, other.wkv), chunk=chunk)[1]
    expected = (other.wkv - start.wkv) @ change.transition + change.after.wkv
    torch.testing.assert_close(changed.wkv[0], expected[0], atol=1e-4, rtol=1e-4)
    assert (changed.wkv[1:] - expected[1:]).abs().max() > 1e-3  # Later layers are approximate.


def test_no_order_of_two_passages_is_favoured(model):
    start = read(model, BEGINNING)
    found = changes(model, start)
    for first, second in itertools.combinations(found, 2):
        one = composition.composed(start, [first, second])
        other = composition.composed(start, [second, first])
        torch.testing.assert_close(one.wkv, other.wkv)
        torch.testing.assert_close(one.shift, other.shift)
    rotated = composition.composed(start, [*found[1:], found[0]])
    torch.testing.assert_close(rotated.wkv, composition.composed(start, found).wkv)


def test_a_composed_state_is_nearer_to_reading_in_sequence_than_any_single_passage(model):
    start = read(model, BEGINNING)
    whole = read(model, PASSAGES[0] + PASSAGES[1], start)
    found = changes(model, start)[:2]
    composed = composition.composed(start, found)
    error = (composed.wkv - whole.wkv).norm()
    assert error < (found[0].after.wkv - whole.wkv).norm()
    assert error < (found[1].after.wkv - whole.wkv).norm()


def test_kept_passages_are_not_read_again_whichever_come_together(model, tmp_path):
    cache = state_cache.StateCache(tmp_path, 100 << 20, "f32")
    reader = composition.PassageReader(model, model.zero_state(), cache, "model")
    without = composition.PassageReader(
        model, model.zero_state(), state_cache.StateCache(None, 0, "f32"), "model"
    )
    lengths = [len(passage) for passage in PASSAGES]
    reader.read(BEGINNING, PASSAGES[:2])
    assert (cache.kept_tokens, cache.read_tokens) == (0, len(BEGINNING) + sum(lengths[:2]))
    reader.read(BEGINNING, PASSAGES[::-1])
    assert cache.kept_tokens == len(BEGINNING) + sum(lengths[:2])
    assert cache.read_tokens == len(BEGINNING) + sum(lengths)
    again = reader.read(BEGINNING, [PASSAGES[2], PASSAGES[0]])
    assert cache.read_tokens == len(BEGINNING) + sum(lengths)
    expected = without.read(BEGINNING, [PASSAGES[2], PASSAGES[0]])
    torch.testing.assert_close(again.wkv, expected.wkv, atol=1e-4, rtol=0)
    torch.testing.assert_close(again.shift, expected.shift, atol=1e-4, rtol=0)
    for path in tmp_path.rglob("*.state"):
        path.unlink()
    reader.read(BEGINNING, PASSAGES)
    assert cache.read_tokens == 2 * (len(BEGINNING) + sum(lengths))


def test_a_passage_has_the_same_number_whichever_others_come_with_it():
    hits = [Hit(Chunk(f"{n}", "document", "text", 0, 4), 1.0, 1.0, None) for n in range(900)]
    alone = [composition.passage_numbers([hit])[0] for hit in hits]
    assert min(alone) == 1
    assert max(alone) == 99
    first, second = (alone.index(number) for number in (7, 8))
    assert composition.passage_numbers([hits[first], hits[second]]) == [7, 8]
    assert composition.passage_numbers([hits[second], hits[first]]) == [8, 7]
    same = [hit for hit, number in zip(hits, alone, strict=True) if number == 99][:2]
    assert composition.passage_numbers(same) == [99, 1]
    numbers = composition.passage_numbers(hits)
    assert sorted(numbers) == list(range(1, 901))
