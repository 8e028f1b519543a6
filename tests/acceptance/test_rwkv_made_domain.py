"""A small RWKV-7 that the tests train from scratch: it answers, is tuned, promoted and refused."""

import json
import os
import random
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import made_domain as domain
import numpy as np
import pytest
from libraries import library
from small_rwkv import one_thread

import kvasir
from kvasir.core import registry
from kvasir.core.services.answer_log import LoggedAnswer
from kvasir.settings.loading import load_settings
from kvasir.tuning import tune

library("peft", extra="torch")
promotion = library("kvasir.rwkv.promotion", "torch", extra="torch")

pytestmark = pytest.mark.xdist_group("rwkv")

OTHERS = domain.TRAINED[:24]
"""Machines of the rated answers: their notes are in the collection, too."""


@pytest.fixture(scope="module", autouse=True)
def on_one_thread():
    with one_thread():
        yield


@pytest.fixture(scope="module")
def model(tmp_path_factory, worker_id):
    # The processes of one session share it, but not those of a later one.
    own = tmp_path_factory.getbasetemp()
    return domain.trained_model(own if worker_id == "master" else own.parent)


@pytest.fixture(scope="module")
def facts():
    rng = random.Random(1)
    return {name: domain.facts_of(rng) for name in (*domain.HELD_OUT, *OTHERS)}


@pytest.fixture(scope="module")
def place(tmp_path_factory, facts, model):
    folder = tmp_path_factory.mktemp("made")
    (folder / "notes").mkdir()
    for name, each in facts.items():
        text = f"# {name}\n\n{domain.note(name, each)}\n"
        (folder / "notes" / f"{name}.md").write_text(text, "utf-8")
    settings = {
        "data_dir": str(folder / "data"),
        "generator": {
            "type": "rwkv",
            "model": str(model),
            "options": {"system": domain.SYSTEM, "max_tokens": 24},
        },
        "chat": {"rag": {"retriever": {"top_k": 1}}},
    }
    (folder / "kvasir.yaml").write_text(json.dumps(settings), "utf-8")
    with kvasir.App(settings_of(folder)) as app, app.collection() as collection:
        collection.ingest(*kvasir.files(folder / "notes"))
    return folder


def settings_of(place, **values):
    return load_settings(place / "kvasir.yaml", values)


@pytest.fixture
def run(kvasir, place):
    def run(command, *arguments, code=0):
        own = ("--config", place / "kvasir.yaml", "--data-dir", place / "data")
        return kvasir(*command.split(), *map(str, (*own, *arguments)), code=code)

    return run


def write_questions(path, machines, facts, must, attributes=tuple(domain.FACTS)[:2]):
    lines = [
        {
            "id": f"{name} {attribute}",
            "question": domain.question(name, attribute),
            "passages": [{"document": f"{name}.md", "text": facts[name][attribute]}],
            "must": [must(name, attribute, facts[name][attribute])],
        }
        for name in machines
        for attribute in attributes
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    return path


def test_questions_are_answered_with_retrieval_and_not_without(run, place, facts, tmp_path):
    """A hundred questions about machines that the model has never seen."""
    file = write_questions(tmp_path / "held_out.jsonl", domain.HELD_OUT, facts, lambda *f: f[2])
    found = json.loads(run("evaluate questions --json", file).out)
    assert found["all"]["questions"] == 100
    assert found["all"]["satisfying"]["share"] >= 0.8
    name = domain.HELD_OUT[0]
    asked = run("ask --json", domain.question(name, "town"))
    answer = json.loads(asked.out)
    assert facts[name]["town"] in answer["text"]
    assert answer["citations"][0]["source_uri"].endswith(f"{name}.md")

    right = 0
    with kvasir.App(settings_of(place)) as app:
        conversation = app.conversation(lambda: app.collection())
        for each in domain.HELD_OUT:
            for attribute in tuple(domain.FACTS)[:2]:
                with conversation.stream(domain.question(each, attribute), rag=False) as stream:
                    right += facts[each][attribute] in stream.answer.text
        conversation.close()
    assert right < 20


def logged(name, attribute, answer, place, number):
    return LoggedAnswer(
        id=f"{number}",
        user_id=1,
        collection="default",
        question=domain.question(name, attribute),
        answer=answer,
        refused=False,
        sources=(str(place / "notes" / f"{name}.md"),),
        model="rwkv",
        seconds=1.0,
        date=datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=number),
        rating=1,
    )


def fill_log(place, facts, answers, first):
    """Adds good answers in another form; ``answers`` makes each from a machine's facts."""
    with kvasir.App(settings_of(place)) as app:
        number = first
        for name in OTHERS:
            for attribute in domain.FACTS:
                text = answers(name, attribute, facts[name])
                app.services.answer_log.record(logged(name, attribute, text, place, number))
                number += 1


TUNING = ("--steps", 60, "--batch", 8, "--evaluate-every", 20)


@pytest.mark.parametrize(
    ("kind", "rate", "left"), [("state", 0.1, 0.92), ("lora", 5e-3, 0.5), ("pissa", 2e-3, 0.5)]
)
def test_each_kind_of_tuning_improves_the_trained_base_on_a_new_domain(
    kind, rate, left, model, tmp_path
):
    """The new domain wants the value first; its held-out machines are in no example."""
    rng = random.Random(5)
    data = tmp_path / "data.jsonl"
    with data.open("w", encoding="utf-8") as stream:
        for _ in range(150):
            ((parts, said),) = domain.conversation(rng, turns=1, answer=domain.turned_answer)
            stream.write(json.dumps({"text": "".join(parts) + said}) + "\n")
    options = {"steps": 40, "batch": 8, "rank": 8, "learning_rate": rate, "evaluate_every": 20}
    done = tune(kind, str(model), data, tmp_path / "run", data_dir=tmp_path, options=options)
    assert done.loss < left * done.loss_before


def killed(command, environment, moment):
    """Starts a command and kills it at a moment; says whether it was still running."""
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    while not moment():
        try:
            process.wait(0.02)
        except subprocess.TimeoutExpired:
            continue
        return False
    process.kill()
    process.wait()
    return True


def lines_of(path):
    return path.read_text("utf-8").splitlines() if path.is_file() else []


def test_the_closed_loop_promotes_the_better_and_refuses_the_worse(run, place, facts, tmp_path):
    """Users want the value first: a state is tuned for it, and one that guesses is refused."""
    questions = write_questions(
        tmp_path / "decide.jsonl",
        domain.HELD_OUT[:30],
        facts,
        lambda name, attribute, value: f"{value} is the {attribute}",
        tuple(domain.FACTS)[:1],
    )
    loop = tmp_path / "loop"
    own = domain.question(domain.HELD_OUT[0], next(iter(domain.FACTS)))

    def right(name, attribute, each):
        return domain.turned_answer(name, attribute, each[attribute])

    fill_log(place, facts, right, 0)
    with kvasir.App(settings_of(place)) as app:
        leaking = logged(domain.HELD_OUT[0], next(iter(domain.FACTS)), "red [1].", place, 5000)
        app.services.answer_log.record(leaking)
    dataset = run("tune dataset --json", tmp_path / "data.jsonl", "--against", questions)
    report = json.loads(dataset.out)
    assert report["written"] == len(OTHERS) * len(domain.FACTS)
    assert report["leaking_questions"] == [own]
    prepared = run("tune prepare --json", tmp_path / "data.jsonl", "--to", tmp_path / "train")
    assert json.loads(prepared.out)["documents"] == report["written"]

    common = (questions, "--to", loop, "--kind", "lora", "--rank", 8, "--learning-rate", 5e-3)
    options = ("--config", place / "kvasir.yaml", "--data-dir", place / "data", *common, *TUNING)
    command = [sys.executable, "-m", "kvasir", "tune", "improve", *map(str, options)]
    own_round = loop / "rounds" / "0001"
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    for moment in (
        lambda: '"dataset"' in "".join(lines_of(own_round / "record.json")),
        lambda: len(lines_of(own_round / "run" / "metrics.jsonl")) > 25,
        lambda: len(lines_of(own_round / "candidate.jsonl")) > 4,
    ):
        assert killed(command, environment, moment)
    steps = json.loads((own_round / "record.json").read_text("utf-8"))["steps"]
    assert list(steps) == ["start", "dataset", "tuning", "incumbent"]
    first = json.loads(run("tune improve --json", *common, *TUNING).out)
    after = json.loads((own_round / "record.json").read_text("utf-8"))["steps"]
    assert {name: after[name] for name in steps} == steps
    metrics = [json.loads(line)["step"] for line in lines_of(own_round / "run" / "metrics.jsonl")]
    assert metrics == list(range(61))
    answered = [json.loads(line)["id"] for line in lines_of(own_round / "candidate.jsonl")]
    assert len(answered) == len(set(answered)) == 30
    assert first["incumbent"] < 0.1
    assert first["candidate"] > 0.6
    assert first["promoted"]
    assert first["loss"] < first["loss_before"]
    assert first["comparison"]["p_value"] < 0.05
    promoted = promotion.read_promoted(loop)
    assert promoted.round == 1
    with kvasir.App(settings_of(place, **{"generator.options.tuned": str(loop)})) as app:
        name = domain.HELD_OUT[1]
        with app.collection() as collection:
            text = collection.ask(domain.question(name, "colour")).text
    assert text.startswith(f"{facts[name]['colour']} is the colour")

    def wrong(name, attribute, each):
        guess = domain.FACTS[attribute][len(each[attribute]) % 2]
        return domain.turned_answer(name, attribute, guess)

    fill_log(place, facts, wrong, 10_000)
    second = json.loads(run("tune improve --json", *common, *TUNING).out)
    assert second["round"] == 2
    assert second["incumbent"] == first["candidate"]
    assert second["candidate"] < first["candidate"]
    assert not second["promoted"]
    assert promotion.read_promoted(loop) == promoted
    record = json.loads((loop / "rounds" / "0002" / "record.json").read_text("utf-8"))
    assert list(record["steps"]) == [
        "start", "dataset", "tuning", "incumbent", "candidate", "decision", "end",
    ]  # fmt: skip
    shown = run("tune improve", *common, "--steps", 10, "--seed", 1).out
    assert "round 3" in shown


def spoken(text):
    """Returns a text whose questions ask for no definition, which also ranks by words."""
    return text.replace("What is the", "So what is the")


def test_embedder_and_reranker_of_one_base_beat_a_random_order_and_none(
    kvasir, facts, model, tmp_path
):
    """Notes of one fact each; the reranker is refused until it beat no reranking."""
    # It has learnt to tell facts apart, not names: with many names luck would decide.
    names = domain.HELD_OUT[:12]
    notes = tmp_path / "notes"
    notes.mkdir()
    for name in names:
        for attribute, value in facts[name].items():
            text = f"# {name} {attribute}\n\n{domain.sentence(name, attribute, value)}\n"
            (notes / f"{name} {attribute}.md").write_text(text, "utf-8")
    lines = [
        {
            "id": f"{name} {attribute}",
            "question": spoken(domain.question(name, attribute)),
            "passages": [{"document": f"{name} {attribute}.md"}],
        }
        for name in names
        for attribute in domain.FACTS
    ]
    questions = tmp_path / "held_out.jsonl"
    questions.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    rng = random.Random(3)
    pairs = tmp_path / "pairs.jsonl"
    with pairs.open("w", encoding="utf-8") as stream:
        for _ in range(300):
            ((parts, said),) = domain.judgements(rng, turns=1)
            stream.write(json.dumps({"text": spoken("".join(parts) + said)}) + "\n")

    adapter = tmp_path / "reranker" / "adapter"
    embedder = {"type": "rwkv", "name": str(model), "options": {"pooling": "last"}}
    settings = {
        "data_dir": str(tmp_path / "data"),
        "rag": {"embedding_model": embedder},
        "chat": {"rag": {"retriever": {"alpha": 1.0, "rerank_candidates": 50}}},
    }
    file = tmp_path / "kvasir.yaml"
    file.write_text(json.dumps(settings), "utf-8")

    def run(command, *arguments, code=0):
        own = ("--config", file, "--data-dir", tmp_path / "data")
        return kvasir(*command.split(), *map(str, (*own, *arguments)), code=code)

    run("ingest", notes)
    tuning = ("--rank", 8, "--steps", 100, "--evaluate-every", 20, "--learning-rate", 1e-3)
    run("tune lora", "--model", model, "--data", pairs, "--to", tmp_path / "reranker", *tuning)
    reranker = {"type": "rwkv", "name": str(model), "options": {"adapter": str(adapter)}}
    chosen = ("--set", f"chat.rag.retriever.reranker={json.dumps(reranker)}")
    asked = lines[0]["question"]
    refused = run("search", *chosen, asked, code=3)
    assert "nothing shows that" in refused.err
    common = ("--model", model, "--adapter", adapter)
    proof = json.loads(run("tune prove --json", questions, *common).out)
    assert proof["with_reranker"] > 2 * proof["without"]
    assert proof["is_better"]
    found = json.loads(run("search --json", *chosen, asked).out)
    scores = [hit["score"] for hit in found]
    assert scores == sorted(scores, reverse=True)
    assert all(0 <= score <= 1 for score in scores)


def test_the_embedder_beats_a_random_order(facts, model):
    embedder = registry.build("embedders", "rwkv", {"name": str(model), "pooling": "mean"})
    gold = [(name, attribute) for name in domain.HELD_OUT for attribute in domain.FACTS]
    notes = [domain.passage(name, each, facts[name][each]) for name, each in gold]
    asked = embedder.embed_queries([domain.question(name, each) for name, each in gold])
    scores = asked @ embedder.embed_documents(notes).T
    own = np.diag(scores)[:, None]
    ranks = (scores > own).sum(1) + 1
    found = np.where(ranks <= 10, 1 / np.log2(ranks + 1), 0.0).mean()
    at_random = (1 / np.log2(np.arange(2, 12))).sum() / len(notes)
    assert found > 2 * at_random
