"""The page of results: a part that was measured replaces its own section and no other."""

import json
import sys

import pytest
from bench_modules import BENCH, bench_module

MACHINE = {
    "processor": "Made Processor", "cores": 2, "memory_gb": 4, "system": "Linux", "load": 0.1,
    "python": "3.11.7", "packages": {"kvasir": "0.1.0"}, "when": "2026-01-02T03:04+00:00",
}  # fmt: skip
FIGURES = {
    "texts": 10, "tokens_per_text": 20.0, "ratio": 5.0, "cosine_min": 0.9999,
    "texts_per_second": {"kvasir": 1.5, "reference": 0.5},
    "tokens_per_second": {"kvasir": 30.0, "reference": 10.0},
    "query_ms": {"kvasir": {"p50": 1.0, "p99": 2.0}, "reference": {"p50": 3.0, "p99": 4.0}},
}  # fmt: skip
PAGE = """# Results

Old head.

## Embedding

Old figures.

## By hand

A table that no part of `make bench` writes.

## RWKV

Older figures.
"""


@pytest.fixture(scope="module")
def run():
    """Give ``bench/run.py``, whose neighbours, such as ``rwkv``, may have the name of a library."""
    ours = {path.stem for path in BENCH.glob("*.py")}
    others = {name: sys.modules.pop(name) for name in ours & sys.modules.keys()}
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCH))
        yield bench_module("run")
    for name in ours & sys.modules.keys():
        del sys.modules[name]
    sys.modules.update(others)


def test_other_sections_stay_as_they_are(run, tmp_path):
    kept = {"machine": MACHINE, "figures": FIGURES}
    (tmp_path / "embedding.json").write_text(json.dumps(kept), "utf-8")
    page = run.report(tmp_path, PAGE)
    assert [line for line in page.splitlines() if line.startswith("## ")] == [
        "## Embedding",
        "## By hand",
        "## RWKV",
    ]
    assert "A table that no part of `make bench` writes." in page
    assert "Older figures." in page
    assert "Old figures." not in page
    assert "Old head." not in page
    assert "2026-01-02T03:04+00:00, Made Processor, 2 cores, load before: 0.1" in page
    assert run.report(tmp_path, page) == page


def test_a_part_without_a_section_gets_one(run, tmp_path):
    kept = {"machine": MACHINE, "figures": FIGURES}
    (tmp_path / "embedding.json").write_text(json.dumps(kept), "utf-8")
    assert "## Embedding" in run.report(tmp_path, "# Results\n")
