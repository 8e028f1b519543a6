"""RWKV-6 and RWKV-7 compute what the package ``rwkv`` computes, in chunks of any length."""

import pytest
from libraries import library
from small_rwkv import one_thread, random_model, random_tokens, reference_outputs, write_model

torch = library("torch", extra="torch")
state_module = library("kvasir.rwkv.state", "torch", extra="torch")
pytest.importorskip("rwkv", reason="the package rwkv is not installed (extra dev)")

VERSIONS = (6, 7)
SIZES = {  # Layers, width, head size.
    "1 layer": (1, 64, 64),
    "3 layers, 2 heads": (3, 128, 64),
    "2 layers, 5 heads": (2, 320, 64),
    "4 layers, heads of 32": (4, 96, 32),
}


@pytest.fixture(scope="module", autouse=True)
def on_one_thread():
    with one_thread():
        yield


@pytest.fixture(params=VERSIONS)
def model(request):
    return random_model(request.param)


def differences(state, other):
    return max((a - b).abs().max() for a, b in zip(state, other, strict=True))


def model_of(version, size):
    layers, width, head_size = SIZES[size]
    return random_model(version, layers=layers, width=width, head_size=head_size)


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    """Return what the package computes, by version and size."""
    folder = tmp_path_factory.mktemp("reference")
    cases = [(version, size) for version in VERSIONS for size in SIZES]
    given = [
        (write_model(model_of(*case), folder / f"m{number}.pth"), case[0], random_tokens(300))
        for number, case in enumerate(cases)
    ]
    return dict(zip(cases, reference_outputs(given, folder), strict=True))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("version", VERSIONS)
def test_logits_and_states_are_those_of_the_reference(version, size, reference):
    model, expected = model_of(version, size), reference[version, size]
    state, spread = None, 0.0
    for token, (logits, states) in zip(random_tokens(300), expected, strict=True):
        found, state = model(torch.tensor([[token]]), state)
        torch.testing.assert_close(found[0, 0], logits, atol=1e-4, rtol=0)
        ours = state_module.to_reference(state, transposed=version == 6)
        for mine, theirs in zip(ours, states, strict=True):
            # A state adds up what it keeps: its rounding grows with its numbers.
            largest = max(1.0, float(theirs.abs().max()))
            torch.testing.assert_close(mine, theirs, atol=3e-5 * largest, rtol=1e-4)
        spread = max(spread, float(logits.std()))
    assert spread > 0.3  # Otherwise 1e-4 would say little.


@pytest.mark.parametrize("version", VERSIONS)
def test_chunks_of_every_length_equal_the_recurrence(version):
    model = random_model(version, layers=2, width=64, head_size=32)
    tokens = torch.tensor([random_tokens(140), random_tokens(140, seed=2)])
    with torch.no_grad():
        expected, last = model(tokens, chunk=1)
        for chunk in range(2, 129):
            found, state = model(tokens, chunk=chunk)
            torch.testing.assert_close(found, expected, atol=1e-4, rtol=0, msg=f"chunks of {chunk}")
            torch.testing.assert_close(state.wkv, last.wkv, atol=1e-4, rtol=1e-4)
            torch.testing.assert_close(state.shift, last.shift, atol=1e-4, rtol=1e-4)


def test_a_prompt_may_be_split_anywhere(model):
    tokens = torch.tensor([random_tokens(100)])
    expected, last = model(tokens, chunk=1)
    for split in range(1, 100):
        first, state = model(tokens[:, :split])
        rest, state = model(tokens[:, split:], state)
        found = torch.cat([first, rest], 1)
        torch.testing.assert_close(found, expected, atol=1e-4, rtol=0, msg=f"split at {split}")
        torch.testing.assert_close(state.wkv, last.wkv, atol=1e-4, rtol=1e-4)


def test_shorter_rows_are_read_as_they_are_alone(model):
    lengths = [37, 0, 100, 1, 64]
    rows = [random_tokens(length, seed=length) for length in lengths]
    filled = torch.tensor([row + [7] * (100 - len(row)) for row in rows])
    before = model(torch.tensor([random_tokens(9)]))[1]
    logits, states = model(filled, before.expand(5), torch.tensor(lengths))
    for number, row in enumerate(rows):
        alone = before
        if row:
            found, alone = model(torch.tensor([row]), before)
            torch.testing.assert_close(logits[number, : len(row)], found[0], atol=1e-4, rtol=0)
        mine = states.take([number])
        torch.testing.assert_close(mine.wkv, alone.wkv, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(mine.shift, alone.shift, atol=1e-4, rtol=1e-4)


def test_a_decay_to_nothing_and_back_loses_nothing_in_a_chunk():
    """RWKV-6 may forget all in one step; the small decays after it must stay exact."""
    recurrence = library("kvasir.rwkv.v6", "torch", extra="torch").recurrence
    generator = torch.Generator().manual_seed(0)
    shape = (2, 128, 2, 32)
    r, k, v = (torch.randn(shape, generator=generator) for _ in range(3))
    log_w = -torch.rand(shape, generator=generator) * 1e-3
    log_w[:, 5], log_w[:, 60, :, ::2] = -1e4, -3e4
    u, state = torch.randn(2, 32, generator=generator), torch.randn(2, 2, 32, 32)
    expected, last = recurrence(r, log_w, k, v, u, state, chunk=1)
    for chunk in (7, 16, 128):
        found, end = recurrence(r, log_w, k, v, u, state, chunk=chunk)
        torch.testing.assert_close(found, expected, atol=2e-4, rtol=1e-5)
        torch.testing.assert_close(end, last, atol=2e-4, rtol=1e-5)


def test_the_extreme_decay_of_rwkv7_is_exact_in_the_longest_chunk():
    recurrence = library("kvasir.rwkv.v7", "torch", extra="torch").recurrence
    generator = torch.Generator().manual_seed(0)
    shape = (1, 256, 2, 64)
    r, k, v, kk = (torch.randn(shape, generator=generator) for _ in range(4))
    kk = torch.nn.functional.normalize(kk, dim=-1)
    beta = kk * torch.rand(shape, generator=generator)
    state = torch.randn(1, 2, 64, 64, generator=generator)
    for decay in (-0.606531, -0.3, -1e-4):
        log_w = torch.full(shape, decay)
        expected, last = recurrence(r, log_w, k, v, -kk, beta, state, chunk=1)
        for chunk in (16, 64, 128):
            found, end = recurrence(r, log_w, k, v, -kk, beta, state, chunk=chunk)
            torch.testing.assert_close(found, expected, atol=1e-3, rtol=1e-4)
            torch.testing.assert_close(end, last, atol=1e-3, rtol=1e-4)


def test_reading_does_not_change_the_given_state(model):
    state = model(torch.tensor([random_tokens(20)]))[1]
    shift, wkv = state.shift.clone(), state.wkv.clone()
    for length in (1, 30):
        model(torch.tensor([random_tokens(length)]), state)
    assert torch.equal(state.shift, shift)
    assert torch.equal(state.wkv, wkv)


@pytest.mark.parametrize("version", VERSIONS)
def test_bfloat16_chooses_another_token_than_float32_only_where_two_are_level(
    version, record_property
):
    """Both read the text that float32 writes, so that each of its tokens is compared."""
    model = random_model(version, layers=2, width=128)
    half = random_model(version, layers=2, width=128).to(torch.bfloat16)
    exact = model.to(torch.bfloat16).float()  # The same weights, computed in float32.
    prompt = torch.tensor([random_tokens(50)])
    found, state = exact(prompt)
    other, half_state = half(prompt)
    rounding = 2**-8  # Of a number in bfloat16, relative to it.
    others = []
    for step in range(100):
        logits, half_logits = found[0, -1], other[0, -1].float()
        token, half_token = logits.argmax(), half_logits.argmax()
        largest = logits.abs().max()
        assert (logits - half_logits).abs().max() < 8 * rounding * largest, f"token {step}"
        if token != half_token:
            others.append(step)
            gap = logits[token] - logits[half_token]
            assert gap <= 2 * rounding * logits[token], f"token {step} is another"
        found, state = exact(token.view(1, 1), state)
        other, half_state = half(token.view(1, 1), half_state)
    record_property("other_tokens", others)
    assert len(others) <= 2, f"tokens {others} are others"
    assert half_state.wkv.dtype == torch.float32
