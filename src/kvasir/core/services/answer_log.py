"""The log of answers: for feedback, evaluation and training."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from kvasir.core.types import Certainty


@dataclass(frozen=True, slots=True)
class LoggedAnswer:
    """A record of the answers log.

    Attributes:
        sources: Source URIs of the cited documents.
        model: The generator's name.
        seconds: Latency of the whole answer.
        certainty: None if a version wrote it that did not keep it.
        rating: The user's feedback, -1, 0 or 1; None if there is none.
    """

    id: str
    user_id: int
    collection: str
    question: str
    answer: str
    refused: bool
    sources: tuple[str, ...]
    model: str
    seconds: float
    date: datetime
    request_id: str = ""
    certainty: Certainty | None = None
    rating: int | None = None
    comment: str = ""


class AnswerLog(Protocol):
    """The log of answers, for evaluation and training."""

    def record(self, answer: LoggedAnswer) -> None:
        """Add a record."""

    def rate(self, answer_id: str, user_id: int, rating: int, comment: str = "") -> None:
        """Store a user's feedback on an answer of their own.

        Raises:
            NotFoundError: The user has no such answer.
        """

    def export(
        self, *, user_id: int | None = None, since: datetime | None = None
    ) -> Iterator[LoggedAnswer]:
        """Yield records, oldest first; of one user, if given."""

    def delete_before(self, date: datetime) -> int:
        """Delete old records; return how many."""

    def close(self) -> None:
        """Release the database."""
