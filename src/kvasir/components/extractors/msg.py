"""Outlook messages (MSG): properties in the streams of a compound file, read by olefile.

An attached message is a storage of the same file, with the same streams.

Source: MS-OXMSG and MS-OXPROPS; a stream's name ends in the property's number and type.
"""

from __future__ import annotations

import datetime
import io
import struct

import olefile

from kvasir.components.extractors.archive import damaged
from kvasir.components.extractors.attachments import Attachments, add_headers, add_plain_body
from kvasir.components.extractors.decoding import decode
from kvasir.components.extractors.document_builder import DocumentBuilder
from kvasir.components.extractors.html import add_page
from kvasir.core import media_types
from kvasir.core.types import Document, Source

_SUBJECT, _BODY, _HTML, _RTF = "0037", "1000", "1013", "1009"
_SENDER, _SENDER_ADDRESS, _SENDER_SMTP = "0C1A", "0C1F", "5D01"
_TO, _CC, _MESSAGE_ID = "0E04", "0E03", "1035"
_DATA, _NAMES = "3701", ("3707", "3704", "3001")
_OBJECT = f"__substg1.0_{_DATA}000D"
_PROPERTIES = "__properties_version1.0"
_SUBMITTED, _DELIVERED = 0x0039, 0x0E06
_TIME = 0x0040
_STORAGE, _STREAM = int(olefile.STGTY_STORAGE), int(olefile.STGTY_STREAM)
_TOP_HEADER, _INNER_HEADER = 32, 24
_EPOCH = datetime.datetime(1601, 1, 1, tzinfo=datetime.UTC)


class MsgExtractor:
    """Reads MSG files."""

    def __init__(self, depth: int = 0) -> None:
        """Args: the number of mails that this one is attached to, one in the other."""
        self._depth = depth

    def extract(self, source: Source, data: bytes) -> Document:
        """Extract headers, body and attachments; see ``Extractor``."""
        try:
            with olefile.OleFileIO(io.BytesIO(data)) as file:
                return _read(source, _Storage(file), self._depth)
        except (olefile.OleFileError, struct.error) as error:
            raise damaged(str(error)) from error


class _Storage:
    """A folder of a compound file with the properties of a mail or an attachment."""

    def __init__(self, file: olefile.OleFileIO, path: tuple[str, ...] = ()) -> None:
        self._file = file
        self._path = path

    @property
    def is_top(self) -> bool:
        return not self._path

    @property
    def exists(self) -> bool:
        return self._kind() == _STORAGE

    @property
    def is_mail(self) -> bool:
        return self._kind(_PROPERTIES) == _STREAM

    def inside(self, name: str) -> _Storage:
        return _Storage(self._file, (*self._path, name))

    def attachments(self) -> list[_Storage]:
        folders = self._file.listdir(streams=False, storages=True)
        names = [folder[-1] for folder in folders if tuple(folder[:-1]) == self._path]
        return [self.inside(name) for name in sorted(names) if name.startswith("__attach")]

    def stream(self, name: str) -> bytes | None:
        if self._kind(name) != _STREAM:
            return None
        return bytes(self._file.openstream([*self._path, name]).read())

    def text(self, number: str) -> str:
        wide = self.stream(f"__substg1.0_{number}001F")
        if wide is not None:
            return wide.decode("utf-16-le", "replace").rstrip("\0")
        narrow = self.stream(f"__substg1.0_{number}001E")
        return decode(narrow).rstrip("\0") if narrow is not None else ""

    def binary(self, number: str) -> bytes:
        found = self.stream(f"__substg1.0_{number}0102")
        return found if found is not None else self.text(number).encode()

    def _kind(self, *name: str) -> int:
        return int(self._file.get_type([*self._path, *name]))


def _read(source: Source, mail: _Storage, depth: int) -> Document:
    builder = DocumentBuilder(source)
    attachments = Attachments(builder, source, depth)
    sender = mail.text(_SENDER)
    address = mail.text(_SENDER_SMTP) or mail.text(_SENDER_ADDRESS)
    if "@" in address and address != sender:
        sender = f"{sender} <{address}>".strip()
    headers = {"From": sender, "To": mail.text(_TO), "Cc": mail.text(_CC), "Date": _date(mail)}
    add_headers(builder, mail.text(_SUBJECT), headers, headers["Date"], mail.text(_MESSAGE_ID))
    _add_body(mail, builder, attachments)
    for number, folder in enumerate(mail.attachments(), 1):
        _add_attachment(folder, f"attachment-{number}", attachments)
    attachments.finish()
    return builder.build()


def _add_body(mail: _Storage, builder: DocumentBuilder, attachments: Attachments) -> None:
    has_text = add_plain_body(builder, mail.text(_BODY)) or add_page(mail.binary(_HTML), builder)
    if not has_text and mail.binary(_RTF):
        attachments.note("body", "it is RTF alone, which is not read; save the mail as HTML")


def _add_attachment(folder: _Storage, unnamed: str, attachments: Attachments) -> None:
    name = next((text for number in _NAMES if (text := folder.text(number))), unnamed)
    inner = folder.inside(_OBJECT)
    if inner.is_mail:
        attachments.add_mail(name, lambda source, depth: _read(source, inner, depth))
    elif inner.exists:
        attachments.note(name, media_types.OLE)
    else:
        attachments.add(name, folder.binary(_DATA))


def _date(mail: _Storage) -> str:
    """Return the time of sending (or delivery) in ISO format, from the fixed-length properties."""
    data = mail.stream(_PROPERTIES) or b""
    times: dict[int, int] = {}
    for offset in range(_TOP_HEADER if mail.is_top else _INNER_HEADER, len(data) - 15, 16):
        kind, number, _, value = struct.unpack_from("<HHIQ", data, offset)
        if kind == _TIME:
            times[number] = value
    ticks = times.get(_SUBMITTED) or times.get(_DELIVERED)
    if not ticks:
        return ""
    return (_EPOCH + datetime.timedelta(microseconds=ticks // 10)).isoformat(timespec="seconds")
