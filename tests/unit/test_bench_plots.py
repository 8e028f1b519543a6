"""The pictures of the manual's benchmark page are drawn from the figures that are kept."""

import json
import sys
from pathlib import Path

import pytest
from bench_modules import BENCH, bench_module
from libraries import library

library("matplotlib", extra="examples")

ROOT = Path(__file__).resolve().parents[2]
NAMES = ("quality-speed", "latency-rate", "throughput-processes")


@pytest.fixture(scope="module")
def plots():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCH))
        yield bench_module("plots")
    sys.modules.pop("tables", None)


def read(name):
    return json.loads((BENCH / "results" / f"{name}.json").read_text("utf-8"))


def test_each_picture_is_drawn_and_shown_in_the_manual(plots, tmp_path, monkeypatch):
    assert tuple(name for name, *_ in plots.PICTURES) == NAMES
    page = tmp_path / "benchmark.md"
    text = (ROOT / "docs" / "benchmark.md").read_text("utf-8")
    page.write_text(text, "utf-8")
    monkeypatch.setattr(plots, "PAGE", page)
    monkeypatch.setattr(plots, "IMAGES", tmp_path)
    plots.main()
    assert page.read_text("utf-8") == text, "run python bench/plots.py"
    for name in NAMES:
        drawn = (tmp_path / f"{name}.svg").read_text("utf-8")
        assert len(drawn) > 5000
        assert len((ROOT / "images" / f"{name}.svg").read_text("utf-8")) > 5000
        assert f"(../images/{name}.svg)" in text


def test_the_manual_states_the_figures_that_were_measured():
    text = " ".join((ROOT / "docs" / "benchmark.md").read_text("utf-8").split())
    (at_30,) = (each for each in read("latency") if each["rate"] == 30)
    assert at_30["errors"] == 0
    assert f"a median of {at_30['p50_ms']:.0f} ms and {at_30['p99_ms']:.0f} ms at the 99th" in text
    at_once = {each["instances"]: round(each["a_second"]) for each in read("throughput")}
    assert sorted(at_once) == [1, 2, 4]
    said = f"one process answers {at_once[1]} a second, two {at_once[2]}, four {at_once[4]}."
    assert said in text
    (requests,) = {each["requests"] for each in read("throughput")}
    assert f"{requests} searches that come at once" in text
    assert f"--throughput {requests} " in text
    assert f'"--throughput", "{requests}"' in (ROOT / "bench" / "page.py").read_text("utf-8")
    for each in (*read("latency"), *read("throughput")):
        assert each["processor"]
        assert each["load_average"] > 0
