"""Mail: subject, sender and receivers, body, and the text of attachments.

EML files (RFC 5322 and MIME) are read by the standard library, Outlook's MSG files by olefile:
the properties are streams of a compound file, and an attached message is a storage of the same
file, with the same streams.

Source: MS-OXMSG and MS-OXPROPS; a stream's name ends in the property's number and type.
"""

from __future__ import annotations

import datetime
import io
import struct
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from email import message_from_bytes, policy
from email.errors import MessageError
from email.header import decode_header
from email.message import EmailMessage, Message
from email.utils import parsedate_to_datetime

import olefile

from kvasir.components.extractors.archive import damaged, unread
from kvasir.components.extractors.document_builder import DocumentBuilder
from kvasir.components.extractors.encodings import decode
from kvasir.components.extractors.html import add_page
from kvasir.components.extractors.text import is_blank
from kvasir.core import media_types, registry
from kvasir.core.errors import ExtractionError
from kvasir.core.types import BlockKind, Document, Source

_MAX_DEPTH = 3
"""Mail inside mail is read down to this depth."""
_OF_PAGE = frozenset({"image", "font", "audio", "video"})
_STYLES_AND_SCRIPTS = frozenset({"css", "javascript", "x-javascript", "ecmascript"})
_MAIL = ("message/rfc822", media_types.MSG)
_UNREAD = "unread_attachments"

_PKCS7 = ("application/pkcs7-mime", "application/x-pkcs7-mime")
_SIGNATURES = (
    "application/pgp-signature", "application/pkcs7-signature", "application/x-pkcs7-signature",
)  # fmt: skip
"""Parts that say nothing a reader could read."""
_SIGNED_DATA = bytes.fromhex("06092a864886f70d010702")
"""The object identifier of signed data (RFC 5652), at the beginning of a part in PKCS #7."""
_PKCS7_HEAD = 64

_SUBJECT, _BODY, _HTML, _RTF = "0037", "1000", "1013", "1009"
_SENDER, _SENDER_ADDRESS, _SENDER_SMTP = "0C1A", "0C1F", "5D01"
_TO, _CC, _MESSAGE_ID = "0E04", "0E03", "1035"
_DATA, _NAMES = "3701", ("3707", "3704", "3001")
_OBJECT = f"__substg1.0_{_DATA}000D"
_PROPERTIES = "__properties_version1.0"
_SUBMITTED, _DELIVERED = 0x0039, 0x0E06
_TIME = 0x0040
_TOP_HEADER, _INNER_HEADER = 32, 24
_EPOCH = datetime.datetime(1601, 1, 1, tzinfo=datetime.UTC)


class _MailBuilder(DocumentBuilder):
    """Builds a mail, ``depth`` mails deep; an attachment comes under a heading with its name."""

    def __init__(self, source: Source, depth: int) -> None:
        super().__init__(source)
        self._depth = depth
        self._unread_parts: list[str] = []
        self._unread_inside: list[str] = []

    def add_headers(
        self, subject: str, headers: Mapping[str, str], date: str, message_id: str
    ) -> None:
        """Append the subject and the shown headers; keep all as metadata, the date in ISO form."""
        self.add(BlockKind.HEADING, " ".join(subject.split()), level=1)
        lines = (f"{name}: {value}" for name, value in headers.items() if value)
        self.add(BlockKind.PARAGRAPH, "\n".join(lines))
        shown = {name.lower(): value for name, value in headers.items()} | {"date": date}
        self.set_metadata(subject=subject, **shown, message_id=message_id)

    def add_plain_body(self, text: str) -> bool:
        """Append a plain text body; False if there is no text in it."""
        if is_blank(text):
            return False
        for paragraph in text.replace("\r\n", "\n").split("\n\n"):
            self.add(BlockKind.PARAGRAPH, paragraph)
        return True

    def attach(self, name: str, data: bytes, charset: str = "") -> None:
        """Append one attachment; note its name and the reason if it cannot be read."""
        with self.attached(name):
            media_type = media_types.detect(name, data) if data else media_types.UNKNOWN
            known = registry.names("extractors")
            if media_type not in known and media_type.startswith("text/"):
                media_type = "text/plain"
            if media_type not in known:
                raise ExtractionError("unsupported", media_type)
            options = {"depth": self._next_depth()} if media_type in _MAIL else {}
            extractor = registry.build("extractors", media_type, options)
            try:
                source = self._inside(name, media_type, charset)
                document: Document = extractor.extract(source, data)
            except ExtractionError as error:
                if media_type.startswith("image/"):
                    # A signature or logo: noted by its type, and left out of the report.
                    raise ExtractionError(error.reason, media_type) from error
                raise
            self._add_attachment(name, document)

    def attach_mail(self, name: str, read: Callable[[Source, int], Document]) -> None:
        """Append a mail that is attached as an object, by ``read(source, depth)``."""
        with self.attached(name):
            document = read(self._inside(name, media_types.MSG), self._next_depth())
            self._add_attachment(name, document)

    def note_unread(self, name: str, reason: str) -> None:
        """Note an attachment that is not read; its name is in the text and in the report."""
        self._unread_parts.append(f"{name} ({reason})")
        self.add(BlockKind.PARAGRAPH, f"Attachment: {name}")

    @contextmanager
    def body(self) -> Iterator[None]:
        """Note that the body cannot be read, and go on after it."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - parsers of hostile files raise anything
            self._unread_parts.append(f"body ({unread(error)})")

    def build(self) -> Document:
        """Return the document, with the names of unread attachments in its metadata."""
        self.set_metadata(**{_UNREAD: "; ".join(self._unread_parts + self._unread_inside)})
        # Most mails have pictures: signatures and logos. Attached mails have their own warnings.
        if lost := [one for one in self._unread_parts if "(image/" not in one]:
            self.warn(f"not all of it is read: {'; '.join(lost)}")
        return super().build()

    @contextmanager
    def attached(self, name: str) -> Iterator[None]:
        """Note that an attachment cannot be read, and go on after it."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - parsers of hostile files raise anything
            self.note_unread(name, str(unread(error)))

    def _add_attachment(self, name: str, document: Document) -> None:
        self.add(BlockKind.HEADING, name, level=2)
        self.absorb(document, name)
        if inner := document.metadata.get(_UNREAD):
            self._unread_inside.append(f"in {name}: {inner}")

    def _inside(self, name: str, media_type: str, charset: str = "") -> Source:
        return Source(f"{self._source.uri}#{name}", media_type, charset=charset)

    def _next_depth(self) -> int:
        if self._depth >= _MAX_DEPTH:
            raise ExtractionError(
                "unsupported", f"mail inside mail is read to a depth of {_MAX_DEPTH}"
            )
        return self._depth + 1


class EmlExtractor:
    """Reads EML files; ``depth`` is the number of mails that the file is attached to."""

    def __init__(self, depth: int = 0) -> None:
        self._depth = depth

    def extract(self, source: Source, data: bytes) -> Document:
        """Extract headers, body and attachments; see ``Extractor``."""
        message = message_from_bytes(data, policy=policy.default)
        assert isinstance(message, EmailMessage)
        if reason := _locked(message):
            raise reason
        mail = _MailBuilder(source, self._depth)
        headers = {name: _header(message, name) for name in ("From", "To", "Cc", "Date")}
        subject, message_id = _header(message, "Subject"), _header(message, "Message-ID")
        mail.add_headers(subject, headers, _iso_date(headers["Date"]), message_id)
        parts = _Parts(mail)
        parts.read(message, is_named=True)
        parts.attach()
        return mail.build()


class _Parts:
    """Reads the parts of a mail: the texts of the body at once, attachments after them."""

    def __init__(self, mail: _MailBuilder) -> None:
        self._mail = mail
        self._others: list[Message] = []

    def read(self, part: Message, *, is_shown: bool = True, is_named: bool = False) -> bool:
        """Append the text of a part; False if there is none.

        A part that is not shown has the same text as another one, but attachments of its own.
        ``is_named`` is True where the body, too, may have a file name.
        """
        has_text = False
        with self._mail.body():
            kind = part.get_content_type()
            if kind == "multipart/alternative":
                has_text = self._alternative(part, is_shown=is_shown)
            elif part.is_multipart() and kind.startswith("multipart/") and not _locked(part):
                for inner in _inner(part):
                    has_text |= self.read(inner, is_shown=is_shown)
            elif _is_body(part, is_named=is_named) and not _is_of_page(part):
                has_text = is_shown and _add_body(self._mail, part)
            elif kind not in _SIGNATURES and not _is_of_page(part):
                self._others.append(part)
        return has_text

    def attach(self) -> None:
        """Append the parts that are not of the body."""
        for number, part in enumerate(self._others, 1):
            name = _name(part) or f"attachment-{number}"
            with self._mail.attached(name):
                if reason := _locked(part):
                    raise reason
                if content := _bytes(part):
                    self._mail.attach(name, content, _charset(part))

    def _alternative(self, part: Message, *, is_shown: bool) -> bool:
        """Append the first text that is not blank; plain text comes before HTML."""
        has_text = False
        for branch in sorted(_inner(part), key=_preference):
            is_next = is_shown and not has_text
            has_text |= self.read(branch, is_shown=is_next, is_named=True)
        return has_text


def _inner(part: Message) -> list[Message]:
    payload = part.get_payload()
    if not isinstance(payload, list):
        return []
    return [inner for inner in payload if isinstance(inner, Message)]


def _preference(branch: Message) -> int:
    kinds = {part.get_content_type() for part in branch.walk()}
    return 0 if "text/plain" in kinds else 1 if "text/html" in kinds else 2


def _is_body(part: Message, *, is_named: bool) -> bool:
    """Return True for text that is no attachment; a part without a boundary is text."""
    is_text = part.get_content_maintype() in ("text", "multipart") and not part.is_multipart()
    is_attached = _disposition(part) == "attachment" or (not is_named and bool(_name(part)))
    return is_text and not is_attached


def _is_of_page(part: Message) -> bool:
    """Return True for a style sheet, picture or font of a page that is saved as a mail (MHTML)."""
    kind, _, form = part.get_content_type().partition("/")
    is_part = kind in _OF_PAGE or form in _STYLES_AND_SCRIPTS or "font" in form
    is_file = bool(_name(part)) or _disposition(part) == "attachment"
    return part.get("Content-Location") is not None and is_part and not is_file


def _disposition(part: Message) -> str:
    return str(part.get("Content-Disposition") or "").partition(";")[0].strip().lower()


def _name(part: Message) -> str:
    """Return the file name of a part, empty if it has none that can be read."""
    try:
        return " ".join((part.get_filename() or "").split())
    except (MessageError, ValueError, LookupError, TypeError, AttributeError):
        return ""


def _charset(part: Message) -> str:
    is_text = part.get_content_maintype() == "text"
    return (part.get_content_charset() or "") if is_text else ""


def _locked(part: Message) -> ExtractionError | None:
    """Return why the content of a part cannot be seen: encrypted, or inside its signature."""
    kind = part.get_content_type()
    if kind in _PKCS7:
        content = part.get_payload(decode=True)
        head = content[:_PKCS7_HEAD] if isinstance(content, bytes) else b""
        if _SIGNED_DATA in head or part.get_param("smime-type") == "signed-data":
            return ExtractionError(
                "unsupported",
                "its text is inside its signature (S/MIME signed data), which is not read; "
                "save it without the signature from the mail program",
            )
    elif kind != "multipart/encrypted":
        return None
    return ExtractionError(
        "encrypted", "it is an encrypted mail; save it decrypted from the mail program"
    )


def _add_body(mail: _MailBuilder, body: Message) -> bool:
    """Append a body's blocks; False if there is no text in it."""
    content, charset = _bytes(body), body.get_content_charset()
    if body.get_content_type() == "text/html":
        return add_page(content, mail, charset)
    return mail.add_plain_body(decode(content, charset, mail.warn))


def _bytes(part: Message) -> bytes:
    if mails := _inner(part):
        # A mail, or the report on a delivery, which is a list of groups of headers.
        return b"\n".join(mail.as_bytes() for mail in mails)
    payload = part.get_payload(decode=True)
    return payload if isinstance(payload, bytes) else b""


def _header(message: EmailMessage, name: str) -> str:
    """Return a header in one line, its encoded words by the labels that they declare."""
    raw = next((text for key, text in message.raw_items() if key.lower() == name.lower()), "")
    return " ".join(_decoded(str(raw)).split())


def _decoded(raw: str) -> str:
    try:
        words = decode_header(raw)
    except (MessageError, ValueError):
        words = [(raw, None)]
    return "".join(
        decode(word.encode("ascii", "surrogateescape") if isinstance(word, str) else word, label)
        for word, label in words
    )


def _iso_date(value: str) -> str:
    try:
        return parsedate_to_datetime(value).isoformat() if value else ""
    except (ValueError, OverflowError):
        return value


class MsgExtractor:
    """Reads MSG files; ``depth`` is the number of mails that the file is attached to."""

    def __init__(self, depth: int = 0) -> None:
        self._depth = depth

    def extract(self, source: Source, data: bytes) -> Document:
        """Extract headers, body and attachments; see ``Extractor``."""
        try:
            with olefile.OleFileIO(io.BytesIO(data)) as file:
                return _Storage(file).read(source, self._depth)
        except (olefile.OleFileError, struct.error) as error:
            raise damaged(str(error)) from error


class _Storage:
    """A folder of a compound file with the properties of a mail or an attachment."""

    def __init__(self, file: olefile.OleFileIO, path: tuple[str, ...] = ()) -> None:
        self._file = file
        self._path = path

    def read(self, source: Source, depth: int) -> Document:
        """Return the document of a mail."""
        mail = _MailBuilder(source, depth)
        sender = self._text(_SENDER)
        address = self._text(_SENDER_SMTP) or self._text(_SENDER_ADDRESS)
        if "@" in address and address != sender:
            sender = f"{sender} <{address}>".strip()
        to, cc, date = self._text(_TO), self._text(_CC), self._date()
        headers = {"From": sender, "To": to, "Cc": cc, "Date": date}
        mail.add_headers(self._text(_SUBJECT), headers, date, self._text(_MESSAGE_ID))
        has_text = mail.add_plain_body(self._text(_BODY)) or add_page(self._binary(_HTML), mail)
        if not has_text and self._binary(_RTF):
            mail.note_unread("body", "it is RTF alone, which is not read; save the mail as HTML")
        folders = self._file.listdir(streams=False, storages=True)
        names = sorted(folder[-1] for folder in folders if tuple(folder[:-1]) == self._path)
        attached = [name for name in names if name.startswith("__attach")]
        for number, name in enumerate(attached, 1):
            with mail.attached(f"attachment-{number}"):
                self._inside(name)._attach_to(mail, f"attachment-{number}")
        return mail.build()

    def _attach_to(self, mail: _MailBuilder, unnamed: str) -> None:
        name = next((text for number in _NAMES if (text := self._text(number))), unnamed)
        inner = self._inside(_OBJECT)
        if inner._kind(_PROPERTIES) == olefile.STGTY_STREAM:
            mail.attach_mail(name, inner.read)
        elif inner._kind() == olefile.STGTY_STORAGE:
            mail.note_unread(name, media_types.OLE)
        else:
            mail.attach(name, self._binary(_DATA))

    def _inside(self, name: str) -> _Storage:
        return _Storage(self._file, (*self._path, name))

    def _kind(self, *name: str) -> int:
        return int(self._file.get_type([*self._path, *name]))

    def _stream(self, name: str) -> bytes | None:
        if self._kind(name) != olefile.STGTY_STREAM:
            return None
        return bytes(self._file.openstream([*self._path, name]).read())

    def _text(self, number: str) -> str:
        wide = self._stream(f"__substg1.0_{number}001F")
        if wide is not None:
            return wide.decode("utf-16-le", "replace").rstrip("\0")
        narrow = self._stream(f"__substg1.0_{number}001E")
        return decode(narrow).rstrip("\0") if narrow is not None else ""

    def _binary(self, number: str) -> bytes:
        found = self._stream(f"__substg1.0_{number}0102")
        return found if found is not None else self._text(number).encode()

    def _date(self) -> str:
        """Return the time of sending (or delivery) in ISO form, from fixed-length properties."""
        data = self._stream(_PROPERTIES) or b""
        times: dict[int, int] = {}
        for offset in range(_INNER_HEADER if self._path else _TOP_HEADER, len(data) - 15, 16):
            kind, number, _, value = struct.unpack_from("<HHIQ", data, offset)
            if kind == _TIME:
                times[number] = value
        ticks = times.get(_SUBMITTED) or times.get(_DELIVERED)
        if not ticks:
            return ""
        try:
            time = _EPOCH + datetime.timedelta(microseconds=ticks // 10)
        except OverflowError:
            return ""
        return time.isoformat(timespec="seconds")
