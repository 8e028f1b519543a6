"""What is safe to write to a terminal."""

from __future__ import annotations

import re

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def printable(text: str) -> str:
    """Takes control characters out, but for tabs and new lines.

    Text from documents and models could otherwise move the cursor, or change what was printed.
    """
    return _CONTROL.sub("", text)
