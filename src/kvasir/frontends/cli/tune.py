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
            f"wrote {report.file}",
        )
        return 0

    command.__doc__ = text
    decorated: Callable[..., Any] = with_app(command)
    for option in reversed(_OPTIONS + _ADAPTER_OPTIONS.get(kind, ())):
        decorated = option(decorated)
    tune.command(kind)(decorated)


_POSITIVE = click.IntRange(1)
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
    click.option(
        "--context", type=_POSITIVE, default=512, show_default=True, help="Tokens of an example."
    ),
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
)
_RANK = click.option("--rank", type=_POSITIVE, default=32, show_default=True)
_ADAPTER_OPTIONS: dict[str, tuple[Any, ...]] = {
    "lora": (_RANK, click.option("--alpha", type=float, default=32.0, show_default=True)),
    "pissa": (_RANK,),
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
    """Write a model to FILE.pth, or to a folder as Transformers and fla read it (RWKV-7)."""
    from kvasir.tuning import export_model

    written = export_model(
        model, target.absolute(), data_dir=app.settings.data_folder, adapter=adapter
    )
    print_result({"path": str(written)}, f"wrote {written}")
