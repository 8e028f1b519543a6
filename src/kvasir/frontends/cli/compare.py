"""``kvasir evaluate compare``: two settings side by side, and whether the difference is real."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import click

from kvasir.app import App
from kvasir.core.types import Progress
from kvasir.evaluation.answers import evaluate_answers, load_questions
from kvasir.evaluation.compare import (
    MetricComparison,
    PerQuestion,
    answers_per_question,
    compare_runs,
    conclude,
)
from kvasir.evaluation.datasets import RetrievalDataset, load_dataset
from kvasir.evaluation.judges import judge_answers
from kvasir.evaluation.retrieval import evaluate_retrieval
from kvasir.frontends.cli.options import json_option, settings_of
from kvasir.frontends.cli.rendering import print_json, print_table, stages
from kvasir.parts import refuse_filters
from kvasir.settings.schema import Settings

_LEADING = {"retrieval": "ndcg@10", "answers": "answer_recall"}
"""The figure that the conclusion speaks of, where there is one."""

settings_file = click.Path(exists=True, dir_okay=False)


@dataclass(frozen=True, slots=True)
class _Run:
    per_question: PerQuestion
    about: dict[str, Any]


@click.command()
@click.argument("a", type=settings_file, metavar="A.yaml")
@click.argument("b", type=settings_file, metavar="B.yaml")
@click.argument("dataset", type=click.Path(exists=True, file_okay=False), metavar="DIR")
@click.option(
    "--what",
    type=click.Choice(["retrieval", "answers"]),
    default="retrieval",
    show_default=True,
    help="What to measure.",
)
@click.option(
    "--off-topic",
    type=click.Path(exists=True, dir_okay=False),
    help="With answers: questions that the documents do not answer, JSON lines or one a line.",
)
@click.option(
    "--set", "assignments", multiple=True, metavar="KEY=VALUE", help="Set one setting in both."
)
@json_option
@click.pass_context
def compare(
    ctx: click.Context,
    a: str,
    b: str,
    dataset: str,
    what: str,
    off_topic: str | None,
    assignments: tuple[str, ...],
    as_json: bool,
) -> None:
    """Measure two settings files on the same questions, and say whether the change is real.

    Each ingests the folder into a new, temporary collection of its own. Differences are compared
    question by question, by a paired bootstrap.
    """
    if (ctx.find_root().obj or {}).get("config"):
        raise click.UsageError("the settings are those of the two files: leave --config away")
    settings = {"A": settings_of(ctx, a, assignments), "B": settings_of(ctx, b, assignments)}
    for chosen in settings.values():
        refuse_filters(chosen)
    loaded = load_dataset(dataset)
    foreign = load_questions(off_topic) if off_topic else []
    with stages(quiet=as_json) as progress:
        runs = {
            side: _measure(what, chosen, loaded, foreign, _told(progress, side))
            for side, chosen in settings.items()
        }
    compared = compare_runs(runs["A"].per_question, runs["B"].per_question)
    leading = _LEADING[what] if _LEADING[what] in compared else next(iter(compared))
    conclusion = conclude(leading, compared[leading])
    if as_json:
        print_json(
            {
                "what": what,
                "dataset": loaded.name,
                "a": {"settings": a} | runs["A"].about,
                "b": {"settings": b} | runs["B"].about,
                "metrics": {name: each.to_dict() for name, each in compared.items()},
                "leading": leading,
                "real": compared[leading].comparison.real,
                "conclusion": conclusion,
            }
        )
        return
    print_table([_row(name, each) for name, each in compared.items()])
    click.echo(f"\nA: {a}, {_brief(runs['A'])}\nB: {b}, {_brief(runs['B'])}\n\n{conclusion}")


def _measure(
    what: str,
    settings: Settings,
    dataset: RetrievalDataset,
    off_topic: Sequence[str],
    progress: Progress,
) -> _Run:
    """Runs one side with an application of its own: nothing is shared with the other."""
    with App(settings) as app:
        options = app.evaluation_options()
        with app.temporary_stores() as make_store:
            if what == "retrieval":
                found = evaluate_retrieval(
                    [dataset],
                    app.embedder,
                    make_store,
                    app.splitter,
                    options=options,
                    progress=progress,
                )
                about = {"chunks": found.chunks, "seconds": _rounded(found.seconds)}
                return _Run(found.datasets[0].per_query, about)
            judge = app.judge
            if judge:
                judge.check()
            result = evaluate_answers(
                dataset,
                app.embedder,
                make_store,
                app.splitter,
                app.make_answerer,
                off_topic=off_topic,
                options=options,
                progress=progress,
            )
            graded = judge_answers(result.cases, judge, progress=progress) if judge else None
            return _Run(
                answers_per_question(result, len(off_topic), graded),
                {"seconds": _rounded(result.seconds)},
            )


def _told(progress: Progress, side: str) -> Progress:
    return lambda stage, done, total: progress(f"{side} {stage}", done, total)


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


def _brief(run: _Run) -> str:
    seconds = ", ".join(f"{stage} {each:.1f} s" for stage, each in run.about["seconds"].items())
    return f"{run.about['chunks']} chunks, {seconds}" if "chunks" in run.about else seconds


def _rounded(seconds: Any) -> dict[str, float]:
    return {stage: round(value, 3) for stage, value in seconds.items()}
