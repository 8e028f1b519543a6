"""Mail as RFC 5322 and MIME: subject, sender and receivers, body, and attachments' text."""

from __future__ import annotations

from collections.abc import Iterator
from email import message_from_bytes, policy
from email.errors import HeaderParseError, MessageError
from email.message import EmailMessage, MIMEPart
from email.utils import parsedate_to_datetime

from kvasir.components.extractors.attachments import Attachments
from kvasir.components.extractors.decoding import decode
from kvasir.components.extractors.document_builder import DocumentBuilder, is_blank
from kvasir.components.extractors.html import add_page
from kvasir.core.errors import ExtractionError
from kvasir.core.types import BlockKind, Document, Source

_SHOWN = ("From", "To", "Cc", "Date")
_ENCRYPTED = ("multipart/encrypted", "application/pkcs7-mime", "application/x-pkcs7-mime")


class EmlExtractor:
    """Reads EML files."""

    def __init__(self, depth: int = 0) -> None:
        """Args: how many mails this one lies in, as their attachment."""
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
        builder.add(BlockKind.HEADING, " ".join(subject.split()), level=1)
        lines = [f"{name}: {value}" for name, value in headers.items() if value]
        builder.add(BlockKind.PARAGRAPH, "\n".join(lines))
        body = next((part for part in _bodies(message) if _add_body(builder, part)), None)
        attachments = Attachments(builder, source, self._depth)
        for number, part in enumerate(message.iter_attachments(), 1):
            content = _bytes(part)
            if content and part is not body:
                attachments.add(part.get_filename() or f"attachment-{number}", content)
        attachments.finish()
        builder.set_metadata(
            {
                "subject": subject,
                "from": headers["From"],
                "to": headers["To"],
                "cc": headers["Cc"],
                "date": _iso_date(headers["Date"]),
                "message_id": _header(message, "Message-ID"),
            }
        )
        return builder.build()


def _bodies(message: EmailMessage) -> Iterator[MIMEPart]:
    """Yield the parts that may be the body, the best first: one without text gives way."""
    for kind in ("plain", "html"):
        part = message.get_body((kind,))
        if part is not None:
            yield part


def _add_body(builder: DocumentBuilder, body: MIMEPart) -> bool:
    """Append a body's blocks; False if there is no text in it."""
    content = _bytes(body)
    if body.get_content_type() == "text/html":
        return add_page(content, builder)
    text = decode(content, body.get_content_charset()).replace("\r\n", "\n")
    if is_blank(text):
        return False
    for paragraph in text.split("\n\n"):
        builder.add(BlockKind.PARAGRAPH, paragraph)
    return True


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
        # The library gives up on some malformed headers with errors of its own parser.
        return ""


def _iso_date(value: str) -> str:
    try:
        return parsedate_to_datetime(value).isoformat() if value else ""
    except ValueError:
        return value
