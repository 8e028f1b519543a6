"""``kvasir tune``: training data, states and adapters of RWKV models."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kvasir.core.errors import StoppedError
from kvasir.frontends.cli.interrupts import EXIT_INTERRUPTED
from kvasir.frontends.cli.long_work import long_work
from kvasir.frontends.cli.main import fail
from kvasir.frontends.cli.options import with_app
from kvasir.frontends.cli.rendering import print_result

if TYPE_CHECKING:
    from collections.abc import Callable

    from kvasir.app import App
    from kvasir.tuning import TuningReport
    from kvasir.tuning_loop import RoundResult

_FILE = click.Path(path_type=Path)


@click.group()
def tune() -> None:
    """Tune an RWKV model: prepare data, train a state or an adapter, export a model."""


@tune.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True))
@click.option("--to", "target", required=True, type=_FILE, help="The files without .bin and .idx.")
@click.option("--processes", default=1, type=click.IntRange(1, 64), show_default=True)
@with_app
def prepare(app: App, files: tuple[Path, ...], target: Path, processes: int) -> int:
    r"""Write JSONL files as training data (.bin and .idx).

    Each line is {"text": "User: question\n\nAssistant: answer"}.
    """
    from kvasir.tuning import prepare_data

    del app
    try:
        with long_work() as run:
            report = prepare_data(
                [file.absolute() for file in files],
                target.absolute(),
                processes=processes,
                run=run,
            )
    except StoppedError:
        return fail("interrupted: nothing was written", EXIT_INTERRUPTED)
    print_result(report, f"wrote {report.documents} documents to {report.file}.bin and .idx")
    return 0


def _training(kind: str, text: str) -> None:
    """Add the command that trains a state or an adapter."""

    def command(app: App, model: str, data: Path, target: Path, **given: Any) -> int:
        from kvasir.tuning import tune as run_tuning

        context, device = given.pop("context"), given.pop("device")
        options = {key: value for key, value in given.items() if value is not None}
        try:
            with long_work() as run:
                report = run_tuning(
                    kind,
                    model,
                    data.absolute(),
                    target.absolute(),
                    data_dir=app.settings.data_folder,
                    context=context,
                    device=device,
                    options=options,
                    run=run,
                )
        except StoppedError:
            again = "interrupted: the same command goes on from the last checkpoint"
            return fail(again, EXIT_INTERRUPTED)
        ended = ", ended early" if report.ended_early else ""
        print_result(
            report,
            f"held-out loss {report.loss_before:.4f} -> {report.loss:.4f} "
            f"after {report.steps} steps{ended}",
            *_shortened(report),
            f"wrote {report.file}",
        )
        return 0

    command.__doc__ = text
    decorated: Callable[..., Any] = with_app(command)
    for option in reversed(_OPTIONS + _ADAPTER_OPTIONS.get(kind, ())):
        decorated = option(decorated)
    tune.command(kind)(decorated)


def _shortened(report: TuningReport | RoundResult) -> list[str]:
    """Return a line on the examples that were not learnt as they are; none if there are none."""
    if not report.shortened and not report.left_out:
        return []
    return [
        f"{report.shortened} of {report.examples} examples were longer than --context and were "
        f"shortened; left out because there was nothing to learn: {report.left_out}"
    ]


_POSITIVE = click.IntRange(1)
_CONTEXT = click.option(
    "--context", type=_POSITIVE, default=512, show_default=True, help="Most tokens of an example."
)
_OPTIONS = (
    click.option("--model", required=True, help="The base: a file, or OWNER/NAME/FILE."),
    click.option("--data", required=True, type=_FILE, help="A JSONL file, or prepared data."),
    click.option(
        "--to", "target", required=True, type=_FILE, help="The folder of the run and its result."
    ),
    click.option("--steps", type=_POSITIVE, default=1000, show_default=True),
    click.option("--batch", type=_POSITIVE, default=8, show_default=True, help="Examples a step."),
    click.option(
        "--micro-batch", type=_POSITIVE, default=8, show_default=True, help="Computed at once."
    ),
    _CONTEXT,
    click.option("--learning-rate", type=click.FloatRange(0, min_open=True)),
    click.option(
        "--held-out",
        type=click.FloatRange(0, 1, max_open=True),
        default=0.1,
        show_default=True,
        help="Part of the examples that measures.",
    ),
    click.option(
        "--evaluate-every",
        type=_POSITIVE,
        default=50,
        show_default=True,
        help="Steps between checkpoints.",
    ),
    click.option(
        "--patience",
        type=click.IntRange(0),
        default=5,
        show_default=True,
        help="Evaluations without a better one after which it ends; 0: never.",
    ),
    click.option("--seed", type=int, default=0, show_default=True),
    click.option("--device", help="cpu, cuda, cuda:1, ...; by default CUDA where there is one."),
    click.option("--recompute", is_flag=True, help="Less memory, a third more time."),
    click.option("--tensorboard", is_flag=True, help="Write the metrics for TensorBoard, too."),
)
_RANK = click.option("--rank", type=_POSITIVE, default=32, show_default=True)
_PACK = click.option(
    "--pack",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="Tokens of a row into which examples are packed; 0: a row each.",
)
_ADAPTER_OPTIONS: dict[str, tuple[Any, ...]] = {
    "lora": (_RANK, click.option("--alpha", type=float, default=32.0, show_default=True), _PACK),
    "pissa": (_RANK, _PACK),
}
_training("state", "Train the state before the first token (State-Tune).")
_training("lora", "Train a LoRA adapter.")
_training("pissa", "Train a PiSSA adapter, which starts from the strongest directions.")


@tune.command()
@click.argument("model")
@click.argument("target", type=_FILE)
@click.option("--adapter", help="Merge this LoRA or PiSSA adapter into the weights.")
@with_app
def export(app: App, model: str, target: Path, adapter: str | None) -> None:
    """Write a model to FILE.pth, or to a folder as Transformers and fla read it."""
    from kvasir.tuning import export_model

    written = export_model(
        model, target.absolute(), data_dir=app.settings.data_folder, adapter=adapter
    )
    print_result({"path": str(written)}, f"wrote {written}")


@tune.command()
@click.argument("target", type=_FILE)
@click.option(
    "--against",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="FILE",
    help="Questions of an evaluation, which are left out, also in other words.",
)
@with_app
def dataset(app: App, target: Path, against: Path | None) -> int:
    """Write what users rated as good in the answers log as JSONL to tune with.

    A line has the prompt with the passages that are found now, and the answer. Of a question that
    was asked several times the latest good answer counts.
    """
    from kvasir.collection import load_question_set
    from kvasir.tuning_dataset import PromptForm, make_dataset

    questions = [each.question for each in load_question_set(against)] if against else []
    try:
        with long_work() as run, app.collection() as collection:
            report = make_dataset(
                app.services.answer_log.export(),
                collection.search,
                target.absolute(),
                PromptForm.of_options(app.settings.generator.options),
                collection=collection.name,
                evaluation=questions,
                run=run,
            )
    except StoppedError:
        return fail("interrupted: nothing was written", EXIT_INTERRUPTED)
    print_result(
        report,
        f"wrote {report.written} examples to {report.file}",
        f"left out: {report.leaking} of the evaluation, {report.repeated} asked again, "
        f"{report.not_rated_good} not rated as good, {report.refused} refused, "
        f"{report.without_source} whose sources are not found any more",
    )
    return 0


def _improve(app: App, questions: Path, target: Path, **given: Any) -> int:
    r"""Tune with the answers log, evaluate, and use the result if it is better.

    QUESTIONS decides: a file as of 'kvasir evaluate questions', of which nothing is learnt. The
    candidate is promoted if it answers significantly more of them well than what is used now; the
    generator uses it with generator.options.tuned. Ctrl-C and a crash lose at most one step: the
    same command goes on.
    """
    from kvasir.tuning_loop import RoundOptions, improve

    kind, context, device = given.pop("kind"), given.pop("context"), given.pop("device")
    tuning = {key: value for key, value in given.items() if value is not None}
    options = RoundOptions(kind, questions.absolute(), context, device, tuning)
    try:
        with long_work() as run:
            result = improve(app, target.absolute(), options, run=run)
    except StoppedError:
        return fail("interrupted: the same command goes on", EXIT_INTERRUPTED)
    decision = "promoted" if result.promoted else "refused"
    print_result(
        result,
        f"round {result.round}: learnt from {result.examples} answers, held-out loss "
        f"{result.loss_before:.4f} -> {result.loss:.4f}",
        *_shortened(result),
        f"answered well: {result.incumbent:.1%} before, {result.candidate:.1%} with it, of "
        f"{result.questions} questions (p = {result.comparison.p_value:.4f})",
        f"{decision}: {result.folder}",
    )
    return 0


def _add_improve() -> None:
    decorated: Callable[..., Any] = with_app(_improve)
    own = [option for option in _OPTIONS if option not in (*_OPTIONS[:2], _CONTEXT)]
    for option in reversed((*own, *_ROUND_OPTIONS)):
        decorated = option(decorated)
    tune.command("improve")(decorated)


_ROUND_OPTIONS = (
    click.argument("questions", type=click.Path(path_type=Path, exists=True, dir_okay=False)),
    click.option(
        "--kind",
        type=click.Choice(["state", "lora", "pissa"]),
        default="state",
        show_default=True,
        help="What is trained.",
    ),
    click.option("--rank", type=_POSITIVE, help="Of an adapter.  [default: 32]"),
    click.option(
        "--context",
        type=_POSITIVE,
        help="Most tokens of an example.  [default: the generator's window]",
    ),
)
_add_improve()


@tune.command()
@click.argument("questions", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--model", required=True, help="The base: a file, or OWNER/NAME/FILE.")
@click.option("--state", help="A state that was tuned for reranking.")
@click.option("--adapter", help="An adapter that was tuned for reranking.")
@click.option("--device", help="cpu, cuda, cuda:1, ...; by default CUDA where there is one.")
@with_app
def prove(
    app: App,
    questions: Path,
    model: str,
    state: str | None,
    adapter: str | None,
    device: str | None,
) -> int:
    """Compare a tuned reranker with none on the collection, and write the proof that it needs.

    QUESTIONS is a file as of 'kvasir evaluate questions', with passages; nothing may have been
    trained with them. The reranker can be used if it is significantly better.
    """
    from kvasir.collection import load_question_set
    from kvasir.tuning_proof import prove_reranker

    if (state is None) == (adapter is None):
        raise click.UsageError("name a state or an adapter")
    asked = load_question_set(questions)
    try:
        with long_work() as run:
            report = prove_reranker(
                app, asked, model, state=state, adapter=adapter, device=device, run=run
            )
    except StoppedError:
        return fail("interrupted: nothing was written", EXIT_INTERRUPTED)
    print_result(
        report,
        f"nDCG@10 {report.without:.4f} without, {report.with_reranker:.4f} with it, on "
        f"{report.questions} questions (p = {report.p_value:.4f}): "
        f"{'it may be used' if report.is_better else 'it is refused'}",
        f"wrote {report.file}",
    )
    return 0
