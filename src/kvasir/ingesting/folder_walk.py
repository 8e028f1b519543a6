"""Lists the files of a folder and its subfolders, without those that are not meant to be read.

Left out are hidden files and folders, folders of version control, lock files of office programs
(``~$name.docx``), what ``.gitignore`` and ``.kvasirignore`` files ignore, links to what is not in
the folder, and what Kvasir itself keeps. Links within the folder are followed unless their target
is reached anyway, so loops end.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path

from kvasir.core.errors import RequestError
from kvasir.core.reports import NotRead
from kvasir.core.run import StopToken
from kvasir.core.text import replace_surrogates
from kvasir.core.types import LocalFile
from kvasir.ingesting.ignore_files import (
    GIT,
    OWN,
    IgnoreRules,
    Problem,
    Rules,
    parse_lines,
    rules_above,
)

VERSION_CONTROL_FOLDERS = frozenset({"CVS", "_darcs", "RCS", "SCCS"})
"""Folders of version control whose name does not begin with a dot."""

INDEX_NAMES = frozenset({"catalog.db", "store"})
"""A folder that has both is a data folder of Kvasir."""

HIDDEN, IGNORED, EXCLUDED = "hidden", "ignored", "excluded"
OUTSIDE = "link out of the folder"


@dataclass(frozen=True, slots=True)
class Selection:
    """The ``include`` and ``exclude`` patterns of a given folder."""

    included: Rules | None
    excluded: Rules

    @classmethod
    def of(cls, folder: LocalFile) -> Selection:
        """Return the selection of a folder; raise RequestError for a pattern that is none."""
        included = _patterns(folder.path, folder.include, "include") if folder.include else None
        return cls(included, _patterns(folder.path, folder.exclude, "exclude"))

    def includes(self, path: str) -> bool:
        """Return True if a file, or a folder that it is in, is included by name."""
        rules = self.included
        if rules is None:
            return False
        above = takewhile(lambda each: each != rules.folder, map(str, Path(path).parents))
        return bool(rules.decide(path, is_folder=False)) or any(
            rules.decide(folder, is_folder=True) for folder in above
        )

    def excludes(self, path: str, *, is_folder: bool) -> bool:
        """Return True if a file or folder is excluded by name."""
        return bool(self.excluded.decide(path, is_folder=is_folder))


@dataclass
class FolderWalk:
    """Walks through one folder.

    Attributes:
        folder: The folder.
        leaves_out: True for a resolved path of Kvasir itself.
        accepts: True if a path can be a source; it notes those that cannot.
        on_error: Gets a path that cannot be listed or looked at.
        on_problem: Gets a file of rules that cannot be applied.
        stop: Ends the walk.
        not_read: What was left out.
    """

    folder: LocalFile
    leaves_out: Callable[[str], bool]
    accepts: Callable[[str], bool]
    on_error: Callable[[str, OSError], None]
    on_problem: Problem
    stop: StopToken
    not_read: list[NotRead] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._selection = Selection.of(self.folder)
        self._root = os.path.realpath(self.folder.path)
        # A folder that was given by name is listed even if it is left out.
        self._guarded = not self.leaves_out(self._root)
        self._visited: set[str] = set()

    def files(self) -> list[str]:
        """Return the paths of the files, sorted."""
        real_files: list[str] = []
        linked_files: list[str] = []
        root = self.folder.path
        honoured = self.folder.ignore_files
        folders = [(root, rules_above(root, self.on_problem) if honoured else IgnoreRules())]
        while folders:
            linked_folders: list[tuple[str, IgnoreRules]] = []
            # Real folders first, so that a link to one of them is not listed in its place.
            for folder, rules in folders:
                for entry, inner_rules in self._walk(folder, rules):
                    kind = self._kind(entry)
                    if kind == stat.S_IFDIR:
                        linked_folders.append((entry.path, inner_rules))
                    elif kind == stat.S_IFREG:
                        (linked_files if entry.is_symlink() else real_files).append(entry.path)
            folders = sorted(linked_folders, key=lambda each: each[0])
        seen = {os.path.realpath(file) for file in real_files} if linked_files else set()
        for file in sorted(linked_files):
            target = os.path.realpath(file)
            if target not in seen:
                seen.add(target)
                real_files.append(file)
        return sorted(real_files)

    def _kind(self, entry: os.DirEntry[str]) -> int | None:
        """Return the kind of a file, link or special file; None if it is not to be read."""
        self.stop.raise_if_set()
        if not self.accepts(entry.path):
            return None
        if entry.is_symlink() and not self._is_inside(os.path.realpath(entry.path)):
            self._leave_out(entry.path, OUTSIDE)
            return None
        try:
            mode = entry.stat().st_mode
        except OSError as error:
            self.on_error(entry.path, error)
            return None
        return stat.S_IFMT(mode)

    def _leave_out(self, path: str, why: str) -> None:
        if why:
            self.not_read.append(NotRead(replace_surrogates(path), why))

    def _is_inside(self, target: str) -> bool:
        return target == self._root or target.startswith(self._root.rstrip(os.sep) + os.sep)

    def _walk(
        self, folder: str, rules: IgnoreRules
    ) -> Iterator[tuple[os.DirEntry[str], IgnoreRules]]:
        """Yield the files of a folder and all real folders in it, and the links."""
        stack = [(folder, rules)]
        while stack:
            self.stop.raise_if_set()
            current, rules = stack.pop()
            target = os.path.realpath(current)
            if target in self._visited or (self._guarded and self.leaves_out(target)):
                continue
            self._visited.add(target)
            try:
                with os.scandir(current) as listing:
                    entries = list(listing)
            except OSError as error:
                self.on_error(current, error)
                continue
            names = {entry.name for entry in entries}
            if names >= INDEX_NAMES:
                continue
            if self.folder.ignore_files:
                rules = rules.within(current, names, self.on_problem)
            for entry in entries:
                own = os.path.join(target, entry.name)  # noqa: PTH118 - made for every file
                if self._guarded and self.leaves_out(own):
                    continue
                is_folder = entry.is_dir(follow_symlinks=False)
                if (why := self._left_out(entry, rules, is_folder=is_folder)) is not None:
                    self._leave_out(entry.path + os.sep * is_folder, why)
                elif is_folder:
                    stack.append((entry.path, rules))
                else:
                    yield entry, rules

    def _left_out(
        self, entry: os.DirEntry[str], rules: IgnoreRules, *, is_folder: bool
    ) -> str | None:
        """Return why an entry is left out, None if it is not; an empty reason is not reported."""
        chosen = self._selection
        if chosen.excludes(entry.path, is_folder=is_folder):
            return EXCLUDED
        if not is_folder and chosen.included is not None and not _is_linked_folder(entry):
            # As with ripgrep's globs, a file that was asked for may be hidden or ignored.
            return None if chosen.includes(entry.path) else ""
        if entry.name in (GIT, OWN) and self.folder.ignore_files:
            return ""  # It was read: its rules are applied.
        if _is_hidden(entry.name):
            return HIDDEN
        return IGNORED if rules.ignores(entry.path, is_folder=is_folder) else None


def _is_linked_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_symlink() and entry.is_dir()
    except OSError:  # A link to itself.
        return False


def _is_hidden(name: str) -> bool:
    return name.startswith((".", "~$")) or name in VERSION_CONTROL_FOLDERS


def _patterns(folder: str, lines: tuple[str, ...], option: str) -> Rules:
    patterns = parse_lines(lines)
    if len(patterns) < len(lines) or not all(pattern.ignores for pattern in patterns):
        given = ", ".join(f"'{line}'" for line in lines)
        raise RequestError(f"the {option} pattern must be one such as '*.md' or 'drafts/': {given}")
    return Rules(folder, patterns)
