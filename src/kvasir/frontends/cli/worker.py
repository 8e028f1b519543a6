"""``kvasir worker``: do the jobs of a server, which a broker brings."""

from __future__ import annotations

import importlib
from functools import partial

import click

from kvasir.core.errors import MissingExtraError
from kvasir.core.run import Run
from kvasir.frontends.cli.long_work import download, stop_token
from kvasir.frontends.cli.options import make_app, setting_options, with_settings
from kvasir.frontends.cli.terminal import echo
from kvasir.settings.loading import derive_settings
from kvasir.settings.schema import Settings


@click.command()
@click.option(
    "--queues",
    metavar="NAMES",
    help="Queues to work on, parted by commas: ingest, embed, answers, mail.  [default: all]",
)
@setting_options(
    ("--concurrency", "jobs.concurrency", "Tasks at a time; they share one model."),
    ("--device", "jobs.device", "Where to embed.", click.Choice(["cpu", "cuda"])),
    ("--broker", "jobs.broker", "The broker of Celery."),
)
@with_settings
def worker(settings: Settings, /, queues: str | None) -> None:
    """Do the jobs that the server gives to a broker, until Ctrl-C or SIGTERM.

    It indexes uploads, answers queued questions and sends mails, where jobs.backend is 'celery'.
    Start it as often as you like, also on several machines; each process loads its model once.
    """
    if queues is not None:
        names = [name.strip() for name in queues.split(",")]
        settings = derive_settings(settings, {"jobs.queues": names})
    try:
        # By name: front doors do not import each other.
        command = importlib.import_module("kvasir.frontends.worker.command")
    except ModuleNotFoundError as error:
        if error.name in ("celery", "kombu"):
            raise MissingExtraError("the worker", "celery") from error
        raise
    chosen = command.on_device(settings)
    with download() as show, make_app(chosen, run=Run(stop_token(), show)) as app:
        command.work(app, announce=partial(echo, err=True))
