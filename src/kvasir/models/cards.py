"""What is known of a model besides its configuration: languages and prompts.

Languages come from the front matter of the model card (``README.md``). Some well-known models
need words before their texts that their configuration files leave to the card's prose.
"""

from __future__ import annotations

import re
from pathlib import Path

PROMPTS = (
    ("intfloat/multilingual-e5-large-instruct", ("", "")),
    ("intfloat/e5-", ("query: ", "passage: ")),
    ("intfloat/multilingual-e5-", ("query: ", "passage: ")),
    ("BAAI/bge-small-en", ("Represent this sentence for searching relevant passages: ", "")),
    ("BAAI/bge-base-en", ("Represent this sentence for searching relevant passages: ", "")),
    ("BAAI/bge-large-en", ("Represent this sentence for searching relevant passages: ", "")),
)
"""Beginnings of names, and the prompts of queries and documents that their cards prescribe."""

LANGUAGES = (
    ("sentence-transformers/all-", ("en",)),
    ("sentence-transformers/multi-qa-", ("en",)),
    ("intfloat/e5-", ("en",)),
    ("BAAI/bge-small-en", ("en",)),
    ("BAAI/bge-base-en", ("en",)),
    ("BAAI/bge-large-en", ("en",)),
    ("BAAI/bge-small-zh", ("zh",)),
    ("BAAI/bge-base-zh", ("zh",)),
    ("BAAI/bge-large-zh", ("zh",)),
)
"""Beginnings of names, and their languages, for folders that come without a card."""

_CODE = re.compile(r"^[a-z]{2,3}(?:[-_].*)?$", re.IGNORECASE)
_CARD_LIMIT = 65536


def known_prompts(name: str) -> tuple[str, str]:
    """Returns the prompts of queries and of documents that a model's card prescribes."""
    wanted = name.casefold()
    return next((p for start, p in PROMPTS if wanted.startswith(start.casefold())), ("", ""))


def languages(name: str, folder: Path) -> tuple[str, ...]:
    """Returns the ISO 639-1 codes of a model's languages, sorted; empty when nothing says.

    Args:
        name: The model's name, for models without a card.
        folder: Its folder; ``README.md`` there is the card.
    """
    card = folder / "README.md"
    found: tuple[str, ...] = ()
    if card.is_file():
        with card.open(encoding="utf-8", errors="replace") as stream:
            found = card_languages(stream.read(_CARD_LIMIT))
    wanted = name.casefold()
    return found or next((k for start, k in LANGUAGES if wanted.startswith(start.casefold())), ())


def card_languages(card: str) -> tuple[str, ...]:
    """Returns the language codes in a card's front matter.

    Only the ``language`` key is read: front matter can hold ten thousand lines of scores, on
    which a YAML parser would spend seconds.
    """
    lines = card.splitlines()
    if not lines or lines[0].strip() != "---":
        return ()
    values: list[str] = []
    inside = False
    for line in lines[1:]:
        if line.strip() == "---":
            break
        if inside and line.lstrip().startswith("- "):
            values.append(line.lstrip()[2:])
            continue
        key, separator, rest = line.partition(":")
        inside = bool(separator) and key == "language"
        if inside:
            values += rest.strip().strip("[]").split(",")
    codes = (value.split("#")[0].strip().strip("'\"") for value in values)
    return tuple(sorted({re.split(r"[-_]", c)[0].lower() for c in codes if _CODE.match(c)}))
