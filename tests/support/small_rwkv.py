"""Small RWKV models with random weights, and the package ``rwkv`` as their reference.

All weights are random, norms and biases included, so a tensor in the wrong place shows. The package
has global switches and changes states in place, so it computes in a process of its own.
"""

import collections
import contextlib
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
from libraries import library

torch = library("torch", extra="torch")
v6 = library("kvasir.rwkv.v6", "torch", extra="torch")
v7 = library("kvasir.rwkv.v7", "torch", extra="torch")
weights = library("kvasir.rwkv.weights", "torch", extra="torch")
initial = library("kvasir.rwkv.initial", "torch", extra="torch")
tokenizer = library("kvasir.rwkv.tokenizer")

WORD = re.compile(r" ?\w+")

ORACLE = """
import os, sys, torch
torch.set_num_threads(1)
for case in torch.load("cases.pt"):
    pid = os.fork()
    if pid == 0:
        # It reads them when it is imported.
        os.environ["RWKV_V7_ON"] = "1" if case["version"] == 7 else "0"
        from rwkv.model import RWKV
        model = RWKV(model=case["model"], strategy="cpu fp32")
        found, state = [], None
        with torch.no_grad():
            for token in case["tokens"]:
                logits, state = model.forward([token], state)
                found.append((logits.clone(), [each.clone() for each in state]))
        torch.save(found, case["out"])
        sys.stdout.flush()
        os._exit(0)
    if os.waitpid(pid, 0)[1]:
        sys.exit("the reference failed: " + case["model"])
"""


@contextlib.contextmanager
def one_thread():
    """Computes on one thread: on small matrices several only wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


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
        elif name.endswith("w0"):  # Half of the channels remember for a hundred tokens and more.
            values = values * 2 - 5
        elif name.endswith(("x_r", "x_w", "x_k", "x_v", "x_a", "x_g")) or "time_maa" in name:
            values = torch.rand(tensor.shape, generator=generator)
        else:
            values = values * 0.5
        tensor.data.copy_(values)
    return model.eval().requires_grad_(False)


def random_tokens(count, vocabulary=300, seed=1):
    """Returns a list of tokens above 0, the end of a document."""
    return np.random.default_rng(seed).integers(1, vocabulary, count).tolist()


def write_model(model, path):
    """Writes a model as BlinkDL's ``.pth`` file."""
    weights.save_pth(model.state_dict(), path)
    return path


def reference_outputs(cases, folder: Path):
    """Returns the package's outputs for each case: a file of a model, its version, and tokens.

    They are logits [vocabulary] and states, a list of 3 a layer, at each token. The cases are
    forked from one process, which has imported PyTorch.
    """
    outputs = [folder / f"out{number}.pt" for number in range(len(cases))]
    told = [
        {"model": str(file.with_suffix("")), "version": version, "tokens": tokens, "out": str(out)}
        for (file, version, tokens), out in zip(cases, outputs, strict=True)
    ]
    torch.save(told, folder / "cases.pt")
    subprocess.run(
        [sys.executable, "-W", "ignore", "-c", ORACLE],
        cwd=folder,
        env={"PATH": "", "RWKV_CUDA_ON": "0", "RWKV_JIT_ON": "0"},
        check=True,
        capture_output=True,
    )
    return [torch.load(out) for out in outputs]


def write_vocabulary(folder, words=()):
    """Writes a vocabulary of the 256 bytes, tokens 1 to 256, and of words; returns its path."""
    pieces = [bytes([byte]) for byte in range(256)] + [word.encode() for word in words]
    lines = [f"{number} {piece!r} {len(piece)}" for number, piece in enumerate(pieces, 1)]
    path = folder / "rwkv_vocab_small.txt"
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return path


def byte_tokenizer(folder):
    """Returns a tokenizer whose tokens are bytes, for models with a vocabulary of 257."""
    return tokenizer.WorldTokenizer(write_vocabulary(folder))


def words_of(texts):
    """Returns the words of texts with the space before them, the most frequent first."""
    counts = collections.Counter(word for text in texts for word in WORD.findall(text))
    return [word for word, _ in counts.most_common() if len(word.encode()) > 1]


def memorized_model(folder, pairs, *, steps=150, width=64, seed=0):
    """Trains a small RWKV-7 until it continues each prompt with its answer; returns its path.

    Prompts are lists of parts, which are encoded one by one, as generators do.
    """
    write_vocabulary(folder, words_of(["".join(parts) + answer for parts, answer in pairs]))
    coder = tokenizer.tokenizer_of(folder / "model.pth")
    model = initial.small_rwkv7(coder.size, 2, width, head_size=32, rank=16, seed=seed)
    texts, masks = [], []
    for parts, answer in pairs:
        prompt = [token for part in parts for token in coder.encode(part)]
        texts.append(torch.tensor([[*prompt, *coder.encode(answer), 0]]))
        masks.append(len(prompt) - 1)
    optimizer = torch.optim.AdamW(model.parameters(), 4e-3, weight_decay=0.0)
    for _ in range(steps):
        losses = []
        for text, start in zip(texts, masks, strict=True):
            logits = model(text[:, :-1])[0][0, start:]
            losses.append(torch.nn.functional.cross_entropy(logits, text[0, start + 1 :]))
        loss = torch.stack(losses).mean()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if loss.item() < 0.01:
            break
    assert loss.item() < 0.05, f"not learnt: {loss.item()}"
    return write_model(model, folder / "model.pth")
