"""The queue of questions in a collection of MongoDB, as requirement document 004 describes it.

A record has the document's fields ``input``, ``date``, ``output``, ``email`` and ``status``; the
others are Kvasir's. A record without Kvasir's fields, as the document's own API writes it, is
claimed, answered and mailed like any other, and one that another program answered is mailed.

Only operators that every MongoDB server knows are used; the manual lists them. The order is that
of ``(date, _id)``. Times are the server's, by its ``hello``.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from bson import ObjectId
from bson.errors import BSONError
from pymongo import ASCENDING, DESCENDING, MongoClient, ReturnDocument
from pymongo.collection import Collection
from pymongo.errors import (
    ConfigurationError,
    ConnectionFailure,
    DuplicateKeyError,
    ExecutionTimeout,
    InvalidURI,
    NetworkTimeout,
    PyMongoError,
)

from kvasir.core.errors import ComponentError, ConflictError, NotFoundError, SettingsError
from kvasir.core.services.questions import (
    ClaimedQuestion,
    MailStatus,
    NewQuestion,
    Question,
    QuestionState,
)
from kvasir.core.text import hide_passwords
from kvasir.core.types import Answer
from kvasir.core.wire import dumps, loads

Record = dict[str, Any]

_NAME = "MongoDB"
_COLLECTION = "prompts"
_DATABASE = "kvasir"
_CLOCK_SECONDS = 30.0
"""Time after which the server's clock is read again."""
_LAST_SECOND = 253_402_300_799
"""The last one of the year 9999, since 1970."""
_FREE: Record = {"lease_token": None, "lease_until": None}
_ORDER = [("date", ASCENDING), ("_id", ASCENDING)]
_NEWEST = [("date", DESCENDING), ("_id", DESCENDING)]
# Null also selects records without the field.
_OPEN: Record = {"output": None, "dead": {"$ne": True}, "cancelled": {"$ne": True}}
_UNSENT: Record = {"output": {"$ne": None}, "status": None, "email": {"$nin": [None, ""]}}


class MongoQuestionQueue:
    """Questions with leases. See ``QuestionQueue``."""

    def __init__(self, url: str, *, max_attempts: int = 5, collection: str = _COLLECTION) -> None:
        """Connect when it is first used.

        Args:
            url: ``mongodb://USER:PASSWORD@HOST/DATABASE``, further options after ``?``.
            max_attempts: A question that failed so often is dead.
            collection: The collection of the records.

        Raises:
            SettingsError: The URL is unusable.
        """
        try:
            self._client: MongoClient[Record] = MongoClient(
                url, tz_aware=True, serverSelectionTimeoutMS=5000, socketTimeoutMS=30000
            )
            database = self._client.get_default_database(_DATABASE)
        except (InvalidURI, ConfigurationError, ValueError) as error:
            raise SettingsError(f"questions.queue is unusable: {hide_passwords(str(error))}") from (
                None
            )
        self._records: Collection[Record] = database[collection]
        self._max_attempts = max_attempts
        self._has_indexes = False
        self._clock_offset = timedelta()
        self._clock_read = float("-inf")

    def ask(self, question: NewQuestion) -> Question:
        record: Record = {
            "input": question.input,
            "date": self._now(),
            "output": None,
            "email": question.email,
            "status": None,
            "user_id": question.user_id,
            "collection": question.collection,
            "language": question.language,
            "reply_to": question.reply_to,
            "subject": question.subject,
            "attempts": 0,
        } | _FREE
        if question.key:
            record["key"] = _key(question)
        with _translating("asking"):
            self._make_indexes()
            try:
                added: Any = self._records.insert_one(record).inserted_id
            except DuplicateKeyError:
                added = self._find({"key": record["key"]})["_id"]
        return self.question(str(added))

    def question(self, question_id: str) -> Question:
        with _translating("reading"):
            return self._question(self._find(_by_id(question_id)))

    def questions(
        self, *, user_id: int | None = None, before: str = "", limit: int = 100
    ) -> list[Question]:
        wanted: Record = {} if user_id is None else {"user_id": user_id}
        with _translating("reading"):
            if before:
                wanted |= _compared("$lt", self._find(_by_id(before)))
            found = self._records.find(wanted).sort(_NEWEST).limit(limit)
            return [self._question(record) for record in list(found)]

    def cancel(self, question_id: str) -> Question:
        # Without its token, the worker that answers it stops at the next heartbeat.
        wanted = _by_id(question_id) | _OPEN
        with _translating("cancelling"):
            done = self._records.update_one(wanted, {"$set": {"cancelled": True} | _FREE})
        question = self.question(question_id)
        if done.matched_count == 0 and question.state is not QuestionState.CANCELLED:
            raise ConflictError(f"the question is {question.state} already")
        return question

    def claim(self, *, lease_seconds: float) -> ClaimedQuestion | None:
        while True:
            record = self._claim(_OPEN, lease_seconds)
            if record is None:
                return None
            if record["attempts"] <= self._max_attempts:
                with _translating("claiming"):
                    return ClaimedQuestion(self._question(record), record["lease_token"])
            reason = f"the worker ended in the middle of it, {self._max_attempts} times"
            dead = {"dead": True, "reason": reason}
            self._settle(str(record["_id"]), record["lease_token"], dead)

    def heartbeat(self, question_id: str, token: str, *, lease_seconds: float) -> bool:
        until = self._now() + timedelta(seconds=lease_seconds)
        return self._update(question_id, token, {"$set": {"lease_until": until}})

    def answer(self, question_id: str, token: str, answer: Answer) -> bool:
        answered = {
            "output": answer.text,
            # As text: names of metadata may have dots and dollar signs.
            "answer": dumps(answer),
            # From here on, it counts the attempts to mail the answer.
            "attempts": 0,
            "due": None,
            "reason": None,
        }
        # A record that another program answered meanwhile keeps that answer.
        return self._settle(question_id, token, answered, {"output": None})

    def fail(self, question_id: str, token: str, reason: str, *, retry_after: float | None) -> bool:
        with _translating("failing"):
            attempts = self._find(_by_id(question_id)).get("attempts", 0)
        values: Record = {"reason": reason}
        if retry_after is None or attempts >= self._max_attempts:
            values["dead"] = True
        else:
            values["due"] = self._now() + timedelta(seconds=retry_after)
        return self._settle(question_id, token, values, {"output": None})

    def release(self, question_id: str, token: str, *, retry_after: float = 0.0) -> None:
        back: Record = dict(_FREE)
        if retry_after:
            back["due"] = self._now() + timedelta(seconds=retry_after)
        self._update(question_id, token, {"$set": back, "$inc": {"attempts": -1}})

    def claim_mail(self, *, lease_seconds: float) -> ClaimedQuestion | None:
        record = self._claim(_UNSENT, lease_seconds)
        if record is None:
            return None
        with _translating("claiming"):
            return ClaimedQuestion(self._question(record), record["lease_token"])

    def mailed(self, question_id: str, token: str) -> bool:
        return self._settle(question_id, token, {"status": MailStatus.SENT.value, "reason": None})

    def mail_failed(
        self, question_id: str, token: str, reason: str, *, retry_after: float | None
    ) -> bool:
        values: Record = {"reason": reason, "status": MailStatus.ERROR_SENDING.value}
        if retry_after is not None:
            values = {"reason": reason, "due": self._now() + timedelta(seconds=retry_after)}
        return self._settle(question_id, token, values)

    def release_mail(self, question_id: str, token: str) -> None:
        self.release(question_id, token)

    def counts(self) -> Mapping[str, int]:
        held = {"lease_token": {"$ne": None}}
        by_name = {
            QuestionState.WAITING.value: _OPEN | {"lease_token": None},
            QuestionState.ANSWERING.value: _OPEN | held,
            QuestionState.ANSWERED.value: {"output": {"$ne": None}},
            QuestionState.DEAD.value: {"output": None, "dead": True},
            QuestionState.CANCELLED.value: {"output": None, "cancelled": True},
            "unsent": _UNSENT,
        }
        with _translating("counting"):
            return {n: self._records.count_documents(wanted) for n, wanted in by_name.items()}

    def oldest_waiting_seconds(self) -> float:
        with _translating("reading"):
            first = self._records.find_one(_OPEN, sort=_ORDER)
            return 0.0 if first is None else max(0.0, self._age(first))

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _claim(self, ready: Record, lease_seconds: float) -> Record | None:
        now, token = self._now(), str(uuid4())
        # Missing and null are less than no date, so these select records without the field, too.
        free = {field: {"$not": {"$gt": now}} for field in ("lease_until", "due")}
        until = now + timedelta(seconds=lease_seconds)
        taken = {"$set": {"lease_token": token, "lease_until": until}, "$inc": {"attempts": 1}}
        with _translating("claiming"):
            self._make_indexes()
            return self._records.find_one_and_update(
                ready | free, taken, sort=_ORDER, return_document=ReturnDocument.AFTER
            )

    def _settle(
        self, question_id: str, token: str, values: Record, only: Record | None = None
    ) -> bool:
        return self._update(question_id, token, {"$set": values | _FREE}, only)

    def _update(
        self, question_id: str, token: str, change: Record, only: Record | None = None
    ) -> bool:
        held = _by_id(question_id) | {"lease_token": token} | (only or {})
        with _translating("writing"):
            return self._records.update_one(held, change).matched_count == 1

    def _find(self, wanted: Record) -> Record:
        record = self._records.find_one(wanted)
        if record is None:
            raise NotFoundError("there is no such question")
        return record

    def _make_indexes(self) -> None:
        if self._has_indexes:
            return
        self._records.create_index([("output", ASCENDING), *_ORDER])
        # Sparse: records without a key are not in it.
        self._records.create_index([("key", ASCENDING)], unique=True, sparse=True)
        self._has_indexes = True

    def _now(self) -> datetime:
        """Return the server's time, so that the clocks of the workers' machines do not matter."""
        if time.monotonic() - self._clock_read > _CLOCK_SECONDS:
            with _translating("connecting"):
                told = self._client.admin.command("hello")["localTime"]
            self._clock_offset = told - datetime.now(UTC)
            self._clock_read = time.monotonic()
        return datetime.now(UTC) + self._clock_offset

    def _age(self, record: Record) -> float:
        return (self._now() - _date(record)).total_seconds()

    def _question(self, record: Record) -> Question:
        state, position = _state(record), 0
        if state is QuestionState.WAITING:
            position = self._records.count_documents(_OPEN | _compared("$lt", record))
        status = record.get("status")
        output = record.get("output")
        answer = record.get("answer")
        return Question(
            id=str(record["_id"]),
            input=str(record.get("input") or ""),
            date=_date(record),
            output=None if output is None else str(output),
            email=str(record.get("email") or ""),
            status=MailStatus(status) if status in set(MailStatus) else None,
            user_id=int(record.get("user_id") or 0),
            collection=str(record.get("collection") or ""),
            language=str(record.get("language") or "es"),
            state=state,
            answer=None if answer is None else loads(Answer, answer),
            position=position,
            attempts=int(record.get("attempts") or 0),
            reason=str(record.get("reason") or ""),
            reply_to=str(record.get("reply_to") or ""),
            subject=str(record.get("subject") or ""),
        )


def _state(record: Record) -> QuestionState:
    if record.get("output") is not None:
        return QuestionState.ANSWERED
    if record.get("dead"):
        return QuestionState.DEAD
    if record.get("cancelled"):
        return QuestionState.CANCELLED
    held = record.get("lease_token") is not None
    return QuestionState.ANSWERING if held else QuestionState.WAITING


def _date(record: Record) -> datetime:
    """Return when a question was asked; other programs may write a text or a number.

    A number is of seconds since 1970, or of milliseconds if its year would have five digits.
    """
    date = record.get("date")
    if isinstance(date, (int, float)):
        try:
            seconds = date / 1000.0 if abs(date) > _LAST_SECOND else date
            date = datetime.fromtimestamp(seconds, UTC)
        except (ValueError, OverflowError, OSError):
            date = None
    if isinstance(date, str):
        try:
            date = datetime.fromisoformat(date)
        except ValueError:
            date = None
    if isinstance(date, datetime):
        return date if date.tzinfo else date.replace(tzinfo=UTC)
    key = record["_id"]
    return key.generation_time if isinstance(key, ObjectId) else datetime.fromtimestamp(0, UTC)


def _compared(operator: str, record: Record) -> Record:
    """Return the filter of the records before or after one in the order of the queue."""
    date = record.get("date")
    same = {"date": date, "_id": {operator: record["_id"]}}
    return {"$or": [{"date": {operator: date}}, same]}


def _by_id(question_id: str) -> Record:
    """Return the filter of a record; other programs may count their records."""
    wanted: list[Any] = [question_id]
    if ObjectId.is_valid(question_id):
        wanted.append(ObjectId(question_id))
    if question_id.isascii() and question_id.isdigit() and len(question_id) < 19:
        wanted.append(int(question_id))
    return {"_id": {"$in": wanted}}


def _key(question: NewQuestion) -> str:
    """Return the key of a user's request, of a length that every server's index takes."""
    return hashlib.sha256(f"{question.user_id} {question.key}".encode()).hexdigest()


@contextmanager
def _translating(operation: str) -> Iterator[None]:
    try:
        yield
    except (NetworkTimeout, ExecutionTimeout) as error:
        raise _error(operation, error, "timeout") from error
    except ConnectionFailure as error:
        raise _error(operation, error, "unreachable") from error
    except (PyMongoError, BSONError) as error:
        raise _error(operation, error, "failed") from error


def _error(operation: str, error: Exception, kind: str) -> ComponentError:
    cause = hide_passwords(str(error).partition(", Timeout:")[0])
    return ComponentError(_NAME, operation, cause[:300], kind=kind)
