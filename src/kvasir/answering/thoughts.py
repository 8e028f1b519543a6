"""Remove the thoughts of a language model, which some servers send as a part of the answer.

Models that reason write their thoughts before the answer, between ``<think>`` and ``</think>``
or tags like them. The chat template of some models ends with the opening tag, so that only the
closing one is in the text: everything before it was thoughts.
Source: https://huggingface.co/Qwen/Qwen3-4B and https://huggingface.co/deepseek-ai/DeepSeek-R1
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing, suppress
from enum import Enum, auto
from typing import Any
from weakref import WeakSet

from kvasir.core import protocols
from kvasir.core.deadline import iterate_within_deadline
from kvasir.core.pieces import Incomplete
from kvasir.core.protocols import QuotesOnly
from kvasir.core.types import Prompt

_NAMES = ("<think>", "<thinking>", "<thought>", "<thoughts>", "<reasoning>", "[THINK]")
_PAIRS = {name: f"{name[0]}/{name[1:]}" for name in _NAMES}
"""The closing tag of each opening one."""
_OPENING = re.compile("|".join(map(re.escape, _PAIRS)))
_CLOSING = re.compile("|".join(map(re.escape, _PAIRS.values())))
_LONGEST = max(map(len, _PAIRS.values()))
_BEGINNINGS = frozenset(
    tag[:length] for tag in (*_PAIRS, *_PAIRS.values()) for length in range(1, len(tag) + 1)
)
"""Every beginning of a tag; the whole tag, too."""

_opened_by_template: WeakSet[Any] = WeakSet()
"""Generators whose texts began with thoughts without an opening tag."""


class Retraction(str):
    """An empty piece: the text before it was thoughts, and is no part of the answer."""

    __slots__ = ()


class _State(Enum):
    START = auto()  # Nothing but white space has come since the beginning, or since thoughts.
    THINKING = auto()
    ANSWER = auto()


class _ThoughtFilter:
    """Removes the thoughts from a text that comes in pieces.

    With ``is_open`` the text is held back as thoughts until a closing tag, or until its end.
    """

    def __init__(self, *, is_open: bool) -> None:
        self._pending = ""
        self._last = ""  # The last character of the answer so far.
        self._is_held = is_open
        self._searched = 0  # How much of the pending text has no closing tag.
        self._follows_thoughts = False
        self._is_about_tags = False
        self._closing = _CLOSING
        self._state = _State.THINKING if is_open else _State.START

    def feed(self, piece: str, *, is_last: bool = False) -> Iterator[str]:
        """Yield what is certain of the answer, and a ``Retraction`` after earlier thoughts."""
        self._pending += piece
        while True:
            before = self._state
            if before is _State.START:
                self._start(is_last)
            elif before is _State.THINKING:
                self._think()
            else:
                yield from self._answer(is_last)
            if self._state is before:
                return

    def finish(self, *, is_cut: bool) -> Iterator[str]:
        """Yield the rest; held text that no tag closed is the answer, unless it was cut."""
        if self._is_held and not is_cut:
            self._state = _State.START
        yield from self.feed("", is_last=True)

    def _start(self, is_last: bool) -> None:
        """Look for an opening tag at the beginning."""
        text = self._pending.lstrip()
        if self._follows_thoughts:
            self._pending = text
        if found := _OPENING.match(text):
            self._pending = text[found.end() :]
            self._closing = re.compile(re.escape(_PAIRS[found[0]]))
            self._state = _State.THINKING
        elif is_last or (text and text not in _BEGINNINGS):
            self._state = _State.ANSWER

    def _think(self) -> None:
        """Drop thoughts until they are closed."""
        if found := self._closing.search(self._pending, self._searched):
            self._pending = self._pending[found.end() :]
            self._searched = 0
            self._is_held, self._follows_thoughts = False, True
            self._state = _State.START
        elif self._is_held:
            self._searched = max(0, len(self._pending) - _LONGEST)
        else:
            self._pending = self._pending[-_LONGEST:]

    def _answer(self, is_last: bool) -> Iterator[str]:
        """Yield the answer as far as no tag may begin in it."""
        text, settled = self._pending, len(self._pending)
        opened, closed = _OPENING.search(text), _CLOSING.search(text)
        self._is_about_tags |= bool(opened and (not closed or opened.start() < closed.start()))
        if closed and not self._is_about_tags:
            line = (self._last + text[: closed.start()])[-1:]
            after = text[closed.end() :]
            ends_line = after[:1] in "\r\n" if after else is_last
            if ends_line or line == "\n":
                yield Retraction()
                self._pending, self._follows_thoughts = after, True
                self._state = _State.START
                return
            settled = closed.end() if after else closed.start()
        if not is_last and settled == len(text):
            settled -= _unfinished(text)
        settled = len(text) if is_last else settled
        self._pending = text[settled:]
        if settled:
            self._last = text[settled - 1]
            yield text[:settled]


def _unfinished(text: str) -> int:
    """Return the length of the end of a text that may begin a tag."""
    lengths = range(min(len(text), _LONGEST), 0, -1)
    return next((length for length in lengths if text[-length:] in _BEGINNINGS), 0)


def without_thoughts(pieces: Iterable[str], *, is_open: bool = False) -> Generator[str, None, None]:
    """Yield a text without the thoughts of its model.

    A ``Retraction`` follows thoughts that were yielded because no tag opened them. With ``is_open``
    the text is held back until a tag closes the thoughts.
    """
    thoughts, end = _ThoughtFilter(is_open=is_open), None
    for piece in pieces:
        if isinstance(piece, Incomplete):
            end = piece
        else:
            yield from thoughts.feed(piece)
    yield from thoughts.finish(is_cut=end is not None)
    if end is not None:
        yield end


def written(generator: protocols.Generator, prompt: Prompt, operation: str) -> Iterator[str]:
    """Yield the text of a language model without its thoughts, within the deadline.

    The text of a generator whose earlier texts began with thoughts that no tag opened is held back
    until they end.
    """
    is_known = False
    with suppress(TypeError):  # It cannot be hashed.
        is_known = generator in _opened_by_template
    with closing(iterate_within_deadline(iter(generator.generate(prompt)), operation)) as pieces:
        for piece in without_thoughts(pieces, is_open=is_known):
            if isinstance(piece, Retraction):
                with suppress(TypeError):
                    _opened_by_template.add(generator)
            yield piece


def whole(pieces: Iterable[str]) -> str:
    """Return the text of pieces, without those that were retracted."""
    kept: list[str] = []
    for piece in pieces:
        if isinstance(piece, Retraction):
            kept.clear()
        else:
            kept.append(piece)
    return "".join(kept)


def generated(generator: protocols.Generator, prompt: Prompt) -> Generator[str, None, None]:
    """Yield a generator's text within the deadline; closing this closes the generator."""
    if not isinstance(generator, QuotesOnly):
        yield from written(generator, prompt, "generating")
        return

    def steps() -> Generator[list[str], None, None]:
        yield list(generator.generate(prompt))

    # What is quoted is known when the first piece is; each step would change the thread twice.
    with closing(iterate_within_deadline(steps(), "generating")) as made:
        for pieces in made:
            yield from pieces
