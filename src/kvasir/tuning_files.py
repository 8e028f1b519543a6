"""The folder of tuning: files that jobs may name, put there by the operator or over the API.

Names are plain file names: nothing outside of the folder is reached by one.
"""

from __future__ import annotations

import json
import re
from codecs import BOM_UTF8
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO
from uuid import uuid4

from kvasir.core.errors import ConflictError, RequestError, StorageError, TooLargeError
from kvasir.core.private_files import make_private_folder
from kvasir.core.services.answer_log import LoggedAnswer
from kvasir.core.services.tuning import LONGEST_LINE
from kvasir.core.text import one_paragraph, replace_surrogates
from kvasir.models.rwkv_files import FILE_KINDS, file_kind, named_path

FOLDER = "tuning"
"""In the data folder, if the runners have no folder of their own."""
FILE_NAME = re.compile(r"\w[\w.-]{0,127}", re.ASCII)
JSONL, PREPARED = "jsonl", "prepared"
KINDS = (JSONL, PREPARED, *FILE_KINDS)


@dataclass(frozen=True, slots=True)
class TuningFile:
    """A file in the folder of tuning.

    Attributes:
        name: The name by which a job chooses it; of prepared data without ``.bin`` and ``.idx``.
        kind: ``jsonl``, ``prepared``, ``base`` (of RWKV) or ``state``.
        size: Bytes.
    """

    name: str
    kind: str
    size: int


@dataclass(frozen=True, slots=True)
class KeptExamples:
    """A JSONL file that was written.

    Attributes:
        name: Its name.
        examples: Lines with a text.
    """

    name: str
    examples: int


def tuning_folder(data_folder: Path, folder: str | None = None) -> Path:
    """Return the folder, which need not exist.

    Args:
        data_folder: The data folder.
        folder: The option of the runners; by default ``tuning`` in the data folder.
    """
    return data_folder.parent / named_path(folder) if folder else data_folder / FOLDER


def list_files(folder: Path) -> list[TuningFile]:
    """Return what jobs may name, by name.

    Raises:
        StorageError: The folder cannot be read.
    """
    if not folder.is_dir():
        return []
    try:
        return list(_files(folder))
    except OSError as error:
        raise StorageError(f"'{folder}' cannot be read: {error.strerror}") from error


def _files(folder: Path) -> Iterator[TuningFile]:
    for path in sorted(folder.iterdir()):
        if not path.is_file() or not FILE_NAME.fullmatch(path.name):
            continue
        if path.suffix in (".jsonl", ".json"):
            yield TuningFile(path.name, JSONL, path.stat().st_size)
        elif path.suffix == ".idx" and path.with_suffix(".bin").is_file():
            size = path.stat().st_size + path.with_suffix(".bin").stat().st_size
            yield TuningFile(path.stem, PREPARED, size)
        elif kind := file_kind(path):
            yield TuningFile(path.name, kind, path.stat().st_size)


def keep_examples(folder: Path, name: str, content: BinaryIO, *, most_bytes: int) -> KeptExamples:
    """Write a JSONL file of ``{"text": ...}`` into the folder; all of it, or nothing.

    Raises:
        RequestError: The name is none, a line has no text, or there is no line.
        ConflictError: There is a file of that name.
        TooLargeError: It is longer than allowed.
    """
    return _write(folder, name, _checked(content, most_bytes))


def keep_answers(folder: Path, name: str, answers: Iterable[LoggedAnswer]) -> KeptExamples:
    """Write answers of the log as examples of a conversation.

    Raises:
        RequestError: The name is none, or there is no answer.
        ConflictError: There is a file of that name.
    """
    lines = (
        example_line(f"User: {one_paragraph(each.question)}\n\nAssistant:", each.answer)
        for each in answers
    )
    return _write(folder, name, lines)


def is_good(answer: LoggedAnswer) -> bool:
    """Return True if an answer may be learnt: it was rated as good, and is no refusal."""
    return answer.rating == 1 and is_answer(answer)


def is_answer(answer: LoggedAnswer) -> bool:
    """Return True if an answer says something, however it was rated."""
    return not answer.refused and bool(answer.answer.strip())


def example_line(prompt: str, answer: str, /, **more: str) -> str:
    """Return a line of JSON to tune with: a prompt that ends a turn, and what is to be learnt.

    Blank lines in the answer are taken out, because they end a turn.
    """
    return _line({"text": f"{prompt} {one_paragraph(answer)}", **more})


def _line(example: dict[str, Any]) -> str:
    return replace_surrogates(json.dumps(example, ensure_ascii=False))


def _checked(content: BinaryIO, most_bytes: int) -> Iterator[str]:
    size = number = 0
    while line := content.readline(LONGEST_LINE + 1):
        number, size = number + 1, size + len(line)
        if size > most_bytes:
            raise TooLargeError(f"the file has more than {most_bytes >> 20} MB")
        if len(line) > LONGEST_LINE:
            raise TooLargeError(f"line {number} has more than {LONGEST_LINE >> 20} MB")
        if not line.strip():
            continue
        try:
            found = json.loads(line.removeprefix(BOM_UTF8) if number == 1 else line)
        except (ValueError, RecursionError) as error:
            raise RequestError(f"line {number} is no JSON") from error
        text = found.get("text") if isinstance(found, dict) else None
        if not isinstance(text, str) or not text.strip():
            raise RequestError(f'line {number} has no text: each line must be {{"text": ...}}')
        yield _line(found)


def _write(folder: Path, name: str, lines: Iterable[str]) -> KeptExamples:
    if not FILE_NAME.fullmatch(name) or not name.endswith(".jsonl"):
        raise RequestError(
            f"'{name}' cannot be the name of a file: letters, digits, '.', '_' and '-', and .jsonl "
            "at the end"
        )
    target, draft, count = folder / name, folder / f".{uuid4().hex}", 0
    if target.exists():
        raise ConflictError(f"there is a file '{name}' in the folder of tuning")
    try:
        make_private_folder(folder)
        try:
            with draft.open("x", encoding="utf-8") as stream:
                for line in lines:
                    stream.write(line + "\n")
                    count += 1
            if not count:
                raise RequestError("there is no example")
            draft.replace(target)
        finally:
            draft.unlink(missing_ok=True)
    except OSError as error:
        raise StorageError(f"'{target}' cannot be written: {error.strerror}") from error
    return KeptExamples(name, count)
