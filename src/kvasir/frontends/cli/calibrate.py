"""``kvasir calibrate``: when to say that the documents do not hold the answer."""

from __future__ import annotations

import click

from kvasir.app import App
from kvasir.evaluation.answers import load_questions
from kvasir.frontends.cli.options import json_option, with_app
from kvasir.frontends.cli.rendering import print_json, print_table, stages


@click.command()
@click.option(
    "--questions",
    type=click.Path(exists=True, dir_okay=False),
    help="Questions that the documents answer: JSON lines, or one a line.",
)
@click.option(
    "--off-topic",
    type=click.Path(exists=True, dir_okay=False),
    help="Questions that they do not answer: JSON lines, or one a line.",
)
@json_option
@with_app
def calibrate(app: App, questions: str | None, off_topic: str | None, as_json: bool) -> None:
    """Fit the decision to refuse to a collection.

    Without --questions and --off-topic, questions are made from the collection's own sentences.
    """
    with stages(quiet=as_json) as progress:
        calibration = app.calibrate(
            load_questions(questions) if questions else None,
            load_questions(off_topic) if off_topic else None,
            progress=progress,
        )
    if as_json:
        print_json(calibration.to_json())
        return
    print_table(
        [{"figure": name, "value": round(value, 4)} for name, value in calibration.report.items()]
    )
    click.echo(f"collection '{app.collection}' refuses by these figures from now on")
