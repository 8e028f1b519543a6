"""``kvasir evaluate compare``: compare two settings files on a data set."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from kvasir.app import App
from kvasir.core.run import Run
from kvasir.frontends.cli.interrupts import long_work, stop_token
from kvasir.frontends.cli.options import json_option, settings_of
from kvasir.frontends.cli.rendering import print_json, print_table

if TYPE_CHECKING:
    from kvasir.app import Measured, MetricComparison

settings_file = click.Path(exists=True, dir_okay=False)
data_folder = click.Path(exists=True, file_okay=False, resolve_path=True)


@click.command()
@click.argument("a", type=settings_file, metavar="A.yaml")
@click.argument("b", type=settings_file, metavar="B.yaml")
@click.argument("dataset", type=data_folder, metavar="DIR")
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
    # The sides share nothing. Both are checked before anything runs.
    loading = Run(stop_token())
    with App(settings["A"], run=loading) as app_a, App(settings["B"], run=loading) as app_b:
        runners = {"A": app_a.evaluation(), "B": app_b.evaluation()}
        loaded = runners["A"].load_dataset(dataset)
        foreign = app_a.load_questions(off_topic) if off_topic else []
        with long_work(quiet=as_json) as run:
            sides = [
                runner.measure(what, loaded, foreign, run=_of_side(run, side))
                for side, runner in runners.items()
            ]
    result = runners["A"].compare(what, loaded.name, *sides)
    if as_json:
        print_json(
            {
                "what": what,
                "dataset": loaded.name,
                "a": {"settings": a} | _about(result.a),
                "b": {"settings": b} | _about(result.b),
                "metrics": result.metrics,
                "leading": result.leading,
                "real": result.metrics[result.leading].comparison.real,
                "conclusion": result.conclusion,
            }
        )
        return
    print_table([_row(name, each) for name, each in result.metrics.items()])
    click.echo(f"\nA: {a}, {_brief(result.a)}\nB: {b}, {_brief(result.b)}\n\n{result.conclusion}")


def _of_side(run: Run, side: str) -> Run:
    """Return a run whose stages are named after a side."""
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
