"""Read evaluation data: folders in BEIR's layout, and files of JSON lines.

A folder in BEIR's layout holds ``corpus.jsonl`` (``_id``, ``text`` and usually ``title``),
``queries.jsonl`` (``_id``, ``text``, optionally ``answers``) and ``qrels/test.tsv`` with a header
line (``query-id``, ``corpus-id``, ``score``).

Source: https://github.com/beir-cellar/beir/wiki/Load-your-custom-dataset
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kvasir.core.errors import RequestError


@dataclass(frozen=True, slots=True)
class Passage:
    """One document of the corpus."""

    id: str
    title: str
    text: str


@dataclass(frozen=True, slots=True)
class EvaluationQuery:
    """One question, with its id in the judgements and the accepted answers, if known."""

    id: str
    text: str
    answers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RetrievalDataset:
    """A corpus, its questions and their judgements.

    Attributes:
        queries: The judged questions, in the file's order.
        qrels: Question id -> passage id -> grade.
    """

    name: str
    passages: tuple[Passage, ...]
    queries: tuple[EvaluationQuery, ...]
    qrels: dict[str, dict[str, int]] = field(default_factory=dict)


def load_dataset(folder: str | Path, split: str = "test") -> RetrievalDataset:
    """Read a folder in BEIR's layout.

    ``split`` is the name of a file in ``qrels/``, without ``.tsv``; a single file is used whatever
    its name.

    Raises:
        RequestError: A file is missing, or a line is malformed; names the file and the line.
    """
    root = Path(folder)
    if not root.is_dir():
        advice = "give a folder with corpus.jsonl, queries.jsonl"
        raise RequestError(f"{root} is not a folder; {advice}")
    path = root / "corpus.jsonl"
    passages = tuple(
        Passage(row["_id"], row["title"], row["text"])
        for _, row in _read_rows(path, "documents", "_id", "text", "title")
    )
    queries = _read_queries(root / "queries.jsonl")
    qrels = _read_qrels(_qrels_path(root, split), {p.id for p in passages}, {q.id for q in queries})
    judged = tuple(query for query in queries if query.id in qrels)
    # Results are in the order of the questions.
    ordered = {query.id: qrels[query.id] for query in judged}
    return RetrievalDataset(root.name, passages, judged, ordered)


def load_questions(path: str | Path) -> list[str]:
    """Read questions: JSON lines with ``question`` or ``text``, or one question a line.

    Raises:
        RequestError: The file is missing, empty or malformed; names the line.
    """
    file = Path(path)
    questions: list[str] = []
    for number, line in _read_lines(file):
        text: Any = line.strip()
        if text.startswith("{"):
            row = _parse_line(file, number, text)
            text = row.get("question", row.get("text"))
            if not isinstance(text, str):
                raise malformed(file, number, "'question' must be there, as text")
        if text.strip():
            questions.append(text.strip())
    if not questions:
        raise RequestError(f"{file} holds no questions")
    return questions


def _read_queries(path: Path) -> tuple[EvaluationQuery, ...]:
    queries: list[EvaluationQuery] = []
    for number, row in _read_rows(path, "questions", "_id", "text"):
        answers = row.get("answers", [])
        if not isinstance(answers, list) or not all(isinstance(item, str) for item in answers):
            raise malformed(path, number, "'answers' must be a list of texts")
        queries.append(EvaluationQuery(row["_id"], row["text"], tuple(answers)))
    return tuple(queries)


def _read_rows(path: Path, kind: str, *texts: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield each row with its line number; its ``_id`` is unique, and the fields are ``texts``."""
    known: set[str] = set()
    for number, row in read_json_lines(path):
        row.setdefault("title", "")
        if isinstance(row.get("_id"), int):
            row["_id"] = str(row["_id"])
        for key in texts:
            if not isinstance(row.get(key), str):
                raise malformed(path, number, f"'{key}' must be a text, not {row.get(key)!r}")
        if row["_id"] in known:
            raise malformed(path, number, f"the _id '{row['_id']}' stands here a second time")
        known.add(row["_id"])
        yield number, row
    if not known:
        raise RequestError(f"{path} holds no {kind}")


def _qrels_path(root: Path, split: str) -> Path:
    path = root / "qrels" / f"{split}.tsv"
    if path.is_file():
        return path
    others = sorted((root / "qrels").glob("*.tsv"))
    if len(others) == 1:
        return others[0]
    found = ", ".join(other.stem for other in others) or "none"
    raise RequestError(f"{path} is missing; splits found in {root / 'qrels'}: {found}")


def _read_qrels(path: Path, passages: set[str], queries: set[str]) -> dict[str, dict[str, int]]:
    qrels: dict[str, dict[str, int]] = {}
    for number, line in _read_lines(path):
        columns = line.split("\t")
        if number == 1 and not columns[-1].strip().lstrip("-").isdigit():
            continue  # The header.
        if len(columns) != 3:
            needed = "3 columns separated by tabs are needed"
            raise malformed(path, number, f"{needed}, not {len(columns)}")
        query, passage, grade = (column.strip() for column in columns)
        if query not in queries:
            raise malformed(path, number, f"no question '{query}' in queries.jsonl")
        if passage not in passages:
            raise malformed(path, number, f"no document '{passage}' in corpus.jsonl")
        try:
            qrels.setdefault(query, {})[passage] = int(grade)
        except ValueError:
            raise malformed(path, number, f"the score '{grade}' is not a whole number") from None
    if not qrels:
        raise RequestError(f"{path} holds no judgements")
    return qrels


def _read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the lines of a UTF-8 file that are not blank, with their numbers from 1.

    Only a line feed ends a line: text may contain Unicode's other line separators.
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


def _parse_line(path: Path, number: int, line: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        raise malformed(path, number, f"not valid JSON ({error.msg})") from error
    except RecursionError as error:
        raise malformed(path, number, "it is nested too deeply") from error
    if not isinstance(row, dict):
        raise malformed(path, number, "a JSON object is needed")
    return row


def read_json_lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the objects of a file with their line numbers from 1, without blank lines.

    Raises:
        RequestError: The file cannot be read, or a line is not a JSON object.
    """
    for number, line in _read_lines(path):
        yield number, _parse_line(path, number, line)


def malformed(path: Path, number: int, problem: str) -> RequestError:
    """Return the error for a line that cannot be used."""
    return RequestError(f"{path}, line {number}: {problem}")
