"""The rules of ``.gitignore`` and ``.kvasirignore`` files, as git applies them.

A file's rules hold for its folder and everything below; deeper files take precedence over upper
ones, and ``.kvasirignore`` files over all ``.gitignore`` files. Those of the folders above a given
folder count as well: ``.kvasirignore`` of all of them, ``.gitignore`` up to the root of the
repository, whose ``.git/info/exclude`` is read, too. A nested repository begins without the
``.gitignore`` rules from outside of it. Source: gitignore(5).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from kvasir.ingesting.gitignore_patterns import Pattern, parse_pattern

GIT, OWN = ".gitignore", ".kvasirignore"
_REPOSITORY = ".git"
_EXCLUDE = os.path.join(_REPOSITORY, "info", "exclude")  # noqa: PTH118 - a text, not a Path
_MAX_BYTES = 1 << 20

Problem = Callable[[str, str], None]
"""Gets the path of a file of rules and why it does not count."""


@dataclass(frozen=True, slots=True)
class Rules:
    """The patterns of one file; paths are relative to the folder that they hold for."""

    folder: str
    patterns: tuple[Pattern, ...]

    def decide(self, path: str, *, is_folder: bool) -> bool | None:
        """Return True if a path below the folder is ignored, False if it is not, None if open."""
        relative = path[len(self.folder.rstrip(os.sep)) + 1 :].replace(os.sep, "/")
        for pattern in reversed(self.patterns):
            if pattern.matches(relative, is_folder=is_folder):
                return pattern.ignores
        return None


@dataclass(frozen=True, slots=True)
class IgnoreRules:
    """The rules in force in one folder, outermost first."""

    git: tuple[Rules, ...] = ()
    own: tuple[Rules, ...] = ()

    def ignores(self, path: str, *, is_folder: bool) -> bool:
        """Return True if a file or folder is ignored; its folder is not."""
        for rules in (*reversed(self.own), *reversed(self.git)):
            decided = rules.decide(path, is_folder=is_folder)
            if decided is not None:
                return decided
        return False

    def within(self, folder: str, names: Collection[str], on_problem: Problem) -> IgnoreRules:
        """Return the rules in force in a folder below, whose entries have these ``names``."""
        git, own = self.git, self.own
        if _REPOSITORY in names:
            git = tuple(_read(folder, _EXCLUDE, on_problem))
        if GIT in names:
            git = (*git, *_read(folder, GIT, on_problem))
        if OWN in names:
            own = (*own, *_read(folder, OWN, on_problem))
        return IgnoreRules(git, own)


def rules_above(folder: str, on_problem: Problem) -> IgnoreRules:
    """Return the rules from the folders above a given one, without those that ignore it."""
    above = [str(parent) for parent in reversed(Path(folder).parents)]
    rules = IgnoreRules()
    in_repository = False
    for parent in above:
        names = [name for name in (_REPOSITORY, GIT, OWN) if _exists(parent, name)]
        in_repository |= _REPOSITORY in names
        if not in_repository and GIT in names:
            names.remove(GIT)
        rules = rules.within(parent, names, on_problem)
    return IgnoreRules(_without_ignoring(rules.git, folder), _without_ignoring(rules.own, folder))


def _without_ignoring(rules: Iterable[Rules], folder: str) -> tuple[Rules, ...]:
    """Return the rules that do not ignore a folder, which was named, nor one above it."""
    return tuple(each for each in rules if not each.decide(folder, is_folder=True))


def parse_lines(lines: Iterable[str]) -> tuple[Pattern, ...]:
    """Return the patterns of lines; like git, skip those that are none."""
    parsed = map(parse_pattern, lines)
    return tuple(pattern for pattern in parsed if pattern is not None)


def _read(folder: str, name: str, on_problem: Problem) -> Iterator[Rules]:
    path = Path(folder) / name
    if not path.is_file() or path.is_symlink():  # Git follows no link either.
        return
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_BYTES + 1)
    except OSError as error:
        on_problem(str(path), f"its rules cannot be read: {error.strerror or error}")
        return
    if len(content) > _MAX_BYTES:
        on_problem(str(path), "it has more than 1 MiB of rules, and none of them counts")
        return
    text = content.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "surrogateescape")
    yield Rules(folder, parse_lines(line.removesuffix("\r") for line in text.split("\n")))


def _exists(folder: str, name: str) -> bool:
    return os.path.lexists(os.path.join(folder, name))  # noqa: PTH118
