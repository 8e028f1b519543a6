"""Answers that may be given again, in a table of the database."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from datetime import datetime

import numpy as np
from sqlalchemy import ColumnElement, Engine, delete, insert, select

from kvasir.core.services.answer_cache import CachedQuestion, KeptAnswer
from kvasir.core.types import Answer, Matrix
from kvasir.core.wire import dumps, loads
from kvasir.database import reading, writing
from kvasir.database.leases import to_datetime
from kvasir.questions.tables import answer_cache

_MOST = 10_000
"""Questions of a scope that are compared with a new one."""


class SqlAnswerCache:
    """Kept answers. See ``AnswerCache``."""

    def __init__(self, engine: Engine) -> None:
        """Use a migrated database."""
        self._engine = engine

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
        row = {
            "collection": collection,
            "scope": scope,
            "exact_key": _key(exact),
            "question": question,
            "vector": np.asarray(vector, dtype="<f4").tobytes(),
            "answer": dumps(answer),
            "sources": json.dumps(dict(sources)),
            "date": time.time(),
        }
        with writing(self._engine) as connection:
            connection.execute(delete(answer_cache).where(*_same(collection, scope, exact)))
            connection.execute(insert(answer_cache), row)

    def find_exact(self, collection: str, scope: str, exact: str) -> int | None:
        query = select(answer_cache.c.number).where(*_same(collection, scope, exact))
        with reading(self._engine) as connection:
            found = connection.execute(query.order_by(answer_cache.c.number.desc())).first()
        return None if found is None else int(found.number)

    def questions(self, collection: str, scope: str, after: int) -> Sequence[CachedQuestion]:
        columns = (answer_cache.c[name] for name in ("number", "question", "vector", "date"))
        query = (
            select(*columns)
            .where(
                answer_cache.c.collection == collection,
                answer_cache.c.scope == scope,
                answer_cache.c.number > after,
            )
            .order_by(answer_cache.c.number.desc())
            .limit(_MOST)
        )
        with reading(self._engine) as connection:
            rows = connection.execute(query).all()
        return [
            CachedQuestion(
                row.number,
                row.question,
                np.frombuffer(row.vector, dtype="<f4").astype(np.float32),
                to_datetime(row.date),
            )
            for row in reversed(rows)
        ]

    def answer(self, number: int) -> KeptAnswer | None:
        query = select(answer_cache).where(answer_cache.c.number == number)
        with reading(self._engine) as connection:
            row = connection.execute(query).first()
        if row is None:
            return None
        return KeptAnswer(loads(Answer, row.answer), json.loads(row.sources), to_datetime(row.date))

    def delete(self, number: int) -> None:
        with writing(self._engine) as connection:
            connection.execute(delete(answer_cache).where(answer_cache.c.number == number))

    def delete_collection(self, collection: str) -> None:
        of_it = delete(answer_cache).where(answer_cache.c.collection == collection)
        with writing(self._engine) as connection:
            connection.execute(of_it)

    def delete_before(self, date: datetime) -> int:
        old = delete(answer_cache).where(answer_cache.c.date < date.timestamp())
        with writing(self._engine) as connection:
            return int(connection.execute(old).rowcount)


def _key(exact: str) -> str:
    return hashlib.sha256(exact.encode()).hexdigest()


def _same(collection: str, scope: str, exact: str) -> tuple[ColumnElement[bool], ...]:
    return (
        answer_cache.c.collection == collection,
        answer_cache.c.scope == scope,
        answer_cache.c.exact_key == _key(exact),
    )
