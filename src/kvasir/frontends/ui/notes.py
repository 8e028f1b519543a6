"""Notes and doubts of an answer in words of the page's language, with the way out.

The API writes them in English, because its other clients print them as they are.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from kvasir.core.types import KNOWS_ENGLISH_ONLY
from kvasir.frontends.ui import elements
from kvasir.frontends.ui.texts import has, text

_LANGUAGES = re.compile(
    r"seems to be in '(?P<language>[\w-]+)', and .*?\bin (?P<documents>[\w, -]+?),? cannot be"
)
_OTHERS = {
    re.compile(r"nothing in the documents passed the filters"): "note.nothing_found",
    re.compile(r"the collection has no documents"): "note.empty",
    re.compile(r"the answer is approximate: "): "note.approximate",
    re.compile(r"(?P<read>\d+) of (?P<found>\d+) passages fit"): "note.passages",
    re.compile(r"left out, .* the (?P<count>\d+) oldest messages"): "note.messages",
    re.compile(r"the answer was cut, because it reached"): "note.length",
    re.compile(r"the answer was cut by the content filter"): "note.content_filter",
    re.compile(r"the language model refused"): "note.refusal",
    re.compile(r"the question was searched for as typed"): "note.not_refined",
}
"""Beginnings of the notes that the API makes, with the texts that say the same."""
_TABLE = re.compile(r"nothing is computed over '(?P<column>.*?)': (?P<reason>.*)", re.DOTALL)
_UNITS = re.compile(r"its values have different units: (?P<units>.*)")
_REASONS = {
    re.compile(r"'(?P<cell>.*)' is not a number", re.DOTALL): "table.not_a_number",
    re.compile(r"it has no numbers"): "table.no_numbers",
    re.compile(r"its values have different units in '(?P<other>.*)'"): "table.units_in_column",
    re.compile(r"'(?P<cell>.*)' looks like an identifier", re.DOTALL): "table.identifier",
    re.compile(r"its numbers are written in different ways"): "table.written_differently",
    re.compile(r"its points or commas can be read in two ways"): "table.two_meanings",
}
"""Reasons why a column of a table cannot be computed, with the texts that say the same."""
_DOUBTS = {
    re.compile(r"what is quoted has no date or time"): "doubt.time",
    re.compile(r"what is quoted has no such number"): "doubt.number",
    re.compile(r"what is quoted does not say how often"): "doubt.how_often",
    re.compile(r"what is quoted has no such value"): "doubt.value",
    re.compile(r"what is quoted names nobody"): "doubt.person",
    re.compile(r"the answer is not whole"): "doubt.incomplete",
    re.compile(r"rows are quoted, and which of them"): "doubt.rows_of_exclusion",
    re.compile(r"rows are quoted, and their time"): "doubt.rows_of_time",
    re.compile(r"what is quoted is of another time"): "doubt.other_time",
    re.compile(r"what is quoted denies what is asked"): "doubt.other_polarity",
    re.compile(r"the passages do not name '(?P<name>.*)'"): "doubt.name",
}
"""Doubts that the API has of an answer, with the texts that say the same."""


def words(note: str, *, is_admin: bool) -> str:
    """Return a note as Markdown; one that is not known stays in English."""
    if KNOWS_ENGLISH_ONLY in note and (found := _LANGUAGES.search(note)):
        remedy = text("note.multilingual" if is_admin else "note.ask_administrator")
        documents = ", ".join(map(_language, found["documents"].split(", ")))
        values = {"language": _language(found["language"]), "documents": documents}
        return f"{text('note.languages', **values)} {remedy}"
    if found := _TABLE.match(note):
        values = {"column": elements.plain(found["column"]), "reason": _reason(found["reason"])}
        return text("note.table", **values)
    return _same(note, _OTHERS)


def _reason(english: str) -> str:
    if found := _UNITS.match(english):
        units = found["units"].split(", ")
        named = [
            text("table.no_unit") if each == "none" else elements.plain(each) for each in units
        ]
        return text("table.units", units=", ".join(named))
    return _same(english, _REASONS)


def doubt(reason: str) -> str:
    """Return as Markdown that an answer is not sure, and why if there is a reason."""
    unsure = text("chat.not_sure")
    return f"{unsure} {_same(reason, _DOUBTS)}" if reason else unsure


def _same(english: str, known: Mapping[re.Pattern[str], str]) -> str:
    """Return the text that says the same; what is not known stays in English."""
    for pattern, key in known.items():
        if found := pattern.match(english):
            values = {name: elements.plain(value) for name, value in found.groupdict().items()}
            return text(key, **values)
    return elements.plain(english)


def _language(code: str) -> str:
    """Return the name of a language, or its code if the table has no name."""
    key = f"language.{code}"
    return text(key) if has(key) else elements.plain(code)
