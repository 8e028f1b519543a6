"""The outbox of mails that answer no question."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import uuid4

from sqlalchemy import Connection, Engine, func, insert, select, update

from kvasir.core.services.mail import ClaimedMail, OutboxMail
from kvasir.core.services.questions import MailStatus
from kvasir.database import leases, reading, writing
from kvasir.database.dialects import epoch_seconds
from kvasir.questions.tables import mails

_REPLACED = "a later mail took its place"
_VOID = "it was void before it could be sent"
_FREE = {"lease_token": None, "lease_until": None}


class SqlOutbox:
    """Mails with leases. See ``Outbox``."""

    def __init__(self, engine: Engine) -> None:
        """Use a migrated database."""
        self._engine = engine

    def add(self, kind: str, recipient: str, language: str, content: Mapping[str, str]) -> None:
        row = {
            "id": str(uuid4()),
            "kind": kind,
            "recipient": recipient,
            "language": language,
            "content": dict(content),
            "created": epoch_seconds(),
            "due": leases.AT_ONCE,
            "attempts": 0,
        }
        with writing(self._engine) as connection:
            self._replace(connection, kind, recipient)
            connection.execute(insert(mails).values(**row))

    def _replace(self, connection: Connection, kind: str, recipient: str) -> None:
        """Give up the mails whose place a new one takes."""
        unsent = (mails.c.status.is_(None), mails.c.kind == kind, mails.c.recipient == recipient)
        for number in connection.execute(select(mails.c.number).where(*unsent)).scalars().all():
            leases.lock(connection, mails, mails.c.number == number)
            own = update(mails).where(mails.c.number == number, mails.c.status.is_(None))
            connection.execute(own.values(**_given_up(_REPLACED), **_FREE))

    def claim(self, *, lease_seconds: float) -> ClaimedMail | None:
        ready = mails.c.status.is_(None)
        while True:
            with writing(self._engine) as connection:
                row = leases.claim(connection, mails, ready, lease_seconds=lease_seconds)
                if row is None:
                    return None
                if not _is_void(row, connection):
                    break
                leases.settle(connection, mails, row.id, row.lease_token, **_given_up(_VOID))
        mail = OutboxMail(row.id, row.kind, row.recipient, row.language, row.content, row.attempts)
        return ClaimedMail(mail, row.lease_token)

    def heartbeat(self, claimed: ClaimedMail, *, lease_seconds: float) -> bool:
        row_id, token = claimed.mail.id, claimed.token
        with writing(self._engine) as connection:
            return leases.renew(connection, mails, row_id, token, lease_seconds=lease_seconds)

    def sent(self, claimed: ClaimedMail) -> bool:
        return self._settle(claimed, status=MailStatus.SENT, content={}, reason=None)

    def failed(self, claimed: ClaimedMail, reason: str, *, retry_after: float | None) -> bool:
        if retry_after is None:
            return self._settle(claimed, **_given_up(reason))
        return self._settle(claimed, due=epoch_seconds() + retry_after, reason=reason)

    def release(self, claimed: ClaimedMail) -> None:
        self._settle(claimed, attempts=mails.c.attempts - 1)

    def waiting(self) -> int:
        query = select(func.count()).select_from(mails).where(mails.c.status.is_(None))
        with reading(self._engine) as connection:
            return int(connection.execute(query).scalar_one())

    def _settle(self, claimed: ClaimedMail, **values: Any) -> bool:
        with writing(self._engine) as connection:
            return leases.settle(connection, mails, claimed.mail.id, claimed.token, **values)


def _given_up(reason: str) -> dict[str, Any]:
    return {"status": MailStatus.ERROR_SENDING, "content": {}, "reason": reason}


def _is_void(row: Any, connection: Connection) -> bool:
    """Return True if what a mail says holds no longer."""
    minutes = row.content.get("minutes")
    if minutes is None:
        return False
    now = connection.execute(select(epoch_seconds())).scalar_one()
    return bool(now > row.created + 60.0 * float(minutes))
