"""The names in the root of a compound file, in which old Office files and Outlook messages are.

Source: MS-CFB, sections 2.2 (header), 2.3 (allocation table), 2.5 (its list of sectors) and 2.6
(directory).
"""

from __future__ import annotations

import struct
from itertools import takewhile

SIGNATURE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"

_LAST_REGULAR = 0xFFFFFFFA
_ENTRY = 128
_MOST_ENTRIES = 100_000
_KNOWN = (1, 2)
"""Types of entries: storage and stream."""


def root_names(data: bytes) -> list[str] | None:
    """Return the names in the root, without those in folders; None if the file is damaged."""
    try:
        return _CompoundFile(data).root_names()
    except (struct.error, IndexError, ValueError):
        return None


class _CompoundFile:
    def __init__(self, data: bytes) -> None:
        self._data = data
        shift = struct.unpack_from("<H", data, 30)[0]
        if shift not in (9, 12):
            raise ValueError(shift)
        self._size = 1 << shift
        (self._directory_start,) = struct.unpack_from("<I", data, 48)
        (self._list_start,) = struct.unpack_from("<I", data, 68)
        self._table = self._allocation_table()

    def root_names(self) -> list[str]:
        directory = b"".join(map(self._sector, self._chain(self._directory_start)))
        count = len(directory) // _ENTRY
        names = []
        waiting, seen = [self._links(directory, 0)[2]], {0}
        while waiting:
            number = waiting.pop()
            if number >= count or number in seen:
                continue
            seen.add(number)
            left, right, _ = self._links(directory, number)
            waiting += [left, right]
            if directory[number * _ENTRY + 66] in _KNOWN:
                names.append(_name(directory[number * _ENTRY :]))
        return names

    def _links(self, directory: bytes, number: int) -> tuple[int, int, int]:
        """Return the entries before and after an entry in its folder, and the first one inside."""
        left, right, child = struct.unpack_from("<III", directory, number * _ENTRY + 68)
        return left, right, child

    def _sector(self, number: int) -> bytes:
        start = (number + 1) * self._size
        return self._data[start : start + self._size]

    def _allocation_table(self) -> list[int]:
        """Return the sectors of the table that says which sector follows which one."""
        listed = list(struct.unpack_from("<109I", self._data, 76))
        at, seen = self._list_start, set[int]()
        while at < _LAST_REGULAR and at not in seen:
            seen.add(at)
            *more, at = struct.unpack(f"<{self._size // 4}I", self._sector(at))
            listed += more
        return list(takewhile(lambda number: number < _LAST_REGULAR, listed))

    def _next(self, number: int) -> int:
        entries = self._size // 4
        sector = self._sector(self._table[number // entries])
        following: int = struct.unpack_from("<I", sector, number % entries * 4)[0]
        return following

    def _chain(self, number: int) -> list[int]:
        chain: list[int] = []
        while number < _LAST_REGULAR and len(chain) * self._size < _MOST_ENTRIES * _ENTRY:
            chain.append(number)
            number = self._next(number)
        return chain


def _name(entry: bytes) -> str:
    length = struct.unpack_from("<H", entry, 64)[0]
    return entry[: max(0, min(length, 64) - 2)].decode("utf-16-le", "replace")
