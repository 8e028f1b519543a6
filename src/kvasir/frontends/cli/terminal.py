"""The terminal of a command: its width, styles and links. Elsewhere output is plain and unwrapped.

``NO_COLOR`` and ``FORCE_COLOR`` mean what they mean to other programs, by rich; ``FORCE_HYPERLINK``
as 0 or 1 switches links off or on.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from shutil import get_terminal_size

import click
from rich.console import Console
from rich.style import Style
from rich.text import Text

from kvasir.frontends.cli.wrapping import hanging

_WITHOUT_LINKS = ("dumb", "linux", "unknown")
"""Values of ``TERM`` whose terminals print a link's address or nothing."""
_LEAST_WIDTH = 20


class Terminal:
    """Standard output or standard error."""

    def __init__(self, *, err: bool = False, console: Console | None = None) -> None:
        """Look at the stream as it is now; ``console`` is one that draws on it already."""
        self._err = err
        self._console = console or Console(
            file=sys.stderr if err else sys.stdout, highlight=False, markup=False, emoji=False
        )
        size = max(_LEAST_WIDTH, get_terminal_size().columns)
        self.width = size if self._console.is_terminal else None
        self.rule = "─" if self._console.encoding.startswith("utf") else "-"

    @property
    def has_styles(self) -> bool:
        """True if bold text and the like can be shown."""
        return self._console.color_system is not None

    @property
    def has_links(self) -> bool:
        """True if a text may be a link (OSC 8)."""
        forced = os.environ.get("FORCE_HYPERLINK")
        if forced:
            return forced != "0"
        return self.has_styles and os.environ.get("TERM", "") not in _WITHOUT_LINKS

    def linked(self, text: Text, address: str) -> Text:
        """Return a text that opens an address, where the terminal can."""
        if address and self.has_links:
            text.stylize(Style(link=address))
        return text

    def write(self, text: Text, *, nl: bool = True) -> None:
        """Write a text of lines that fit already."""
        click.echo(self._encoded(text), nl=nl, err=self._err, color=self.has_styles)

    def lines(self, lines: Sequence[Text]) -> None:
        """Write lines that fit already."""
        if lines:
            encoded = "\n".join(map(self._encoded, lines))
            click.echo(encoded, err=self._err, color=self.has_styles)

    def _encoded(self, text: Text) -> str:
        if not self.has_styles or not (text.spans or text.style):
            return text.plain
        with self._console.capture() as captured:
            self._console.print(text, soft_wrap=True, end="")
        return captured.get()


def echo(message: str = "", *, err: bool = False, style: str = "") -> None:
    """Write a message; on a terminal its lines are wrapped between words."""
    terminal = Terminal(err=err)
    for line in message.split("\n"):
        indent = line[: len(line) - len(line.lstrip(" "))]
        terminal.lines(hanging(Text(line[len(indent) :], style), terminal.width, indent))
