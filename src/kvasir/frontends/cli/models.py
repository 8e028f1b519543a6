"""``kvasir models``: list, pull and convert embedding and language models."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from kvasir.core.errors import StoppedError
from kvasir.frontends.cli.interrupts import EXIT_INTERRUPTED
from kvasir.frontends.cli.long_work import long_work
from kvasir.frontends.cli.main import fail
from kvasir.frontends.cli.options import (
    current_app,
    server_of,
    typed_collection,
    with_app,
    with_service,
    with_settings,
)
from kvasir.frontends.cli.paths import absolute_folder
from kvasir.frontends.cli.rates import rate
from kvasir.frontends.cli.rendering import (
    json_option,
    print_result,
    print_table,
    printed_json,
    sizes,
)
from kvasir.frontends.cli.services import Service
from kvasir.frontends.cli.terminal import echo
from kvasir.settings.schema import Settings

if TYPE_CHECKING:
    from kvasir.app import App
    from kvasir.core.reports import ModelChange


@click.group()
def models() -> None:
    """List models, pull or convert one, or embed collections by another one."""


@models.command("list")
@with_app
def list_models(app: App) -> None:
    """List the models on this machine."""
    found = app.models()
    rows = (
        {
            "name": each.name,
            "format": each.format,
            "dimension": each.dimension,
            "bytes": sizes(each.size),
            "found": each.origin,
            "path": each.path,
        }
        for each in found
    )
    print_table(found, rows)


@models.command()
@click.argument("name", required=False)
@with_app
def pull(app: App, name: str | None) -> int:
    """Fetch a model from the hub into the data folder; default: the embedder of the settings.

    NAME is OWNER/MODEL. Of a repository with GGUF files one is fetched, Q4_K_M if there is one;
    OWNER/MODEL/FILE.gguf names another, and OWNER/MODEL/FILE.pth a model or a state of RWKV.
    """
    try:
        with long_work(quiet=True):
            folder = app.pull_model(name)
    except StoppedError:
        again = "interrupted: what has arrived is kept; run the same command again"
        return fail(again, EXIT_INTERRUPTED)
    print_result(folder, f"{folder.name}: {folder.path}")
    return 0


@models.command()
@click.argument("name")
@json_option
@with_settings
def convert(settings: Settings, name: str) -> None:
    """Write a model's pickled weights as safetensors, once; needs the extra torch.

    NAME is the folder of a model with pytorch_model.bin, a file .pth, or OWNER/MODEL if it is on
    this machine. Files that hold more than weights are refused: reading them could run code.
    """
    from kvasir.embedding_models import convert_weights

    with long_work(for_programs=True) as run:
        made = convert_weights(
            os.path.abspath(name) if os.path.exists(name) else name,  # noqa: PTH100, PTH110
            settings.data_folder,
            run,
        )
    lines = [str(path) for path in made] or ["there are safetensors already"]
    print_result([str(path) for path in made], *lines)


@models.command("use")
@click.argument("name")
@click.option(
    "--type", "kind", metavar="TYPE", help="The embedder that runs it; that of the settings."
)
@with_service
def use_model(service: Service, name: str, kind: str | None) -> int:
    """Embed all collections again by another model, or the one that --collection names.

    NAME is 'multilingual' or 'english', OWNER/MODEL on the hub, which is fetched, or the folder of
    a model, but not at a server. Searches and ingests go on meanwhile, with the former model until
    the new index is complete. A run that was interrupted goes on when the same command is given
    again. The model of the settings remains that of new collections.
    """
    ctx = click.get_current_context()
    if server_of(ctx) is None:
        # A folder of this machine is none of a server's.
        name = absolute_folder(name)
    only = typed_collection(ctx)
    names = [only] if only else [record.name for record in service.collections()]
    reports = []
    try:
        with long_work(for_programs=True) as run:
            if not names and server_of(ctx) is None:
                # Nothing is embedded that would show whether there is such a model.
                app = current_app()
                run.call(lambda: app.load_model(app.choose_model(name, kind), run))
            for each in names:
                with service.collection(each) as collection:
                    reports.append(collection.use_model(name, kind=kind, run=run))
    except StoppedError:
        again = "interrupted: what is embedded is kept, and the former model answers; "
        return fail(f"{again}run the same command again", EXIT_INTERRUPTED)
    if printed_json(reports):
        return 0
    for report in reports:
        _print_change(report)
    if not reports:
        echo("no collections yet: 'kvasir ingest FOLDER' makes one", err=True)
    _print_default(current_app(), name, kind)
    return 0


def _print_change(report: ModelChange) -> None:
    if not report.changed:
        echo(f"collection '{report.collection}' has the model '{report.model}' already")
        return
    before = report.chunks - report.embedded
    kept = f", {before} were embedded before" if before > 0 else ""
    speed = rate(report.embedded, report.seconds)
    echo(
        f"collection '{report.collection}' has the model '{report.model}' now, "
        f"{report.dimension} dimensions: {report.embedded} chunks embedded{kept}; "
        f"{report.seconds:.1f} s, {speed} chunks/s"
    )
    if report.calibration_lost:
        echo(
            "its decision to refuse was fitted to the former model, and is the one that comes with "
            "Kvasir again: 'kvasir calibrate' fits another",
            err=True,
        )


def _print_default(app: App, name: str, kind: str | None) -> None:
    """Show the settings with which new collections have the model, too."""
    own = app.settings.rag.embedding_model
    wanted = app.choose_model(name, kind)
    if wanted == app.choose_model(own.name, own.type):
        return
    lines = [f"new collections have '{own.name}'; to change that, set in the settings file:", ""]
    lines += ["  rag:", "    embedding_model:"]
    lines += [f"      type: {wanted.type}"] if wanted.type != own.type else []
    lines += [f"      name: {wanted.name}"]
    echo("\n".join(lines), err=True)
