"""Sending mail."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Mail:
    """A message to send, plain text and HTML.

    Attributes:
        message_id: Its Message-ID; the same for every try.
        in_reply_to: The Message-ID that it answers; may be empty.
    """

    to: str
    subject: str
    text: str
    html: str
    message_id: str
    in_reply_to: str = ""


class Mailer(Protocol):
    """Sends mail."""

    def send(self, mail: Mail) -> None:
        """Hand a message to the mail server, and return when it has taken it over.

        Raises:
            MailRefusedError: The server refuses it for good.
            ComponentError: It could not be sent; a later try may succeed.
        """

    def check(self) -> None:
        """Connect and log in, and send nothing.

        Raises:
            ComponentError: The server does not answer or refuses the login.
        """


@dataclass(frozen=True, slots=True)
class OutboxMail:
    """A mail that answers no question and waits to be sent; its id makes its Message-ID.

    Attributes:
        kind: What it says: ``recovery``.
        content: The values of its template, such as ``password``.
        attempts: How often it was claimed.
    """

    id: str
    kind: str
    recipient: str
    language: str
    content: Mapping[str, str]
    attempts: int = 0


@dataclass(frozen=True, slots=True)
class ClaimedMail:
    """A mail that a sender holds by a lease; ``token`` fences off a sender that lost it."""

    mail: OutboxMail
    token: str


class Outbox(Protocol):
    """Mails that answer no question, kept until they are sent."""

    def add(self, kind: str, recipient: str, language: str, content: Mapping[str, str]) -> None:
        """Add a mail; its content is deleted when it is sent or given up.

        It takes the place of an unsent one of the same kind to the same recipient. With ``minutes``
        in its content, a number as text, it is given up when it is older than that.
        """

    def claim(self, *, lease_seconds: float) -> ClaimedMail | None:
        """Take the oldest mail that is due and still holds."""

    def heartbeat(self, claimed: ClaimedMail, *, lease_seconds: float) -> bool:
        """Prolong the lease; False if it was lost."""

    def sent(self, claimed: ClaimedMail) -> bool:
        """Record that it was sent; False if the lease was lost."""

    def failed(self, claimed: ClaimedMail, reason: str, *, retry_after: float | None) -> bool:
        """Record that it was not sent; None: given up."""

    def release(self, claimed: ClaimedMail) -> None:
        """Give a mail back unsent, which does not count as an attempt."""

    def waiting(self) -> int:
        """Return how many mails wait."""
