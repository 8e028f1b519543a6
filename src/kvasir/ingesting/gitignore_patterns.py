"""One pattern of a ``.gitignore`` file as a regular expression. Source: gitignore(5).

A pattern is matched with one path at a time, whose folder is not ignored: it says nothing about
what is below. After every ``*`` and ``**`` but the last, the earliest match of what follows is
taken and kept (an atomic group), so that matching takes no more than quadratic time.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_CLASSES = {
    "alnum": "a-zA-Z0-9",
    "alpha": "a-zA-Z",
    "blank": " \\t",
    "cntrl": "\\x00-\\x1f\\x7f",
    "digit": "0-9",
    "graph": "\\x21-\\x7e",
    "lower": "a-z",
    "print": "\\x20-\\x7e",
    "punct": "!-/:-@\\[-`{-~",
    "space": "\\s",
    "upper": "A-Z",
    "xdigit": "0-9a-fA-F",
}
_PIECE = re.compile(
    r"\\(?P<escaped>.)|(?P<any>\?)|(?P<stars>\*+)|(?P<plain>[^\\\[])"
    r"|\[(?P<negated>[!^]?)(?P<set>\]?(?:\[:[a-z]+:\]|\\.|[^\]\\])*)\]",
    re.DOTALL,
)
_ITEM = re.compile(
    r"\[:(?P<name>[a-z]+):\]|(?:\\(?P<escaped>.)|(?P<plain>.))(?:-(?P<end>\\.|[^\\]))?", re.DOTALL
)
_ANY_FOLDERS = "(?:[^/]+/)*?"


@dataclass(frozen=True, slots=True)
class Pattern:
    """A pattern that matches names, or paths relative to the folder of its file."""

    expression: re.Pattern[str]
    ignores: bool  # False for one that begins with ``!``.
    is_for_folders: bool  # It matches folders alone.
    is_for_names: bool  # It matches the last part of a path, not the whole.

    def matches(self, relative: str, *, is_folder: bool) -> bool:
        """Return True if a path is matched; its parts are separated by ``/``."""
        if self.is_for_folders and not is_folder:
            return False
        text = relative[relative.rfind("/") + 1 :] if self.is_for_names else relative
        return self.expression.fullmatch(text) is not None


def parse_pattern(line: str) -> Pattern | None:
    """Return the pattern of a line; None for an empty line, a comment, and one without sense."""
    text = re.sub(r"(?<!\\)((?:\\\\)*) +$", r"\1", line)
    if text.startswith("#"):
        return None
    ignores = not text.startswith("!")
    text = text if ignores else text[1:]
    is_for_folders = text.endswith("/")
    text = text.removesuffix("/")
    is_for_names = "/" not in text
    text = text.removeprefix("/")
    if not text:
        return None
    try:
        source = _glob(text) if is_for_names else _path(text.split("/"))
        return Pattern(re.compile(source, re.DOTALL), ignores, is_for_folders, is_for_names)
    except (ValueError, re.error):  # A set of characters that does not end, or is empty.
        return None


def _path(parts: list[str]) -> str:
    """Return the expression of a path: ``**`` stands for any number of folders."""
    parts = ["**" if len(part) > 2 and set(part) == {"*"} else part for part in parts]
    ends_open = parts[-1] == "**"
    runs: list[list[str]] = [[]]
    for part in parts[:-1] if ends_open else parts:
        if part == "**":
            runs.append([])
        else:
            runs[-1].append(_glob(part) + "/")
    if not ends_open:
        runs[-1][-1] = runs[-1][-1].removesuffix("/")
    first, *others = ("".join(run) for run in runs)
    *middle, last = others or [""]
    steps = [f"(?>{_ANY_FOLDERS}{run})" for run in middle if run]
    end = f"{_ANY_FOLDERS}{last}" if others else ""
    return first + "".join(steps) + end + (".+" if ends_open else "")


def _glob(text: str) -> str:
    """Return the expression of a name; raise ValueError if it is no pattern."""
    runs, position = [""], 0
    while position < len(text):
        piece = _PIECE.match(text, position)
        if piece is None:
            raise ValueError("a set of characters does not end")
        if piece["stars"]:
            runs.append("")
        else:
            runs[-1] += _one_character(piece)
        position = piece.end()
    first, *others = runs
    if not others:
        return first
    *middle, last = others
    steps = [f"(?>[^/]*?{run})" for run in middle if run]
    return f"{first}{''.join(steps)}[^/]*{last}"


def _one_character(piece: re.Match[str]) -> str:
    if piece["any"]:
        return "[^/]"
    if piece["set"] is None:
        return re.escape(piece["escaped"] or piece["plain"])
    items = "".join(map(_set_item, _ITEM.finditer(piece["set"])))
    return f"(?!/)[{'^' * bool(piece['negated'])}{items}]"


def _set_item(item: re.Match[str]) -> str:
    if item["name"]:
        return _CLASSES.get(item["name"], "")
    first = item["escaped"] or item["plain"]
    last = (item["end"] or first)[-1]
    # As in git, of a range that runs backwards its first character counts.
    return re.escape(first) + (f"-{re.escape(last)}" if last > first else "")
