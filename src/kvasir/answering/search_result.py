"""The outcome of a search, and the interface of what rewrites questions for it."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from kvasir.core.types import Hit, Message, SearchRequest, Stage


@dataclass(frozen=True, slots=True)
class SearchResult:
    """The hits of a search, best first, and notes for the user.

    ``searched`` is the rewritten question, empty if the search used the question as typed.
    ``sayings`` are sentences, by language, that refuse the question; None: the usual ones.
    """

    hits: tuple[Hit, ...]
    searched: str = ""
    notes: tuple[str, ...] = ()
    sayings: Mapping[str, str] | None = None


class Rewriter(Protocol):
    """Rewrites questions for the search: ``Refiner`` or ``FollowUps``."""

    def search(
        self,
        request: SearchRequest,
        history: Sequence[Message],
        retrieve: Callable[[SearchRequest], list[Hit]],
    ) -> Generator[Stage, None, SearchResult]:
        """Search for a question, rewritten if necessary; yield the stages."""
