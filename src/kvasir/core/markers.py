"""Citation markers such as ``[2]``, and bracketed numbers of documents, which are none.

A generator that quotes protects the brackets of what it quotes. Otherwise a document could forge a
marker.
"""

from __future__ import annotations

import re

PROTECTION = "\ufdd0"
"""Stands before a quoted bracket: a code point that is no character, in no text."""

NUMBERS = r"\^?(?P<numbers>\d{1,4}(?:\s*[,;，、]\s*\d{1,4})*)"
"""The numbers in a marker, as a regular expression."""

_BRACKETED = re.compile(rf"[\[【](?=\s*{NUMBERS}\s*[\]】])")


def protected(quoted: str) -> str:
    """Return a quoted text with its bracketed numbers protected."""
    return _BRACKETED.sub(lambda bracket: PROTECTION + bracket[0], quoted)
