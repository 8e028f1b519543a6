"""Unpacks the body of an HTTP response in pieces, within a limit.

A few kilobytes can unpack to gigabytes, the more so if they are packed twice. So one coding at most
is accepted, gzip or deflate, and no piece is unpacked before the one before it was counted.

Sources: RFC 9110, 8.4 (content codings); RFC 1952, 2.2 (a gzip file may have several members).
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from typing import Any

from kvasir.core.errors import FetchError

ACCEPTED = "gzip, deflate"
"""The value of ``Accept-Encoding``."""

_GZIP = ("gzip", "x-gzip")
_GZIP_BITS = 16 + zlib.MAX_WBITS
_PIECE = 64 << 10
"""Bytes that are unpacked at once."""


class BodyTooLargeError(Exception):
    """A body has more bytes than allowed, packed or unpacked."""


def unpacked(pieces: Iterable[bytes], coding: str, most: int) -> Iterator[bytes]:
    """Yield the pieces of a body of at most ``most`` bytes, as they arrive.

    Args:
        pieces: The body as the server sent it.
        coding: The ``Content-Encoding``, empty if there is none.
        most: Limit of the packed and of the unpacked size, in bytes.

    Raises:
        BodyTooLargeError: It is larger.
        FetchError: Its coding is another one, or there are several; or it is damaged.
    """
    name = coding.strip().lower()
    if name not in ("", "identity", "deflate", *_GZIP):
        raise FetchError(
            f"the server packed it in a way that was not asked for ({name[:40]!r}); download it "
            "and ingest the file"
        )
    size = 0
    received = _counted(pieces, most)
    for piece in received if name in ("", "identity") else _inflated(received, name):
        size += len(piece)
        if size > most:
            raise BodyTooLargeError
        yield piece


def _counted(pieces: Iterable[bytes], most: int) -> Iterator[bytes]:
    # What is packed counts as well: a gzip member may be empty, and there may be any number.
    received = 0
    for piece in pieces:
        received += len(piece)
        if received > most:
            raise BodyTooLargeError
        yield piece


def _inflated(pieces: Iterable[bytes], coding: str) -> Iterator[bytes]:
    stream: Any = None
    try:
        for piece in pieces:
            rest = piece
            while rest:
                stream = stream or zlib.decompressobj(_window_bits(coding, rest))
                yield stream.decompress(rest, _PIECE)
                rest = stream.unconsumed_tail or stream.unused_data
                stream = None if stream.eof else stream
        while stream and (piece := stream.decompress(b"", _PIECE)):
            yield piece
    except zlib.error as error:
        raise FetchError(f"its content cannot be unpacked ({error}); download it") from error
    if stream and not stream.eof:
        raise FetchError("its content ends too early; try again later")


def _window_bits(coding: str, start: bytes) -> int:
    if coding in _GZIP:
        return _GZIP_BITS
    # Some servers leave out the zlib header that "deflate" has by the standard.
    has_header = start[0] & 0x0F == zlib.DEFLATED and (
        len(start) < 2 or int.from_bytes(start[:2], "big") % 31 == 0
    )
    return zlib.MAX_WBITS if has_header else -zlib.MAX_WBITS
