"""A text that is read while it is being written."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic, TypeVar

from kvasir.core.errors import UserError

Whole = TypeVar("Whole")


class TextStream(Generic[Whole]):
    """Iterates over a text in pieces and keeps what comes last: the whole, with its sources."""

    def __init__(self, pieces: Iterator[str | Whole]) -> None:
        """Args: the text in pieces, and the whole last."""
        self._pieces = pieces
        self._whole: Whole | None = None

    def __iter__(self) -> Iterator[str]:
        for piece in self._pieces:
            if isinstance(piece, str):
                yield piece
            else:
                self._whole = piece

    def _finish(self, name: str) -> Whole:
        """Reads what is still to come and returns the whole.

        Raises:
            UserError: The stream was broken off before its end; calls it by the name.
        """
        for _ in self:
            pass
        if self._whole is None:
            raise UserError(f"the {name} was broken off: ask again")
        return self._whole
