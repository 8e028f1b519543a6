"""Splits sequences into batches of limited size."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")


def batches(items: Sequence[T], size: int) -> Iterator[list[T]]:
    """Yield the items in lists of at most ``size``."""
    for start in range(0, len(items), size):
        yield list(items[start : start + size])


def sized_batches(items: Iterable[tuple[T, int]], rows: int, characters: int) -> Iterator[list[T]]:
    """Yield items, each given with its number of characters, in lists of at most ``rows``.

    A list also ends with the item that reaches the number of ``characters``.
    """
    batch: list[T] = []
    size = 0
    for item, length in items:
        batch.append(item)
        size += length
        if len(batch) >= rows or size >= characters:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
