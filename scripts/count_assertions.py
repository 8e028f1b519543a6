"""Count the assertions of the tests over their syntax trees.

    python scripts/count_assertions.py                          # the working tree
    python scripts/count_assertions.py --rev v0.1.0             # a git revision
    python scripts/count_assertions.py --rev v0.1.0 --rev HEAD  # both, and what is gone

An assertion is an ``assert`` statement, ``pytest.raises``, ``pytest.warns``, ``pytest.fail`` or a
call of a function named ``assert_...`` (NumPy's and our own). Two assertions are the same if
their source is, however it is laid out and in whichever file it stands. The tests are ``tests``
and the contract suites in ``src/kvasir/testing``. ``--rev WORKTREE`` names the working tree.
"""

from __future__ import annotations

import argparse
import ast
import io
import subprocess
import tarfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
FOLDERS = ("tests", "src/kvasir/testing")
WORKTREE = "WORKTREE"
CALLS = ("pytest.raises", "pytest.warns", "pytest.fail")
KINDS = ("assert", "raises", "other")

Assertions = dict[str, list[tuple[str, str]]]
"""For each file, kind and source of every assertion in it."""


def sources(revision: str) -> Iterator[tuple[str, str]]:
    """Yield path and text of each test module in a revision or in the working tree."""
    if revision == WORKTREE:
        for folder in FOLDERS:
            for path in sorted((ROOT / folder).rglob("*.py")):
                yield str(path.relative_to(ROOT)), path.read_text("utf-8")
        return
    command = ["git", "archive", revision, *FOLDERS]
    packed = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True).stdout
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        for member in archive:
            content = archive.extractfile(member) if member.name.endswith(".py") else None
            if content is not None:
                yield member.name, content.read().decode("utf-8")


def assertions(text: str) -> Iterator[tuple[str, str]]:
    """Yield kind and normalised source of each assertion in a module."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Assert):
            yield "assert", ast.unparse(node)
        elif isinstance(node, ast.Call):
            function = ast.unparse(node.func)
            if function in CALLS[:2]:
                yield "raises", ast.unparse(node)
            elif function in CALLS or function.rpartition(".")[2].startswith("assert_"):
                yield "other", ast.unparse(node)


def count(revision: str) -> Assertions:
    """Return the assertions of a revision, by file."""
    return {path: list(assertions(text)) for path, text in sources(revision)}


def print_table(found: Assertions) -> None:
    """Print how many assertions of each kind every file holds, and the totals."""
    print(f"{'file':<60}" + "".join(f"{kind:>8}" for kind in KINDS) + f"{'total':>8}")
    total = Counter[str]()
    for path, rows in sorted(found.items()):
        kinds = Counter(kind for kind, _ in rows)
        total += kinds
        if rows:
            print_row(path, kinds)
    print_row("total", total)


def print_row(name: str, kinds: Counter[str]) -> None:
    """Print one line of the table."""
    print(f"{name:<60}" + "".join(f"{kinds[kind]:>8}" for kind in KINDS) + f"{kinds.total():>8}")


def print_gone(before: Assertions, after: Assertions) -> None:
    """Print each assertion that the second revision holds less often than the first."""
    kept = Counter(source for rows in after.values() for _, source in rows)
    gone = Counter(source for rows in before.values() for _, source in rows) - kept
    print(f"\n{gone.total()} assertions are gone (their source is not in the second revision):")
    for path, rows in sorted(before.items()):
        for source in dict.fromkeys(source for _, source in rows):
            here = min(gone[source], sum(source == each for _, each in rows))
            gone[source] -= here
            for _ in range(here):
                print(f"{path}: {source}")


def main() -> None:
    """Print the table of each revision and, of two, what the second one lacks."""
    parser = argparse.ArgumentParser(description="Count the assertions of the tests.")
    parser.add_argument("--rev", action="append", help="a git revision; twice to compare two")
    revisions: list[str] = parser.parse_args().rev or [WORKTREE]
    counted = [count(revision) for revision in revisions]
    for revision, found in zip(revisions, counted, strict=True):
        print(f"\n{revision}")
        print_table(found)
    if len(counted) > 1:
        print_gone(counted[0], counted[-1])


if __name__ == "__main__":
    main()
