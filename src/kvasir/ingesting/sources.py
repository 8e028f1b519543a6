"""Lists the sources to ingest: files, the files of folders, addresses, uploads.

A file is identified by its absolute path as given. Symbolic links in it are not resolved, so a link
with a new target is a changed document, not another one.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from kvasir.core.errors import RequestError
from kvasir.core.reports import Failed
from kvasir.core.run import StopToken
from kvasir.core.text import has_scheme, has_surrogates, replace_surrogates
from kvasir.core.types import LocalFile, Source

Upload = tuple[Source, bytes]
Fetch = Callable[[str], Upload]
"""Gets the source and the bytes of an address."""
Input = LocalFile | str | Upload
"""A file or folder of this machine, an ``http(s)://`` address, or a source with its bytes."""

VERSION_CONTROL_FOLDERS = frozenset({"CVS", "_darcs", "RCS", "SCCS"})
"""Folders of version control whose name does not begin with a dot."""

INDEX_NAMES = frozenset({"catalog.db", "store"})
"""A folder that has both is a data folder of Kvasir."""

_UNNAMED = "its name is not valid UTF-8; rename it"
NOT_A_FILE = "it is not a regular file but a pipe, device or socket; write what it gives to a file"


@dataclass(slots=True)
class Discovery:
    """The sources to ingest.

    Attributes:
        items: Paths, addresses and uploads by URI, in the order given.
        missing: Paths and addresses that do not exist or cannot be listed; an address is without
            any user name or password.
        folders: The given folders that could be listed.
        without_files: Those of them without a file to ingest.
        left_out: Resolved paths to skip inside of folders: those of Kvasir itself.
        stop: Ends the listing.
    """

    items: dict[str, str | Upload] = field(default_factory=dict)
    missing: list[Failed] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)
    without_files: list[str] = field(default_factory=list)
    left_out: tuple[str, ...] = ()
    stop: StopToken = field(default_factory=StopToken)

    def leaves_out(self, path: str) -> bool:
        """Return True if a resolved path is left out, or is below or beside a left-out path.

        Beside, because databases have companion files: ``rag-output.db.wal``.
        """
        return any(
            path == own or path.startswith((own + os.sep, own + ".", own + "-"))
            for own in self.left_out
        )

    def is_gone(self, uri: str) -> bool:
        """Return True if the file of a document under one of the folders does not exist any more.

        False under a folder that could not be listed.
        """
        return (
            uri not in self.items
            and any(_is_under(uri, folder) for folder in self.folders)
            and not any(
                uri == lost.source_uri or _is_under(uri, lost.source_uri) for lost in self.missing
            )
        )

    def note_missing(self, path: str, error: OSError) -> None:
        """Add a path that cannot be read or listed."""
        if isinstance(error, FileNotFoundError):
            message = "there is no such file or folder; check the path"
        elif isinstance(error, PermissionError):
            message = "it may not be read; check its permissions"
        else:
            message = f"it cannot be read: {error.strerror or error}"
        self.missing.append(Failed(path, "missing", message))

    def accepts(self, path: str) -> bool:
        """Return True if a path is text; otherwise it is noted as missing."""
        is_text = not has_surrogates(path)
        if not is_text:
            self.missing.append(Failed(replace_surrogates(path), "missing", _UNNAMED))
        return is_text


def is_address(text: str) -> bool:
    """Return True if a text is an address to fetch rather than a path."""
    return text.lower().startswith(("http://", "https://"))


def uri_of(item: Input) -> str:
    """Return the URI of an input without reading it."""
    if isinstance(item, tuple):
        return item[0].uri
    return item.path if isinstance(item, LocalFile) else item


def discover(
    inputs: Iterable[Input], left_out: Iterable[str] = (), stop: StopToken | None = None
) -> Discovery:
    """List all sources; reads folders but no files.

    A folder gives its regular files, sorted by path, without: hidden files and folders, folders of
    version control, lock files of office programs (``~$name.docx``), ``left_out``, and data folders
    of Kvasir. A link is followed unless its target was reached already, so loops end.

    Raises:
        RequestError: An input is a text that is not an address.
        StoppedError: ``stop`` was set.
    """
    left_out = tuple(os.path.realpath(path) for path in left_out)
    found = Discovery(left_out=left_out, stop=stop or StopToken())
    for item in inputs:
        if isinstance(item, tuple):
            found.items[item[0].uri] = item
        elif isinstance(item, LocalFile):
            _add_path(found, item.path)
        elif isinstance(item, str) and has_scheme(item):
            _add_address(found, item)
        else:
            raise RequestError(
                f"{item!r} is neither an http(s):// address, a local file nor a source with its "
                "bytes"
            )
    return found


def _add_address(found: Discovery, text: str) -> None:
    shown, has_login = _without_login(text)
    if not is_address(text):
        message = "of addresses only http and https ones are read; download it, or name a file"
        found.missing.append(Failed(shown, "fetch", message))
    elif has_login:
        message = "an address with a user name or password is not fetched; download it"
        found.missing.append(Failed(shown, "fetch", message))
    else:
        # The URI of a document is its address without the fragment.
        address = text.partition("#")[0]
        found.items[address] = address


def _without_login(address: str) -> tuple[str, bool]:
    """Return an address without user name and password, and whether it had any."""
    scheme, _, rest = address.partition("://")
    authority = re.split("[/?#]", rest, maxsplit=1)[0]
    if "@" in authority:
        return f"{scheme}://{rest[authority.rindex('@') + 1 :]}", True
    # A password may contain an unescaped slash: then the text in place of the port is no number.
    port = authority.rpartition("]")[2].partition(":")[2]
    if "@" in rest and port and not port.isdecimal():
        return f"{scheme}://{rest.rpartition('@')[2]}", True
    return address, False


def _add_path(found: Discovery, path: str) -> None:
    if not found.accepts(path):
        return
    try:
        mode = os.stat(path).st_mode  # noqa: PTH116 - Path would be made for every file
    except OSError as error:
        found.note_missing(path, error)
        return
    if stat.S_ISDIR(mode):
        found.folders.append(path)
        files = _files(found, path)
        if not files:
            found.without_files.append(path)
        for file in files:
            found.items.setdefault(file, file)
    elif stat.S_ISREG(mode):
        found.items.setdefault(path, path)
    else:
        found.missing.append(Failed(path, "unreadable", NOT_A_FILE))


def _files(found: Discovery, root: str) -> list[str]:
    real_files: list[str] = []
    linked_files: list[str] = []
    visited: set[str] = set()
    folders = [root]
    while folders:
        linked_folders: list[str] = []
        # Real folders first, so that a link to one of them is not listed in its place.
        for folder in folders:
            for entry in _walk(found, folder, visited):
                found.stop.raise_if_set()
                if not found.accepts(entry.path):
                    continue
                is_link = entry.is_symlink()
                try:
                    mode = entry.stat().st_mode
                except OSError as error:
                    found.note_missing(entry.path, error)
                    continue
                if stat.S_ISDIR(mode):
                    linked_folders.append(entry.path)
                elif stat.S_ISREG(mode):
                    (linked_files if is_link else real_files).append(entry.path)
        folders = sorted(linked_folders)
    seen = {os.path.realpath(file) for file in real_files} if linked_files else set()
    for file in sorted(linked_files):
        target = os.path.realpath(file)
        if target not in seen:
            seen.add(target)
            real_files.append(file)
    return sorted(real_files)


def _walk(found: Discovery, folder: str, visited: set[str]) -> Iterator[os.DirEntry[str]]:
    """Yield the files of a folder and all real folders in it, and the links."""
    stack = [folder]
    # A folder that was given by name is listed even if it is left out.
    guarded = not found.leaves_out(os.path.realpath(folder))
    while stack:
        found.stop.raise_if_set()
        current = stack.pop()
        target = os.path.realpath(current)
        if target in visited or (guarded and found.leaves_out(target)):
            continue
        visited.add(target)
        try:
            with os.scandir(current) as listing:
                entries = [entry for entry in listing if not _is_left_out(entry.name)]
        except OSError as error:
            found.note_missing(current, error)
            continue
        if INDEX_NAMES.issubset(entry.name for entry in entries):
            continue
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                stack.append(entry.path)
            elif not guarded or not found.leaves_out(os.path.join(target, entry.name)):  # noqa: PTH118
                yield entry


def _is_left_out(name: str) -> bool:
    return name.startswith((".", "~$")) or name in VERSION_CONTROL_FOLDERS


def _is_under(uri: str, folder: str) -> bool:
    return uri.startswith(folder.rstrip(os.sep) + os.sep)
