"""``kvasir evaluate``: retrieval, answers or chunking on a data set, a collection, two settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kvasir.core.errors import KvasirError, RequestError, StoppedError
from kvasir.core.run import Run
from kvasir.core.text import one_line, printable
from kvasir.core.wire import dumps, to_json
from kvasir.frontends.cli.interrupts import EXIT_INTERRUPTED
from kvasir.frontends.cli.long_work import long_work, stop_token
from kvasir.frontends.cli.main import exit_code_of
from kvasir.frontends.cli.options import (
    GENERATORS,
    SPLIT_LENGTHS,
    make_app,
    setting_options,
    settings_of,
    with_app,
    with_collection,
)
from kvasir.frontends.cli.rendering import (
    json_option,
    print_table,
    printed_json,
    wants_json,
)
from kvasir.frontends.cli.terminal import echo
from kvasir.settings.schema import MOST_TOP_K

if TYPE_CHECKING:
    from kvasir.app import AnswersResult, App, Judgement, Measured, MetricComparison
    from kvasir.collection import Collection, QuestionFigures, QuestionsResult, Share

_FILE = click.Path(exists=True, dir_okay=False)
_DATA_FOLDER = click.Path(exists=True, file_okay=False, resolve_path=True)


@click.group()
def evaluate() -> None:
    """Measure retrieval, answers or chunking, or ask your own questions."""


@evaluate.command()
@click.argument("folders", nargs=-1, required=True, type=_DATA_FOLDER, metavar="DIR...")
@setting_options(
    ("--language", "rag.language", "Language of documents and questions."),
    ("--alpha", "chat.rag.retriever.alpha", "Share of the dense leg; by language by default."),
)
@with_app
def retrieval(app: App, folders: tuple[str, ...]) -> None:
    """Measure retrieval on folders in BEIR's layout (corpus, queries, qrels).

    Several folders go into one collection and are reported apart.
    """
    runner = app.evaluation()
    datasets = [runner.load_dataset(each) for each in folders]
    with long_work() as run:
        result = runner.retrieval(datasets, run=run)
    rows = []
    for part in result.datasets:
        row = {"data set": part.name, "documents": part.documents, "queries": part.queries}
        shown = {name: f"{value:.4f}" for name, value in part.metrics.items()}
        low, high = part.intervals["ndcg@10"]
        rows.append(row | shown | {"ndcg@10, 95 %": f"{low:.3f}-{high:.3f}"})
    print_table(result, rows)


@evaluate.command()
@click.argument("dataset", type=_DATA_FOLDER, metavar="DIR")
@setting_options(
    ("--splitter", "rag.splitter.type", "The splitter to measure."),
    ("--split-by", "rag.splitter.split_by", "Unit of the window splitter."),
    *SPLIT_LENGTHS,
)
@click.option(
    "--top-k",
    type=click.IntRange(1, MOST_TOP_K),
    default=5,
    show_default=True,
    help="Chunks retrieved for a question.",
)
@with_app
def chunking(app: App, dataset: str, top_k: int) -> None:
    """Measure a splitter: token-level recall, precision and IoU of what is retrieved."""
    runner = app.evaluation()
    loaded = runner.load_chunking_dataset(dataset)
    with long_work() as run:
        result = runner.chunking(loaded, top_k=top_k, run=run)
    rows = (
        {"corpus": name, **{metric: f"{value:.4f}" for metric, value in values.items()}}
        for name, values in {**result.corpora, "all": result.metrics}.items()
    )
    size = f"{result.chunks} chunks of {result.characters:.0f} characters on average"
    print_table(result, rows)
    if not wants_json():
        echo(size)


@evaluate.command()
@click.argument("dataset", type=_DATA_FOLDER, metavar="DIR")
@click.option(
    "--off-topic",
    type=_FILE,
    help="Questions that the documents do not answer, JSON lines or one a line.",
)
@setting_options(
    ("--top-k", "chat.rag.retriever.top_k", "Most passages."),
    ("--generator", "generator.type", f"What writes the answers: {GENERATORS}."),
    ("--judge", "evaluation.judge.type", "Who grades besides: ragas."),
)
@click.option("--cases", is_flag=True, help="Print every question with its answer too.")
@click.option(
    "--cases-file",
    type=click.Path(dir_okay=False, writable=True),
    help="Write every question with its answer and grades to a file of JSON lines.",
)
@with_app
def answers(
    app: App, dataset: str, off_topic: str | None, cases: bool, cases_file: str | None
) -> int:
    """Measure answers: gold answers found, citations true, questions refused.

    A judge adds grades by a language model: the server is evaluation.judge.base_url, its model
    evaluation.judge.model; by default those of the generator. Where the judge fails, the other
    figures stand, and the command ends with 3.
    """
    _check_folder_of(cases_file)
    runner = app.evaluation()
    is_judged = runner.check_judge()
    loaded = runner.load_dataset(dataset)
    foreign = _load_questions(off_topic) if off_topic else []
    with long_work() as run:
        result = runner.answers(loaded, foreign, run=run)
    # Judging may take hours and fail: write the other figures first.
    shown = to_json(result)
    rows = _case_rows(result, None)
    _write_cases(cases_file, rows)
    if not wants_json():
        for row in rows if cases else ():
            echo(f"{one_line(row['question'])}\n  {one_line(row['answer']['text'])}")
        figures = {key: value for key, value in shown.items() if key != "seconds"}
        print_table(
            None, ({"figure": key, "value": _rounded(each)} for key, each in figures.items())
        )
    code = 0
    if is_judged:
        try:
            with long_work() as run:
                judgement = runner.judge(result.cases, run=run)
        except (KvasirError, KeyboardInterrupt) as error:
            interrupted = isinstance(error, (StoppedError, KeyboardInterrupt))
            code = exit_code_of(error) if isinstance(error, KvasirError) else EXIT_INTERRUPTED
            shown["judge_error"] = "interrupted" if interrupted else str(error)
            echo(f"error: no grades: {printable(shown['judge_error'])}", err=True)
        else:
            shown["judgement"] = to_json(judgement)
            rows = _case_rows(result, judgement)
            _write_cases(cases_file, rows)
            if not wants_json():
                _print_grades(judgement, rows if cases else [])
    printed_json(shown | ({"cases": rows} if cases else {}))
    return code


@evaluate.command()
@click.argument("file", type=_FILE, metavar="FILE")
@setting_options(
    ("--top-k", "chat.rag.retriever.top_k", "Most passages."),
    ("--generator", "generator.type", f"What writes the answers: {GENERATORS}."),
)
@click.option(
    "--half",
    type=click.Choice(["fit", "report"]),
    help="Ask one half of the questions: fit your settings to one, report the other.",
)
@click.option(
    "--details",
    type=click.Path(dir_okay=False, writable=True),
    metavar="FILE",
    help="Write every question with its answer and judgement to a file of JSON lines.",
)
@with_collection
def questions(collection: Collection, file: str, half: str | None, details: str | None) -> None:
    """Ask a collection questions whose good answers you know, and judge the answers.

    FILE has JSON lines: a question, the passage that holds the answer, and strings that the answer
    must and must not contain. An export of the answers log will do, too: its ratings say which
    answers were good. The collection is not changed.
    """
    from kvasir.collection import load_question_set

    _check_folder_of(details)
    asked = load_question_set(file)
    with long_work() as run:
        result = collection.evaluate(asked, half=half, run=run)
    _write_cases(details, [to_json(case) for case in result.cases])
    shown = to_json(result)
    del shown["cases"]
    if not printed_json(shown):
        _print_tables(result)


@evaluate.command()
@click.argument("a", type=_FILE, metavar="A.yaml")
@click.argument("b", type=_FILE, metavar="B.yaml")
@click.argument("dataset", type=_DATA_FOLDER, metavar="DIR")
@click.option(
    "--what",
    type=click.Choice(["retrieval", "answers"]),
    default="retrieval",
    show_default=True,
    help="What to measure.",
)
@click.option(
    "--off-topic",
    type=_FILE,
    help="With answers: questions that the documents do not answer, JSON lines or one a line.",
)
@click.option(
    "--set", "assignments", multiple=True, metavar="KEY=VALUE", help="Set one setting in both."
)
@json_option
@click.pass_context
def compare(
    ctx: click.Context,
    /,
    a: str,
    b: str,
    dataset: str,
    what: str,
    off_topic: str | None,
    **_: object,  # --set, which settings_of reads
) -> None:
    """Measure two settings files on the same questions, and say whether the change is real.

    Each ingests the folder into a new, temporary collection of its own. Differences are compared
    question by question, by a paired bootstrap.
    """
    if (ctx.find_root().obj or {}).get("config"):
        raise click.UsageError("the settings are those of the two files: leave --config away")
    settings = {"A": settings_of(ctx, a), "B": settings_of(ctx, b)}
    # The sides share nothing. Both are checked before anything runs.
    loading = Run(stop_token())
    with (
        make_app(settings["A"], run=loading) as app_a,
        make_app(settings["B"], run=loading) as app_b,
    ):
        runners = {"A": app_a.evaluation(), "B": app_b.evaluation()}
        loaded = runners["A"].load_dataset(dataset)
        foreign = _load_questions(off_topic) if off_topic else []
        with long_work() as run:
            sides = [
                runner.measure(what, loaded, foreign, run=_of_side(run, side))
                for side, runner in runners.items()
            ]
    result = runners["A"].compare(what, loaded.name, *sides)
    print_table(
        {
            "what": what,
            "dataset": loaded.name,
            "a": {"settings": a} | _about(result.a),
            "b": {"settings": b} | _about(result.b),
            "metrics": result.metrics,
            "leading": result.leading,
            "real": result.metrics[result.leading].comparison.real,
            "conclusion": result.conclusion,
        },
        (_row(name, each) for name, each in result.metrics.items()),
    )
    if not wants_json():
        sides_shown = f"A: {a}, {_brief(result.a)}\nB: {b}, {_brief(result.b)}"
        echo(f"\n{sides_shown}\n\n{result.conclusion}")


def _print_tables(result: QuestionsResult) -> None:
    """Print a table by kind and one by language, where the questions name them."""
    groups = {"kind": result.kinds, "language": result.languages}
    named = {name: group for name, group in groups.items() if set(group) != {""}}
    for name, group in (named or {"questions": {}}).items():
        rows = [*sorted(group.items()), ("all", result.all)]
        print_table(None, [_figures_row(name, key, each) for key, each in rows])
        echo()
    answering = result.seconds["answer"] / result.all.questions
    echo(f"{answering:.2f} s a question; in brackets the 95 % interval")


def _figures_row(name: str, key: str, each: QuestionFigures) -> dict[str, object]:
    row: dict[str, object] = {name: key or "none"}
    row["asked"] = each.questions
    for title, share in (
        ("top 1", each.top_1),
        ("top 3", each.top_3),
        ("top 10", each.top_10),
        ("satisfying", each.satisfying),
    ):
        row[title] = _percent(share)
    row["words"] = f"{each.words:.0f}"
    row["refused rightly"] = _percent(each.refused_rightly)
    row["refused wrongly"] = _percent(each.refused_wrongly)
    row["unsure rightly"] = _percent(each.unsure_rightly)
    row["unsure wrongly"] = _percent(each.unsure_wrongly)
    return row


def _percent(share: Share) -> str:
    if share.share is None:
        return "-"
    return f"{share.share:.0%} ({share.low:.0%}-{share.high:.0%})"


def _write_cases(path: str | None, rows: Sequence[Mapping[str, Any]]) -> None:
    if path:
        lines = (dumps(row) + "\n" for row in rows)
        try:
            Path(path).write_text("".join(lines), "utf-8")
        except OSError as error:
            raise RequestError(f"'{path}' cannot be written: {error.strerror}") from error


def _check_folder_of(path: str | None) -> None:
    """Raise RequestError if a file's folder is missing, before hours of work are lost to that."""
    if path and not (folder := Path(path).absolute().parent).is_dir():
        raise RequestError(f"'{path}' cannot be written: make the folder '{folder}' first")


def _print_grades(judgement: Judgement, rows: Sequence[Mapping[str, Any]]) -> None:
    echo()
    for row in rows:
        echo(one_line(row["question"]))
        for name, value in row["verdict"]["scores"].items():
            echo(f"    {name} {value:.2f}")
        for name, reason in row["verdict"]["failures"].items():
            echo(f"    {name}: {one_line(reason)}")
    rows = [
        {
            "judged": name,
            "mean": _rounded(mean),
            "graded": judgement.graded[name],
            "failed": judgement.failed[name],
        }
        for name, mean in judgement.metrics.items()
    ]
    print_table(None, rows)


def _case_rows(result: AnswersResult, judgement: Judgement | None) -> list[dict[str, Any]]:
    verdicts = judgement.verdicts if judgement else (None,) * len(result.cases)
    return [
        to_json(case) | ({"verdict": to_json(verdict)} if verdict else {})
        for case, verdict in zip(result.cases, verdicts, strict=True)
    ]


def _rounded(value: object) -> object:
    return round(value, 4) if isinstance(value, float) else value


def _of_side(run: Run, side: str) -> Run:
    return Run(run.stop, lambda event: run.progress(replace(event, stage=f"{side} {event.stage}")))


def _row(name: str, each: MetricComparison) -> dict[str, str]:
    found = each.comparison
    return {
        "metric": name,
        "A": f"{each.a:.4f}",
        "B": f"{each.b:.4f}",
        "difference": f"{found.difference:+.4f}",
        "95 % interval": f"{found.low:+.4f} to {found.high:+.4f}",
        "p": f"{found.p_value:.4f}",
        "better/worse": f"{found.better}/{found.worse} of {each.questions}",
        "real": "yes" if found.real else "no",
    }


def _about(side: Measured) -> dict[str, Any]:
    return ({} if side.chunks is None else {"chunks": side.chunks}) | {"seconds": side.seconds}


def _brief(side: Measured) -> str:
    seconds = ", ".join(f"{stage} {each:.1f} s" for stage, each in side.seconds.items())
    return seconds if side.chunks is None else f"{side.chunks} chunks, {seconds}"


def _load_questions(file: str) -> list[str]:
    from kvasir.collection import load_questions

    return load_questions(file)
