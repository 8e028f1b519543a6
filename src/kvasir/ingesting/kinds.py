"""Tells files of a kind that no extractor reads from files that ought to be read."""

from __future__ import annotations

import mimetypes

from kvasir.core import media_types, registry
from kvasir.core.reports import NotRead

_WITH_SCANS = (media_types.PDF, media_types.MAIL, media_types.MSG, media_types.MBOX)
_NAMES = mimetypes.MimeTypes()
_WITHOUT_TEXT = ("empty", "image_only", "ocr_off")
"""Reasons for which no text was found in a picture."""


def is_read(media_type: str) -> bool:
    """Return True if an extractor reads a media type; plain text reads every ``text/*``."""
    return media_type.startswith("text/") or media_type in registry.names("extractors")


def is_other_kind(reason: str, media_type: str) -> bool:
    """Return True if an extraction failed because nothing reads this kind of file."""
    # Most pictures in a folder show no text.
    is_picture = media_type.startswith("image/")
    return reason == "unsupported" or (is_picture and reason in _WITHOUT_TEXT)


def may_have_scans(media_type: str) -> bool:
    """Return True if files of a kind, or what is attached to them, may have text in pictures."""
    return media_type.startswith("image/") or media_type in _WITH_SCANS


def not_read(uri: str, media_type: str) -> NotRead:
    """Return the entry of the report: by the file's extension, or else its media type."""
    extension = media_types.extension(uri)
    return NotRead(uri, f".{extension}" if extension else media_type)


def is_named_otherwise(uri: str) -> bool:
    """Return True if a name promises a kind of file that nothing reads, such as an archive."""
    named, compression = _NAMES.guess_type(uri)
    return compression is not None or (named is not None and not is_read(named))
