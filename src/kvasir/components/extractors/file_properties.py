"""The forms of dates and keywords among a file's properties."""

from __future__ import annotations

import re
from datetime import datetime

_PDF_DATE = re.compile(
    r"(?:D:)?(\d{4})(\d\d)?(\d\d)?(\d\d)?(\d\d)?(\d\d)?(?:Z|([+-])(\d\d)'?(\d\d)?'?)?"
)


def date_text(text: str) -> str:
    """Return a time in one ISO form, to the second; a day alone if it has no time."""
    try:
        value = datetime.fromisoformat(text)
    except ValueError:
        return text
    day_only = value.hour == value.minute == value.second == 0
    return value.date().isoformat() if day_only else value.replace(microsecond=0).isoformat()


def keyword_list(text: str) -> tuple[str, ...]:
    """Return keywords, which files separate by commas or semicolons."""
    return tuple(filter(None, (" ".join(word.split()) for word in re.split("[,;\n]", text))))


def pdf_date_text(text: str) -> str:
    """Return a date of the form ``D:20240315083000+01'00'`` as ``date_text`` does."""
    match = _PDF_DATE.match(text.strip())
    if match is None:
        return text
    year, *parts, sign, hours, minutes = match.groups()
    month, day, hour, minute, second = (
        part or default for part, default in zip(parts, ("01", "01", "00", "00", "00"), strict=True)
    )
    zone = f"{sign}{hours}:{minutes or '00'}" if sign else ""
    return date_text(f"{year}-{month}-{day}T{hour}:{minute}:{second}{zone}")
