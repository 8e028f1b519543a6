"""Headers of messages in MessagePack, with arrays in frames of their own.

A header is plain data as ``core.wire`` makes it, and may hold numpy arrays at any place: each
becomes a raw frame after the header, little-endian, and a reference in the header. Nothing is ever
unpickled. Lone surrogates pass, because every component treats them in its own way.

Source of the format: https://github.com/msgpack/msgpack/blob/master/spec.md
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgpack
import numpy as np

from kvasir.core.errors import WireError

_ARRAY = 1
_INTEGER = 2
"""Codes of extension types: a reference to an array, and an integer beyond 64 bits."""
_DTYPES = frozenset({"<f4", "<f8", "<i4", "<i8", "<u4", "<u8", "|u1", "|b1"})
_LONGEST_INTEGER = 1024
"""Bytes; reading a longer one as text takes time that grows with the square of its length."""
_UNREADABLE = (ValueError, TypeError, OverflowError, RecursionError, msgpack.UnpackException)


def pack(value: Any) -> list[bytes]:
    """Return the header and the frames of the arrays.

    The frames are copies: what a caller does with an array after a call reaches no message.

    Raises:
        WireError: Something in the value has no form in a message.
    """
    frames = [b""]

    def encode(item: Any) -> msgpack.ExtType:
        if isinstance(item, np.ndarray):
            array = np.ascontiguousarray(item, dtype=item.dtype.newbyteorder("<"))
            if array.dtype.str not in _DTYPES:
                raise WireError(f"an array of {item.dtype} has no form in a message")
            reference = msgpack.packb([len(frames), array.dtype.str, item.shape])
            frames.append(array.tobytes())
            return msgpack.ExtType(_ARRAY, reference)
        if isinstance(item, int):
            size = item.bit_length() // 8 + 1
            if size > _LONGEST_INTEGER:
                raise WireError("an integer is too long")
            return msgpack.ExtType(_INTEGER, item.to_bytes(size, "big", signed=True))
        raise WireError(f"{type(item).__name__} has no form in a message")

    try:
        frames[0] = msgpack.packb(value, default=encode, unicode_errors="surrogatepass")
    except (ValueError, RecursionError) as error:
        raise WireError(f"this has no form in a message: {error}") from error
    return frames


def unpack(frames: Sequence[bytes]) -> Any:
    """Return the value of a header and its arrays; arrays are copies that may be changed.

    Raises:
        WireError: The header is not MessagePack, or an array is missing, of another size, or
            named twice: each mention is a copy, so that a small message could fill the memory.
    """
    unused = set(range(1, len(frames)))

    def decode(code: int, data: bytes) -> Any:
        if code == _ARRAY:
            return _array(frames, unused, msgpack.unpackb(data))
        if code == _INTEGER and len(data) <= _LONGEST_INTEGER:
            return int.from_bytes(data, "big", signed=True)
        raise WireError(f"unknown extension type {code}")

    if not frames:
        raise WireError("the message has no header")
    try:
        return msgpack.unpackb(frames[0], ext_hook=decode, unicode_errors="surrogatepass")
    except _UNREADABLE as error:
        raise WireError(f"not a header in MessagePack: {error}") from error


def _array(frames: Sequence[bytes], unused: set[int], reference: Any) -> np.ndarray[Any, Any]:
    number, dtype, shape = reference
    if not isinstance(number, int) or number not in unused:
        raise WireError("an array is missing, or named twice")
    unused.remove(number)
    if dtype not in _DTYPES or not all(isinstance(n, int) and n >= 0 for n in shape):
        raise WireError("an array has an unknown type or shape")
    flat = np.frombuffer(frames[number], dtype=dtype)
    return flat.reshape(shape).astype(flat.dtype.newbyteorder("="), copy=True)
