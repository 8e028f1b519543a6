"""The sources of earlier ingests, which ``kvasir sync`` ingests again.

They are paths of this machine, so they stand in a file of it, ``sources.json``, by server and
collection, and not with the collection, which may be on another machine.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import click

from kvasir.core.errors import SettingsError, WireError
from kvasir.core.types import Listing, LocalFile, Metadata
from kvasir.core.wire import dumps, loads
from kvasir.frontends.cli.options import server_of, settings_of

_FILE = "sources.json"


@dataclass(frozen=True, slots=True)
class RememberedSource:
    """A source with the options of its last ingest."""

    collection: str
    source: LocalFile  # Of an address or a list, ``path`` is the address.
    metadata: Metadata | None = None
    server: str = ""  # Its address; empty for the collections of this data folder.
    is_address: bool = False
    is_listing: bool = False

    @property
    def input(self) -> LocalFile | Listing | str:
        """The source as ``ingest_sources`` takes it."""
        if self.is_listing:
            return Listing(self.source.path)
        return self.source.path if self.is_address else self.source


def path_of(source: LocalFile | Listing | str) -> str:
    """Return the path of a local file, or the address of anything else."""
    return source if isinstance(source, str) else source.path


@dataclass(frozen=True, slots=True)
class SourceMemory:
    """The remembered sources of one collection.

    Attributes:
        folder: The folder of the file.
        collection, server: As of ``RememberedSource``.
    """

    folder: Path
    collection: str
    server: str = ""

    def sources(self) -> list[RememberedSource]:
        """Return the sources in the order in which they were first given."""
        return [each for each in self._read() if self._is_own(each)]

    def remember(
        self, given: Sequence[LocalFile | Listing | str], metadata: Metadata | None
    ) -> None:
        """Add sources; one that is there gets the new options, and keeps its metadata for None."""
        former = {each.source.path: each.metadata for each in self.sources()}
        chosen: dict[str, RememberedSource | None] = {}
        for each in given:
            entry = self._entry(each, metadata)
            if metadata is None:
                entry = replace(entry, metadata=former.get(entry.source.path))
            chosen[entry.source.path] = entry
        self._change(chosen)

    def forget(self, paths: Iterable[str]) -> None:
        """Remove sources by path or address; unknown ones are no error."""
        self._change(dict.fromkeys(paths))

    def forget_all(self) -> None:
        """Remove all sources, because the collection was deleted."""
        self.forget(each.source.path for each in self.sources())

    def _entry(
        self, given: LocalFile | Listing | str, metadata: Metadata | None
    ) -> RememberedSource:
        source = given if isinstance(given, LocalFile) else LocalFile(path_of(given))
        kind = isinstance(given, str), isinstance(given, Listing)
        return RememberedSource(self.collection, source, metadata, self.server, *kind)

    def _is_own(self, each: RememberedSource) -> bool:
        return (each.collection, each.server) == (self.collection, self.server)

    def _change(self, chosen: dict[str, RememberedSource | None]) -> None:
        """Replace, add or (None) remove sources by path."""
        if not chosen:
            return
        from filelock import FileLock

        path = self.folder / _FILE
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with FileLock(f"{path}.lock"):
                kept = {(e.server, e.collection, e.source.path): e for e in self._read()}
                for name, entry in chosen.items():
                    key = self.server, self.collection, name
                    if entry is None:
                        kept.pop(key, None)
                    else:
                        kept[key] = entry
                draft = path.with_name(f"{_FILE}.new")
                handle = os.open(draft, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600)
                with os.fdopen(handle, "w", encoding="utf-8") as file:
                    file.write(dumps(list(kept.values()), indent=1))
                    file.flush()
                    os.fsync(file.fileno())
                draft.replace(path)
        except OSError as error:
            raise SettingsError(f"'{path}' cannot be written: {error.strerror}") from error

    def _read(self) -> list[RememberedSource]:
        path = self.folder / _FILE
        try:
            return loads(list[RememberedSource], path.read_text("utf-8"))
        except FileNotFoundError:
            return []
        except (OSError, UnicodeDecodeError, WireError) as error:
            why = "delete it, and ingest the sources by name once"
            raise SettingsError(f"'{path}' cannot be read ({error}): {why}") from error


def memory_of(ctx: click.Context, collection: str) -> SourceMemory:
    """Return the memory of a collection's sources on this machine.

    Of a server's collections it is in the user's folder, beside the logins: no data folder is made.
    """
    if server := server_of(ctx):
        return SourceMemory(Path(click.get_app_dir("kvasir")), collection, server)
    return SourceMemory(settings_of(ctx).data_folder, collection)
