"""An RWKV model in the product: asked, its states kept, tuned and exported on the command line."""

import json
import re
import shutil
import subprocess
import sys

import pytest
from libraries import library
from small_rwkv import memorized_model, one_thread, random_model, write_model, write_vocabulary

import kvasir
from kvasir.settings.loading import load_settings

torch = library("torch", extra="torch")
prompts = library("kvasir.rwkv.prompts", "torch", extra="torch")
weights = library("kvasir.rwkv.weights", "torch", extra="torch")
metrics = library("kvasir.frontends.api.metrics", "prometheus_client", extra="server")

pytestmark = pytest.mark.xdist_group("rwkv")

NOTES = {
    "tea.md": "# Tea\n\nGreen tea is brewed at 80 degrees for two minutes.\n",
    "moon.md": "# Moon\n\nThe Moon orbits the Earth at a distance of 384,400 kilometres.\n",
}
QUESTION = "How long is green tea brewed?"


@pytest.fixture(scope="module", autouse=True)
def on_one_thread():
    with one_thread():
        yield


@pytest.fixture(scope="module")
def notes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("notes")
    for name, text in NOTES.items():
        (folder / name).write_text(text)
    with kvasir.open(data_dir=folder / "data") as collection:
        collection.ingest(*kvasir.files(folder / "tea.md", folder / "moon.md"))
    return folder


def settings_of(notes, model, **more):
    values = {
        "data_dir": str(notes / "data"),
        "generator.type": "rwkv",
        "generator.model": str(model),
        "chat.rag.retriever.top_k": 2,
    }
    return values | more


@pytest.fixture(scope="module")
def talker(notes, tmp_path_factory):
    """A model that knows the answer to one question, from the prompt that the product makes."""
    folder = tmp_path_factory.mktemp("talker")
    write_vocabulary(folder)
    path = write_model(
        random_model(7, vocabulary=257, layers=1, width=64, head_size=32), folder / "m.pth"
    )
    seen = []
    unkept = settings_of(notes, path) | {"generator.options": {"cache_mb": 0}}
    parts_of = prompts.segments
    with (
        pytest.MonkeyPatch.context() as patch,
        kvasir.App(load_settings({}, unkept)) as app,
        app.collection() as collection,
    ):
        patch.setattr(
            "kvasir.components.generators.rwkv.segments",
            lambda *given: seen.append(parts_of(*given)) or seen[-1],
        )
        collection.ask(QUESTION)
    number = next(i for i, part in enumerate(seen[0]) if "Green tea" in part)
    answer = f" Green tea is brewed for two minutes [{number}]."
    return memorized_model(folder, [(seen[0], answer)])


@pytest.fixture
def run(kvasir):
    return lambda *arguments, code=0: kvasir(*map(str, arguments), code=code)


def options(values):
    return [part for key, value in values.items() for part in ("--set", f"{key}={value}")]


def test_a_question_is_answered_with_a_checked_citation_and_its_states_are_kept(run, notes, talker):
    for _ in range(2):
        asked = run("ask", "--json", *options(settings_of(notes, talker)), QUESTION)
        answer = json.loads(asked.out)
        assert answer["text"].startswith("Green tea is brewed for two minutes")
        (citation,) = answer["citations"]
        assert citation["source_uri"].endswith("tea.md")
    kept = list((notes / "data" / "rwkv-states").rglob("*.state"))
    assert len(kept) == 3  # After the system message and after each of two passages.


def tokens_of_prompt(said):
    """Return the tokens of a prompt that were in kept states, and those that were read."""
    found = re.search(r"prompt: ([\d,]+) tokens from kept states, ([\d,]+) read", said)
    return [int(each.replace(",", "")) for each in found.groups()]


def test_another_process_reads_no_beginning_of_a_prompt_again(run, notes, talker, tmp_path):
    states = notes / "data" / "rwkv-states"
    shutil.rmtree(states, ignore_errors=True)
    given = ["ask", "--json", "--why", *options(settings_of(notes, talker))]
    command = [sys.executable, "-m", "kvasir", *given, QUESTION]
    first, again = (
        subprocess.run(
            command, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=300
        )
        for _ in range(2)
    )
    assert json.loads(again.stdout)["text"] == json.loads(first.stdout)["text"]
    none, whole = tokens_of_prompt(first.stderr)
    kept, read = tokens_of_prompt(again.stderr)
    assert none == 0
    # Only the question is read, which follows the passages.
    assert kept + read == whole
    assert 0 < read < 0.4 * whole
    files = {file: file.read_bytes() for file in states.rglob("*.state")}
    assert len(files) == 3
    # Another question about the same passages, in this process.
    asked = run(*given, "For how many minutes is green tea brewed?")
    assert tokens_of_prompt(asked.err)[0] == kept
    assert {file: file.read_bytes() for file in states.rglob("*.state")} == files


def test_the_settings_are_checked(run, tmp_path):
    file = tmp_path / "settings.yaml"
    generator = {"type": "rwkv", "model": "base.pth", "options": {"top_p": 0.5}}
    file.write_text(json.dumps({"generator": generator}))
    run("config", "check", file)
    generator["options"] = {"top_q": 0.5}
    file.write_text(json.dumps({"generator": generator}))
    checked = run("config", "check", file, code=3)
    assert "did you mean 'top_p'" in checked.err


def test_a_missing_model_is_one_line(run, notes, tmp_path):
    asked = run("ask", *options(settings_of(notes, tmp_path / "none.pth")), QUESTION, code=3)
    assert "no RWKV file" in asked.err


@pytest.mark.parametrize("precision", ["f16", "int8"])
def test_answers_are_the_same_with_kept_states(notes, tmp_path, precision):
    """Forty notes, ten questions, asked twice: the second time nearly nothing is read again."""
    write_vocabulary(tmp_path)
    path = write_model(random_model(7, vocabulary=257, layers=2), tmp_path / "m.pth")
    folder = tmp_path / "notes"
    folder.mkdir()
    for number in range(40):
        text = (
            f"# Mill {number}\n\nThe bearing of mill {number} is oiled every {number * 7} hours.\n"
        )
        (folder / f"{number}.md").write_text(text)
    questions = [f"When is the bearing of mill {number} oiled?" for number in range(0, 40, 4)]

    def answers(cache_mb):
        values = settings_of(tmp_path, path) | {
            "generator.options": {
                "max_tokens": 12,
                "cache_mb": cache_mb,
                "cache_precision": precision,
            },
            "answer.refuse": False,
        }
        with kvasir.App(load_settings({}, values)) as app, app.collection() as collection:
            collection.ingest(*kvasir.files(folder))
            found = [collection.ask(question).text for question in questions]
            shown = metrics.Metrics(app, dict).rendered().decode()
            return found, app.generator.cache, shown

    plain, none, shown = answers(0)
    assert not none.keeps
    assert "kvasir_prompt_tokens{" not in shown
    first, *_ = answers(200)
    second, cache, shown = answers(200)
    assert f'kvasir_prompt_tokens{{state="kept"}} {cache.kept_tokens}.0\n' in shown
    assert f'kvasir_prompt_tokens{{state="read"}} {cache.read_tokens}.0\n' in shown
    assert plain == first == second
    assert cache.kept_tokens > 0.8 * (cache.kept_tokens + cache.read_tokens)
    assert 0 < cache.used < 200 << 20


def test_examples_that_are_too_long_are_reported_as_shortened(run, tmp_path):
    write_vocabulary(tmp_path)
    base = write_model(
        random_model(7, vocabulary=257, layers=2, width=64, head_size=32), tmp_path / "base.pth"
    )
    texts = ["short", "plain text " * 9, "", "User: a?\n\nAssistant: " + "long answer " * 9]
    data = tmp_path / "questions.jsonl"
    data.write_text("\n".join(json.dumps({"text": text}) for text in texts))
    done = run(
        "tune", "state", "--model", base, "--data", data, "--steps", 1, "--context", 32,
        "--to", tmp_path / "state",
    )  # fmt: skip
    assert (
        "2 of 3 examples were longer than --context and were shortened; "
        "left out because there was nothing to learn: 1"
    ) in " ".join(done.out.split())


def test_a_model_is_tuned_and_exported_on_the_command_line(run, tmp_path):
    write_vocabulary(tmp_path)
    base = write_model(
        random_model(7, vocabulary=257, layers=2, width=64, head_size=32), tmp_path / "base.pth"
    )
    lines = [
        json.dumps({"text": f"User: {number}?\n\nAssistant: {'abc'[number % 3] * 6}"})
        for number in range(30)
    ]
    data = tmp_path / "questions.jsonl"
    data.write_text("\n".join(lines))
    common = ["--model", base, "--data", data, "--steps", 20, "--evaluate-every", 10]
    for kind, rate, file in (("state", 0.3, "state.pth"), ("pissa", 5e-3, "adapter")):
        target = tmp_path / kind
        rank = ["--rank", 4] if kind == "pissa" else []
        done = run("tune", kind, *common, "--learning-rate", rate, *rank, "--to", target, "--json")
        report = json.loads(done.out)
        assert report["loss"] < report["loss_before"]
        assert report["file"] == str(target / file)
    run("tune", "export", base, tmp_path / "fla", "--adapter", tmp_path / "pissa" / "adapter")
    assert weights.read_weights(tmp_path / "fla").layout == weights.FLA
    again = run("tune", "export", base, tmp_path / "fla", code=3)
    assert "is there already" in again.err
    prepared = run("tune", "prepare", data, "--to", tmp_path / "data" / "train", "--json")
    assert json.loads(prepared.out)["documents"] == 30
    bad = tmp_path / "bad.jsonl"
    bad.write_text("{}\n")
    failed = run("tune", "prepare", bad, "--to", tmp_path / "data" / "bad", code=2)
    assert "bad.jsonl:1" in failed.err
