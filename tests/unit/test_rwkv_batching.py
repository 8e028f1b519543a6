"""Texts that are written in one batch are those that each request gets alone."""

import copy
import itertools
import random

import numpy as np
import pytest
from libraries import library
from small_rwkv import byte_tokenizer, one_thread, random_model, random_tokens

torch = library("torch", extra="torch")
batching = library("kvasir.rwkv.batching", "torch", extra="torch")
sampling = library("kvasir.rwkv.sampling")


@pytest.fixture(scope="module", autouse=True)
def on_one_thread():
    with one_thread():
        yield


@pytest.fixture(params=[6, 7], scope="module")
def model(request):
    return random_model(request.param, layers=2, width=64, head_size=32, vocabulary=257)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    return byte_tokenizer(tmp_path_factory.mktemp("vocabulary"))


@pytest.fixture
def make(model, tokenizer):
    def make(**options):
        return batching.Batch(model, tokenizer, **options)

    return make


def request_of(number, **changes):
    """Returns a request with a prompt of its own length and a sampling of its own."""
    kinds = [
        sampling.Sampling(),
        sampling.Sampling(temperature=1.0, seed=number),
        sampling.Sampling(0.8, 0.7, 0.3, 0.2, seed=number),
        sampling.Sampling(presence_penalty=0.5, frequency_penalty=0.3),
    ]
    options = {
        "tokens": random_tokens(3 + 37 * number % 101, 257, seed=number),
        "max_tokens": 5 + 11 * number % 23,
        "sampling": kinds[number % 4],
    }
    return batching.Request(**(options | changes))


def write(batch, request):
    """Returns the whole text of one request that is alone in a batch."""
    batch.join(request)
    return "".join(each.text for each in drain(batch))


def drain(batch):
    while not batch.is_empty:
        yield from batch.step()


@pytest.mark.parametrize("rows", [2, 16])
def test_requests_that_join_and_leave_get_the_text_they_get_alone(make, rows):
    requests = [request_of(number) for number in range(20)]
    alone = [write(make(), request) for request in requests]
    assert len(set(alone)) > 15
    rng = random.Random(0)
    batch, texts, left = make(rows=rows, read_tokens=16), {}, set()
    numbers, waiting = {}, list(range(20))
    while waiting or not batch.is_empty:
        for _ in range(rng.randint(0, 3)):
            if waiting:
                number = waiting.pop(0)
                numbers[batch.join(requests[number])] = number
        if rng.random() < 0.1 and numbers:
            leaving = rng.choice(list(numbers))
            left.add(numbers[leaving])
            batch.leave(leaving)
        for each in batch.step():
            number = numbers[each.request]
            texts[number] = texts.get(number, "") + each.text
    for number, text in enumerate(alone):
        if number in left:
            assert text.startswith(texts.get(number, ""))
        else:
            assert texts[number] == text
    assert 0 < len(left) < 20


def test_a_seed_repeats_a_text_and_another_one_changes_it(make):
    def text(seed):
        chosen = sampling.Sampling(temperature=1.0, seed=seed)
        return write(make(), request_of(1, sampling=chosen, max_tokens=40))

    assert text(1) == text(1) != text(2)
    assert text(None) != text(None)


def test_the_first_token_follows_the_models_probabilities(model, make):
    tokens = random_tokens(20, 257)
    logits = model(torch.tensor([tokens]))[0][0, -1].double()
    best = torch.softmax(logits, 0).topk(3)
    counts = np.zeros(257)
    sampler = sampling.Sampler(sampling.Sampling(temperature=1.0, seed=0))
    for _ in range(20_000):
        counts[sampler.choose(logits.float().numpy())] += 1
    for token, probability in zip(best.indices, best.values, strict=True):
        assert counts[token] / 20_000 == pytest.approx(float(probability), abs=0.015)


def test_temperature_comes_before_top_p():
    """At temperature 2 the likeliest token has less than half, so top-p 0.6 needs a second one."""
    logits = np.log(np.array([0.7, 0.2, 0.1], dtype=np.float32))
    hot = sampling.Sampler(sampling.Sampling(temperature=2.0, top_p=0.6, seed=0))
    assert {hot.choose(logits) for _ in range(200)} == {0, 1}
    plain = sampling.Sampler(sampling.Sampling(temperature=1.0, top_p=0.6, seed=0))
    assert {plain.choose(logits) for _ in range(200)} == {0}


def test_top_p_keeps_the_fewest_likeliest_tokens():
    logits = np.log(np.array([0.05, 0.5, 0.15, 0.3], dtype=np.float32))
    for top_p, kept in ((0.4, {1}), (0.7, {1, 3}), (0.9, {1, 2, 3}), (1.0, {0, 1, 2, 3})):
        sampler = sampling.Sampler(sampling.Sampling(temperature=1.0, top_p=top_p, seed=1))
        assert {sampler.choose(logits) for _ in range(500)} == kept


def test_penalties_make_a_written_token_less_likely():
    logits = np.array([1.0, 0.9, 0.0], dtype=np.float32)

    def tokens(**options):
        sampler = sampling.Sampler(sampling.Sampling(**options))
        return [sampler.choose(logits) for _ in range(6)]

    assert tokens() == [0] * 6
    assert tokens(presence_penalty=0.2) == [0, 1, 0, 0, 0, 0]
    assert tokens(frequency_penalty=0.3, penalty_decay=1.0) == [0, 1, 0, 1, 0, 1]
    assert tokens(frequency_penalty=0.3, penalty_decay=0.0) == [0, 1, 0, 1, 0, 1]
    assert tokens(frequency_penalty=5.0, penalty_decay=1.0) == [0, 1, 2, 0, 1, 2]
    assert logits.tolist() == pytest.approx([1.0, 0.9, 0.0])


def test_a_text_ends_before_a_stop_string_however_its_tokens_fall(make):
    whole = write(make(), request_of(1, max_tokens=60))
    assert len(whole) > 20
    for start, length in itertools.product((0, 5, 12), (1, 2, 4)):
        stop = whole[start : start + length]
        found = write(make(), request_of(1, max_tokens=60, stops=["never \x00 there", stop]))
        assert found == whole[: whole.index(stop)]


def test_a_stop_filter_keeps_back_only_what_may_begin_a_stop_string():
    stops = sampling.StopFilter(["\n\nUser:", "END"])
    assert [stops.feed(piece) for piece in ("a", "b\n", "\n", "c", "E", "N", "x")] == [
        "a", "b", "", "\n\nc", "", "", "ENx",
    ]  # fmt: skip
    assert stops.feed("d\n\nUser") == "d"
    assert stops.feed(": no") == ""
    assert stops.is_stopped
    assert stops.feed("more") == ""
    other = sampling.StopFilter(["abcd"])
    assert other.feed("xabc") == "x"
    assert other.finish() == "abc"


def test_a_text_ends_at_the_limit(make):
    batch = make()
    batch.join(request_of(2, max_tokens=7))
    written = list(drain(batch))
    assert [each.tokens for each in written] == list(range(1, 8))
    assert [each.is_finished for each in written] == [False] * 6 + [True]


def test_a_text_ends_at_the_end_of_document(model, tokenizer):
    ending = copy.deepcopy(model)
    prompt = request_of(2, max_tokens=50)
    batch = batching.Batch(ending, tokenizer)
    whole = write(batch, prompt)
    for count in (0, 4):  # The token of the end becomes the likeliest after so many tokens.
        tokens = [*prompt.tokens, *(ord(c) + 1 for c in whole[:count])]
        if not whole[:count].isascii():
            continue
        hidden = model.read(torch.tensor([tokens]))[0][0, -1]
        ending.head.weight[0] = hidden * 10
        assert len(write(batch, prompt)) <= count
        ending.head.weight.copy_(model.head.weight)


def test_states_are_given_at_the_marks_of_a_prompt(model, make):
    tokens = random_tokens(90, 257)
    seen = {}
    batch = make(read_tokens=32)
    request = batching.Request(
        tokens, 3, marks=(10, 40, 90), reached=lambda at, state: seen.setdefault(at, state)
    )
    text = write(batch, request)
    assert sorted(seen) == [10, 40, 90]
    for at, state in seen.items():
        expected = model.read(torch.tensor([tokens[:at]]))[1]
        torch.testing.assert_close(state.wkv, expected.wkv, atol=1e-4, rtol=1e-4)
    rest = batching.Request(tokens[40:], 3, state=seen[40])
    assert write(make(), rest) == text


def test_a_long_prompt_does_not_stop_the_texts_that_are_being_written(make):
    batch = make(read_tokens=8)
    first = batch.join(request_of(0, max_tokens=30))
    while not batch.step():
        pass
    batch.join(batching.Request(random_tokens(100, 257), 5))
    steps = [{each.request for each in batch.step()} for _ in range(10)]
    assert all(first in written for written in steps)


def test_a_request_needs_tokens(make):
    with pytest.raises(ValueError, match="at least one token"):
        make().join(batching.Request([], 5))


def test_only_a_text_that_reached_its_most_tokens_is_cut(make):
    batch = make()
    batch.join(request_of(1, max_tokens=60))
    *others, last = drain(batch)
    assert last.is_cut
    assert not any(each.is_cut for each in others)
    stop = "".join(each.text for each in others)[10:13]
    batch = make()
    batch.join(request_of(1, max_tokens=60, stops=[stop]))
    assert not any(each.is_cut for each in drain(batch))
