"""Writes tables as Markdown rows: readable by people, models and splitters alike."""

from __future__ import annotations

from collections.abc import Sequence


def markdown_table(rows: Sequence[Sequence[str]]) -> str:
    """Return rows as a Markdown table whose first row is the header.

    Empty rows, and columns that are empty throughout, are left out. A cell's line breaks
    become spaces and its ``|`` is escaped, so that one line is one row.
    """
    cells = [[" ".join(cell.split()).replace("|", "\\|") for cell in row] for row in rows]
    cells = [row for row in cells if any(row)]
    width = max((len(row) for row in cells), default=0)
    used = [i for i in range(width) if any(len(row) > i and row[i] for row in cells)]
    if not used:
        return ""
    lines = [_line([row[i] if i < len(row) else "" for i in used]) for row in cells]
    return "\n".join((lines[0], _line(["-"] * len(used)), *lines[1:]))


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
