"""Small RWKV models with random weights, and the package ``rwkv`` as their reference.

All weights are random, norms and biases included, so a tensor in the wrong place shows. The package
has global switches and changes states in place, so it computes in a process of its own.
"""

import subprocess
import sys
from pathlib import Path

from libraries import library

torch = library("torch", extra="torch")
v6 = library("kvasir.rwkv.v6", "torch", extra="torch")
v7 = library("kvasir.rwkv.v7", "torch", extra="torch")
weights = library("kvasir.rwkv.weights", "torch", extra="torch")

ORACLE = """
import sys, torch
from rwkv.model import RWKV
torch.set_num_threads(1)
model = RWKV(model=sys.argv[1], strategy="cpu fp32")
found, state = [], None
with torch.no_grad():
    for token in torch.load(sys.argv[2]):
        logits, state = model.forward([token], state)
        found.append((logits.clone(), [each.clone() for each in state]))
torch.save(found, sys.argv[3])
"""


def random_model(version, *, vocabulary=300, layers=3, width=128, head_size=64, seed=0):
    """Returns a model of the given shapes whose outputs depend on every one of its tensors."""
    if version == 7:
        config = v7.Rwkv7Config(vocabulary, layers, width, head_size, 4 * width, 16, 24, 8, 40)
        model = v7.Rwkv7(config)
    else:
        config = v6.Rwkv6Config(vocabulary, layers, width, head_size, 3 * width, 16, 24)
        model = v6.Rwkv6(config)
    generator = torch.Generator().manual_seed(seed)
    for name, tensor in model.named_parameters():
        values = torch.randn(tensor.shape, generator=generator)
        if name.endswith(("ln0.weight", "ln1.weight", "ln2.weight", "ln_x.weight", "out.weight")):
            values = 1 + 0.2 * values
        elif name == "emb.weight" or (tensor.ndim == 2 and "r_k" not in name):
            values = values * tensor.shape[-1] ** -0.5
        elif name.endswith("time_maa_w2"):
            values = values * tensor.shape[1] ** -0.5
        elif name.endswith("time_decay"):
            values = values * 2 - 1.5
        elif name.endswith(("x_r", "x_w", "x_k", "x_v", "x_a", "x_g")) or "time_maa" in name:
            values = torch.rand(tensor.shape, generator=generator)
        else:
            values = values * 0.5
        tensor.data.copy_(values)
    return model.eval().requires_grad_(False)


def random_tokens(count, vocabulary=300, seed=1):
    """Returns a list of tokens above 0, the end of a document."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(1, vocabulary, (count,), generator=generator).tolist()


def write_model(model, path):
    """Writes a model as BlinkDL's ``.pth`` file."""
    weights.save_pth(model.state_dict(), path)
    return path


def reference_outputs(path: Path, version, tokens, folder: Path):
    """Returns the package's logits [vocabulary] and states, a list of 3 a layer, at each token."""
    torch.save(tokens, folder / "tokens.pt")
    switches = {"RWKV_V7_ON": "1" if version == 7 else "0", "RWKV_JIT_ON": "0"}
    subprocess.run(
        [
            sys.executable,
            "-W",
            "ignore",
            "-c",
            ORACLE,
            str(path.with_suffix("")),
            "tokens.pt",
            "out.pt",
        ],
        cwd=folder,
        env={"PATH": "", "RWKV_CUDA_ON": "0"} | switches,
        check=True,
        capture_output=True,
    )
    return torch.load(folder / "out.pt")
