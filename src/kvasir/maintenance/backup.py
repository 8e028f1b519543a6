"""The archive of a backup: a tar file with checksums, and the vectors of collections in it.

    kvasir-backup.json            says that it is one; the first member
    databases/catalog.jsonl.gz    the rows of the catalog
    databases/service.jsonl.gz    accounts, jobs, questions and answers
    vectors/1.json                collection, dimension and passage hashes, in the order of
    vectors/1.f32                 their vectors, little-endian float32
    spool/ab/ab12...              the bytes of uploads, by their SHA-256
    settings/kvasir.yaml          the settings file, if there is one
    settings/signing.key          the key that signs logins, if it is in the data folder
    manifest.json                 size and SHA-256 of every other member; the last one

An archive that was cut off has no manifest and is refused. Chunks are not in it: they are cut from
the texts of the catalog again, and their vectors are found by the hash of the passage.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import tarfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, BinaryIO

import numpy as np

from kvasir.core.errors import DamagedError, IncompatibleVersionError
from kvasir.core.ledger import CollectionRecord, passage_hash
from kvasir.core.protocols import Embedder
from kvasir.core.run import Run
from kvasir.core.types import Matrix

FORMAT = 1
HEAD, MANIFEST = "kvasir-backup.json", "manifest.json"
WRITING, CHECKING = "writing", "checking"
"""Stages of the progress."""

_PIECE = 1 << 20
_NAMES = re.compile(
    r"kvasir-backup\.json|databases/(?:catalog|service)\.jsonl\.gz|vectors/\d+\.(?:json|f32)"
    r"|spool/[0-9a-f]{2}/[0-9a-f]{64}|settings/(?:kvasir\.yaml|signing\.key)"
)


@dataclass
class ArchiveWriter:
    """Writes members one after the other; ``finish`` writes the manifest."""

    tar: tarfile.TarFile
    run: Run
    members: dict[str, dict[str, Any]] = field(default_factory=dict)
    written: int = 0

    def add_bytes(self, name: str, content: bytes) -> None:
        """Add a small member."""
        self.add(name, io.BytesIO(content), len(content))

    def add_file(self, name: str, file: BinaryIO) -> None:
        """Add an open temporary file from its beginning."""
        size = file.seek(0, io.SEEK_END)
        file.seek(0)
        self.add(name, file, size)

    def add(self, name: str, stream: IO[bytes], size: int) -> None:
        """Add a member of a known size; raise DamagedError if the stream has fewer bytes."""
        self.run.check()
        counted = _Hashing(stream)
        info = tarfile.TarInfo(name)
        info.size, info.mode = size, 0o600
        try:
            self.tar.addfile(info, counted)
        except OSError as error:
            if counted.size >= size:
                raise
            raise DamagedError("backup", "writing", f"{name} became shorter") from error
        self.members[name] = {"bytes": size, "sha256": counted.digest.hexdigest()}
        self.written += size
        self.run.report(WRITING, self.written, 0, "bytes", item=name)

    def finish(self, facts: Mapping[str, Any]) -> None:
        """Write the manifest, with further facts."""
        manifest = {"format": FORMAT, **facts, "members": self.members}
        content = json.dumps(manifest, ensure_ascii=False, indent=1).encode()
        info = tarfile.TarInfo(MANIFEST)
        info.size, info.mode = len(content), 0o600
        self.tar.addfile(info, io.BytesIO(content))


class _Hashing:
    """A stream that is hashed while it is read."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self.digest, self.size = hashlib.sha256(), 0

    def read(self, size: int = -1) -> bytes:
        piece = self._stream.read(size)
        self.digest.update(piece)
        self.size += len(piece)
        return piece


@contextmanager
def writing_archive(target: BinaryIO, created: str, run: Run) -> Iterator[ArchiveWriter]:
    """Write an archive to a file or a stream, which need not be seekable."""
    with tarfile.open(mode="w|", fileobj=target, format=tarfile.PAX_FORMAT) as tar:
        writer = ArchiveWriter(tar, run)
        head = {"kvasir-backup": FORMAT, "created": created}
        writer.add_bytes(HEAD, json.dumps(head).encode())
        yield writer


class Archive:
    """A backup that was read once and found whole."""

    def __init__(self, path: Path, *, run: Run | None = None) -> None:
        """Check every member of a backup.

        Raises:
            DamagedError: It is no backup, was cut off, or a member differs from its checksum.
            IncompatibleVersionError: A newer version of Kvasir wrote it.
            StoppedError: The run was stopped.
        """
        self.path = path
        self.manifest = self._check(run or Run())

    @property
    def names(self) -> list[str]:
        """The names of all members but the manifest."""
        return list(self.manifest["members"])

    @contextmanager
    def open(self) -> Iterator[Iterator[tuple[str, IO[bytes]]]]:
        """Give all members but the manifest, in their order, each with its bytes."""
        with _reading(self.path), tarfile.open(self.path, "r:") as tar:
            yield ((name, stream) for name, stream in _members(tar) if name != MANIFEST)

    def read(self, name: str) -> bytes:
        """Return a small member's bytes."""
        with _reading(self.path), tarfile.open(self.path, "r:") as tar:
            stream = tar.extractfile(name)
            return stream.read() if stream else b""

    def _check(self, run: Run) -> dict[str, Any]:
        found: dict[str, dict[str, Any]] = {}
        manifest: dict[str, Any] | None = None
        total = self.path.stat().st_size
        with _reading(self.path), tarfile.open(self.path, "r:") as tar:
            for name, stream in _members(tar):
                if not found and name != HEAD:
                    raise _damaged(self.path, "it is no backup of Kvasir")
                if name == MANIFEST:
                    manifest = json.load(stream)
                    break
                hashed = _Hashing(stream)
                while hashed.read(_PIECE):
                    run.step(CHECKING, min(tar.fileobj.tell(), total), total, "bytes")
                found[name] = {"bytes": hashed.size, "sha256": hashed.digest.hexdigest()}
        if manifest is None:
            raise _damaged(self.path, "it was cut off: the end is missing")
        if manifest.get("format") != FORMAT:
            raise IncompatibleVersionError(
                f"the backup '{self.path}' has the format {manifest.get('format')}, which this "
                "version of Kvasir does not know: upgrade Kvasir first"
            )
        expected = manifest.get("members", {})
        for name in {*expected, *found}:
            if expected.get(name) != found.get(name):
                raise _damaged(self.path, f"'{name}' differs from its checksum")
            if not _NAMES.fullmatch(name):
                raise _damaged(self.path, f"it has a member '{name}', which no backup has")
        return manifest


def _members(tar: tarfile.TarFile) -> Iterator[tuple[str, IO[bytes]]]:
    for info in tar:
        stream = tar.extractfile(info) if info.isreg() else None
        if stream is None:
            raise tarfile.ReadError(f"'{info.name}' is no regular file")
        yield info.name, stream


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except (tarfile.TarError, EOFError, ValueError) as error:
        raise _damaged(path, str(error)) from error


def _damaged(path: Path, why: str) -> DamagedError:
    return DamagedError("backup", f"reading '{path}'", f"{why}: take another backup")


class VectorFile:
    """Collects the vectors of a collection, each passage once, in a temporary file."""

    def __init__(self, record: CollectionRecord, file: BinaryIO) -> None:
        """Begin an empty file for a collection."""
        self.collection, self.dimension = record.name, record.dimension
        self.fingerprint = record.fingerprint
        self._file = file
        self._hashes: dict[str, None] = {}

    def __len__(self) -> int:
        return len(self._hashes)

    def __contains__(self, passage_hash: str) -> bool:
        return passage_hash in self._hashes

    def add(self, hashes: Sequence[str], vectors: Sequence[Matrix]) -> None:
        """Add vectors of passages that are not there yet."""
        for name, vector in zip(hashes, vectors, strict=True):
            if name not in self._hashes:
                self._hashes[name] = None
                self._file.write(np.ascontiguousarray(vector, dtype="<f4").tobytes())

    def write_to(self, archive: ArchiveWriter, number: int) -> None:
        """Add the two members of the collection."""
        facts = {
            "collection": self.collection,
            "dimension": self.dimension,
            "fingerprint": self.fingerprint,
            "passages": list(self._hashes),
        }
        archive.add_bytes(f"vectors/{number}.json", json.dumps(facts).encode())
        archive.add_file(f"vectors/{number}.f32", self._file)


class KeptVectors:
    """An embedder that takes the vectors of known passages from a backup."""

    def __init__(
        self,
        record: CollectionRecord,
        passages: Sequence[str],
        vectors: Matrix,
        other: Callable[[], Embedder],
    ) -> None:
        """Stand in for the embedder of a collection.

        Args:
            record: The collection's record.
            passages: The hashes of passages, in the order of the vectors.
            vectors: float32 [n, dimension]; may be a memory map.
            other: Returns the real embedder, for passages that are not among them.
        """
        self.name, self.fingerprint = record.embedder, record.fingerprint
        self.dimension = record.dimension
        self.languages: Collection[str] = ()
        self.embedded = 0
        self._rows = {name: row for row, name in enumerate(passages)}
        self._vectors, self._other = vectors, other

    def embed_documents(self, texts: Sequence[str]) -> Matrix:
        """Return the vectors of passages; unknown ones are embedded and counted."""
        rows = [self._rows.get(passage_hash(text)) for text in texts]
        found = np.empty((len(texts), self.dimension), np.float32)
        unknown = [number for number, row in enumerate(rows) if row is None]
        for number, row in enumerate(rows):
            if row is not None:
                found[number] = self._vectors[row]
        if unknown:
            found[unknown] = self._other().embed_documents([texts[number] for number in unknown])
            self.embedded += len(unknown)
        return found

    def embed_queries(self, texts: Sequence[str]) -> Matrix:
        """Embed queries with the real embedder."""
        return self._other().embed_queries(texts)
