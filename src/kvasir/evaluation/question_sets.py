"""Read questions with what a good answer holds: a file of JSON lines, or the answers log's export.

A line of a question file is an object with ``question`` and, all optional, ``id``, ``kind``,
``language``, ``after``, ``passages``, ``must``, ``must_not`` and ``refuse``; see
docs/evaluating.md. A line of the export is a ``LoggedAnswer``.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

from kvasir.core.errors import RequestError
from kvasir.evaluation.datasets import malformed, read_json_lines

HALVES = ("fit", "report")
"""The half for fitting settings, and the half whose figures are reported."""

RATED_GOOD, RATED_BAD, NOT_RATED = "rated good", "rated bad", "not rated"
"""The kinds of the questions of the answers log."""

_KEYS = (
    *("id", "question", "kind", "language", "after"),
    *("passages", "must", "must_not", "refuse"),
)
_LOGGED = {"question", "answer", "refused", "sources", "rating"}


@dataclass(frozen=True, slots=True)
class GoldPassage:
    """A passage that holds an answer.

    Attributes:
        document: Source URI or id of its document, or the end of the URI, from a slash on.
        text: A short exact piece of it; empty if any passage of the document will do.
    """

    document: str
    text: str = ""


@dataclass(frozen=True, slots=True)
class JudgedQuestion:
    """A question, and what a good answer to it holds.

    Attributes:
        kind, language: Groups for the report; may be empty.
        after: Id of the question that comes before it in the same conversation; empty if none.
        passages: Every entry must be found; an entry is its alternatives.
        must: Every entry must be in the answer; an entry is its alternatives.
        must_not: None of these may be in the answer.
        refuse: True if the documents do not hold the answer, False if they do, None if unknown.
    """

    id: str
    question: str
    kind: str = ""
    language: str = ""
    after: str = ""
    passages: tuple[tuple[GoldPassage, ...], ...] = ()
    must: tuple[tuple[str, ...], ...] = ()
    must_not: tuple[str, ...] = ()
    refuse: bool | None = False


def load_question_set(path: str | Path) -> tuple[JudgedQuestion, ...]:
    """Read a question file, or an export of the answers log, in the file's order.

    Raises:
        RequestError: The file is missing, empty or malformed; names the line.
    """
    file = Path(path)
    questions = _read(read_json_lines(file), partial(malformed, file))
    if not questions:
        raise RequestError(f"{file} holds no questions")
    return questions


def read_questions(rows: Iterable[Mapping[str, Any]]) -> tuple[JudgedQuestion, ...]:
    """Read the objects of a question file, or of an export of the answers log, in their order.

    The form of ``to_json`` of a ``JudgedQuestion`` is one of them.

    Raises:
        RequestError: One is malformed; names its number, from 1.
    """
    return _read(
        enumerate(rows, 1), lambda number, said: RequestError(f"question {number}: {said}")
    )


def _read(
    rows: Iterable[tuple[int, Mapping[str, Any]]], malformed: Callable[[int, str], RequestError]
) -> tuple[JudgedQuestion, ...]:
    questions: dict[str, JudgedQuestion] = {}
    for number, row in rows:
        try:
            read = _logged if row.keys() >= _LOGGED else _question
            question = read(row, str(number))
            _check_order(question, questions)
        except RequestError as error:
            raise malformed(number, str(error)) from None
        questions[question.id] = question
    return tuple(questions.values())


def check_questions(questions: Sequence[JudgedQuestion]) -> None:
    """Check questions that no file was read for.

    Raises:
        RequestError: A question or an entry is empty, an id is not the only one of its kind, or
            ``after`` names no earlier question.
    """
    known: set[str] = set()
    for question in questions:
        try:
            _check_order(question, known)
            if not question.question.strip():
                raise RequestError("'question' must be there, as text")
            if not all(question.passages) or not all(question.must):
                raise RequestError("'passages' or 'must' has an empty list of alternatives")
            if not all(each.document for entry in question.passages for each in entry):
                raise RequestError("a passage has no document")
            texts = [*(each for entry in question.must for each in entry), *question.must_not]
            if not all(map(str.strip, texts)):
                raise RequestError("'must' or 'must_not' holds an empty text")
        except RequestError as error:
            raise RequestError(f"question '{question.id}': {error}") from None
        known.add(question.id)


def _check_order(question: JudgedQuestion, earlier: Container[str]) -> None:
    if question.id in earlier:
        raise RequestError(f"the id '{question.id}' stands here a second time")
    if question.after and question.after not in earlier:
        raise RequestError(f"no earlier question has the id '{question.after}' of 'after'")


def half_of(questions: Sequence[JudgedQuestion]) -> dict[str, str]:
    """Return the half of each question, by id.

    The halves are split by a hash of the first passage's document, so that no document is in both
    for its own questions; without a passage, of the id. A conversation stays together.
    """
    keys: dict[str, str] = {}
    for question in questions:
        own = question.passages[0][0].document if question.passages else question.id
        keys[question.id] = keys.get(question.after, own) if question.after else own
    return {id_: HALVES[1 - sha256(key.encode()).digest()[0] % 2] for id_, key in keys.items()}


def of_half(questions: Sequence[JudgedQuestion], half: str | None) -> list[JudgedQuestion]:
    """Return the questions of one half; all without one.

    Raises:
        RequestError: There is no such half.
    """
    if half is None:
        return list(questions)
    if half not in HALVES:
        raise RequestError(f"there is no half '{half}': name one of {', '.join(HALVES)}")
    halves = half_of(questions)
    return [question for question in questions if halves[question.id] == half]


def _question(row: Mapping[str, Any], default_id: str) -> JudgedQuestion:
    for key in row:
        if key not in _KEYS:
            raise RequestError(f"'{key}' is not known here: use {', '.join(_KEYS)}")
    refuse = row.get("refuse", False)
    if refuse is not None and not isinstance(refuse, bool):
        raise RequestError("'refuse' must be true or false")
    question = _text(row, "question", "")
    if not question.strip():
        raise RequestError("'question' must be there, as text")
    return JudgedQuestion(
        id=_text(row, "id", "") or default_id,
        question=question,
        kind=_text(row, "kind", ""),
        language=_text(row, "language", ""),
        after=_text(row, "after", ""),
        passages=tuple(tuple(map(_passage, entry)) for entry in _entries(row, "passages")),
        must=tuple(tuple(_texts(entry, "must")) for entry in _entries(row, "must")),
        must_not=tuple(_texts(row.get("must_not", []), "must_not")),
        refuse=refuse,
    )


def _logged(row: Mapping[str, Any], default_id: str) -> JudgedQuestion:
    """Return the question of a logged answer; its rating says what is known of a good one."""
    rating, was_refused = row["rating"], row["refused"]
    is_good = rating == 1
    kind = RATED_GOOD if is_good else RATED_BAD if rating == -1 else NOT_RATED
    sources = tuple(GoldPassage(uri) for uri in _texts(row["sources"], "sources"))
    return JudgedQuestion(
        id=str(row.get("id") or default_id),
        question=_text(row, "question", ""),
        kind=kind,
        passages=(sources,) if is_good and sources and not was_refused else (),
        refuse=bool(was_refused) if is_good else None,
    )


def _text(row: Mapping[str, Any], key: str, default: str) -> str:
    value = row.get(key, default)
    if not isinstance(value, str):
        raise RequestError(f"'{key}' must be a text, not {value!r}")
    return value


def _texts(values: object, key: str) -> Iterator[str]:
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise RequestError(f"'{key}' must be a list of texts")
    for value in values:
        if not value.strip():
            raise RequestError(f"'{key}' holds an empty text")
        yield value


def _entries(row: Mapping[str, Any], key: str) -> Iterator[list[Any]]:
    """Yield the entries of a list, each as the list of its alternatives."""
    values = row.get(key, [])
    if not isinstance(values, list):
        raise RequestError(f"'{key}' must be a list")
    for value in values:
        alternatives = value if isinstance(value, list) else [value]
        if not alternatives:
            raise RequestError(f"'{key}' has an empty list of alternatives")
        yield alternatives


def _passage(value: object) -> GoldPassage:
    fields = {"document", "text"}
    is_object = isinstance(value, dict) and value.keys() <= fields
    if not isinstance(value, dict) or not is_object or not value.get("document"):
        raise RequestError("a passage must be an object with 'document' and 'text'")
    return GoldPassage(_text(value, "document", ""), _text(value, "text", ""))
