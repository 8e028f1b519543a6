"""Packed weights give what PyTorch's own product gives, in each number of rows."""

import os
import subprocess
import sys

import pytest
from libraries import library
from small_rwkv import one_thread, random_model, random_tokens

torch = library("torch", extra="torch")
adapters = library("kvasir.rwkv.adapters", "torch", extra="torch")
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


def test_every_linear_module_is_packed_and_takes_the_same_adapters():
    plain, found = random_model(7), packed(random_model(7))
    names = adapters.linear_modules(plain)
    assert adapters.linear_modules(found).keys() == names.keys()
    assert all(type(each) is not torch.nn.Linear for each in found.modules())
    for name, module in adapters.linear_modules(found).items():
        shape = (names[name].in_features, names[name].out_features)
        assert (module.in_features, module.out_features) == shape


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
