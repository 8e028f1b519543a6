"""The queue of questions in a table of the database; an answered question is its own outbox."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import uuid4

from sqlalchemy import Connection, Engine, func, select, update

from kvasir.core.errors import ConflictError
from kvasir.core.services.questions import (
    ClaimedQuestion,
    MailStatus,
    NewQuestion,
    Question,
    QuestionState,
)
from kvasir.core.types import Answer
from kvasir.core.wire import from_json, to_json
from kvasir.database import leases, queues, reading, writing
from kvasir.database.dialects import epoch_seconds
from kvasir.database.leases import to_datetime
from kvasir.questions.tables import questions

_OPEN = (QuestionState.WAITING, QuestionState.ANSWERING)
_UNSENT = (
    questions.c.state == QuestionState.ANSWERED,
    questions.c.status.is_(None),
    questions.c.email != "",
)


_WITH_POSITIONS = queues.with_positions(questions, QuestionState.WAITING, _OPEN)


class SqlQuestionQueue:
    """Questions with leases. See ``QuestionQueue``."""

    def __init__(self, engine: Engine, *, max_attempts: int = 5) -> None:
        """Use a migrated database.

        Args:
            engine: The database.
            max_attempts: A question that failed so often is dead.
        """
        self._engine = engine
        self._max_attempts = max_attempts

    def ask(self, question: NewQuestion) -> Question:
        row = {
            "id": str(uuid4()),
            "input": question.input,
            "date": epoch_seconds(),
            "email": question.email,
            "user_id": question.user_id,
            "collection": question.collection,
            "language": question.language,
            "state": QuestionState.WAITING,
            "key": question.key or None,
            "reply_to": question.reply_to,
            "subject": question.subject,
            "attempts": 0,
            "due": leases.AT_ONCE,
        }
        return self.question(queues.insert_once(self._engine, questions, row))

    def question(self, question_id: str) -> Question:
        with reading(self._engine) as connection:
            return _question(_found(connection, question_id))

    def questions(
        self, *, user_id: int | None = None, before: str = "", limit: int = 100
    ) -> list[Question]:
        query = _WITH_POSITIONS.order_by(questions.c.number.desc()).limit(limit)
        if user_id is not None:
            query = query.where(questions.c.user_id == user_id)
        with reading(self._engine) as connection:
            if before:
                query = query.where(questions.c.number < _found(connection, before).number)
            return [_question(row) for row in connection.execute(query).all()]

    def cancel(self, question_id: str) -> Question:
        with writing(self._engine) as connection:
            leases.lock(connection, questions, questions.c.id == question_id)
            row = _found(connection, question_id)
            # Without its token, the worker that answers it stops at the next heartbeat.
            cancelled = {"state": QuestionState.CANCELLED, "lease_token": None, "lease_until": None}
            done = connection.execute(
                update(questions)
                .where(questions.c.number == row.number, questions.c.state.in_(_OPEN))
                .values(cancelled)
            )
            if done.rowcount == 0 and row.state != QuestionState.CANCELLED:
                raise ConflictError(f"the question is {row.state} already")
        return self.question(question_id)

    def claim(self, *, lease_seconds: float) -> ClaimedQuestion | None:
        reason = queues.DIED.format(self._max_attempts)
        row = queues.claim(
            self._engine,
            questions,
            questions.c.state.in_(_OPEN),
            lease_seconds=lease_seconds,
            max_attempts=self._max_attempts,
            given_up={"state": QuestionState.DEAD, "reason": reason},
            state=QuestionState.ANSWERING,
        )
        return None if row is None else ClaimedQuestion(_question(row), row.lease_token)

    def heartbeat(self, question_id: str, token: str, *, lease_seconds: float) -> bool:
        with writing(self._engine) as connection:
            return leases.renew(
                connection, questions, question_id, token, lease_seconds=lease_seconds
            )

    def answer(self, question_id: str, token: str, answer: Answer) -> bool:
        answered = {
            "state": QuestionState.ANSWERED,
            "output": answer.text,
            "answer": to_json(answer),
            # From here on, it counts the attempts to mail the answer.
            "attempts": 0,
            "due": leases.AT_ONCE,
            "reason": None,
        }
        return self._settle(question_id, token, **answered)

    def fail(self, question_id: str, token: str, reason: str, *, retry_after: float | None) -> bool:
        with writing(self._engine) as connection:
            row = _found(connection, question_id)
            if retry_after is None or row.attempts >= self._max_attempts:
                values: dict[str, Any] = {"state": QuestionState.DEAD}
            else:
                values = {"state": QuestionState.WAITING, "due": epoch_seconds() + retry_after}
            return leases.settle(connection, questions, question_id, token, reason=reason, **values)

    def release(self, question_id: str, token: str, *, retry_after: float = 0.0) -> None:
        back: dict[str, Any] = {
            "state": QuestionState.WAITING,
            "attempts": questions.c.attempts - 1,
        }
        if retry_after:
            back["due"] = epoch_seconds() + retry_after
        self._settle(question_id, token, **back)

    def claim_mail(self, *, lease_seconds: float) -> ClaimedQuestion | None:
        with writing(self._engine) as connection:
            ready = _UNSENT[0] & _UNSENT[1] & _UNSENT[2]
            row = leases.claim(connection, questions, ready, lease_seconds=lease_seconds)
        return None if row is None else ClaimedQuestion(_question(row), row.lease_token)

    def mailed(self, question_id: str, token: str) -> bool:
        return self._settle(question_id, token, status=MailStatus.SENT, reason=None)

    def mail_failed(
        self, question_id: str, token: str, reason: str, *, retry_after: float | None
    ) -> bool:
        values: dict[str, Any] = {"status": MailStatus.ERROR_SENDING}
        if retry_after is not None:
            values = {"due": epoch_seconds() + retry_after}
        return self._settle(question_id, token, reason=reason, **values)

    def release_mail(self, question_id: str, token: str) -> None:
        self._settle(question_id, token, attempts=questions.c.attempts - 1)

    def counts(self) -> Mapping[str, int]:
        by_state = select(questions.c.state, func.count()).group_by(questions.c.state)
        unsent = select(func.count()).select_from(questions).where(*_UNSENT)
        with reading(self._engine) as connection:
            found = {row[0]: row[1] for row in connection.execute(by_state).all()}
            waiting = connection.execute(unsent).scalar_one()
        return {state.value: found.get(state, 0) for state in QuestionState} | {"unsent": waiting}

    def oldest_waiting_seconds(self) -> float:
        oldest = select(epoch_seconds() - func.min(questions.c.date))
        with reading(self._engine) as connection:
            age = connection.execute(oldest.where(questions.c.state.in_(_OPEN))).scalar()
        return max(0.0, float(age or 0.0))

    def close(self) -> None:
        """Do nothing: the database belongs to the caller."""

    def _settle(self, question_id: str, token: str, **values: Any) -> bool:
        with writing(self._engine) as connection:
            return leases.settle(connection, questions, question_id, token, **values)


def _found(connection: Connection, question_id: str) -> Any:
    return queues.find(connection, _WITH_POSITIONS, questions, question_id, "question")


def _question(row: Any) -> Question:
    """Return the question of a row; that of a claim has no position."""
    return Question(
        id=row.id,
        input=row.input,
        date=to_datetime(row.date),
        output=row.output,
        email=row.email,
        status=MailStatus(row.status) if row.status else None,
        user_id=row.user_id,
        collection=row.collection,
        language=row.language,
        state=QuestionState(row.state),
        answer=None if row.answer is None else from_json(Answer, row.answer),
        position=row.position if row.state == QuestionState.WAITING else 0,
        attempts=row.attempts,
        reason=row.reason or "",
        reply_to=row.reply_to,
        subject=row.subject,
    )
