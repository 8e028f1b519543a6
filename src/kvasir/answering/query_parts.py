"""The parts of a long question, such as a pasted mail, that a search looks for.

A model reads only the beginning of a long text, and the words of the whole text say little. The
sentences that ask are searched each for itself; if none asks, windows of sentences are.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from kvasir.language.sentences import sentence_spans

LONG_QUERY = 1_000
"""UTF-8 bytes from which on a query is searched by its parts: about 250 tokens of English."""
MOST_PARTS = 64
"""Parts that are searched; further ones are left out."""
_WINDOW = 150
"""UTF-8 bytes of a window of sentences, at least one sentence: about the length of a question."""
_CONTEXT = 500
"""UTF-8 bytes of the sentence before a question that is searched with it, at most."""
_ASKS = re.compile(r"[?？؟՞]\W*$")
_QUOTED = re.compile(r"(?m)^[^\S\n]*>.*$\n?")
_WORD = re.compile(r"\w+")
_FEWEST_WORDS = 3
"""Words of a sentence that asks for something; "Really?" does not."""


def query_parts(query: str) -> list[str]:
    """Return the texts to search for; a short query is its only part."""
    if _size(query) <= LONG_QUERY:
        return [query]
    own = _QUOTED.sub("", query)  # Of a mail that is answered: the lines of the other one.
    sentences = _sentences(own) or _sentences(query)
    asking = [place for place, text in enumerate(sentences) if _is_question(text)]
    if not asking:
        return _spread(list(_windows(sentences)), MOST_PARTS) or [query]
    parts = []
    for place in asking:
        parts.append(sentences[place])
        # "I have the model AX. How do I clean it?"
        if place and place - 1 not in asking and _size(sentences[place - 1]) < _CONTEXT:
            parts.append(f"{sentences[place - 1]} {sentences[place]}")
    return _spread(list(dict.fromkeys(parts)), MOST_PARTS)


def questions_of(query: str) -> list[str]:
    """Return the sentences of a long query that ask; else, or if it is short, the query itself."""
    if _size(query) <= LONG_QUERY:
        return [query]
    sentences = _sentences(_QUOTED.sub("", query)) or _sentences(query)
    found = dict.fromkeys(text for text in sentences if _is_question(text))
    return _spread(list(found), MOST_PARTS) or [query]


def _sentences(text: str) -> list[str]:
    found = (" ".join(text[start:end].split()) for start, end in sentence_spans(text))
    return [sentence for sentence in found if any(map(str.isalnum, sentence))]


def _is_question(sentence: str) -> bool:
    if not _ASKS.search(sentence):
        return False
    # Chinese has no spaces between words: its characters are counted instead.
    return len(_WORD.findall(sentence)) >= _FEWEST_WORDS or not sentence.isascii()


def _windows(sentences: Sequence[str]) -> Iterator[str]:
    window = ""
    for sentence in sentences:
        if window and _size(window) + _size(sentence) > _WINDOW:
            yield window
            window = ""
        window = f"{window} {sentence}".lstrip()
    if window:
        yield window


def _spread(parts: list[str], most: int) -> list[str]:
    """Return at most a number of the parts, from everywhere in the text."""
    if len(parts) <= most:
        return parts
    return [parts[place * len(parts) // most] for place in range(most)]


def _size(text: str) -> int:
    return len(text.encode())
