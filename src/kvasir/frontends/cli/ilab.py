"""The commands for InstructLab's ``ilab``: ``data rag ingest`` and ``model rag-chat``.

They are entry points of the groups ``instructlab.command.data`` and ``instructlab.command.model``,
and ``kvasir ingest`` and ``kvasir chat`` with the settings of ilab's configuration file. Plug-ins
cannot add options to ``ilab model chat``, so the chat is a separate command. ``ilab`` drops keys
that it does not know, so its file is read here. It overrides the preset ``instructlab``; the
environment (``KVASIR__...``) and options override it.

Source: instructlab 0.26, ``clickext.LazyEntryPointGroup``, ``lab.py`` (the root command's
``--config``), ``configuration.py`` (``Lab.config_file``, the sections), ``defaults.py`` (the
file's path).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from kvasir.core.errors import KvasirError
from kvasir.core.text import printable
from kvasir.frontends.cli.chat.command import chat
from kvasir.frontends.cli.ingest import ingest
from kvasir.frontends.cli.main import exit_code_of
from kvasir.frontends.cli.options import SETTINGS_TREE
from kvasir.frontends.cli.remedies import explain
from kvasir.settings.loading import merge, read_settings_file
from kvasir.settings.presets import preset

_FROM_ILAB = ("config", "assignments")
"""Parameters that ilab's configuration replaces."""
_ILAB_RAG_KEYS = ("enabled", "document_store", "retriever", "convert")
_ILAB_MODEL_KEYS = ("embedding_model_path",)
_SHARED_CHAT_KEYS = ("context", "vi_mode", "logs_dir", "rag")


class IlabCommand(click.Command):
    """A command with ilab's configuration, whose errors are one line and an exit code.

    ``rag_enabled`` is the default of ``chat.rag.enabled``.
    """

    def __init__(self, name: str, command: click.Command, *, rag_enabled: bool = False) -> None:
        self._rag_enabled = rag_enabled
        params = [each for each in command.params if each.name not in _FROM_ILAB]
        super().__init__(name, callback=command.callback, params=params, help=command.help)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the configuration first, so that ``--help`` shows its values."""
        try:
            ctx.meta[SETTINGS_TREE] = settings_tree(ctx, rag_enabled=self._rag_enabled)
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


def _failure(error: KvasirError) -> click.ClickException:
    failure = click.ClickException(printable(explain(error)))
    failure.exit_code = exit_code_of(error)  # type: ignore[misc]  # click says ClassVar
    return failure


@click.group()
def rag() -> None:
    """Ingest documents for answers with sources."""


rag.add_command(IlabCommand("ingest", ingest))
rag_chat = IlabCommand("rag-chat", chat, rag_enabled=True)


def settings_tree(ctx: click.Context, *, rag_enabled: bool) -> dict[str, Any]:
    """Return the settings of ilab's configuration file, if any, over those of the preset."""
    tree: dict[str, Any] = {}
    merge(tree, preset("instructlab") | {"chat.rag.enabled": rag_enabled})
    named = getattr(ctx.find_root().obj, "config_file", None)
    if named is None:
        home = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
        named = Path(home) / "instructlab" / "config.yaml"
    path = Path(named)
    return _merge_nested(tree, from_ilab(read_settings_file(path))) if path.is_file() else tree


def from_ilab(config: Mapping[str, Any]) -> dict[str, Any]:
    """Convert ilab's configuration.

    ``rag`` and ``chat.rag`` are ours, without ilab's keys; ilab's language model answers.
    """
    rag = _section(config, "rag", _ILAB_RAG_KEYS)
    if isinstance(rag.get("embedding_model"), Mapping):
        rag["embedding_model"] = _section(rag, "embedding_model", _ILAB_MODEL_KEYS)
    chat = _section(config, "chat")
    tree: dict[str, Any] = {
        "rag": rag,
        "chat": {key: chat[key] for key in _SHARED_CHAT_KEYS if chat.get(key) is not None},
    }
    server = _section(_section(config, "serve"), "server")
    if chat.get("model"):
        address = f"http://{server.get('host', '127.0.0.1')}:{server.get('port', 8000)}/v1"
        tree["generator"] = {"type": "openai", "model": chat["model"], "base_url": address}
    return tree


def _section(tree: Mapping[str, Any], name: str, without: tuple[str, ...] = ()) -> dict[str, Any]:
    section = tree.get(name)
    if not isinstance(section, Mapping):
        return {}
    return {key: value for key, value in section.items() if key not in without}


def _merge_nested(tree: dict[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    for key, value in above.items():
        inner = tree.get(key)
        if isinstance(inner, dict) and isinstance(value, Mapping):
            _merge_nested(inner, value)
        else:
            tree[key] = value
    return tree
