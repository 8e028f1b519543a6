"""Read files of JSON lines; every error names the file and the line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kvasir.core.errors import RequestError


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the lines of a UTF-8 file that are not blank, with their numbers from 1.

    Only a line feed ends a line: text may contain Unicode's other line separators.

    Raises:
        RequestError: The file is missing, unreadable or not UTF-8.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="\n") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield number, line.rstrip("\r\n")
    except FileNotFoundError:
        raise RequestError(f"{path} is missing") from None
    except UnicodeDecodeError as error:
        raise RequestError(f"{path} is not UTF-8 text: {error.reason}") from error
    except OSError as error:
        raise RequestError(f"{path} cannot be read: {error.strerror}") from error


def parse_line(path: Path, number: int, line: str) -> dict[str, Any]:
    """Return the JSON object of one line.

    Raises:
        RequestError: It is not a JSON object.
    """
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        raise malformed(path, number, f"not valid JSON ({error.msg})") from error
    if not isinstance(row, dict):
        raise malformed(path, number, "a JSON object is needed")
    return row


def read_json_lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the objects of a file with their line numbers from 1, without blank lines.

    Raises:
        RequestError: The file cannot be read, or a line is not a JSON object.
    """
    for number, line in read_lines(path):
        yield number, parse_line(path, number, line)


def malformed(path: Path, number: int, problem: str) -> RequestError:
    """Return the error for a line that cannot be used."""
    return RequestError(f"{path}, line {number}: {problem}")
