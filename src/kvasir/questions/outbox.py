"""The outbox of mails that answer no question."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import uuid4

from sqlalchemy import Engine, func, insert, select

from kvasir.core.services.mail import ClaimedMail, OutboxMail
from kvasir.core.services.questions import MailStatus
from kvasir.database import leases, reading, writing
from kvasir.database.dialects import epoch_seconds
from kvasir.questions.tables import mails


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
            connection.execute(insert(mails).values(**row))

    def claim(self, *, lease_seconds: float) -> ClaimedMail | None:
        ready = mails.c.status.is_(None)
        with writing(self._engine) as connection:
            row = leases.claim(connection, mails, ready, lease_seconds=lease_seconds)
        if row is None:
            return None
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
            return self._settle(claimed, status=MailStatus.ERROR_SENDING, content={}, reason=reason)
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
