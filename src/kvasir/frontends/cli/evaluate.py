"""``kvasir evaluate``: retrieval, answers or chunking on a data set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kvasir.app import App
from kvasir.core.errors import KvasirError, StoppedError
from kvasir.core.text import one_line, printable
from kvasir.core.wire import dumps, to_json
from kvasir.frontends.cli.compare import compare, data_folder
from kvasir.frontends.cli.interrupts import long_work
from kvasir.frontends.cli.main import EXIT_INTERRUPTED, exit_code_of
from kvasir.frontends.cli.options import (
    SPLIT_LENGTHS,
    json_option,
    setting_option,
    setting_options,
    with_app,
)
from kvasir.frontends.cli.rendering import print_json, print_table

if TYPE_CHECKING:
    from kvasir.app import AnswersResult, Judgement


@click.group()
def evaluate() -> None:
    """Measure retrieval, answers or chunking on a data set."""


evaluate.add_command(compare)


@evaluate.command()
@click.argument("folders", nargs=-1, required=True, type=data_folder, metavar="DIR...")
@setting_option("--language", key="rag.language", help_text="Language of documents and questions.")
@setting_option(
    "--alpha",
    key="chat.rag.retriever.alpha",
    help_text="Share of the dense leg; by language by default.",
    type=float,
)
@json_option
@with_app
def retrieval(app: App, folders: tuple[str, ...], as_json: bool) -> None:
    """Measure retrieval on folders in BEIR's layout (corpus, queries, qrels).

    Several folders go into one collection and are reported apart.
    """
    runner = app.evaluation()
    datasets = [runner.load_dataset(each) for each in folders]
    with long_work(quiet=as_json) as run:
        result = runner.retrieval(datasets, run=run)
    if as_json:
        print_json(result)
        return
    rows = []
    for part in result.datasets:
        row = {"data set": part.name, "documents": part.documents, "queries": part.queries}
        shown = {name: f"{value:.4f}" for name, value in part.metrics.items()}
        low, high = part.intervals["ndcg@10"]
        rows.append(row | shown | {"ndcg@10, 95 %": f"{low:.3f}-{high:.3f}"})
    print_table(rows)


@evaluate.command()
@click.argument("dataset", type=data_folder, metavar="DIR")
@setting_options(
    ("--splitter", "rag.splitter.type", "The splitter to measure."),
    ("--split-by", "rag.splitter.split_by", "Unit of the window splitter."),
    *SPLIT_LENGTHS,
)
@click.option("--top-k", default=5, show_default=True, help="Chunks retrieved for a question.")
@json_option
@with_app
def chunking(app: App, dataset: str, top_k: int, as_json: bool) -> None:
    """Measure a splitter: token-level recall, precision and IoU of what is retrieved."""
    runner = app.evaluation()
    loaded = runner.load_chunking_dataset(dataset)
    with long_work(quiet=as_json) as run:
        result = runner.chunking(loaded, top_k=top_k, run=run)
    if as_json:
        print_json(result)
        return
    parts = {**result.corpora, "all": result.metrics}
    print_table(
        [
            {"corpus": name, **{metric: f"{value:.4f}" for metric, value in values.items()}}
            for name, values in parts.items()
        ]
    )
    click.echo(f"{result.chunks} chunks of {result.characters:.0f} characters on average")


@evaluate.command()
@click.argument("dataset", type=data_folder, metavar="DIR")
@click.option(
    "--off-topic",
    type=click.Path(exists=True, dir_okay=False),
    help="Questions that the documents do not answer, JSON lines or one a line.",
)
@setting_option("--top-k", key="chat.rag.retriever.top_k", help_text="Most passages.", type=int)
@setting_option("--generator", key="generator.type", help_text="What writes the answers.")
@setting_option("--judge", key="evaluation.judge.type", help_text="Who grades besides: ragas.")
@click.option("--cases", is_flag=True, help="Print every question with its answer too.")
@click.option(
    "--cases-file",
    type=click.Path(dir_okay=False, writable=True),
    help="Write every question with its answer and grades to a file of JSON lines.",
)
@json_option
@with_app
def answers(
    app: App,
    dataset: str,
    off_topic: str | None,
    cases: bool,
    cases_file: str | None,
    as_json: bool,
) -> int:
    """Measure answers: gold answers found, citations true, questions refused.

    A judge adds grades by a language model: the server is evaluation.judge.base_url, its model
    evaluation.judge.model; by default those of the generator. Where the judge fails, the other
    figures stand, and the command ends with 3.
    """
    runner = app.evaluation()
    is_judged = runner.check_judge()
    loaded = runner.load_dataset(dataset)
    foreign = app.load_questions(off_topic) if off_topic else []
    with long_work(quiet=as_json) as run:
        result = runner.answers(loaded, foreign, run=run)
    # Judging may take hours and fail: write the other figures first.
    shown = to_json(result)
    rows = _case_rows(result, None)
    _write_cases(cases_file, rows)
    if not as_json:
        for row in rows if cases else ():
            click.echo(f"{one_line(row['question'])}\n  {one_line(row['answer']['text'])}")
        figures = {key: value for key, value in shown.items() if key != "seconds"}
        print_table([{"figure": key, "value": _rounded(value)} for key, value in figures.items()])
    code = 0
    if is_judged:
        try:
            with long_work(quiet=as_json) as run:
                judgement = runner.judge(result.cases, run=run)
        except (KvasirError, KeyboardInterrupt) as error:
            interrupted = isinstance(error, (StoppedError, KeyboardInterrupt))
            code = exit_code_of(error) if isinstance(error, KvasirError) else EXIT_INTERRUPTED
            shown["judge_error"] = "interrupted" if interrupted else str(error)
            click.echo(f"error: no grades: {printable(shown['judge_error'])}", err=True)
        else:
            shown["judgement"] = to_json(judgement)
            rows = _case_rows(result, judgement)
            _write_cases(cases_file, rows)
            if not as_json:
                _print_grades(judgement, rows if cases else [])
    if as_json:
        print_json(shown | ({"cases": rows} if cases else {}))
    return code


def _write_cases(path: str | None, rows: Sequence[Mapping[str, Any]]) -> None:
    if path:
        lines = (dumps(row) + "\n" for row in rows)
        Path(path).write_text("".join(lines), "utf-8")


def _print_grades(judgement: Judgement, rows: Sequence[Mapping[str, Any]]) -> None:
    click.echo()
    for row in rows:
        click.echo(one_line(row["question"]))
        for name, value in row["verdict"]["scores"].items():
            click.echo(f"    {name} {value:.2f}")
        for name, reason in row["verdict"]["failures"].items():
            click.echo(f"    {name}: {one_line(reason)}")
    print_table(
        [
            {
                "judged": name,
                "mean": None if mean is None else round(mean, 4),
                "graded": judgement.graded[name],
                "failed": judgement.failed[name],
            }
            for name, mean in judgement.metrics.items()
        ]
    )


def _case_rows(result: AnswersResult, judgement: Judgement | None) -> list[dict[str, Any]]:
    verdicts = judgement.verdicts if judgement else (None,) * len(result.cases)
    return [
        to_json(case) | ({"verdict": to_json(verdict)} if verdict else {})
        for case, verdict in zip(result.cases, verdicts, strict=True)
    ]


def _rounded(value: object) -> object:
    return round(value, 4) if isinstance(value, float) else value
