"""What a passage's form is worth for the kind of a question: a list, a command, a definition."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from kvasir.components.generators import extractive_blocks as blocks
from kvasir.components.generators.extractive_passages import Passage, without_bullet
from kvasir.components.generators.extractive_selection import Scores
from kvasir.components.generators.extractive_tables import table_after
from kvasir.language.polarity import asks_what_may, is_opposite
from kvasir.language.question_kinds import QuestionKind, asks_for_option
from kvasir.language.question_sides import (
    defines,
    describes,
    is_definition,
    is_entry,
    own_names,
    sides_of,
    term_of,
)
from kvasir.language.question_values import holds_what_is_asked

ASKED_FOR = 0.1
"""Added for a date, a number, a name or a reason, where the question asks for one."""
DEFINED = 0.6
"""Added for a sentence that begins with the term and says what it is."""
NAMED = 0.5
"""Added for a passage that begins with an option or identifier of the question."""
OPTION = 0.4
"""Added for the entry of an option, where the question asks which one does something."""
LEADS_TO_LIST = 0.3
"""Added for a sentence before a list, where the question asks for one."""
LEADS_TO_COMMAND = 0.3
"""Added for a sentence that announces a command, where the question asks how to do something."""
COST_OF_THE_OPPOSITE = 0.6
"""Subtracted for "must not" where the question asks what may, and the reverse."""

_NAMED = re.compile(
    r"(?<![\w-])(?:--?[A-Za-z][\w-]*|(?=\w*\d)(?=\w*[A-Z])\w{3,}|[A-Z]{2,}[A-Z\d_]+|"
    r"[A-Za-z][A-Za-z\d]*(?:_[A-Za-z\d]+)+)"
)
"""Options, error codes, names in capitals, and names with an underscore, as of settings."""
NUMBERED = re.compile(r"(?:[\u3400-\u9fff]{2}|(?<![^\W\d_])[^\W\d_]+)[ -]\d[\w.]*(?<!\.)")
"""A word and its number, such as "Mill 23", which is another name than "Mill 3"."""
_OPTIONS = 40
"""Characters in which the names of an option stand, before its description."""
_WORD = re.compile(r"[A-Za-zÀ-ỹ\d][\w-]+(?<![\u4e00-\u9fff])|-{1,2}\w+")
"""Words that may be one side of a difference."""


def form_scores(question: str, found: Sequence[Passage], kind: QuestionKind | None) -> Scores:
    """Return what the passages' form is worth for the kind of question."""
    term, names = described_names(question, kind)
    asks_may = asks_what_may(question)
    asks_option = asks_for_option(question)
    return np.array(
        [
            ASKED_FOR * holds_what_is_asked(kind, p.text, p.language)
            + LEADS_TO_LIST * (kind is QuestionKind.LIST and _leads_to_several(found, i))
            + LEADS_TO_COMMAND * (kind is QuestionKind.HOW_TO and _leads_to_command(found, i))
            + OPTION * (asks_option and begins_with_option(p.text))
            + DEFINED * is_definition(p.text, term, p.language)
            + NAMED * begins_with(p.text, names)
            - COST_OF_THE_OPPOSITE * (asks_may and is_opposite(p.text, question))
            for i, p in enumerate(found)
        ]
    )


def described_names(question: str, kind: QuestionKind | None) -> tuple[str, list[str]]:
    """Return the term of which a definition is asked, and the names that may be described."""
    term = term_of(question) if kind is QuestionKind.DEFINITION else ""
    names = [match[0] for match in (*_NAMED.finditer(question), *NUMBERED.finditer(question))]
    if kind is QuestionKind.DIFFERENCE:
        names += sides_of(question) or _WORD.findall(question)
    return term, names


def identifiers_of(question: str) -> list[str]:
    """Return the options, codes and names of settings that a question names."""
    return list(dict.fromkeys(match[0] for match in _NAMED.finditer(question)))


def _leads_to_several(found: Sequence[Passage], number: int) -> bool:
    """Return True if a list or a table follows a sentence."""
    is_before_table = found[number].quotable and table_after(found, number) is not None
    return is_before_table or blocks.leads_to_list(found, number)


def _leads_to_command(found: Sequence[Passage], number: int) -> bool:
    following = found[number + 1 : number + 2]
    return found[number].introduces_next and any(
        passage.marker == found[number].marker and passage.looks_typed for passage in following
    )


def begins_with_option(text: str) -> bool:
    """Return True if a text, its bullet aside, begins with an option."""
    return _NAMED.match(without_bullet(text)) is not None and without_bullet(text)[0] == "-"


def begins_with(text: str, names: Sequence[str]) -> bool:
    """Return True if a text, its bullet and marks aside, begins with one of the names.

    Of an option that is written in several ways, such as ``-x, --foo``, any is its name.
    """
    opening = text.lstrip("*`|+# \t")
    opening = opening[2:] if opening.startswith(("- ", "• ")) else opening
    options = _NAMED.findall(opening[:_OPTIONS].split(":")[0]) if opening[:1] == "-" else []
    return any(
        name in options
        or (opening.startswith(name) and not opening[len(name) : len(name) + 1].isalnum())
        or (not name.startswith("-") and describes(opening, name))
        for name in names
    )


def described_side(passage: Passage, sides: Sequence[str]) -> set[int | str]:
    """Return the side of a difference that a passage begins with, if it does not name the other."""
    text = passage.text.casefold()
    one, other = (side.casefold() for side in sides)
    if not passage.quotable:
        return set()
    defined = {side for side in sides if defines(passage.text, side, passage.language)}
    if len(defined) == 1:
        return {*defined}
    names = list(zip(sides, own_names(tuple(sides)), strict=True))
    entries = {
        side
        for side, short in names
        if is_entry(passage.text, side) or is_entry(passage.text, short)
    }
    if len(entries) == 1:
        return {*entries}
    shorter, longer = sorted((one, other), key=len)
    if longer in text and shorter in text.replace(longer, " "):
        return set()
    named: set[int | str] = {side for side in sides if describes(passage.text, side)}
    shortened = (side for side, short in names if describes(passage.text, short))
    return named or {*shortened}
