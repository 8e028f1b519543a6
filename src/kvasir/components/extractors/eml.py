"""Mail as RFC 5322 and MIME: subject, sender and receivers, body, and attachments' text."""

from __future__ import annotations

from email import message_from_bytes, policy
from email.errors import HeaderParseError, MessageError
from email.message import EmailMessage, MIMEPart
from email.utils import parsedate_to_datetime

from kvasir.components.extractors.attachments import Attachments, add_headers, add_plain_body
from kvasir.components.extractors.decoding import decode
from kvasir.components.extractors.document_builder import DocumentBuilder
from kvasir.components.extractors.html import add_page
from kvasir.core.errors import ExtractionError
from kvasir.core.types import Document, Source

_SHOWN = ("From", "To", "Cc", "Date")
_ENCRYPTED = ("multipart/encrypted", "application/pkcs7-mime", "application/x-pkcs7-mime")


class EmlExtractor:
    """Reads EML files."""

    def __init__(self, depth: int = 0) -> None:
        """Args: the number of mails that this one is attached to, one in the other."""
        self._depth = depth

    def extract(self, source: Source, data: bytes) -> Document:
        """Extract headers, body and attachments; see ``Extractor``."""
        message = message_from_bytes(data, policy=policy.default)
        assert isinstance(message, EmailMessage)
        if message.get_content_type() in _ENCRYPTED:
            raise ExtractionError(
                "encrypted", "it is an encrypted mail; save it decrypted from the mail program"
            )
        builder = DocumentBuilder(source)
        subject = _header(message, "Subject")
        headers = {name: _header(message, name) for name in _SHOWN}
        date, message_id = _iso_date(headers["Date"]), _header(message, "Message-ID")
        add_headers(builder, subject, headers, date, message_id)
        body = next((part for part in _bodies(message) if _add_body(builder, part)), None)
        attachments = Attachments(builder, source, self._depth)
        for number, part in enumerate(message.iter_attachments(), 1):
            content = _bytes(part)
            if content and part is not body:
                attachments.add(part.get_filename() or f"attachment-{number}", content)
        attachments.finish()
        return builder.build()


def _bodies(message: EmailMessage) -> list[MIMEPart]:
    """Return the parts that may be the body, the best first."""
    parts = (message.get_body(("plain",)), message.get_body(("html",)))
    return [part for part in parts if part is not None]


def _add_body(builder: DocumentBuilder, body: MIMEPart) -> bool:
    """Append a body's blocks; False if there is no text in it."""
    content = _bytes(body)
    if body.get_content_type() == "text/html":
        return add_page(content, builder)
    return add_plain_body(builder, decode(content, body.get_content_charset()))


def _bytes(part: MIMEPart) -> bytes:
    if part.get_content_type() == "message/rfc822":
        inner = part.get_payload()
        first = inner[0] if isinstance(inner, list) and inner else None
        return first.as_bytes() if isinstance(first, EmailMessage) else b""
    payload = part.get_payload(decode=True)
    return payload if isinstance(payload, bytes) else b""


def _header(message: EmailMessage, name: str) -> str:
    try:
        return str(message.get(name) or "")
    except (HeaderParseError, MessageError, ValueError, IndexError, AttributeError):
        # The library's parser raises these on some malformed headers.
        return ""


def _iso_date(value: str) -> str:
    try:
        return parsedate_to_datetime(value).isoformat() if value else ""
    except ValueError:
        return value
