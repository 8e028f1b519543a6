"""Markdown tables, and where in the manual they go."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def table(heads: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Return a Markdown table; the first column is text, the others are figures."""
    lines = [
        "| " + " | ".join(heads) + " |",
        "|---|" + "---:|" * (len(heads) - 1),
        *("| " + " | ".join(str(cell) for cell in row) + " |" for row in rows),
    ]
    return "\n".join(lines) + "\n"


def put(page: Path, marker: str, text: str) -> bool:
    """Replace what stands between ``<!-- marker -->`` and ``<!-- /marker -->`` of a page.

    Returns:
        Whether the page is there and has the markers.
    """
    if not page.is_file():
        return False
    block = re.compile(rf"(?<=<!-- {marker} -->\n).*?(?=<!-- /{marker} -->)", re.DOTALL)
    old = page.read_text("utf-8")
    if not block.search(old):
        return False
    page.write_text(block.sub(lambda _: f"\n{text.strip()}\n\n", old), "utf-8")
    return True


def milliseconds(row: dict[str, float]) -> str:
    """Return p50 and p99 as people read them."""
    return " / ".join(f"{row[key]:.{2 if row[key] < 10 else 0}f}" for key in ("p50", "p99"))


def reranking_table(figures: list[dict[str, Any]]) -> str:
    """Return the figures of ``reranking.py`` as Markdown."""
    rows = [
        [
            each["model"],
            name,
            f"{each['pairs_per_second'][name]:.1f}",
            f"{each['ratio'][name]:.2f}",
            f"{each['largest_difference'][name]:.5f}",
        ]
        for each in figures
        for name in each["ratio"]
    ]
    heads = ["model", "reranker", "pairs/s", "ratio", "largest difference of a score"]
    return "Pairs of a question and a passage of about 250 tokens, in turns.\n\n" + table(
        heads, rows
    )


def keep(file: Path, name: str, figures: Any) -> None:
    """Put figures under a name into a JSON file, beside those of other names."""
    known = json.loads(file.read_text("utf-8")) if file.is_file() else {}
    known[name] = figures
    file.write_text(json.dumps(known, indent=1, sort_keys=True) + "\n", "utf-8")
