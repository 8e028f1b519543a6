"""The commands for InstructLab's ``ilab``: ``data rag ingest`` and ``model rag-chat``.

They are entry points of the groups ``instructlab.command.data`` and ``instructlab.command.model``,
have the options of ``kvasir ingest`` and ``kvasir chat``, and read ilab's configuration. Plug-ins
cannot add options to ``ilab model chat``, so the chat is a separate command.

Source: instructlab 0.26, ``clickext.LazyEntryPointGroup``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from kvasir.app import App
from kvasir.core.errors import KvasirError
from kvasir.core.text import printable
from kvasir.frontends.cli.chat.command import chat
from kvasir.frontends.cli.chat.loop import run_chat
from kvasir.frontends.cli.ilab_config import settings_tree
from kvasir.frontends.cli.ingest import ingest, parse_metadata, run_ingest
from kvasir.frontends.cli.main import EXIT_REFUSED, exit_code_of
from kvasir.frontends.cli.options import SETTINGS_TREE, mapped_overrides, option_names
from kvasir.frontends.cli.remedies import explain
from kvasir.settings.loading import load_settings
from kvasir.settings.schema import Settings

_FROM_ILAB = ("config", "assignments")
"""Parameters that ilab's configuration replaces."""


class IlabCommand(click.Command):
    """A command with ilab's configuration, whose errors are one line and an exit code."""

    rag_enabled = False

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the configuration first, so that ``--help`` shows its values."""
        try:
            ctx.meta[SETTINGS_TREE] = settings_tree(ctx, rag_enabled=self.rag_enabled)
        except KvasirError as error:
            raise _failure(error) from error
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command and leave with its exit code."""
        try:
            code = super().invoke(ctx)
        except KvasirError as error:
            raise _failure(error) from error
        ctx.exit(code or 0)


class IlabChat(IlabCommand):
    """The chat, which answers from documents by default."""

    rag_enabled = True


@click.group()
def rag() -> None:
    """Ingest documents for answers with sources."""


@click.pass_context
def _ingest(
    ctx: click.Context,
    /,
    sources: tuple[str, ...],
    prune: bool,
    metadata: tuple[str, ...],
    as_json: bool,
    **options: Any,
) -> int:
    with App(_settings(ctx, options)) as app, app.collection() as collection:
        return run_ingest(
            collection, sources, prune=prune, metadata=parse_metadata(metadata), as_json=as_json
        )


@click.pass_context
def _rag_chat(
    ctx: click.Context,
    /,
    question: tuple[str, ...],
    session: Path | None,
    quick_question: bool,
    **options: Any,
) -> int:
    settings = _settings(ctx, options)
    reply = run_chat(settings, question=" ".join(question), session=session, quick=quick_question)
    return EXIT_REFUSED if reply and reply.refused else 0


def _parameters(command: click.Command) -> list[click.Parameter]:
    return [each for each in command.params if each.name not in _FROM_ILAB]


def _settings(ctx: click.Context, options: dict[str, Any]) -> Settings:
    overrides = mapped_overrides(ctx, options)
    if options.get("collection"):
        overrides["collection"] = options["collection"]
    origins = option_names(ctx, overrides)
    return load_settings(ctx.meta[SETTINGS_TREE], overrides, origins=origins)


def _failure(error: KvasirError) -> click.ClickException:
    failure = click.ClickException(printable(explain(error)))
    failure.exit_code = exit_code_of(error)  # type: ignore[misc]  # click says ClassVar
    return failure


rag.add_command(
    IlabCommand("ingest", callback=_ingest, params=_parameters(ingest), help=ingest.help)
)
rag_chat = IlabChat("rag-chat", callback=_rag_chat, params=_parameters(chat), help=chat.help)
