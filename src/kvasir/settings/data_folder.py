"""Find the data folder as git finds its own: in the working directory or above it.

A folder belongs to Kvasir if it has the settings file or a data folder of ours; the two lie side by
side. Where there is none, the data folder is the user's. The order and its reasons are in
docs/decisions/0045-where-the-data-folder-is.md.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from kvasir.core.errors import SettingsError
from kvasir.core.operating_system import user_id

DEFAULT_FILE = Path("kvasir.yaml")
DATA_FOLDER = "kvasir-data"

_OWN_FILES = (
    "catalog.db",
    "service.db",
    "signing.key",
    "sources.json",
    "owner.json",
    "store",
    "models",
    "spool",
    "chat-logs",
    "chat-history",
    "services",
)
"""Files and folders by which a data folder is known; others of the same name are not ours."""


@dataclass(frozen=True, slots=True)
class DataFolder:
    """The data folder in force.

    Attributes:
        path: Its absolute path; it need not exist yet.
        reason: Why it is this one, in words that follow its path.
    """

    path: Path
    reason: str

    @property
    def parent(self) -> Path:
        """The folder that holds the data folder: relative paths in the settings start there."""
        return self.path.parent


def working_directory() -> Path:
    """Return the working directory; raise SettingsError if it was removed."""
    try:
        return Path.cwd()
    except OSError as error:
        raise SettingsError("the working directory was removed: go to another one") from error


def absolute_path(path: Path | str, base: Path | None = None) -> Path:
    """Return a path as absolute, ``~`` expanded; a relative one starts at ``base``.

    Without ``base`` it starts at the working directory.

    Raises:
        SettingsError: There is no such user, or the working directory was removed.
    """
    try:
        expanded = Path(path).expanduser()
    except RuntimeError as error:
        why = "there is no home folder of such a user; write the path out"
        raise SettingsError(f"'{path}' is no folder: {why}") from error
    return expanded if expanded.is_absolute() else (base or working_directory()) / expanded


def is_data_folder(path: Path) -> bool:
    """Return True if a folder has something that Kvasir keeps in a data folder."""
    # os.path says False where the folder may not be read.
    return any(os.path.exists(path / name) for name in _OWN_FILES)  # noqa: PTH110


def find_project() -> Path | None:
    """Return the nearest folder with a settings file or a data folder, the working directory first.

    What lies above the working directory counts only if it is the user's or root's, because
    settings may name code to run. None also where the working directory was removed.
    """
    try:
        here = working_directory()
    except SettingsError:
        return None
    for folder in _upwards(here):
        kept = folder / DATA_FOLDER
        if settings_file_in(folder) is not None or (is_data_folder(kept) and _is_trusted(kept)):
            return folder
    return None


def settings_file_in(folder: Path) -> Path | None:
    """Return the settings file of a folder, if there is one that counts."""
    file = folder / DEFAULT_FILE
    return file if os.path.isfile(file) and _is_trusted(file) else None  # noqa: PTH113


def given_data_folder(path: Path, by: str, base: Path | None = None) -> DataFolder:
    """Return the data folder that a setting names; errors as ``absolute_path``.

    Args:
        path: The value of the setting; a relative one starts at ``base``.
        by: What names it, such as ``--data-dir``.
        base: By default the working directory.
    """
    # Without "..", because relative paths start at the folder above.
    absolute = Path(os.path.normpath(absolute_path(path, base)))
    return DataFolder(absolute, f"named by {by}")


def find_data_folder(
    project: Path | None, named_file: Path | None = None, relative: str | None = None
) -> DataFolder:
    """Return the data folder where no setting names one.

    Args:
        project: What ``find_project`` found.
        named_file: The settings file that was named.
        relative: A setting with a relative path, if any: its file and the data folder are made
            side by side.
    """
    if named_file is not None and is_data_folder(named_file.parent / DATA_FOLDER):
        return DataFolder(named_file.parent / DATA_FOLDER, f"beside the settings file {named_file}")
    if project is not None:
        found = project / DATA_FOLDER
        where = "in" if project == working_directory() else "above"
        reason = f"found {where} the working directory"
        if not is_data_folder(found):
            reason = f"beside the settings file {project / DEFAULT_FILE}"
        return DataFolder(found, reason)
    if relative is not None:
        reason = f"in the working directory, because {relative} is a relative path"
        return DataFolder(working_directory() / DATA_FOLDER, reason)
    users = user_data_folder()
    if users is None:
        reason = "in the working directory, because there is no home folder"
        return DataFolder(working_directory() / DATA_FOLDER, reason)
    return DataFolder(users, "the user's, because none is in or above the working directory")


def user_data_folder() -> Path | None:
    """Return the user's data folder by the rules of the system; None without a home folder."""
    folder = Path(platformdirs.user_data_path("kvasir", appauthor=False))
    return folder if folder.is_absolute() else None


def _upwards(start: Path) -> Iterator[Path]:
    """Yield a folder and those above it, up to the home folder or the root."""
    try:
        home = Path.home()
    except RuntimeError:
        home = None
    for folder in (start, *start.parents):
        yield folder
        if folder == home:
            return


def _is_trusted(path: Path) -> bool:
    """Return True if a file or folder is in the working directory, the user's, or root's."""
    if path.parent == working_directory() or (user := user_id()) is None:
        return True
    try:
        # Also of a link itself, because anyone can make one to what is the user's.
        return {path.stat().st_uid, path.lstat().st_uid} <= {0, user}
    except OSError:
        return False
