"""Folders and files that only their user can read: documents, questions and chats are private.

They are private from the moment they exist. What exists already keeps its mode, because its user
may share it on purpose.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO

_FOLDER_MODE = 0o700
_FILE_MODE = 0o600


def make_private_folder(folder: Path) -> None:
    """Make a folder, and the missing ones above it."""
    missing = [folder]
    while not missing[-1].parent.exists():
        missing.append(missing[-1].parent)
    for path in reversed(missing):
        path.mkdir(_FOLDER_MODE, exist_ok=True)


def make_private_file(path: Path) -> None:
    """Make an empty file if there is none."""
    path.touch(_FILE_MODE)


def create_private_file(path: Path) -> BinaryIO:
    """Make a file and open it for writing; raise FileExistsError if there is one."""
    return os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, _FILE_MODE), "wb")
