"""The texts of the web client, from the one table ``messages.yaml``."""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

LANGUAGES: Mapping[str, str] = {"en": "English", "es": "Español", "zh": "中文"}
"""The languages of the client, each by its own name."""

chosen: ContextVar[str] = ContextVar("kvasir_ui_language", default="en")
"""The language of the page that is being drawn, or of the request."""


@cache
def table() -> Mapping[str, Mapping[str, str]]:
    """Return every text by its key, then by language."""
    content = files(__package__).joinpath("messages.yaml").read_text("utf-8")
    found: Mapping[str, Mapping[str, str]] = yaml.safe_load(content)
    return found


def text(key: str, **values: Any) -> str:
    """Return a text in the chosen language, with its values filled in."""
    return table()[key][chosen.get()].format(**values)


def has(key: str) -> bool:
    """Return True if there is such a text."""
    return key in table()


def preferred(wanted: str) -> str:
    """Return the first language of a browser's list that the client has, or English.

    Args:
        wanted: As in the header ``Accept-Language``, such as ``zh-CN,zh;q=0.9,en;q=0.8``.
    """
    for each in wanted.split(","):
        language = each.partition(";")[0].strip().lower().partition("-")[0]
        if language in LANGUAGES:
            return language
    return "en"
