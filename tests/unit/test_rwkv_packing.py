"""Packed weights give what PyTorch's own product gives, in each number of rows."""

import os
import subprocess
import sys
import threading
import weakref
from pathlib import Path

import pytest
from libraries import library
from small_rwkv import byte_tokenizer, one_thread, random_model, random_tokens

torch = library("torch", extra="torch")
adapters = library("kvasir.rwkv.adapters", "torch", extra="torch")
weights = library("kvasir.rwkv.weights", "torch", extra="torch")
bases = library("kvasir.rwkv.bases", "torch", extra="torch")
packing = library("kvasir.rwkv.packing", "torch", extra="torch")


@pytest.fixture(scope="module", autouse=True)
def on_one_thread():
    with one_thread():
        yield


def packed(model):
    packing.pack(model)
    if not isinstance(model.head, packing.PackedLinear):
        pytest.skip("oneDNN packs no weights on this machine")
    return model


@pytest.mark.parametrize("version", [6, 7])
def test_a_packed_model_reads_as_the_model_does(version):
    plain = random_model(version)
    found = packed(random_model(version))
    for rows in (1, 2, 3, 7, 16):
        tokens = torch.tensor([random_tokens(20, seed=row) for row in range(rows)])
        for length in (1, 20):
            expected, state = plain(tokens[:, :length])
            logits, other = found(tokens[:, :length])
            torch.testing.assert_close(logits, expected, atol=1e-4, rtol=0)
            torch.testing.assert_close(other.wkv, state.wkv, atol=1e-4, rtol=1e-4)


def test_every_linear_module_is_packed_and_has_the_same_shape():
    plain, found = random_model(7), packed(random_model(7))
    names = adapters.linear_modules(plain)
    assert adapters.linear_modules(found).keys() == names.keys()
    assert all(type(each) is not torch.nn.Linear for each in found.modules())
    for name, module in adapters.linear_modules(found).items():
        shape = (names[name].in_features, names[name].out_features)
        assert (module.in_features, module.out_features) == shape


def test_an_adapter_changes_a_packed_model_as_it_changes_the_model():
    plain, found = random_model(7), packed(random_model(7))
    tokens = torch.tensor([random_tokens(20)])
    generator = torch.Generator().manual_seed(5)

    def low_rank(module):
        a = torch.randn(4, module.in_features, generator=generator) * 0.1
        b = torch.randn(module.out_features, 4, generator=generator) * 0.1
        return adapters.LowRank(a, b, 2.0)

    modules = adapters.linear_modules(plain)
    adapter = adapters.Adapter({name: low_rank(module) for name, module in modules.items()})
    without = found(tokens)[0]
    for model in (plain, found):
        adapters.accept_adapters(model)
    with adapters.applied(adapter):
        expected, logits = plain(tokens)[0], found(tokens)[0]
    torch.testing.assert_close(logits, expected, atol=1e-4, rtol=1e-4)
    assert (logits - without).abs().max() > 0.1
    assert torch.equal(found(tokens)[0], without)


def test_threads_that_load_adapters_at_the_same_time_have_each_applied_once(monkeypatch):
    model = random_model(7, layers=2, width=64, head_size=32)
    found, entered, both = adapters.linear_modules, [], threading.Event()

    def slow(model):
        entered.append(model)
        if len(entered) == 2:
            both.set()
        both.wait(0.5)
        return found(model)

    monkeypatch.setattr("kvasir.rwkv.adapters.linear_modules", slow)
    threads = [threading.Thread(target=adapters.accept_adapters, args=(model,)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {len(module._forward_hooks) for module in found(model).values()} == {1}


def test_rows_of_packed_weights_are_those_of_the_weights():
    plain, found = random_model(7), packed(random_model(7))
    rows = packing.rows_of(found.head, [5, 299, 0])
    assert torch.equal(rows, plain.head.weight[[5, 299, 0]])
    assert torch.equal(packing.rows_of(plain.head, [7]), plain.head.weight[[7]])


def test_bfloat16_is_packed_where_the_processor_can_compute_it():
    plain = random_model(7).to(torch.bfloat16)
    found = packed(random_model(7).to(torch.bfloat16))
    tokens = torch.tensor([random_tokens(20)])
    assert (found(tokens)[0] - plain(tokens)[0]).abs().max() < 0.3


def test_what_cannot_be_packed_stays_as_it_is():
    model = random_model(7).double()
    packing.pack(model)
    assert type(model.head) is torch.nn.Linear
    biased = torch.nn.Sequential(torch.nn.Linear(4, 4))
    packing.pack(biased)
    assert type(biased[0]) is torch.nn.Linear


@pytest.mark.parametrize("missing", ["processor", "oneDNN", "operation", "precision"])
def test_weights_of_which_none_can_be_packed_are_not_copied(missing, monkeypatch):
    model = random_model(7)
    if missing == "processor":
        monkeypatch.setattr(packing.platform, "machine", lambda: "aarch64")
    elif missing == "oneDNN":
        monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    elif missing == "operation":
        names = ("_linear_pointwise", "_no_such_operation")
        monkeypatch.setattr("kvasir.rwkv.packing._OPERATIONS", names)
    else:
        model.half()
    places = [each.data_ptr() for each in model.parameters()]
    packing.pack(model)
    assert all(not isinstance(each, packing.PackedLinear) for each in model.modules())
    assert [each.data_ptr() for each in model.parameters()] == places


def test_packing_keeps_one_matrix_at_a_time(monkeypatch):
    """Each plain matrix is freed when its packed one is there, not when all are."""
    model = random_model(7)
    plain = [weakref.ref(each) for each in model.modules() if type(each) is torch.nn.Linear]
    left = []
    made = packing.PackedLinear

    class Counted(made):
        def __init__(self, linear):
            left.append(sum(each() is not None for each in plain))
            super().__init__(linear)

    monkeypatch.setattr("kvasir.rwkv.packing.PackedLinear", Counted)
    packing.pack(model)
    if not left:
        pytest.skip("oneDNN packs no weights on this machine")
    assert left[-1] == 1
    assert left == sorted(left, reverse=True)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("precision", ["f32", "f16"])
def test_a_loaded_base_keeps_no_page_of_a_file_that_it_does_not_compute_with(precision, tmp_path):
    byte_tokenizer(tmp_path)
    model = random_model(7, vocabulary=257)
    if precision == "f32":
        packed(random_model(7))
    shape = model.zero_state().wkv[:, 0].shape
    tensors = {key: value.clone() for key, value in model.state_dict().items()}
    tensors |= {f"blocks.{n}.att.time_state": torch.zeros(shape[1:]) for n in range(shape[0])}
    path = tmp_path / "m.pth"
    torch.save(tensors, path)
    mapped = weights.read_weights(path)
    assert str(path) in Path("/proc/self/maps").read_text()
    del mapped
    base = bases.shared_base(path, "cpu", precision)
    assert base.initial_state().wkv.shape == model.zero_state().wkv.shape
    assert str(path) not in Path("/proc/self/maps").read_text()


def test_the_memory_of_a_base_counts_the_matrix_that_is_packed_twice():
    large, small = (torch.empty(1 << 28, device="meta"), torch.empty(1 << 20, device="meta"))
    counted = [
        bases.memory_of(weights.Weights({"a": each}, "pth", {}, {}), torch.float32)
        for each in (large, small)
    ]
    assert counted == [2 << 30, (4 << 20) + (256 << 20)]


def test_threads_wait_for_a_moment_before_they_sleep():
    """What the runtime of OpenMP was told when PyTorch was loaded, in a process of its own."""
    program = """
import os, sys
seen = {}
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == "torch":
            seen.update({k: os.environ.get(k) for k in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")})
sys.meta_path.insert(0, Finder())
import kvasir.rwkv
left = [k for k in seen if k in os.environ]
print(seen["OMP_WAIT_POLICY"], seen["GOMP_SPINCOUNT"], left)
"""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("OMP_", "GOMP_"))}
    done = subprocess.run(
        [sys.executable, "-c", program], env=clean, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["passive", "3000", "[]"]
