"""RWKV-7 on this machine: Kvasir against the package ``rwkv`` and llama.cpp, on the same weights.

    python bench/rwkv.py [--layers 12] [--width 768] [--tokens 300] [--write 32] [--json FILE]

Takes two minutes on two free cores; ``bench/run.py rwkv`` puts the figures into ``RESULTS.md``.

The model has random weights, the shapes of the 0.1B model by default, and the World vocabulary.
Each program reads the same prompt and writes greedily, in a process of its own whose peak memory is
measured. Then: a batch of several texts; the first token of a prompt that begins with three
passages of 300 tokens, with their states on disk and without, and with llama.cpp; and its reuse of
a prompt's beginning with a recurrent model, and whether two texts at a time are those that each is
alone.
Needs the extras ``torch`` and ``llama``, and the packages ``rwkv`` and ``gguf``.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

BENCH = Path(__file__).resolve().parent
SEPARATE = ("kvasir", "kvasir bf16", "rwkv", "llama f32", "llama q8_0")
QUESTION = "\n\nUser: Which of them is the heaviest, and why?\n\nAssistant:"


def main() -> int:
    """Run everything, or one part in this process, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--layers", type=int, default=12)
    parser.add_argument("--width", type=int, default=768)
    parser.add_argument("--tokens", type=int, default=300, help="of the prompt, and of a passage")
    parser.add_argument("--write", type=int, default=32, help="tokens that are written")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--json", type=Path)
    parser.add_argument("--part", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.part:
        with contextlib.suppress(PermissionError):  # Other programs disturb less then.
            os.nice(-15)
        figures = PARTS[given.part.split()[0]](given)
        figures["peak_mb"] = peak_memory() >> 20
        print(json.dumps(figures))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        given.folder = Path(folder)
        found = {
            "processor": processor(),
            "threads": given.threads,
            "load": round(os.getloadavg()[0], 1),
            **make_files(given),
        }
        for part in (*SEPARATE, "batch", "cached", "llama_cached", "reuse"):
            found[part] = in_process(given, part)
            print(part, json.dumps(found[part]), flush=True)
    if given.json:
        given.json.write_text(json.dumps(found, indent=2) + "\n", "utf-8")
    print(table(found))
    return 0


def peak_memory() -> int:
    """Return the most bytes that this process had in memory."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) << 10
    return 0


def processor() -> str:
    """Return the name of the processor."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(": ")[2]
    return platform.processor()


def make_files(given: argparse.Namespace) -> dict[str, Any]:
    """Write the model as ``.pth`` and as GGUF, and return its size."""
    import rwkv_gguf
    from kvasir.rwkv.weights import save_pth
    from rwkv_states import random_model

    model = random_model(given.layers, given.width)
    path = given.folder / "model.pth"
    save_pth(model.state_dict(), path)
    for kind in ("f32", "q8_0"):
        rwkv_gguf.write_gguf(path, given.folder / f"model-{kind}.gguf", kind)
    return {"parameters": sum(p.numel() for p in model.parameters())}


def in_process(given: argparse.Namespace, part: str) -> dict[str, Any]:
    """Run one part in a process of its own and return its figures."""
    command = [
        sys.executable, __file__, "--part", part, "--folder", str(given.folder),
        "--tokens", str(given.tokens), "--write", str(given.write),
        "--threads", str(given.threads),
    ]  # fmt: skip
    switches = {"RWKV_V7_ON": "1", "RWKV_JIT_ON": "1", "RWKV_CUDA_ON": "0"}
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | switches)
    if done.returncode:
        raise SystemExit(f"{part}: {done.stderr[-3000:]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def prompt_of(count: int, seed: int = 1) -> list[int]:
    """Return a prompt of common tokens; each is a text that is read as this one token."""
    import random

    rng = random.Random(seed)
    words = [f" {first}{second}" for first in "abcdefgh" for second in ("at", "in", "or", "e")]
    from kvasir.rwkv.tokenizer import WorldTokenizer

    encode = WorldTokenizer().encode
    tokens = [encode(word)[0] for word in words if len(encode(word)) == 1]
    return [rng.choice(tokens) for _ in range(count)]


def base_of(given: argparse.Namespace, precision: str = "f32") -> Any:
    """Load the model."""
    from kvasir.rwkv.bases import shared_base  # First: it decides how PyTorch's threads wait.

    import torch  # isort: skip

    torch.set_num_threads(given.threads)
    return shared_base(given.folder / "model.pth", "cpu", precision)


def kvasir_part(given: argparse.Namespace) -> dict[str, Any]:
    """Read and write with Kvasir."""
    from kvasir.rwkv.batching import Batch, Request

    base = base_of(given, "bf16" if given.part.endswith("bf16") else "f32")
    prompt = prompt_of(given.tokens)

    def once() -> tuple[float, float]:
        batch = Batch(base.model, base.tokenizer)
        batch.join(Request(prompt, given.write))
        start = time.perf_counter()
        while not batch.step():
            pass
        first = time.perf_counter()
        while not batch.is_empty:
            batch.step()
        return first - start, time.perf_counter() - first

    return rates(given, once)


def rwkv_part(given: argparse.Namespace) -> dict[str, Any]:
    """Read and write with the package ``rwkv``."""
    import torch

    # This file has the name of the package.
    sys.path[:] = [each for each in sys.path if Path(each).resolve() != BENCH]
    from rwkv.model import RWKV

    torch.set_num_threads(given.threads)
    model = RWKV(model=str(given.folder / "model"), strategy="cpu fp32")
    prompt = prompt_of(given.tokens)

    def once() -> tuple[float, float]:
        start = time.perf_counter()
        logits, state = model.forward(prompt, None)
        first = time.perf_counter()
        for _ in range(given.write - 1):
            logits, state = model.forward([int(logits.argmax())], state)
        return first - start, time.perf_counter() - first

    return rates(given, once)


def rates(given: argparse.Namespace, once: Any) -> dict[str, Any]:
    """Return tokens a second of the better of two runs."""
    runs = [once() for _ in range(2)]
    return {
        "read_tps": given.tokens / min(read for read, _ in runs),
        "write_tps": (given.write - 1) / min(write for _, write in runs),
    }


def llama_server(given: argparse.Namespace, kind: str, slots: int = 1) -> Any:
    """Load the model in llama.cpp."""
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = str(given.folder / f"model-{kind}.gguf")
    params.n_ctx, params.n_parallel = 4096 * slots, slots
    params.n_batch = params.n_ubatch = 256
    for threads in (params.cpuparams, params.cpuparams_batch):
        threads.n_threads = given.threads
    params.verbosity = -1
    params.ui = params.fit_params = params.warmup = False
    params.cache_ram_mib = 0
    return xllamacpp.Server(params)


def complete(server: Any, prompt: list[int], count: int, **more: Any) -> dict[str, Any]:
    """Return llama.cpp's completion of a prompt, greedy."""
    body = {
        "prompt": prompt, "n_predict": count, "temperature": 0, "ignore_eos": True,
        "cache_prompt": True, **more,
    }  # fmt: skip
    found = server.handle_completions(body)
    found = found if isinstance(found, dict) else json.loads(found)
    if "timings" not in found:
        raise SystemExit(f"llama.cpp: {found}")
    return {"timings": found["timings"], "text": found["choices"][0]["text"]}


def llama_part(given: argparse.Namespace) -> dict[str, Any]:
    """Read and write with llama.cpp."""
    server = llama_server(given, given.part.split()[1])

    def once() -> tuple[float, float]:
        timings = complete(server, prompt_of(given.tokens), given.write, cache_prompt=False)[
            "timings"
        ]
        return timings["prompt_ms"] / 1000, timings["predicted_ms"] / 1000

    return rates(given, once)


def batch_part(given: argparse.Namespace) -> dict[str, Any]:
    """Write several texts at a time."""
    from kvasir.rwkv.batching import Batch, Request

    base = base_of(given)
    found = {}
    for rows in (1, 2, 4, 8, 16):
        batch = Batch(base.model, base.tokenizer, rows=rows)
        for row in range(rows):
            batch.join(Request(prompt_of(16, row), given.write + rows))
        while len(batch.step()) < rows:
            pass
        start = time.perf_counter()
        count = sum(len(batch.step()) for _ in range(given.write // 2))
        found[f"rows_{rows}"] = count / (time.perf_counter() - start)
    return found


def cached_part(given: argparse.Namespace) -> dict[str, Any]:
    """Measure the first token of a prompt of three passages, whose states are kept or not."""
    from kvasir.core import registry
    from kvasir.core.types import Chunk, Hit, Message, Prompt, chunk_id, document_id
    from kvasir.rwkv.tokenizer import WorldTokenizer

    decode = WorldTokenizer().decode
    hits = []
    for number in range(3):
        text = decode(prompt_of(given.tokens, number)).strip()
        document = document_id(f"/{number}.md")
        chunk = Chunk(chunk_id(document, text, 0, len(text)), document, text, 0, len(text))
        hits.append(Hit(chunk, 0.9, 0.9, None))
    base_of(given)
    options = {"model": str(given.folder / "model.pth"), "max_tokens": 2, "device": "cpu"}

    def generator(cache_mb: int, precision: str = "f16") -> Any:
        return registry.build(
            "generators",
            "rwkv",
            options | {"cache_mb": cache_mb, "cache_precision": precision},
            {"data_dir": given.folder / f"states-{precision}"},
        )

    def first(made: Any, question: str) -> float:
        prompt = Prompt(question, tuple(hits), (Message("user", question),))
        start = time.perf_counter()
        pieces = made.generate(prompt)
        next(pieces, None)
        seconds = time.perf_counter() - start
        pieces.close()
        return seconds

    questions = [f"What of {word}?" for word in ("it", "him", "her", "them")]
    plain = generator(0)
    first(plain, "Warm?")
    found: dict[str, Any] = {"without_s": min(first(plain, q) for q in questions)}
    for precision in ("f16", "f32"):
        kept = generator(2048, precision)
        first(kept, "Read?")
        # Without what the system keeps of files in memory.
        drop_cached_files(given.folder / f"states-{precision}")
        seconds = [first(kept, question) for question in questions]
        found[f"with_{precision}_s"] = min(seconds[1:])
        found[f"with_{precision}_from_disk_s"] = seconds[0]
        files = list((given.folder / f"states-{precision}").rglob("*.state"))
        found[f"state_{precision}_mb"] = max(file.stat().st_size for file in files) / 1e6
    found["times_shorter"] = found["without_s"] / found["with_f16_s"]
    return found


def llama_cached_part(given: argparse.Namespace) -> dict[str, Any]:
    """Measure llama.cpp's first token of the same prompt, read before or not."""
    from kvasir.rwkv.tokenizer import WorldTokenizer

    encode = WorldTokenizer().encode
    server = llama_server(given, "f32")
    passages = [token for number in range(3) for token in prompt_of(given.tokens, number)]

    def first(question: str, *, is_kept: bool) -> tuple[float, int]:
        prompt = passages + encode(f"\n\nUser: {question}\n\nAssistant:")
        start = time.perf_counter()
        timings = complete(server, prompt, 1, cache_prompt=is_kept)["timings"]
        return time.perf_counter() - start, timings["prompt_n"]

    found: dict[str, Any] = {"without_s": first("What of them?", is_kept=False)[0]}
    first("What of it?", is_kept=True)
    found["again_s"], found["again_read"] = first("What of it?", is_kept=True)
    others = [first(f"What of {word}?", is_kept=True) for word in ("him", "her")]
    found["other_s"], found["other_read"] = min(others)
    found["prompt"] = len(passages) + len(encode("\n\nUser: What of it?\n\nAssistant:"))
    return found


def drop_cached_files(folder: Path) -> None:
    """Have the system forget the content of files that it keeps in memory."""
    for file in folder.rglob("*.state"):
        with file.open("rb") as stream:
            os.fsync(stream.fileno())
            os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def reuse_part(given: argparse.Namespace) -> dict[str, Any]:
    """See what llama.cpp reads again, and whether two texts at a time stay apart."""
    from kvasir.rwkv.tokenizer import WorldTokenizer

    encode = WorldTokenizer().encode
    server = llama_server(given, "f32")
    passages = prompt_of(given.tokens)
    asked = [passages + encode(f"\n\nUser: {q}?\n\nAssistant:") for q in ("Who", "Where is it")]
    first = complete(server, asked[0], 8)
    again = complete(server, asked[0], 8)
    other = complete(server, asked[1], 8)
    goes_on = complete(server, asked[1] + encode(f"{other['text']}\n\nUser: And?"), 8)
    found = {
        "prompt": len(asked[0]),
        "read_first": first["timings"]["prompt_n"],
        "read_same_again": again["timings"]["prompt_n"],
        "read_other_question": other["timings"]["prompt_n"],
        "read_going_on": goes_on["timings"]["prompt_n"],
        "same_answer_again": first["text"] == again["text"],
    }
    del server
    own = llama_server(given, "f32")
    prompts = [prompt_of(60, seed) for seed in range(6)]
    alone = [complete(own, prompt, 16, cache_prompt=False)["text"] for prompt in prompts]
    del own
    shared = llama_server(given, "f32", slots=2)
    together: list[Any] = [None] * len(prompts)

    def ask(number: int) -> None:
        together[number] = complete(shared, prompts[number], 16)["text"]

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(len(prompts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found["texts_of_two_slots_as_alone"] = sum(a == b for a, b in zip(alone, together, strict=True))
    found["texts"] = len(prompts)
    base = base_of(given)
    from kvasir.rwkv.batching import Batch, Request

    same = 0
    for prompt, expected in zip(prompts, alone, strict=True):
        batch = Batch(base.model, base.tokenizer)
        batch.join(Request(prompt, 16))
        text = ""
        while not batch.is_empty:
            text += "".join(written.text for written in batch.step())
        same += text == expected
    found["texts_as_kvasir"] = same
    return found


PARTS = {
    "kvasir": kvasir_part,
    "rwkv": rwkv_part,
    "llama": llama_part,
    "batch": batch_part,
    "cached": cached_part,
    "llama_cached": llama_cached_part,
    "reuse": reuse_part,
}


def table(found: dict[str, Any]) -> str:
    """Return the figures as Markdown."""
    titles = {
        "kvasir": "Kvasir, float32",
        "kvasir bf16": "Kvasir, bfloat16",
        "rwkv": "package `rwkv`, float32",
        "llama f32": "llama.cpp, float32",
        "llama q8_0": "llama.cpp, Q8_0",
    }
    lines = [
        f"{found['parameters'] / 1e6:.0f} million parameters, {found['threads']} threads of "
        f"{found['processor']}, load of the machine before: {found['load']}",
        "",
        "| | prompt, tokens/s | answer, tokens/s | memory, MB |",
        "|---|---:|---:|---:|",
    ]
    for key, title in titles.items():
        part = found[key]
        lines.append(
            f"| {title} | {part['read_tps']:.0f} | {part['write_tps']:.1f} | {part['peak_mb']:,} |"
        )
    batch = ", ".join(
        f"{key.removeprefix('rows_')}: {rate:.1f}"
        for key, rate in found["batch"].items()
        if key.startswith("rows_")
    )
    cached, reuse = found["cached"], found["reuse"]
    llama = found["llama_cached"]
    lines += [
        "",
        f"Tokens a second of a batch, by its texts: {batch}.",
        "",
        f"First token after three passages: {cached['without_s'] * 1000:.0f} ms without kept "
        f"states, {cached['with_f16_s'] * 1000:.0f} ms with them "
        f"({cached['with_f16_from_disk_s'] * 1000:.0f} ms the first time, from the disk): "
        f"{cached['times_shorter']:.1f} times shorter; a state is {cached['state_f16_mb']:.1f} MB.",
        "",
        f"llama.cpp's first token of such a prompt ({llama['prompt']} tokens): "
        f"{llama['without_s'] * 1000:.0f} ms; {llama['again_s'] * 1000:.0f} ms when the same is "
        f"asked again ({llama['again_read']} tokens read), {llama['other_s'] * 1000:.0f} ms with "
        f"another question ({llama['other_read']} read).",
        "",
        f"llama.cpp reads {reuse['read_first']} tokens of a prompt of {reuse['prompt']} the first "
        f"time, {reuse['read_same_again']} of the same one again, {reuse['read_other_question']} "
        f"with another question after the same passage, and {reuse['read_going_on']} when the "
        f"conversation goes on. {reuse['texts_of_two_slots_as_alone']} of {reuse['texts']} texts "
        f"of two slots are those that each is alone; {reuse['texts_as_kvasir']} are Kvasir's.",
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
