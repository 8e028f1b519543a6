"""``kvasir completion``: the shell completion script."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from kvasir.frontends.cli.main import cli


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the shell completion script.

    For bash, for example, put it into ~/.local/share/bash-completion/completions/kvasir
    """
    complete = get_completion_class(shell)
    if complete is None:
        raise click.BadParameter(f"no completion for {shell}")
    click.echo(complete(cli, {}, "kvasir", "_KVASIR_COMPLETE").source())
