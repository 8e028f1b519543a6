"""Writes the help texts of the command line into ``docs/cli.md``, between its markers.

python scripts/embed_help.py            ``make docs`` runs it
python scripts/embed_help.py --check    ends with 1 when the page is not what it would write
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from kvasir.frontends.cli.main import cli

PAGE = Path(__file__).parent.parent / "docs" / "cli.md"
_BLOCK = re.compile(r"(?<=<!-- help -->\n).*?(?=<!-- /help -->)", re.DOTALL)


def render() -> str:
    """Return the page with the help texts of today."""
    return _BLOCK.sub(lambda _: _help_texts(), PAGE.read_text("utf-8"))


def _help_texts() -> str:
    sections = []
    for path, command in _commands((), cli):
        name = " ".join(("kvasir", *path))
        context = click.Context(
            command,
            info_name=name,
            max_content_width=90,
            terminal_width=90,
            help_option_names=["-h", "--help"],
        )
        sections.append(f"## {name}\n\n```text\n{command.get_help(context).rstrip()}\n```\n")
    return "\n" + "\n".join(sections)


def _commands(
    path: tuple[str, ...], command: click.Command
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            if inner is not None:
                yield from _commands((*path, name), inner)


if __name__ == "__main__":
    if "--check" in sys.argv[1:]:
        if PAGE.read_text("utf-8") != render():
            sys.exit(f"{PAGE.name} is not today's: run 'make docs'")
    else:
        PAGE.write_text(render(), "utf-8")
