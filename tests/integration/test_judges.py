"""Ragas grades answers through a real OpenAI-compatible server on the loopback."""

import json
import os
import socket
import subprocess
import sys
import threading
import time

import judge_server
import pytest
from click.testing import CliRunner
from libraries import library

from kvasir.core.errors import ComponentError, ModelNotFoundError, SettingsError, StoppedError
from kvasir.core.run import Progress, Run, StopToken
from kvasir.core.types import Answer, Chunk, Hit, chunk_id, document_id
from kvasir.evaluation.answers import AnswerCase
from kvasir.evaluation.judges import JudgedCase, judge_answers
from kvasir.frontends.cli.main import cli
from kvasir.settings.loading import load_settings
from kvasir.testing.fakes import FakeEmbedder

os.environ["RAGAS_DO_NOT_TRACK"] = "true"
ours = library("kvasir.evaluation.judges_ragas", needs="ragas", extra="ragas")

pytestmark = pytest.mark.xdist_group("ragas")

MOON = "The Moon orbits the Earth at a distance of 384,400 kilometres."
TEA = "Green tea is steeped for two minutes."
GOOD = JudgedCase("How far is the Moon?", MOON, (MOON, TEA), "384,400 kilometres")
INVENTED = JudgedCase("How old is tea?", "Tea is many centuries ancient.", (TEA,), "centuries")


@pytest.fixture
def script():
    return judge_server.Script()


@pytest.fixture
def address(script):
    with judge_server.serving(script) as address:
        yield address


def make_judge(address, **options):
    return ours.RagasJudge(FakeEmbedder(), "small", address, retries=1, **options)


def test_true_answers_are_told_from_invented_ones(address, script):
    told = []
    judge = make_judge(address, api_key="secret")
    good, invented = judge.judge([GOOD, INVENTED], Run(progress=told.append))
    assert not good.failures
    assert good.scores["faithfulness"] == 1.0
    assert good.scores["context_precision"] == pytest.approx(1.0)
    assert good.scores["context_recall"] == 1.0
    assert 0.2 < good.scores["answer_relevancy"] <= 1.0
    assert invented.scores["faithfulness"] == 0.0
    assert invented.scores["context_recall"] == 0.0
    assert told == [Progress("judge", 1, 2, "questions"), Progress("judge", 2, 2, "questions")]
    body, headers = script.requests[0]
    assert body["model"] == "small"
    assert body["temperature"] == 0.0
    assert {k.lower(): v for k, v in headers.items()}["authorization"] == "Bearer secret"


def test_the_order_of_the_passages_counts_for_precision(address):
    turned = JudgedCase(GOOD.question, GOOD.answer, (TEA, MOON), GOOD.reference)
    (verdict,) = make_judge(address).judge([turned], Run())
    assert verdict.scores["context_precision"] == pytest.approx(0.5)


def test_metrics_that_do_not_apply_are_left_out(address, script):
    refused = JudgedCase(GOOD.question, "", (MOON,), GOOD.reference)
    unknown = JudgedCase(GOOD.question, MOON, (MOON,), None)
    nothing = JudgedCase(GOOD.question, "", (), None)
    verdicts = make_judge(address).judge([refused, unknown, nothing], Run())
    assert [set(verdict.scores) for verdict in verdicts] == [
        {"context_precision", "context_recall"},
        {"faithfulness", "answer_relevancy"},
        set(),
    ]
    assert not any(verdict.failures for verdict in verdicts)


def test_a_reply_of_another_form_is_asked_for_again(address, script):
    script.broken = 1
    (verdict,) = make_judge(address).judge([GOOD], Run())
    assert verdict.scores["faithfulness"] == 1.0
    assert not verdict.failures


def test_a_judge_that_never_replies_in_form_spoils_no_run(address, script):
    script.broken = -1
    hits = tuple(
        Hit(Chunk(chunk_id(document_id("a"), text, 0, 1), document_id("a"), text, 0, 1), 1.0)
        for text in (MOON, TEA)
    )
    case = AnswerCase("How far?", ("384,400",), Answer(f"{MOON} [1]", hits=hits), True)
    judgement = judge_answers([case], make_judge(address))
    assert set(judgement.failed.values()) == {1}
    assert set(judgement.metrics.values()) == {None}
    assert "no usable reply" in judgement.verdicts[0].failures["faithfulness"]


@pytest.mark.parametrize(
    ("status", "reason"), [(400, "too long"), (422, "too long"), (0, "timed out")]
)
def test_a_question_that_the_server_cannot_take_spoils_no_other(address, script, status, reason):
    script.faults = {INVENTED.answer: status}
    judge = ours.RagasJudge(FakeEmbedder(), "small", address, retries=0, timeout=1.0)
    good, spoilt = judge.judge([GOOD, INVENTED], Run())
    assert not good.failures
    assert good.scores["faithfulness"] == 1.0
    assert reason in spoilt.failures["faithfulness"]
    assert spoilt.scores["context_recall"] == 0.0


def test_judging_is_stopped_while_the_server_does_not_reply(address, script):
    script.faults, script.delay = {INVENTED.answer: 0}, 30.0
    stop = StopToken()
    at = []

    def press():
        while not script.requests:
            time.sleep(0.02)
        at.append(time.monotonic())
        stop.set()

    other = threading.Thread(target=press)
    other.start()
    with pytest.raises(StoppedError):
        make_judge(address).judge([INVENTED] * 20, Run(stop))
    assert time.monotonic() - at[0] < 20
    other.join()
    # Four are graded at once, and no further question is begun.
    assert len(script.requests) <= 4


def test_an_unreachable_judge_is_one_sentence():
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{closed.getsockname()[1]}"
        with pytest.raises(ComponentError, match=r"cannot be reached; start the server") as error:
            make_judge(address).judge([GOOD, INVENTED], Run())
        with pytest.raises(ComponentError, match=r"cannot be reached; start the server"):
            make_judge(address).check()
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("status", "kind", "message"),
    [
        (401, SettingsError, r"evaluation\.judge\.api_key"),
        (404, ModelNotFoundError, r"does not have the model 'small'"),
        (500, ComponentError, r"answered"),
    ],
)
def test_a_server_that_refuses_is_named(address, script, status, kind, message):
    script.status = status
    with pytest.raises(kind, match=message):
        make_judge(address).judge([GOOD], Run())


def test_the_server_is_looked_for_before_anything_is_measured(address, script, dataset):
    make_judge(address).check()
    script.status = 404
    make_judge(f"{address}/v1/").check()
    script.status = 401
    with pytest.raises(SettingsError, match=r"evaluation\.judge\.api_key"):
        make_judge(address).check()
    options = {"type": "ragas", "model": "small", "base_url": address}
    settings = [f"evaluation.judge.{key}={value}" for key, value in options.items()]
    arguments = [part for setting in settings for part in ("--set", setting)]
    arguments += ["--set", "rag.embedding_model.type=kvasir.testing.fakes:FakeEmbedder"]
    command = ["evaluate", "answers", str(dataset), *arguments]
    result = CliRunner().invoke(cli, command, standalone_mode=False)
    assert isinstance(result.exception, SettingsError)
    assert not script.requests


def test_a_judge_without_server_or_model_says_which_setting_is_missing():
    with pytest.raises(SettingsError, match=r"evaluation\.judge\.model"):
        ours.RagasJudge(FakeEmbedder())
    with pytest.raises(SettingsError, match=r"evaluation\.judge\.base_url"):
        ours.RagasJudge(FakeEmbedder(), "small")


def test_the_generators_key_goes_to_the_generators_server_only():
    generator = {
        "generator.base_url": "http://a",
        "generator.model": "m",
        "generator.api_key": "k",
    }
    same = load_settings(None, generator, {}).judge_arguments
    assert same == {"model": "m", "base_url": "http://a", "api_key": "k"}
    other = load_settings(None, generator | {"evaluation.judge.base_url": "http://b"}, {})
    assert other.judge_arguments == {"base_url": "http://b"}
    assert "k" not in json.dumps(other.dump()["generator"]["api_key"])


def test_ragas_reports_nothing_and_leaves_nothing(tmp_path):
    program = (
        "import kvasir.evaluation.judges_ragas as judges\n"
        "from ragas._analytics import do_not_track\n"
        "assert do_not_track()\n"
    )
    environment = {k: v for k, v in os.environ.items() if k != "RAGAS_DO_NOT_TRACK"}
    environment |= {"HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path)}
    subprocess.run([sys.executable, "-c", program], env=environment, check=True)
    assert not list(tmp_path.rglob("uuid.json"))


@pytest.fixture
def dataset(tmp_path):
    folder = tmp_path / "set"
    (folder / "qrels").mkdir(parents=True)
    write = {
        "corpus.jsonl": [
            {"_id": "m", "title": "Moon", "text": MOON},
            {"_id": "t", "title": "Tea", "text": TEA},
        ],
        "queries.jsonl": [
            {
                "_id": "1",
                "text": "At which distance does the Moon orbit the Earth?",
                "answers": ["384,400 kilometres"],
            },
            {"_id": "2", "text": "How long is green tea steeped?", "answers": ["two minutes"]},
        ],
    }
    for name, rows in write.items():
        (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "qrels/test.tsv").write_text("query-id\tcorpus-id\tscore\n1\tm\t1\n2\tt\t1\n")
    return folder


def test_the_command_line_adds_the_grades(address, dataset, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    arguments = [
        "evaluate",
        "answers",
        str(dataset),
        *("--set", "rag.embedding_model.type=kvasir.testing.fakes:FakeEmbedder"),
        *("--set", "answer.refuse=false"),
    ]
    plain = CliRunner().invoke(cli, [*arguments, "--json"])
    assert plain.exit_code == 0, plain.output
    arguments += [
        *("--judge", "ragas", "--cases-file", "cases.jsonl"),
        *("--set", f"evaluation.judge.base_url={address}"),
        *("--set", "evaluation.judge.model=small"),
    ]
    judged = CliRunner().invoke(cli, [*arguments, "--json"])
    assert judged.exit_code == 0, judged.output
    figures, graded = json.loads(plain.output), json.loads(judged.output)
    assert "judgement" not in figures
    grades = graded.pop("judgement")
    assert {**figures, "seconds": 0} == {**graded, "seconds": 0}
    assert set(grades["metrics"]) == set(ours.RagasJudge.metrics)
    assert [grades[key]["context_recall"] for key in ("metrics", "graded", "failed")] == [1.0, 2, 0]
    cases = [json.loads(line) for line in (tmp_path / "cases.jsonl").read_text().splitlines()]
    assert [case["question"] for case in cases] == [
        "At which distance does the Moon orbit the Earth?",
        "How long is green tea steeped?",
    ]
    assert cases[0]["verdict"]["scores"]["faithfulness"] == 1.0
    shown = CliRunner().invoke(cli, [*arguments, "--cases"])
    assert "faithfulness 1.00" in shown.output
    assert "context_recall" in shown.output


def test_a_judge_that_fails_takes_no_figure_with_it(
    address, script, dataset, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    arguments = [
        *("evaluate", "answers", str(dataset), "--judge", "ragas", "--cases-file", "cases.jsonl"),
        *("--set", "rag.embedding_model.type=kvasir.testing.fakes:FakeEmbedder"),
        *("--set", "answer.refuse=false", "--set", "evaluation.judge.model=small"),
        *("--set", f"evaluation.judge.base_url={address}"),
        *("--set", "evaluation.judge.options={retries: 0}"),
    ]
    script.faults = {"": 500}
    as_json = CliRunner().invoke(cli, [*arguments, "--json", "--cases"], standalone_mode=False)
    assert as_json.return_value == 3
    figures = json.loads(as_json.stdout)
    assert figures["questions"] == 2
    assert "answered" in figures["judge_error"]
    assert "judge" not in figures
    assert len(figures["cases"]) == 2
    cases = [json.loads(line) for line in (tmp_path / "cases.jsonl").read_text().splitlines()]
    assert [case["correct"] for case in cases] == [True, True]
    shown = CliRunner().invoke(cli, arguments, standalone_mode=False)
    assert shown.return_value == 3
    assert "questions" in shown.stdout
    assert "error: no grades: ragas: judging failed" in shown.stderr


@pytest.mark.xdist_group("llama")
def test_a_real_model_grades_in_the_form_that_is_asked_for(llama_server):
    judge = ours.RagasJudge(FakeEmbedder(), "small", llama_server, max_tokens=64, retries=0)
    judge.check()
    # The metric with the shortest prompts.
    (verdict,) = judge.judge([JudgedCase(GOOD.question, MOON, (), None)], Run())
    assert verdict.scores.keys() | verdict.failures.keys() == {"answer_relevancy"}
    assert all(0.0 <= score <= 1.0 for score in verdict.scores.values())
