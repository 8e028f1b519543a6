"""What a query asks for letter by letter: phrases in quotation marks, exclusions, identifiers.

A search ranks by meaning and by words; here is what users of ``grep`` and of search engines expect
on top. Nothing else of a query is syntax: a question in plain words is searched as it is typed.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace

from kvasir.core.text import SOUTHEAST_ASIAN
from kvasir.language.identifiers import identifying_values

_PAIRS = ('""', "“”", "„“", "„”", "«»", "»«", "‹›", "「」", "『』", "＂＂")
_QUOTED = "|".join(f"{pair[0]}([^{pair}\n]+){pair[1]}" for pair in _PAIRS)
_PHRASE = re.compile(rf"(?<![\w-])(?:{_QUOTED})(?!\w)")
_EXCLUDED = re.compile(rf"(?<!\S)-(?:{_QUOTED}|([^\W\d_][\w.'’-]+))(?=\s|$)")
_LONGEST_QUERY = 200
"""Characters of a query up to which ``-word`` excludes; a pasted text has other dashes."""
_UNSPACED = re.compile(rf"[{SOUTHEAST_ASIAN}\u3040-\u30ff\u3400-\u9fff]")
_MARKS = str.maketrans("‘’‚‛“”„«»\u2010\u2011\u2012\u2013\u2014\u2212", '\'\'\'\'"""""------')


@dataclass(frozen=True, slots=True)
class QuerySyntax:
    """The parts of a query.

    Attributes:
        text: The query without the excluded words; what both legs search for.
        phrases: Texts that stood in quotation marks, without them.
        excluded: Words and phrases after a hyphen: ``-word``, ``-"two words"``.
        values: The identifiers, as ``identifying_values`` writes them.
    """

    text: str
    phrases: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()
    values: frozenset[str] = frozenset()

    @property
    def is_plain(self) -> bool:
        """True if the query has neither phrases nor exclusions nor identifiers."""
        return not (self.phrases or self.excluded or self.values)

    def excludes(self, text: str) -> bool:
        """Return True if a text holds an excluded word or phrase."""
        return bool(self.excluding(text))

    def excluding(self, text: str) -> str:
        """Return the first excluded word or phrase that a text holds; empty if there is none."""
        return next((each for each in self.excluded if holds(text, each)), "")

    def is_option_of(self, text: str) -> bool:
        """Return True if an excluded word is an option that a text names: ``find -name``."""
        options = {f"-{each}".casefold() for each in self.excluded if " " not in each}
        return bool(options) and not options.isdisjoint(identifying_values(text))

    def share(self, text: str) -> float:
        """Return the share of the phrases and identifiers that a text holds, 0..1."""
        wanted = len(self.phrases) + len(self.values)
        return len(self.held(text)) / wanted if wanted else 0.0

    def held(self, text: str) -> tuple[str, ...]:
        """Return the phrases, then the identifiers, sorted, that a text holds."""
        found = [phrase for phrase in self.phrases if holds(text, phrase)]
        if self.values:
            found += sorted(self.values & identifying_values(text))
        return tuple(found)


def parse_query(query: str) -> QuerySyntax:
    """Return the parts of a query; what leaves no text to search for is no exclusion."""
    text, excluded = query, list[str]()
    if len(query) <= _LONGEST_QUERY and "\n" not in query.strip():
        excluded = [_inside(match) for match in _EXCLUDED.finditer(query)]
        text = " ".join(_EXCLUDED.sub(" ", query).split()) if excluded else query
    if not any(map(str.isalnum, text)):
        text, excluded = query, []
    phrases = [_inside(match).strip() for match in _PHRASE.finditer(text)]
    kept = tuple(phrase for phrase in phrases if any(map(str.isalnum, phrase)))
    return QuerySyntax(text, kept, tuple(excluded), identifying_values(text))


def parse_answered(query: str, passages: Sequence[str]) -> QuerySyntax:
    """Return the parts of a query that was searched, with the passages that were found.

    What follows a hyphen excludes nothing if a passage names it as an option, or holds it.
    """
    syntax = parse_query(query)
    if syntax.excluded and any(
        syntax.is_option_of(passage) or syntax.excludes(passage) for passage in passages
    ):
        return replace(syntax, text=query, excluded=())
    return syntax


def holds(text: str, phrase: str) -> bool:
    """Return True if a text holds a phrase as whole words, in any case and spacing."""
    wanted = _plain(phrase)
    before = "" if _UNSPACED.match(wanted[:1]) or not wanted[:1].isalnum() else r"(?<!\w)"
    after = "" if _UNSPACED.match(wanted[-1:]) or not wanted[-1:].isalnum() else r"(?!\w)"
    return re.search(before + re.escape(wanted) + after, _plain(text)) is not None


def _plain(text: str) -> str:
    folded = unicodedata.normalize("NFKC", text).translate(_MARKS).casefold()
    return " ".join(folded.split())


def _inside(match: re.Match[str]) -> str:
    return next(group for group in match.groups() if group is not None)
