"""Files that are replaced in one step: a reader, and a start after a crash, never find a part."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from kvasir.core.errors import StorageError


def replace_file(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Write a file under another name, wait until it is on the disk, and rename it.

    Args:
        path: The file, which need not exist; its folder must.
        write: Writes the content to a stream.

    Raises:
        StorageError: It cannot be written; the file is as it was.
    """
    partial = path.with_name(f"{path.name}.partial")
    try:
        with partial.open("wb") as stream:
            write(stream)
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(path)
    except BaseException as error:
        with suppress(OSError):
            partial.unlink()
        # PyTorch reports a full disk as an error of its own, while it handles the system's.
        reason = error if isinstance(error, OSError) else error.__context__
        if isinstance(error, OSError | RuntimeError) and isinstance(reason, OSError):
            raise StorageError(f"'{path}' cannot be written: {reason.strerror}") from error
        raise


def replace_text(path: Path, text: str) -> None:
    """Write a text in UTF-8 as ``replace_file`` does; line breaks stay as they are."""
    content = text.encode()
    replace_file(path, lambda stream: stream.write(content))
