"""Answers that may be given again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from kvasir.core.types import Answer, Matrix


@dataclass(frozen=True, slots=True)
class CachedQuestion:
    """A question whose answer is kept.

    Attributes:
        number: Counts up.
        question: As it was typed.
        vector: Its embedding, float32 array [dimension], unit length.
        date: When it was answered.
    """

    number: int
    question: str
    vector: Matrix
    date: datetime


@dataclass(frozen=True, slots=True)
class KeptAnswer:
    """A kept answer.

    Attributes:
        answer: The answer.
        sources: A hash of the content and metadata of each document among its hits when it was
            answered, by source URI.
        date: When it was answered.
    """

    answer: Answer
    sources: Mapping[str, str]
    date: datetime


class AnswerCache(Protocol):
    """Answers of one installation, by collection and scope.

    A scope stands for everything beside the question that an answer depends on, such as filters and
    the language model.
    """

    def keep(
        self,
        collection: str,
        scope: str,
        exact: str,
        question: str,
        vector: Matrix,
        answer: Answer,
        sources: Mapping[str, str],
    ) -> None:
        """Keep an answer, in the place of one to the same question; ``exact`` is its form."""

    def find_exact(self, collection: str, scope: str, exact: str) -> int | None:
        """Return the number of the question of that form."""

    def questions(self, collection: str, scope: str, after: int) -> Sequence[CachedQuestion]:
        """Return the questions behind a number, the newest thousands at most, oldest first."""

    def answer(self, number: int) -> KeptAnswer | None:
        """Return the answer to a question; None if it was deleted."""

    def delete(self, number: int) -> None:
        """Delete a question and its answer."""

    def delete_collection(self, collection: str) -> None:
        """Delete all answers of a collection."""

    def delete_before(self, date: datetime) -> int:
        """Delete old answers; return how many."""
