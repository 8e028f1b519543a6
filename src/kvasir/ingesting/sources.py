"""Lists the sources to ingest: files, the files of folders, addresses, uploads.

A file is identified by its absolute path as given. Symbolic links in it are not resolved, so a link
with a new target is a changed document, not another one.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from kvasir.core.errors import FetchError, RequestError, describe_unexpected
from kvasir.core.reports import Failed, NotRead
from kvasir.core.run import StopToken
from kvasir.core.text import has_scheme, has_surrogates, replace_surrogates
from kvasir.core.types import Document, LocalFile, Source
from kvasir.ingesting.folder_walk import FolderWalk

_UNNAMED = "its name is not valid UTF-8; rename it"
NOT_A_FILE = "it is not a regular file but a pipe, device or socket; write what it gives to a file"


@dataclass(frozen=True, slots=True)
class KeptBytes:
    """The bytes of a source, which are read when they are needed; ``len`` is their number."""

    size: int
    read: Callable[[], bytes]

    def __len__(self) -> int:
        return self.size


Upload = tuple[Source, bytes | KeptBytes]
Fetch = Callable[[str], tuple[Source, bytes]]
"""Gets the source and the bytes of an address."""
Input = LocalFile | str | Upload
"""A file or folder of this machine, an ``http(s)://`` address, or a source with its bytes."""


def fetched(fetch: Fetch | None, address: str, uri: str) -> tuple[Source, bytes]:
    """Return the source of an address, under the URI that the catalog knows, and its bytes.

    Raises:
        FetchError: It cannot be fetched, for any reason that is not one of the system.
        OSError: The system failed.
    """
    if fetch is None:
        raise FetchError("addresses are not fetched here; download it and ingest the file")
    try:
        source, data = fetch(address)
    except (FetchError, OSError):
        raise
    except Exception as error:
        message = f"it could not be fetched ({describe_unexpected(error)})"
        raise FetchError(message) from error
    return replace(source, uri=uri), data


def with_known(document: Document, item: str | Upload) -> Document:
    """Return a document with what is known of its source from elsewhere than its bytes.

    The date that a page gives itself is its ``published``, whatever a search engine says.
    """
    known = item[0].known if isinstance(item, tuple) else {}
    if not known:
        return document
    own = dict(document.metadata)
    if "created" in own:
        own.setdefault("published", own["created"])
    return replace(document, metadata={**known, **own})


@dataclass(slots=True)
class Discovery:
    """The sources to ingest.

    Attributes:
        items: Paths, addresses and uploads by URI, in the order given.
        missing: Paths and addresses that do not exist or cannot be listed; an address is without
            any user name or password.
        folders: The given folders that could be listed.
        narrowed: Those of them of which only some files were asked for.
        without_files: Those of them without a file to ingest.
        in_folders: URIs of files that were found in a folder, not named.
        not_read: Files and folders in the given folders that are left out.
        has_local_files: Files or folders of this machine were given.
        left_out: Resolved paths to skip inside of folders: those of Kvasir itself.
        stop: Ends the listing.
    """

    items: dict[str, str | Upload] = field(default_factory=dict)
    missing: list[Failed] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)
    narrowed: list[str] = field(default_factory=list)
    without_files: list[str] = field(default_factory=list)
    in_folders: set[str] = field(default_factory=set)
    not_read: list[NotRead] = field(default_factory=list)
    has_local_files: bool = False
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
        """Return True if a document under one of the folders is not of its files any more.

        False under a folder that could not be listed, and for a file that exists where only some
        files were asked for.
        """
        return (
            uri not in self.items
            and any(_is_under(uri, folder) for folder in self.folders)
            and not any(
                uri == lost.source_uri or _is_under(uri, lost.source_uri) for lost in self.missing
            )
            and not (
                any(_is_under(uri, folder) for folder in self.narrowed) and os.path.lexists(uri)
            )
        )

    def folders_of_files(self) -> list[str]:
        """Return the given folders, and those of the given files."""
        files = (uri for uri, item in self.items.items() if uri == item and not is_address(uri))
        named = {os.path.dirname(uri) for uri in files if uri not in self.in_folders}  # noqa: PTH120
        return sorted({*self.folders, *named})

    def is_moved(self, uri: str) -> bool:
        """Return True if a document's file is gone, so that a new file may be it.

        Where names differ in case only, the old name may still open the new file.
        """
        if not self.has_local_files or uri in self.items or not uri.startswith(os.sep):
            return False
        return not os.path.lexists(uri) or self._renamed_in_case(uri)

    def _renamed_in_case(self, uri: str) -> bool:
        alike = (each for each in self.items if each != uri and each.casefold() == uri.casefold())
        return any(Path(each).samefile(uri) for each in alike)

    def note_rules(self, path: str, message: str) -> None:
        """Add a file of ignore rules that cannot be applied."""
        self.missing.append(Failed(replace_surrogates(path), "unreadable", message))

    def sizes(self) -> dict[str, int]:
        """Return the bytes of each source by URI; 0 if unknown."""
        return {uri: _size(item) for uri, item in self.items.items()}

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
    """List all sources; reads folders and their ignore files, but no other files.

    A folder gives its regular files, sorted by path, as ``folder_walk`` describes, without
    ``left_out`` and data folders of Kvasir.

    Raises:
        RequestError: An input is a text that is not an address, or a pattern of a folder is none.
        StoppedError: ``stop`` was set.
    """
    left_out = tuple(os.path.realpath(path) for path in left_out)
    found = Discovery(left_out=left_out, stop=stop or StopToken())
    for item in inputs:
        if isinstance(item, tuple):
            found.items[item[0].uri] = item
            if item[0].in_folder:
                found.in_folders.add(item[0].uri)
        elif isinstance(item, LocalFile):
            found.has_local_files = True
            _add_local(found, item)
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


def _add_local(found: Discovery, item: LocalFile) -> None:
    path = item.path
    if not found.accepts(path):
        return
    try:
        mode = os.stat(path).st_mode  # noqa: PTH116 - Path would be made for every file
    except OSError as error:
        found.note_missing(path, error)
        return
    if stat.S_ISDIR(mode):
        _add_folder(found, item)
    elif stat.S_ISREG(mode):
        found.items.setdefault(path, path)
        found.in_folders.discard(path)
    else:
        found.missing.append(Failed(path, "unreadable", NOT_A_FILE))


def _add_folder(found: Discovery, folder: LocalFile) -> None:
    walk = FolderWalk(
        folder, found.leaves_out, found.accepts, found.note_missing, found.note_rules, found.stop
    )
    files = walk.files()
    found.folders.append(folder.path)
    found.not_read += walk.not_read
    if folder.include or folder.exclude:
        found.narrowed.append(folder.path)
    if not files:
        found.without_files.append(folder.path)
    for file in files:
        if file not in found.items:
            found.items[file] = file
            found.in_folders.add(file)


def _is_under(uri: str, folder: str) -> bool:
    return uri.startswith(folder.rstrip(os.sep) + os.sep)


def _size(item: str | Upload) -> int:
    if isinstance(item, tuple):
        return len(item[1])
    if is_address(item):
        return 0
    try:
        return os.stat(item).st_size  # noqa: PTH116 - Path would be made for every file
    except OSError:  # It is reported when it is read.
        return 0
