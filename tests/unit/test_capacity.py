"""The capacity model, against measured points that it was not fitted to."""

import math
from pathlib import Path

import pytest

from kvasir.core.capacity import (
    TOKENS_PER_SECOND,
    TOKENS_PER_WORD,
    Load,
    ingest_seconds,
    plan,
    search_p99,
    tokens_per_second,
    waiting_p99,
)
from kvasir.testing.fakes import FakeEmbedder

MEASURED = {
    # bench/RESULTS.md, at 100,000 chunks, on a Xeon with AMX.
    "disk": (474.0, lambda: plan(Load(100_000, 0, words=90)).disk_mb),
    "memory of the store": (497.0, lambda: plan(Load(100_000, 0, words=90)).store_mb),
    "memory of a process": (1_560.0, lambda: plan(Load(100_000, 0, words=90)).memory_mb),
    "p99 of a search": (0.00576, lambda: search_p99(100_000)),
    # 65 documents of 3.87 MB, on an AMD EPYC with avx512_bf16.
    "ingest": (41.14, lambda: ingest_seconds(4_737, TOKENS_PER_SECOND["bf16"])),
}
RESULTS = (Path(__file__).parents[2] / "bench" / "RESULTS.md").read_text("utf-8")


@pytest.mark.parametrize("name", MEASURED)
def test_a_prediction_is_within_a_factor_of_one_and_a_half(name):
    measured, predict = MEASURED[name]
    assert 1 / 1.5 <= predict() / measured <= 1.5


def test_the_measured_points_are_those_of_the_results():
    for line in (
        "65 documents of 3.87 MB became 4737 chunks in 41.14 s",
        "700 documents of 23.4 MB became 26,326 passages in 254 s",
        "| disk, MB | 104 | 474 | 1222 |",
        "| 100,000 | 1.59 / 2.63 | 4.15 / 5.76 |",
    ):
        assert line in RESULTS


def test_the_speed_of_bf16_is_that_of_the_longer_ingest():
    assert ingest_seconds(26_326, TOKENS_PER_SECOND["bf16"]) == pytest.approx(254, rel=0.01)


def test_processes_grow_with_the_load_and_keep_the_waiting_short():
    small = plan(Load(1_000, 10_000))
    million = plan(Load(10_000, 1_000_000))
    billion = plan(Load(10_000, 1_000_000_000, cores=8))
    assert small.processes == million.processes == 1
    assert million.requests_per_second == pytest.approx(57.87, rel=1e-3)
    assert 100 < billion.processes < 200
    assert all(each.p99_seconds < 0.3 for each in (small, million, billion))
    answers = plan(Load(10_000, 1_000_000, kind="answer"))
    assert answers.processes > million.processes


def test_waiting_is_erlang_s():
    # One server, half busy: a request waits with probability 1/2, then exponentially.
    assert waiting_p99(50, 0.01, 1) == pytest.approx(math.log(50) / 50)
    assert waiting_p99(0, 0.01, 1) == 0
    assert waiting_p99(1, 0.01, 8) == 0
    assert waiting_p99(100, 0.01, 1) == math.inf


def test_older_processors_take_longer_to_ingest():
    amx, bf16, avx2 = (
        ingest_seconds(100_000, TOKENS_PER_SECOND[name]) for name in ("amx", "bf16", "avx2")
    )
    assert amx < bf16 < avx2


def test_a_machine_s_speed_is_measured_without_the_first_call_which_loads_the_model():
    clock = iter([10.0, 12.0, 14.0])
    embedder = FakeEmbedder()
    calls = []
    embed = embedder.embed_documents
    embedder.embed_documents = lambda texts: calls.append(list(texts)) or embed(texts)
    found = tokens_per_second(embedder, lambda: next(clock))
    assert len(calls) == 3
    tokens = sum(len(text.split()) for call in calls[1:] for text in call) * TOKENS_PER_WORD
    assert found == pytest.approx(tokens / 4.0)
    texts = [text for call in calls for text in call]
    assert len(set(texts)) > 0.9 * len(texts)
