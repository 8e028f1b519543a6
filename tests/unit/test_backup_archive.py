"""An archive is whole or refused, and its vectors are found by the hash of the passage."""

from __future__ import annotations

import io
import json
import tarfile
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from kvasir.core.errors import DamagedError, IncompatibleVersionError, StoppedError
from kvasir.core.ledger import CollectionRecord, passage_hash
from kvasir.core.run import Run, StopToken
from kvasir.maintenance.backup import Archive, KeptVectors, VectorFile, writing_archive
from kvasir.testing.fakes import FakeEmbedder

RECORD = CollectionRecord("c", "model", 3, "print", ("es",), None, datetime.now(UTC))
UPLOAD = "spool/ab/ab" + 62 * "0"


@pytest.fixture
def backup(tmp_path: Path) -> Path:
    path = tmp_path / "b.tar"
    with path.open("wb") as file, writing_archive(file, "2026-01-01T00:00:00", Run()) as archive:
        archive.add_bytes("databases/catalog.jsonl.gz", b"rows" * 5000)
        archive.add_bytes(UPLOAD, b"bytes of an upload")
        archive.finish({"created": "2026-01-01T00:00:00"})
    return path


def test_what_was_written_is_read(backup: Path) -> None:
    archive = Archive(backup)
    assert archive.manifest["created"] == "2026-01-01T00:00:00"
    assert archive.read(UPLOAD) == b"bytes of an upload"
    with archive.open() as members:
        found = {name: stream.read() for name, stream in members}
    assert list(found) == archive.names
    assert found["databases/catalog.jsonl.gz"] == b"rows" * 5000


def test_a_stream_without_seeking_is_enough(backup: Path) -> None:
    class Pipe(io.RawIOBase):
        def __init__(self) -> None:
            self.content = bytearray()

        def writable(self) -> bool:
            return True

        def write(self, data: bytes) -> int:
            self.content += data
            return len(data)

    pipe = Pipe()
    with writing_archive(pipe, "now", Run()) as archive:
        archive.add_bytes("settings/signing.key", b"key")
        archive.finish({})
    other = backup.with_name("piped.tar")
    other.write_bytes(pipe.content)
    assert Archive(other).read("settings/signing.key") == b"key"


@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.5, 0.7, 0.9])
def test_a_backup_that_was_cut_off_is_refused(backup: Path, share: float) -> None:
    content = backup.read_bytes()
    end = content.rindex(b'{"format"') if b'{"format"' in content else len(content) - 10240
    backup.write_bytes(content[: int(end * share)])
    with pytest.raises(DamagedError, match="take another backup"):
        Archive(backup)


def test_a_changed_byte_is_found(backup: Path) -> None:
    content = bytearray(backup.read_bytes())
    content[content.index(b"rowsrows") + 77] ^= 1
    backup.write_bytes(content)
    with pytest.raises(DamagedError, match="gz' differs from its checksum"):
        Archive(backup)


def test_another_file_is_no_backup(tmp_path: Path) -> None:
    other = tmp_path / "other.tar"
    with tarfile.open(other, "w") as tar:
        tar.addfile(tarfile.TarInfo("x"), io.BytesIO())
    for path in (other, Path(__file__)):
        with pytest.raises(DamagedError, match="take another backup"):
            Archive(path)


@pytest.mark.parametrize("name", ["../evil", "/etc/passwd", "spool/ab/../../x", "settings/x"])
def test_a_member_with_another_name_is_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / "b.tar"
    with path.open("wb") as file, writing_archive(file, "now", Run()) as archive:
        archive.add_bytes(name, b"x")
        archive.finish({})
    with pytest.raises(DamagedError, match="which no backup has"):
        Archive(path)


def test_a_link_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "b.tar"
    with path.open("wb") as file, writing_archive(file, "now", Run()) as archive:
        link = tarfile.TarInfo("settings/kvasir.yaml")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.tar.addfile(link)
        archive.finish({})
    with pytest.raises(DamagedError, match="no regular file"):
        Archive(path)


def test_a_newer_format_says_to_upgrade(tmp_path: Path) -> None:
    path = tmp_path / "b.tar"
    with path.open("wb") as file, writing_archive(file, "now", Run()) as archive:
        content = json.dumps({"format": 2, "members": archive.members}).encode()
        info = tarfile.TarInfo("manifest.json")
        info.size = len(content)
        archive.tar.addfile(info, io.BytesIO(content))
    with pytest.raises(IncompatibleVersionError, match="upgrade Kvasir first"):
        Archive(path)


def test_a_stop_ends_the_reading(backup: Path) -> None:
    stop = StopToken()
    stop.set()
    with pytest.raises(StoppedError):
        Archive(backup, run=Run(stop))


def test_each_passage_has_one_vector() -> None:
    file = io.BytesIO()
    vectors = VectorFile(RECORD, file)
    rows = np.eye(3, dtype=np.float32)
    vectors.add(["a", "b", "a"], list(rows))
    vectors.add(["b", "c"], list(rows[:2]))
    assert len(vectors) == 3
    assert "c" in vectors
    assert np.frombuffer(file.getvalue(), "<f4").reshape(3, 3).tolist() == [
        [1, 0, 0],
        [0, 1, 0],
        [0, 1, 0],
    ]


def test_known_passages_are_not_embedded_again_and_the_others_are() -> None:
    real = FakeEmbedder()
    record = CollectionRecord("c", real.name, real.dimension, "print", (), None, datetime.now(UTC))
    kept = np.arange(2 * real.dimension, dtype=np.float32).reshape(2, -1)
    made = []

    def other() -> FakeEmbedder:
        made.append(1)
        return real

    embedder = KeptVectors(record, [passage_hash("one"), passage_hash("two")], kept, other)
    assert np.array_equal(embedder.embed_documents(["two", "one"]), kept[::-1])
    assert (embedder.embedded, made) == (0, [])
    found = embedder.embed_documents(["one", "three"])
    assert np.array_equal(found[0], kept[0])
    assert np.array_equal(found[1], real.embed_documents(["three"])[0])
    assert embedder.embedded == 1
