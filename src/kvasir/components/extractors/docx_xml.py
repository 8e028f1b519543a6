"""Names and attribute access in WordprocessingML."""

from __future__ import annotations

from functools import cache

from lxml import etree

W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
W14 = "{http://schemas.microsoft.com/office/word/2010/wordml}"


def find(element: etree._Element, path: str) -> etree._Element | None:
    """Return the first element at a path of names below an element."""
    return element.find(_qualified(path))


@cache
def _qualified(path: str) -> str:
    return "/".join(f"{W}{name}" for name in path.split("/"))


def value_at(element: etree._Element, path: str) -> str:
    """Return the ``w:val`` at a path of names below an element, empty if there is none."""
    found = find(element, path)
    return str(found.get(f"{W}val") or "") if found is not None else ""


def is_on(element: etree._Element, path: str) -> bool:
    """Return the switch at a path: on if it is there without ``w:val``, off if not there."""
    found = find(element, path)
    return found is not None and found.get(f"{W}val", "1").lower() not in (
        "0",
        "false",
        "off",
        "none",
    )
