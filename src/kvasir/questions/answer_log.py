"""The log of answers in a table of the database."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Engine, delete, insert, select, update

from kvasir.core.errors import NotFoundError
from kvasir.core.services.answer_log import LoggedAnswer
from kvasir.core.types import Certainty
from kvasir.database import reading, writing
from kvasir.database.grouping import GroupedWrites
from kvasir.database.leases import to_datetime
from kvasir.questions.tables import answer_log


class SqlAnswerLog:
    """Records of answers. See ``AnswerLog``."""

    def __init__(self, engine: Engine, *, page: int = 500) -> None:
        """Use a migrated database; an export reads ``page`` records at a time."""
        self._engine = engine
        self._page = page
        self._rows = GroupedWrites(self._insert)

    def record(self, answer: LoggedAnswer) -> None:
        row = {column: getattr(answer, column) for column in _COLUMNS}
        row |= {"date": answer.date.timestamp(), "sources": list(answer.sources)}
        row["certainty"] = answer.certainty and answer.certainty.value
        self._rows.add(row)

    def _insert(self, rows: Sequence[dict[str, Any]]) -> None:
        with writing(self._engine) as connection:
            connection.execute(insert(answer_log), rows)

    def rate(self, answer_id: str, user_id: int, rating: int, comment: str = "") -> None:
        own = (answer_log.c.id == answer_id, answer_log.c.user_id == user_id)
        with writing(self._engine) as connection:
            found = connection.execute(select(answer_log.c.number).where(*own)).first()
            if found is None:
                raise NotFoundError(f"there is no answer '{answer_id}' of yours")
            feedback = {"rating": rating, "comment": comment}
            connection.execute(update(answer_log).where(*own).values(feedback))

    def export(
        self, *, user_id: int | None = None, since: datetime | None = None
    ) -> Iterator[LoggedAnswer]:
        query = select(answer_log).order_by(answer_log.c.number).limit(self._page)
        if user_id is not None:
            query = query.where(answer_log.c.user_id == user_id)
        if since is not None:
            query = query.where(answer_log.c.date >= since.timestamp())
        last = 0
        while True:
            # Page by page, so that no transaction stays open while a caller reads.
            with reading(self._engine) as connection:
                rows = connection.execute(query.where(answer_log.c.number > last)).all()
            if not rows:
                return
            yield from map(_logged, rows)
            last = rows[-1].number

    def delete_before(self, date: datetime) -> int:
        old = delete(answer_log).where(answer_log.c.date < date.timestamp())
        with writing(self._engine) as connection:
            return int(connection.execute(old).rowcount)

    def close(self) -> None:
        """Do nothing: the database belongs to the caller."""


_COLUMNS = tuple(column.name for column in answer_log.columns if column.name != "number")


def _logged(row: Any) -> LoggedAnswer:
    values = {column: getattr(row, column) for column in _COLUMNS}
    values |= {"date": to_datetime(row.date), "sources": tuple(row.sources)}
    values["certainty"] = Certainty(row.certainty) if row.certainty else None
    return LoggedAnswer(**values)
