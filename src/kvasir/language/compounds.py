"""Parts of German compounds.

German writes as one word what others write as several, and as freely as two: a text has
"Brandschutz: Schulung" where a question has "Brandschutzschulung". No dictionary is needed to
search for the parts: a piece of a word that is no word is in no text.
"""

from __future__ import annotations

import re
from itertools import islice

SHORTEST_PART = 5
"""Fewest letters of a part: shorter ones are beginnings and ends of unrelated words as well."""

LONGEST_WORD = 60
"""Most letters of a word that is cut: a longer run is none, and would have very many parts."""
MOST_WORDS = 20
"""Most words of a text that are cut, the first ones."""

_LONG_WORD = re.compile(rf"(?<![^\W\d_])[^\W\d_]{{{2 * SHORTEST_PART},{LONGEST_WORD}}}(?![^\W\d_])")
_LINKS = ("es", "s", "en", "n", "er", "e")
"""What may stand between two parts: ``Arbeit-s-speicher``, ``Platte-n-platz``."""


def compound_parts(text: str) -> list[str]:
    """Return what could be the first or the last part of the long words of a German text.

    Every word is cut at each place that leaves two parts; most of what is returned is no word.
    """
    parts: dict[str, None] = {}
    words = dict.fromkeys(match[0].lower() for match in _LONG_WORD.finditer(text))
    for word in islice(words, MOST_WORDS):
        for cut in range(SHORTEST_PART, len(word) - SHORTEST_PART + 1):
            first = word[:cut]
            without = (first.removesuffix(link) for link in _LINKS if first.endswith(link))
            parts |= dict.fromkeys(each for each in without if len(each) >= SHORTEST_PART)
            parts |= dict.fromkeys((first, word[cut:]))
    return list(parts)
