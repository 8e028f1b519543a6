"""Writes that come at the same time go into one transaction.

A commit waits for the disk, and SQLite's next writer finds out by sleeping that it is its turn.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from kvasir.core.errors import RejectedDataError

T = TypeVar("T")


@dataclass(slots=True)
class _Entry(Generic[T]):
    item: T
    is_done: bool = False
    error: BaseException | None = None


class GroupedWrites(Generic[T]):
    """Writes items; those that wait for a running transaction share the next one."""

    def __init__(self, write: Callable[[Sequence[T]], None]) -> None:
        """Use a function that writes items in one transaction."""
        self._write = write
        self._turn = threading.Lock()
        self._adding = threading.Lock()
        self._waiting: list[_Entry[T]] = []

    def add(self, item: T) -> None:
        """Write an item, and return when it is committed; errors are the function's."""
        entry = _Entry(item)
        with self._adding:
            self._waiting.append(entry)
        with self._turn:
            # Whoever had the turn before may have written it.
            if not entry.is_done:
                self._write_waiting()
        if entry.error is not None:
            raise entry.error

    def _write_waiting(self) -> None:
        with self._adding:
            entries, self._waiting = self._waiting, []
        try:
            self._write([entry.item for entry in entries])
        except RejectedDataError as error:
            if len(entries) == 1:
                entries[0].error = error
            else:
                self._write_each(entries)
        except BaseException as error:  # noqa: BLE001 - each caller raises it
            for entry in entries:
                entry.error = error
        finally:
            for entry in entries:
                entry.is_done = True

    def _write_each(self, entries: Sequence[_Entry[T]]) -> None:
        """Write items one by one, so that a bad one spoils no other."""
        for entry in entries:
            try:
                self._write([entry.item])
            except Exception as error:  # noqa: BLE001 - its caller raises it
                entry.error = error
