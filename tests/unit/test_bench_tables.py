"""What the benchmarks write into the manual goes between its markers and nowhere else."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

BENCH = Path(__file__).resolve().parents[2] / "bench"


def load(name):
    spec = importlib.util.spec_from_file_location(f"bench_{name}", BENCH / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def tables():
    return load("tables")


def test_only_what_stands_between_the_markers_is_replaced(tables, tmp_path):
    page = tmp_path / "page.md"
    page.write_text("# Page\n\n<!-- a -->\nold\n\n<!-- /a -->\n\nafter \\1\n")
    for _ in range(2):
        assert tables.put(page, "a", "new \\d\n")
        assert page.read_text() == "# Page\n\n<!-- a -->\n\nnew \\d\n\n<!-- /a -->\n\nafter \\1\n"


def test_a_page_without_the_markers_is_left_alone(tables, tmp_path):
    page = tmp_path / "page.md"
    assert not tables.put(page, "a", "new")
    page.write_text("text")
    assert not tables.put(page, "a", "new")
    assert page.read_text() == "text"


def test_the_manual_has_a_place_for_the_comparison_of_the_stores():
    page = (BENCH.parent / "docs" / "stores.md").read_text("utf-8")
    assert page.index("<!-- store-comparison -->") < page.index("<!-- /store-comparison -->")


def test_a_table_has_a_line_for_each_row(tables):
    assert tables.table(["a", "b"], [["x", 1], ["y", 2]]) == (
        "| a | b |\n|---|---:|\n| x | 1 |\n| y | 2 |\n"
    )


def test_shares_of_an_ingest_that_exceed_the_whole_are_explained(monkeypatch):
    monkeypatch.syspath_prepend(BENCH)
    figures = dict.fromkeys(("documents", "mb", "chunks", "mb_per_s", "chunks_per_s"), 1)
    stages = {"embed": 8.0, "store": 1.0, "split": 4.0}
    page = load("ingest").render(
        figures | {"seconds": 10.0, "again_s": 0.1, "peak_mb": 1, "stages_s": stages}
    )
    assert "| split | 4.0 | 40 % |" in page
    before, _, _ = page.partition("| stage |")
    assert "beside embedding" in before
    assert "more than 100 %" in before
