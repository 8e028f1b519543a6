"""A real SMTP server on loopback, which keeps what it is given and refuses what a test says."""

from __future__ import annotations

import email
import email.policy
import ssl
import threading
from collections import Counter
from collections.abc import Callable

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult
from free_ports import free_port


class SmtpServer:
    """The server; ``refuse`` answers a command (``RCPT`` or ``DATA``) with a reply, or None."""

    def __init__(self, *, tls: ssl.SSLContext | None = None, accounts=None, smtps=False) -> None:
        self.port = free_port()
        self.mails: list[email.message.EmailMessage] = []
        self.refuse: Callable[[str, str], str | None] = lambda command, recipient: None
        self.logins: list[str] = []
        self._lock = threading.Lock()
        self._tls, self._accounts, self._smtps = tls, accounts, smtps
        self._controller: Controller | None = None

    def start(self) -> None:
        options = {}
        if self._accounts is not None:
            options = {"authenticator": self._authenticate, "auth_required": True}
            # It knows of STARTTLS only, not of a connection that is encrypted from the start.
            options["auth_require_tls"] = not self._smtps
        if self._tls is not None:
            options |= {"ssl_context": self._tls} if self._smtps else {"tls_context": self._tls}
        self._controller = Controller(self, hostname="127.0.0.1", port=self.port, **options)
        self._controller.start()

    def stop(self) -> None:
        if self._controller is not None:
            self._controller.stop()
            self._controller = None

    def __enter__(self) -> SmtpServer:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def by_id(self) -> Counter[str]:
        """How often each Message-ID was delivered."""
        with self._lock:
            return Counter(mail["Message-ID"] for mail in self.mails)

    def _authenticate(self, server, session, envelope, mechanism, data) -> AuthResult:
        login = data.login.decode()
        self.logins.append(login)
        is_right = self._accounts.get(login) == data.password.decode()
        return AuthResult(success=is_right, handled=False)

    async def handle_RCPT(self, server, session, envelope, address, options) -> str:  # noqa: N802
        if reply := self.refuse("RCPT", address):
            return reply
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope) -> str:  # noqa: N802
        if reply := self.refuse("DATA", envelope.rcpt_tos[0]):
            return reply
        mail = email.message_from_bytes(envelope.content, policy=email.policy.default)
        mail.envelope = (envelope.mail_from, list(envelope.rcpt_tos))
        mail.raw = envelope.content
        with self._lock:
            self.mails.append(mail)
        return "250 OK"


def body_of(mail, kind: str) -> str:
    """Return a part of a mail, ``plain`` or ``html``."""
    return mail.get_body((kind,)).get_content()
