"""The bounds of settings that are numbers, as the schema declares them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, get_args

from kvasir.settings.schema import Settings


@dataclass(frozen=True, slots=True)
class Bounds:
    """The least and the greatest value of a setting; None where there is no bound.

    ``is_open`` is True if the least value itself is excluded.
    """

    least: float | None = None
    greatest: float | None = None
    is_open: bool = False

    def __str__(self) -> str:
        """Return the range in words, such as ``from 1 to 1000``; may be empty."""
        most = "" if self.greatest is None else _plain(self.greatest)
        if self.least is None:
            return f"at most {most}" if most else ""
        low = _plain(self.least)
        if self.is_open:
            return f"more than {low}" + (f" and at most {most}" if most else "")
        return f"from {low} to {most}" if most else f"at least {low}"


def bounds_of(key: str) -> Bounds:
    """Return the bounds of a setting by its dotted key; without bounds for an unknown one."""
    section: Any = Settings
    field = None
    for name in key.split("."):
        fields = getattr(section, "model_fields", {})
        if name not in fields:
            return Bounds()
        field = fields[name]
        section = field.annotation
    # Those of the type inside of "X | None" stand with the type.
    inner = [each for kind in get_args(section) for each in getattr(kind, "__metadata__", ())]
    marks = list(field.metadata) if field else []
    marks += [mark for each in inner for mark in getattr(each, "metadata", ())]
    signs = ("ge", "gt", "le")
    found = {s: getattr(mark, s) for mark in marks for s in signs if hasattr(mark, s)}
    return Bounds(found.get("ge", found.get("gt")), found.get("le"), "gt" in found)


def _plain(number: float) -> str:
    return str(int(number)) if number == int(number) else str(number)
