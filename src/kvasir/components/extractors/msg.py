"""Outlook messages (MSG): properties in the streams of a compound file, read by olefile.

Source: MS-OXMSG and MS-OXPROPS; a stream's name ends in the property's number and type.
"""

from __future__ import annotations

import datetime
import io
import struct

import olefile

from kvasir.components.extractors.archive import damaged
from kvasir.components.extractors.attachments import Attachments
from kvasir.components.extractors.decoding import decode
from kvasir.components.extractors.document_builder import DocumentBuilder
from kvasir.components.extractors.html import add_html, parse_html
from kvasir.core.types import BlockKind, Document, Source

_SUBJECT, _BODY, _HTML = "0037", "1000", "1013"
_SENDER, _SENDER_ADDRESS, _SENDER_SMTP = "0C1A", "0C1F", "5D01"
_TO, _CC, _MESSAGE_ID = "0E04", "0E03", "1035"
_DATA, _LONG_NAME, _SHORT_NAME = "3701", "3707", "3704"
_SUBMITTED, _DELIVERED = 0x0039, 0x0E06
_TIME = 0x0040
_TOP_HEADER = 32
_EPOCH = datetime.datetime(1601, 1, 1, tzinfo=datetime.UTC)


class MsgExtractor:
    """Reads MSG files."""

    def __init__(self, depth: int = 0) -> None:
        """Args: how many mails this one lies in, as their attachment."""
        self._depth = depth

    def extract(self, source: Source, data: bytes) -> Document:
        """Extracts headers, body and attachments; see ``Extractor``."""
        try:
            with olefile.OleFileIO(io.BytesIO(data)) as file:
                return self._read(source, file)
        except (olefile.OleFileError, struct.error) as error:
            raise damaged(str(error)) from error

    def _read(self, source: Source, file: olefile.OleFileIO) -> Document:
        builder = DocumentBuilder(source)
        subject = _text(file, "", _SUBJECT)
        sender = _text(file, "", _SENDER)
        address = _text(file, "", _SENDER_SMTP) or _text(file, "", _SENDER_ADDRESS)
        if "@" in address and address != sender:
            sender = f"{sender} <{address}>".strip()
        headers = {
            "From": sender,
            "To": _text(file, "", _TO),
            "Cc": _text(file, "", _CC),
            "Date": _date(file),
        }
        builder.add(BlockKind.HEADING, subject, level=1)
        lines = (f"{name}: {value}" for name, value in headers.items() if value)
        builder.add(BlockKind.PARAGRAPH, "\n".join(lines))
        body, html = _text(file, "", _BODY), _bytes(file, "", _HTML)
        if body.strip():
            for paragraph in body.replace("\r\n", "\n").split("\n\n"):
                builder.add(BlockKind.PARAGRAPH, paragraph)
        elif html.strip():
            add_html(parse_html(html), builder)
        attachments = Attachments(builder, source, self._depth)
        folders = {entry[0] for entry in file.listdir() if entry[0].startswith("__attach")}
        for folder in sorted(folders):
            name = _text(file, folder, _LONG_NAME) or _text(file, folder, _SHORT_NAME)
            attachments.add(name or folder, _bytes(file, folder, _DATA))
        attachments.finish()
        builder.set_metadata(
            {
                "subject": subject,
                "from": headers["From"],
                "to": headers["To"],
                "cc": headers["Cc"],
                "date": headers["Date"],
                "message_id": _text(file, "", _MESSAGE_ID),
            }
        )
        return builder.build()


def _stream(file: olefile.OleFileIO, folder: str, name: str) -> bytes | None:
    path = [folder, name] if folder else [name]
    return bytes(file.openstream(path).read()) if file.exists("/".join(path)) else None


def _text(file: olefile.OleFileIO, folder: str, number: str) -> str:
    wide = _stream(file, folder, f"__substg1.0_{number}001F")
    if wide is not None:
        return wide.decode("utf-16-le", "replace").rstrip("\0")
    narrow = _stream(file, folder, f"__substg1.0_{number}001E")
    return decode(narrow).rstrip("\0") if narrow is not None else ""


def _bytes(file: olefile.OleFileIO, folder: str, number: str) -> bytes:
    found = _stream(file, folder, f"__substg1.0_{number}0102")
    return found if found is not None else _text(file, folder, number).encode()


def _date(file: olefile.OleFileIO) -> str:
    """Returns when the mail was sent, from the fixed-length properties."""
    data = _stream(file, "", "__properties_version1.0") or b""
    times: dict[int, int] = {}
    for place in range(_TOP_HEADER, len(data) - 15, 16):
        kind, number, _, value = struct.unpack_from("<HHIQ", data, place)
        if kind == _TIME:
            times[number] = value
    ticks = times.get(_SUBMITTED) or times.get(_DELIVERED)
    if not ticks:
        return ""
    return (_EPOCH + datetime.timedelta(microseconds=ticks // 10)).isoformat(timespec="seconds")
