"""Tuning: memory that is estimated as it is measured, packed rows, metrics for TensorBoard."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from libraries import library
from small_rwkv import one_thread, random_model, random_tokens, write_model, write_vocabulary

from kvasir.core.errors import ComponentError, SettingsError, StoppedError
from kvasir.core.run import Run, StopToken
from kvasir.tuning import memory_for_tuning
from kvasir.tuning import tune as kvasir_tune

torch = library("torch", extra="torch")
memory = library("kvasir.rwkv.memory", "peft", extra="torch")
tuning = library("kvasir.rwkv.tuning", "peft", extra="torch")
tuning_data = library("kvasir.rwkv.tuning_data", "torch", extra="torch")


@pytest.fixture(scope="module", autouse=True)
def on_one_thread():
    with one_thread():
        yield


def examples(lengths):
    return [
        tuning_data.Example(
            tuple(random_tokens(length, 257, seed)), (False, *[True] * (length - 1))
        )
        for seed, length in enumerate(lengths)
    ]


def tune(folder, given, **changes):
    model = random_model(7, vocabulary=257, layers=2, width=64, head_size=32)
    chosen = {"kind": "lora", "steps": 4, "batch": 6, "rank": 4, "evaluate_every": 2}
    options = tuning.TuneOptions(**(chosen | {"learning_rate": 1e-2} | changes))
    return tuning.Tuning(model, "base", given, folder, options)


def test_packed_rows_learn_the_same_tokens_with_less_fill(tmp_path):
    given = examples([20, 9, 14, 30, 5, 61])
    rows = tuning_data.packed(given, 32)
    assert [len(row.tokens) for row in rows] == [61, 30, 29, 14 + 5]
    assert sorted(token for row in rows for token in row.tokens) == sorted(
        token for each in given for token in each.tokens
    )
    assert sum(sum(row.is_learnt) for row in rows) == sum(sum(e.is_learnt) for e in given)
    assert sum(sum(row.is_learnt[1:]) for row in rows) == sum(sum(e.is_learnt) for e in given)
    assert tuning_data.packed(given[:1], 32) == given[:1]
    result = tune(tmp_path / "run", examples([12] * 24), pack=64, steps=12).run()
    assert result.best < result.before
    with pytest.raises(SettingsError, match="pack"):
        tuning.TuneOptions("state", pack=64)


def test_a_row_of_one_example_each_gives_the_losses_of_unpacked_ones(tmp_path):
    given = examples([30] * 12)
    for pack in (0, 30):
        tune(tmp_path / str(pack), given, pack=pack).run()
    plain, packed = (tuning.read_metrics(tmp_path / p / "metrics.jsonl") for p in ("0", "30"))
    for line, wanted in zip(packed, plain, strict=True):
        assert line == pytest.approx(wanted, abs=1e-5)


def test_tensorboard_reads_the_metrics_also_of_a_run_that_went_on(tmp_path):
    reader = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator",
        reason="the extra 'tensorboard' is not installed",
    )
    stop = StopToken()
    given = examples([12] * 24)
    with pytest.raises(StoppedError):
        tune(tmp_path, given, tensorboard=True).run(
            Run(stop, lambda progress: progress.done == 3 and stop.set())
        )
    tune(tmp_path, given, tensorboard=True).run()
    read = reader.EventAccumulator(str(tmp_path / "tensorboard"))
    read.Reload()
    lines = tuning.read_metrics(tmp_path / "metrics.jsonl")
    for name in ("loss", "held_out"):
        found = [(each.step, each.value) for each in read.Scalars(name)]
        expected = [(line["step"], line[name]) for line in lines if name in line]
        assert [step for step, _ in found] == [step for step, _ in expected]
        assert [value for _, value in found] == pytest.approx([v for _, v in expected])


MEASURED = [
    {"kind": "state", "micro_batch": 8},
    {"kind": "lora", "micro_batch": 8, "rank": 32},
    {"base": "wide", "kind": "lora", "micro_batch": 6, "rank": 16},
    {"base": "six", "kind": "state", "micro_batch": 4},
    {"kind": "lora", "micro_batch": 8, "rank": 32, "recompute": True},
    {"kind": "state", "micro_batch": 8, "recompute": True},
    {"kind": "pissa", "micro_batch": 8, "recompute": True},
    {"base": "wide", "kind": "lora", "micro_batch": 6, "rank": 16, "recompute": True},
    {"base": "six", "kind": "state", "micro_batch": 8, "recompute": True},
]


@pytest.fixture(scope="module")
def base_and_data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("memory")
    write_vocabulary(folder)
    shapes = (("small", 7, 4, 64), ("base", 7, 4, 256), ("wide", 7, 2, 512), ("six", 6, 3, 192))
    for name, version, layers, width in shapes:
        model = random_model(version, vocabulary=257, layers=layers, width=width, head_size=64)
        write_model(model, folder / f"{name}.pth")
    for name, count, length in (("few", 4, 8), ("data", 10, 200)):
        lines = [f"User: {n}\n\nAssistant: {chr(97 + n) * length}" for n in range(count)]
        text = "".join(json.dumps({"text": line}) + "\n" for line in lines)
        (folder / f"{name}.jsonl").write_text(text)
    return folder


@pytest.fixture(scope="module")
def measured(base_and_data):
    """Return what was estimated for each run, and what it took: bytes."""
    shared = {"steps": 2, "batch": 8, "evaluate_every": 1, "held_out": 0.1}
    cases = json.dumps([shared | options for options in MEASURED])
    program = Path(__file__).parents[1] / "support" / "tuning_memory.py"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", program, base_and_data, cases],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("[")]


@pytest.mark.parametrize(
    "number",
    range(len(MEASURED)),
    ids=[" ".join(map(str, options.values())) for options in MEASURED],
)
def test_memory_is_estimated_near_what_is_measured(number, measured):
    assert len(measured) == len(MEASURED)
    estimated, taken = measured[number]
    print(f"estimated {estimated >> 20} MB, measured {taken >> 20} MB")
    assert estimated == pytest.approx(taken, rel=0.15)


def test_too_little_memory_is_refused_with_the_figures(base_and_data, tmp_path, monkeypatch):
    monkeypatch.setattr("kvasir.rwkv.memory.available_memory", lambda: 50 << 20)
    with pytest.raises(ComponentError, match=r"needs about \d+ MB .* of which 50 MB are free"):
        kvasir_tune(
            "state",
            str(base_and_data / "base.pth"),
            base_and_data / "data.jsonl",
            tmp_path / "run",
            data_dir=tmp_path,
        )
    assert not (tmp_path / "run").exists()


def test_memory_of_data_with_nothing_to_learn_is_one_sentence(base_and_data, tmp_path):
    model, data = str(base_and_data / "small.pth"), tmp_path / "none.jsonl"
    for content in ("", "\n"):
        data.write_text(content)
        with pytest.raises(SettingsError, match=r"none\.jsonl has nothing to learn"):
            memory_for_tuning("lora", model, data, data_dir=tmp_path)


def test_memory_is_estimated_for_the_tokens_that_tuning_keeps(base_and_data, monkeypatch):
    """A context of N has N tokens to predict, so an example has one more."""
    seen = []
    estimate = memory.estimate

    def watched(found, options, given):
        seen.append(max(len(each.tokens) for each in given))
        return estimate(found, options, given)

    monkeypatch.setattr("kvasir.rwkv.memory.estimate", watched)
    model, data = str(base_and_data / "small.pth"), base_and_data / "data.jsonl"
    for context in (1, 64):
        need = memory_for_tuning(
            "state", model, data, data_dir=base_and_data, context=context,
            options={"micro_batch": 1},
        )  # fmt: skip
        assert need.needed > 0
    assert seen == [2, 65]
