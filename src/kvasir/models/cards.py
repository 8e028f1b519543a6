"""Languages and prompts of models, from the model card and for well-known models.

Languages come from the front matter of the model card (``README.md``). Prompts are listed here
for models whose card names them only in its prose.
"""

from __future__ import annotations

import re
from pathlib import Path

_BGE_ENGLISH = ("bge-small-en", "bge-base-en", "bge-large-en")
_E5_ENGLISH = ("e5-small", "e5-base", "e5-large")
_E5_MULTILINGUAL = ("multilingual-e5-small", "multilingual-e5-base", "multilingual-e5-large")

PROMPTS: tuple[tuple[tuple[str, ...], tuple[str, str]], ...] = (
    (("multilingual-e5-large-instruct",), ("", "")),
    (_E5_ENGLISH + _E5_MULTILINGUAL, ("query: ", "passage: ")),
    (_BGE_ENGLISH, ("Represent this sentence for searching relevant passages: ", "")),
)
"""Prefixes of names (without the owner); prompts for queries and for documents."""

LANGUAGES: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...] = (
    (("all-minilm-", "all-mpnet-", "all-roberta-", "all-distilroberta-", "multi-qa-"), ("en",)),
    (_E5_ENGLISH + _BGE_ENGLISH, ("en",)),
    (("bge-small-zh", "bge-base-zh", "bge-large-zh"), ("zh",)),
)
"""Prefixes of names (without the owner); languages of models without a card."""

_CODE = re.compile(r"^[a-z]{2,3}(?:[-_].*)?$", re.IGNORECASE)
_FRONT_MATTER = re.compile(r"---[ \t]*\n(.*?)(?:^---[ \t]*$|\Z)", re.DOTALL | re.MULTILINE)
_LANGUAGE = re.compile(r"^language:(.*(?:\n[ \t]*- .*)*)", re.MULTILINE)
_CARD_LIMIT = 65536


def known_prompts(name: str) -> tuple[str, str]:
    """Return the prompts for queries and for documents that a model's card prescribes."""
    model = _model(name)
    return next((prompts for starts, prompts in PROMPTS if model.startswith(starts)), ("", ""))


def languages(name: str, folder: Path) -> tuple[str, ...]:
    """Return the ISO 639-1 codes of a model's languages, sorted; empty when unknown.

    The card in the folder decides; the name decides for models without a card.
    """
    card = folder / "README.md"
    found: tuple[str, ...] = ()
    if card.is_file():
        with card.open(encoding="utf-8", errors="replace") as stream:
            found = card_languages(stream.read(_CARD_LIMIT))
    model = _model(name)
    return found or next((codes for starts, codes in LANGUAGES if model.startswith(starts)), ())


def card_languages(card: str) -> tuple[str, ...]:
    """Return the language codes in a card's front matter.

    The other keys are skipped, because parsing ten thousand lines of scores as YAML takes seconds.
    """
    front_matter = _FRONT_MATTER.match(card)
    found = _LANGUAGE.findall(front_matter[1]) if front_matter else []
    values = re.split(r"[\[\],\n]", "\n".join(found))
    codes = (value.split("#")[0].strip("- \t\r'\"") for value in values)
    return tuple(sorted({re.split(r"[-_]", c)[0].lower() for c in codes if _CODE.match(c)}))


def _model(name: str) -> str:
    """Return a name without its owner, or the last folder of a path."""
    return name.replace("\\", "/").rstrip("/").rpartition("/")[2].casefold()
