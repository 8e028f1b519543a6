"""``kvasir calibrate``: fits the decision to refuse questions that the documents do not answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from kvasir.app import App
from kvasir.core.errors import RequestError
from kvasir.frontends.cli.interrupts import long_work
from kvasir.frontends.cli.options import json_option, with_app
from kvasir.frontends.cli.rendering import print_json

if TYPE_CHECKING:
    from kvasir.collection import Fitted


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
@click.option("--apply", "wanted", is_flag=True, help="Keep the decision where it is only shown.")
@click.option("--reset", is_flag=True, help="Go back to the decision that comes with Kvasir.")
@json_option
@with_app
def calibrate(
    app: App, questions: str | None, off_topic: str | None, wanted: bool, reset: bool, as_json: bool
) -> None:
    """Fit the decision to refuse to a collection.

    Without --questions and --off-topic, questions are made from the collection's own sentences.
    That is a rough guide, so the new decision is only shown; --apply keeps it. The same holds
    where it would refuse more good questions, or answer clearly more of the others.
    """
    if reset and (questions or off_topic or wanted):
        raise RequestError("--reset stands alone: nothing is fitted then")
    with app.collection() as collection:
        if reset:
            collection.keep_calibration(None)
            if as_json:
                print_json({"reset": True})
            else:
                click.echo(f"collection '{collection.name}' refuses as Kvasir comes, from now on")
            return
        with long_work(quiet=as_json) as run:
            fitted = collection.calibrate(
                app.load_questions(questions) if questions else None,
                app.load_questions(off_topic) if off_topic else None,
                # None, not False: without --apply, one fitted to given questions may be kept.
                apply=wanted or None,
                run=run,
            )
    if as_json:
        print_json(fitted)
        return
    _print_rates(fitted)
    for drawback in fitted.drawbacks:
        click.secho(f"careful: it {drawback}", fg="yellow")
    if fitted.kept:
        click.echo(f"collection '{collection.name}' refuses by the new decision from now on")
        click.echo("'kvasir calibrate --reset' brings the one that comes with Kvasir back")
    elif fitted.gained:
        all_given = bool(questions and off_topic)
        reason = "" if all_given else "; made questions are a rough guide, real ones a good one"
        click.echo(f"nothing was changed: --apply keeps the new decision{reason}")
    else:
        click.echo("nothing was changed: fitting to these questions gains nothing")


def _print_rates(fitted: Fitted) -> None:
    """Print how many questions are refused, by the shipped decision and by the fitted one."""
    report = fitted.calibration.report
    click.echo(
        f"asked {report['questions_answered']:.0f} questions that the documents answer and "
        f"{report['questions_unanswered']:.0f} that they do not"
    )
    for name, ending in (("as Kvasir comes", "_before"), ("fitted", "")):
        click.echo(
            f"{name}: refuses {report[f'refused_on_topic{ending}']:.1%} of the answerable, "
            f"{report[f'refused_off_topic{ending}']:.1%} of the foreign questions"
            + ("" if fitted.gained or ending else " (no better)")
        )
