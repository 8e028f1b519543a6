"""Sends mail by SMTP.

An error says whether the server, or only this message, cannot be used: whoever sends many mails
waits for a server, but goes on to the next mail after a message.

Source: RFC 5321, section 4.2 (replies: 4xx may pass, 5xx does not), RFC 3834 (automatic replies).
"""

from __future__ import annotations

import smtplib
import ssl
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from email.errors import HeaderParseError
from email.headerregistry import Address, HeaderRegistry, MessageIDHeader
from email.message import EmailMessage
from email.policy import SMTP, EmailPolicy
from email.utils import formatdate, parseaddr
from typing import Literal

from kvasir.core.errors import ComponentError, MailRefusedError, SettingsError
from kvasir.core.services.mail import Mail

Security = Literal["starttls", "tls", "none"]

_NAME = "mail server"
_LOGGED_IN = 235
_CLOSING = 421
_TOO_LARGE = 552
_LONGEST_REASON = 300


def _policy() -> EmailPolicy[EmailMessage]:
    """Return a policy that writes every Message-ID as it is, however long."""
    headers = HeaderRegistry()
    for name in ("in-reply-to", "references"):
        headers.map_to_type(name, MessageIDHeader)  # type: ignore[arg-type]
    return SMTP.clone(header_factory=headers, cte_type="7bit")


_POLICY = _policy()


class SmtpMailer:
    """A mail server's client: each message has a connection of its own. See ``Mailer``.

    The ``kind`` of a ``ComponentError`` is ``busy`` or ``timeout`` if it is about one message, and
    ``unreachable`` or ``failed`` (a refused login or sender) if every message would fail.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        security: Security = "starttls",
        username: str | None = None,
        password: str | None = None,
        sender: str = "",
        timeout: float = 20.0,
        context: ssl.SSLContext | None = None,
    ) -> None:
        """Connect to nothing yet.

        Args:
            host: The server.
            port: Its port.
            security: ``starttls``, ``tls`` from the first byte, or ``none``.
            username: The account; None: no login.
            password: Its password.
            sender: The From address, such as ``Kvasir <kvasir@example.org>``.
            timeout: Seconds to wait for each reply.
            context: Checks certificates; by default as the operating system does.

        Raises:
            SettingsError: The sender has no address.
        """
        self._host, self._port, self._security = host, port, security
        self._username, self._password = username, password
        self._sender, self._timeout = sender, timeout
        self._context = context
        if "@" not in self.sender:
            raise SettingsError("mail.sender must be an address, such as kvasir@example.org")

    @property
    def sender(self) -> str:
        """The address that mails come from."""
        return parseaddr(self._sender)[1]

    def send(self, mail: Mail) -> None:
        """Hand a message to the mail server; see ``Mailer``."""
        message = compose(mail, self._sender)
        with self._session() as server, _translating(mail.to):
            server.send_message(message, from_addr=self.sender, to_addrs=[mail.to])

    def check(self) -> None:
        """Connect and log in, and send nothing."""
        with self._session():
            pass

    @contextmanager
    def _session(self) -> Iterator[smtplib.SMTP]:
        server = self._connect()
        try:
            yield server
        finally:
            # The message was taken over, or refused, before.
            with suppress(smtplib.SMTPException, OSError):
                server.quit()
            server.close()

    def _connect(self) -> smtplib.SMTP:
        where = f"{self._host}:{self._port}"
        server: smtplib.SMTP | None = None
        try:
            if self._security == "tls":
                server = smtplib.SMTP_SSL(
                    self._host, self._port, timeout=self._timeout, context=self._tls()
                )
            else:
                server = smtplib.SMTP(self._host, self._port, timeout=self._timeout)
            if self._security == "starttls":
                server.starttls(context=self._tls())
            if self._username:
                _log_in(server, self._username, self._password or "")
        except Exception as error:
            if server is not None:
                server.close()
            if not isinstance(error, (smtplib.SMTPException, OSError)):
                raise
            raise _connection_error(error, where) from error
        return server

    def _tls(self) -> ssl.SSLContext:
        if self._context is None:
            self._context = ssl.create_default_context()
        return self._context


def _log_in(server: smtplib.SMTP, username: str, password: str) -> None:
    if f"{username}{password}".isascii():
        server.login(username, password)
        return
    # The library's login encodes ASCII only; RFC 4616 has UTF-8.
    server.ehlo_or_helo_if_needed()
    plain = b64encode(f"\0{username}\0{password}".encode()).decode()
    code, reply = server.docmd("AUTH", f"PLAIN {plain}")
    if code != _LOGGED_IN:
        raise smtplib.SMTPAuthenticationError(code, reply)


def compose(mail: Mail, sender: str) -> EmailMessage:
    """Return the message of a mail, plain text and HTML.

    Raises:
        MailRefusedError: An address or another header cannot be written.
    """
    message = EmailMessage(policy=_POLICY)
    name, address = parseaddr(sender)
    try:
        message["From"] = Address(name, addr_spec=address)
        message["To"] = Address(addr_spec=mail.to)
        message["Subject"] = mail.subject
        message["Date"] = formatdate(usegmt=True)
        message["Message-ID"] = mail.message_id
        if mail.in_reply_to:
            message["In-Reply-To"] = message["References"] = mail.in_reply_to
        # Programs that answer mails by themselves must not answer these.
        message["Auto-Submitted"] = "auto-replied" if mail.in_reply_to else "auto-generated"
        message["X-Auto-Response-Suppress"] = "All"
    except (ValueError, IndexError, HeaderParseError) as error:
        raise MailRefusedError(f"the mail to '{mail.to}' cannot be written: {error}") from error
    message.set_content(mail.text)
    message.add_alternative(mail.html, subtype="html")
    return message


def _connection_error(error: Exception, where: str) -> ComponentError:
    """Return the error of connecting or logging in, which every message would have."""
    if isinstance(error, smtplib.SMTPAuthenticationError):
        cause = f"{where} refuses the login ({_reply(error)}): check mail.username and its password"
        return ComponentError(_NAME, "logging in", cause)
    if isinstance(error, smtplib.SMTPNotSupportedError):
        cause = f"{where} does not offer it ({error}): check mail.security and mail.port"
        return ComponentError(_NAME, "connecting", cause)
    if isinstance(error, ssl.SSLError):
        cause = f"{where}: {error}: check mail.security, mail.port and the certificate"
        return ComponentError(_NAME, "connecting", cause)
    cause = _reply(error) if isinstance(error, smtplib.SMTPResponseException) else str(error)
    return ComponentError(_NAME, "connecting", f"{where}: {cause}", kind="unreachable")


@contextmanager
def _translating(recipient: str) -> Iterator[None]:
    """Translate the errors of handing over one message."""
    try:
        yield
    except smtplib.SMTPRecipientsRefused as error:
        code, text = next(iter(error.recipients.values()))
        raise _refusal(recipient, code, _text(code, text)) from error
    except smtplib.SMTPSenderRefused as error:
        if error.smtp_code >= 500 and error.smtp_code != _TOO_LARGE:
            cause = f"the sender is refused ({_reply(error)}): check mail.sender and mail.username"
            raise ComponentError(_NAME, "sending", cause) from error
        raise _refusal(recipient, error.smtp_code, _reply(error)) from error
    except smtplib.SMTPResponseException as error:
        raise _refusal(recipient, error.smtp_code, _reply(error)) from error
    except smtplib.SMTPNotSupportedError as error:
        raise MailRefusedError(f"the mail server cannot send to '{recipient}': {error}") from error
    except TimeoutError as error:
        raise ComponentError(_NAME, "sending", "no reply in time", kind="timeout") from error
    except (smtplib.SMTPException, OSError) as error:
        # It may be this message that makes the server hang up: others are tried before it.
        raise ComponentError(_NAME, "sending", error, kind="busy") from error


def _refusal(recipient: str, code: int, reply: str) -> Exception:
    if code >= 500:
        return MailRefusedError(f"the mail server refuses the mail to '{recipient}': {reply}")
    kind = "unreachable" if code == _CLOSING else "busy"
    return ComponentError(_NAME, "sending", f"'{recipient}': {reply}", kind=kind)


def _reply(error: smtplib.SMTPResponseException) -> str:
    return _text(error.smtp_code, error.smtp_error)


def _text(code: int, text: bytes | str) -> str:
    said = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    return f"{code} {' '.join(said.split())}"[:_LONGEST_REASON]
