"""Rounds of tuning with a small model: what is learnt, what a failed round keeps, who is asked."""

import json
from dataclasses import replace

import pytest
from libraries import library
from small_rwkv import one_thread, random_model, write_model, write_vocabulary

import kvasir
from kvasir import tuning_loop
from kvasir.core.errors import SettingsError, StoppedError
from kvasir.core.run import Run, StopToken
from kvasir.settings.loading import load_settings
from kvasir.testing.mail import LOGGED
from kvasir.tuning_loop import RoundOptions, improve

library("peft", extra="torch")

TEAS = ("green", "black", "white", "red", "yellow", "blue")
TUNING = {"steps": 2, "batch": 2, "micro_batch": 2, "evaluate_every": 1, "held_out": 0.2}


@pytest.fixture(scope="module", autouse=True)
def on_one_thread():
    with one_thread():
        yield


@pytest.fixture
def place(tmp_path):
    """A collection of notes, of which a prompt has four: far more than 512 tokens."""
    write_vocabulary(tmp_path)
    write_model(
        random_model(7, vocabulary=257, layers=2, width=64, head_size=32), tmp_path / "base.pth"
    )
    (tmp_path / "notes").mkdir()
    for tea in TEAS:
        text = f"{tea.capitalize()} tea is brewed for two minutes. " * 8
        (tmp_path / "notes" / f"{tea}.md").write_text(text, "utf-8")
    lines = [
        {"id": str(n), "question": f"Who drinks tea number {n}?", "must": ["e"]} for n in (1, 2)
    ]
    (tmp_path / "decide.jsonl").write_text("".join(json.dumps(x) + "\n" for x in lines), "utf-8")
    settings = {
        "data_dir": str(tmp_path / "data"),
        "rag": {"embedding_model": {"type": "kvasir.testing.fakes:FakeEmbedder"}},
        "generator": {
            "type": "rwkv",
            "model": str(tmp_path / "base.pth"),
            "options": {"max_tokens": 4},
        },
        "chat": {"rag": {"retriever": {"top_k": 4}}},
    }
    (tmp_path / "kvasir.yaml").write_text(json.dumps(settings), "utf-8")
    with kvasir.App(load_settings(tmp_path / "kvasir.yaml", {})) as app:
        with app.collection() as collection:
            collection.ingest(*kvasir.files(tmp_path / "notes"))
        add_answers(app, tmp_path, TEAS[:1])
    return tmp_path


def add_answers(app, place, teas):
    with app.collection() as collection:
        for tea in teas:
            question = f"How long is {tea} tea brewed?"
            found = collection.search(question)[0].chunk.metadata["source_uri"]
            app.services.answer_log.record(
                replace(
                    LOGGED, id=f"answer-{tea}", question=question, answer="Two minutes [1].",
                    sources=(found,), rating=1, refused=False, collection=collection.name,
                )
            )  # fmt: skip


def opened(place, **values):
    return kvasir.App(load_settings(place / "kvasir.yaml", values))


def round_of(app, place, *, run=None, **changes):
    options = {"kind": "state", "questions": place / "decide.jsonl", "tuning": TUNING} | changes
    return improve(app, place / "loop", RoundOptions(**options), run=run)


def test_a_round_that_failed_before_tuning_takes_the_new_log_and_new_options(place):
    with opened(place) as app:
        with pytest.raises(SettingsError, match="1 different examples are too few"):
            round_of(app, place, context=64)
        add_answers(app, place, TEAS[1:])
        stop = StopToken()
        with pytest.raises(StoppedError):
            round_of(app, place, run=Run(stop, lambda p: p.stage == "tuning" and stop.set()))
        # It has a checkpoint: it goes on as it began.
        with pytest.raises(SettingsError, match="with another context: finish it"):
            round_of(app, place, context=64)
        done = round_of(app, place)
        assert (done.round, done.examples, done.shortened, done.left_out) == (1, 6, 0, 0)
        record = json.loads((place / "loop" / "rounds" / "0001" / "record.json").read_text())
        assert record["identity"]["context"] == app.generator.context_tokens() == 4096
        shorter = round_of(app, place, context=64)
        assert (shorter.round, shorter.examples, shorter.shortened) == (2, 6, 6)


@pytest.mark.parametrize("interrupted", ["tuning", "answering, candidate"])
def test_a_round_of_an_older_version_goes_on(place, interrupted):
    """Its record has no files that the settings choose, no counts, and a context of 512."""
    with opened(place) as app:
        add_answers(app, place, TEAS[1:])
        stop = StopToken()
        with pytest.raises(StoppedError):
            run = Run(stop, lambda progress: progress.stage == interrupted and stop.set())
            round_of(app, place, run=run, context=512)
        path = place / "loop" / "rounds" / "0001" / "record.json"
        record = json.loads(path.read_text("utf-8"))
        del record["steps"]["start"]["chosen"]
        for count in ("examples", "shortened", "left_out"):
            record["steps"].get("tuning", {}).pop(count, None)
        path.write_text(json.dumps(record), "utf-8")
        done = round_of(app, place)
    assert (done.round, done.examples, done.questions) == (1, 6, 2)
    record = json.loads(path.read_text("utf-8"))
    assert record["identity"]["context"] == 512
    assert "end" in record["steps"]


def test_the_examples_of_a_round_are_those_of_its_tuning(place, monkeypatch):
    tuned = tuning_loop.tune

    def with_one_left_out(*arguments, **named):
        return replace(tuned(*arguments, **named), examples=5, left_out=1)

    monkeypatch.setattr(tuning_loop, "tune", with_one_left_out)
    with opened(place) as app:
        add_answers(app, place, TEAS[1:])
        done = round_of(app, place)
    assert (done.examples, done.left_out) == (5, 1)


def test_the_candidate_is_compared_with_the_state_that_the_settings_choose(place, monkeypatch):
    with opened(place) as app:
        add_answers(app, place, TEAS[1:])
        first = round_of(app, place)
        state = f"{first.folder}/run/state.pth"
        assert not first.promoted
    asked = []
    derived = tuning_loop.with_settings

    def watched(app, values):
        asked.append(values["generator.options"].get("state"))
        return derived(app, values)

    monkeypatch.setattr(tuning_loop, "with_settings", watched)
    with opened(place, **{"generator.options.state": state}) as app:
        second = round_of(app, place)
    assert asked == [state, f"{second.folder}/run/state.pth"]
