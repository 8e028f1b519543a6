"""The process that extracts files: ``python -m kvasir.ingesting.extraction_child``.

``ExtractionPool`` starts it. Messages go over standard input and output in frames of an 8-byte
length and a body. Bodies are JSON (and the bytes of a file without a path), never pickle, so that a
compromised parser cannot attack its parent.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import struct
import sys
import time
import warnings
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import IO

from kvasir.core import media_types, registry
from kvasir.core.environment import arguments
from kvasir.core.errors import ExtractionError, KvasirError, MissingExtraError, describe_unexpected
from kvasir.core.ocr import set_ocr
from kvasir.core.operating_system import address_space_limiter
from kvasir.core.protocols import Extractor
from kvasir.core.types import Document, Source
from kvasir.core.wire import dumps, loads

_LENGTH = struct.Struct(">Q")
_ARCHIVE = ("unsupported", "it is an archive; unpack it and ingest what is in it")
_UNREADABLE = {
    media_types.ENCRYPTED_OFFICE: (
        "encrypted",
        "it is encrypted; open it with its password and save a copy without one",
    ),
    media_types.XLSB: (
        "unsupported",
        "it is a binary workbook (.xlsb); open it in Excel or LibreOffice and save it as .xlsx",
    ),
    media_types.ZIP: _ARCHIVE,
    "application/gzip": _ARCHIVE,
    "application/vnd.rar": _ARCHIVE,
    "application/x-7z-compressed": _ARCHIVE,
}


@dataclass(frozen=True, slots=True)
class ExtractionRequest:
    """A file to read.

    Attributes:
        source: URI and media type; an empty media type is detected.
        has_bytes: The bytes follow in the next frame; otherwise the URI is the file's path.
    """

    source: Source
    has_bytes: bool


@dataclass(frozen=True, slots=True)
class ExtractionReply:
    """The result of a request.

    Attributes:
        media_type: Its media type, empty if it is not known.
        reason: The reason of the ``ExtractionError``; empty if there is a document.
        message: The message of the error.
        document: The extracted document; None after an error.
        ocr_page, ocr_pages: The page whose text is about to be recognized, and their number;
            nothing else is set, and the reply of the file follows later.
    """

    media_type: str
    reason: str = ""
    message: str = ""
    document: Document | None = None
    ocr_page: int = 0
    ocr_pages: int = 0


def write_frame(stream: IO[bytes], body: bytes) -> None:
    """Write one frame and flush the stream."""
    stream.write(_LENGTH.pack(len(body)))
    stream.write(body)
    stream.flush()


def encode(message: ExtractionRequest | ExtractionReply) -> bytes:
    """Return the body of a message's frame; text of broken files may have lone surrogates."""
    return dumps(message).encode("utf-8", "surrogatepass")


def read_frame(stream: IO[bytes], limit: int | None = None) -> bytes | None:
    """Return the next frame's body, or None at the end or if it has more than ``limit`` bytes."""
    head = stream.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        return None
    (length,) = _LENGTH.unpack(head)
    if limit is not None and length > limit:
        return None
    body = stream.read(length)
    return body if len(body) == length else None


@cache
def _extractor_for(media_type: str) -> Extractor:
    """Return the extractor of a media type; plain text reads every other ``text/*``."""
    known = registry.names("extractors")
    chosen = media_type
    if media_type not in known and media_type.startswith("text/"):
        chosen = "text/plain"
    if chosen not in known:
        raise _unreadable(media_type, known)
    try:
        extractor: Extractor = registry.build("extractors", chosen, {})
    except MissingExtraError as error:
        raise ExtractionError("unsupported", str(error)) from error
    return extractor


def _unreadable(media_type: str, known: list[str]) -> ExtractionError:
    if media_type in _UNREADABLE:
        return ExtractionError(*_UNREADABLE[media_type])
    if media_type.startswith("image/"):
        return ExtractionError("image_only", "it is an image, whose text must be recognized first")
    if media_type == media_types.UNKNOWN:
        return ExtractionError(
            "unsupported",
            f"its content is of no known format; what is read: {media_types.KINDS_READ}",
        )
    return ExtractionError(
        "unsupported", f"no extractor reads {media_type}; known: {', '.join(known)}"
    )


def extract(source: Source, data: bytes) -> ExtractionReply:
    """Extract one file; every failure of a parser becomes a reply."""
    uri, media_type = source.uri, source.media_type
    try:
        if not data:
            raise ExtractionError("empty", "the file is empty (0 bytes)")
        detected = media_types.detect(uri, data)
        media_type = media_types.settle(media_type, detected)
        promised = media_types.by_name(uri)
        is_nothing_known = media_type in (media_types.UNKNOWN, media_types.ZIP)
        # Extensions of source code have other meanings as well: .ts is video, too.
        if is_nothing_known and promised not in (media_types.UNKNOWN, media_types.SOURCE_CODE):
            raise ExtractionError(
                "malformed",
                f"its name says .{media_types.extension(uri)}, but its content "
                "is not that; it may be damaged or cut off: get or save it again",
            )
        document = _extractor_for(media_type).extract(replace(source, media_type=media_type), data)
    except ExtractionError as error:
        return ExtractionReply(media_type, error.reason, str(error))
    except KvasirError as error:
        return ExtractionReply(media_type, "unsupported", str(error))
    except MemoryError:
        return ExtractionReply(media_type, "memory", "")
    except Exception as error:  # noqa: BLE001 - parsers of hostile files raise anything
        detail = describe_unexpected(error)
        message = f"it is damaged and cannot be read ({detail}); open it and save it again"
        return ExtractionReply(media_type, "malformed", message)
    return ExtractionReply(media_type, document=document)


@dataclass(frozen=True, slots=True)
class _Limits:
    """The limits of a file, and what each page whose text is recognized gets in addition."""

    memory_mb: int
    seconds: float
    ocr_memory_mb: int  # 0: OCR is off.
    ocr_page_seconds: float


def serve(limits: _Limits) -> None:
    """Answer requests until the standard input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    warnings.simplefilter("ignore")
    # The parent reads the last lines of a child that crashed.
    faulthandler.enable(all_threads=False)
    requests = sys.stdin.buffer
    answers = os.fdopen(os.dup(1), "wb")
    # Output that a library prints must not get between the frames.
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    limit_memory = address_space_limiter()
    end = 0.0
    is_first = True

    def end_later(seconds: float) -> None:
        # The parent kills a child that is late; this is for the case that the parent was killed.
        nonlocal end
        end += seconds
        left = end - time.monotonic()
        faulthandler.dump_traceback_later(max(left, 0) + 10, exit=True, file=null)

    def begin_page(page: int, pages: int) -> None:
        nonlocal is_first
        if is_first:
            limit_memory(limits.ocr_memory_mb << 20)
            is_first = False
        end_later(limits.ocr_page_seconds)
        write_frame(answers, encode(ExtractionReply("", ocr_page=page, ocr_pages=pages)))

    set_ocr(begin_page if limits.ocr_memory_mb else None)
    while (frame := read_frame(requests)) is not None:
        request = loads(ExtractionRequest, frame)
        limit_memory(limits.memory_mb << 20)
        is_first = True
        end = time.monotonic()
        end_later(limits.seconds)
        try:
            source = request.source
            body = read_frame(requests) if request.has_bytes else Path(source.uri).read_bytes()
            encoded = encode(extract(source, body or b""))
        except OSError as error:
            encoded = encode(ExtractionReply("", "unreadable", f"cannot be read: {error}"))
        except MemoryError:
            encoded = encode(ExtractionReply("", "memory", ""))
        faulthandler.cancel_dump_traceback_later()
        write_frame(answers, encoded)


if __name__ == "__main__":
    memory, file_seconds, ocr_memory, page_seconds = arguments()
    serve(_Limits(int(memory), float(file_seconds), int(ocr_memory), float(page_seconds)))
