"""Text decoded from bytes of unknown encoding."""

from __future__ import annotations

import codecs

from charset_normalizer import from_bytes

from kvasir.core.media_types import utf16_without_mark

_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_SAMPLE = 65536
_WESTERN_SHARE = 0.25


def decode(data: bytes, declared: str | None = None) -> str:
    """Decode text: by byte order mark, declared encoding, UTF-8, UTF-16, then by statistics.

    Line ends are kept; a byte order mark is removed.
    """
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return data[len(mark) :].decode(encoding, "replace")
    bare = utf16_without_mark(data)
    for candidate in (declared, bare or "utf-8"):
        try:
            if candidate:
                return data.decode(candidate)
        except (UnicodeDecodeError, LookupError):
            continue
    return data.decode(_eight_bit_encoding(data), "replace")


def _eight_bit_encoding(data: bytes) -> str:
    """Return cp1252 for text with few high bytes (Western languages), else the likeliest one."""
    sample = data[:_SAMPLE]
    high = sum(byte >= 0x80 for byte in sample)
    if high <= len(sample) * _WESTERN_SHARE:
        # Windows-1252 is Latin-1 with letters where Latin-1 has unused controls.
        return "cp1252"
    best = from_bytes(sample).best()
    return best.encoding if best else "cp1252"
